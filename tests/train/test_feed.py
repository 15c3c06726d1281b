"""What pretraining is fed: rendered batches, or those of shards in a new order every epoch."""

import shutil
import threading

import numpy as np
import pytest
import torch

from kdltr.data import DataError
from kdltr.data.batches import epoch_batches
from kdltr.data.folder import write_folder
from kdltr.data.records import Pair, Word
from kdltr.evaluation.evaluate import images_for
from kdltr.generator.render_shards import write_shards
from kdltr.generator.synthetic import arrays
from kdltr.models import create_model
from kdltr.train import PretrainConfig
from kdltr.train.feed import AHEAD, Pictures, prefetched, shuffled

HR, LR = (32, 128), (16, 64)
MODELS = {HR: create_model("parseq_nano"), LR: create_model("parseq_nano_ltr")}  # by what they read


def config(**changed):
    own = {} if "shards" in changed else {"data_seed": 5}  # shards have a seed of their own
    return PretrainConfig(**{
        "output_dir": "x", "steps": 7, "batch_size": 3, "workers": 0, "validation_words": 2,
    } | own | changed)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Ten pairs of seed 8."""
    return str(write_shards(tmp_path_factory.mktemp("shards"), 10, seed=8, size=4))


def channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("image", "size"), [("hr", HR), ("lr", LR), ("lr", HR)])
def test_rendered_batches_are_consecutive_pieces_of_the_stream(image, size):
    batches = list(Pictures(config(image=image), MODELS[size]).batches(first=5))
    assert len(batches) == 2
    hr, lr, words = arrays("train1", 6, 5, start=15, **{f"{image}_size": size})
    assert torch.equal(torch.cat([pictures for pictures, _ in batches]),
                       channels_first(hr if image == "hr" else lr))
    assert [word for _, some in batches for word in some] == words


@pytest.mark.parametrize("image", ["hr", "lr"])
def test_shards_are_shuffled_by_epoch_and_resume_at_any_step(shards, image):
    size = HR if image == "hr" else LR
    pictures = Pictures(config(image=image, shards=shards), MODELS[size])
    whole = list(pictures.batches(first=0))
    assert len(whole) == 7  # two epochs of three steps, and one
    every = channels_first(arrays("train1", 10, 8)[0 if image == "hr" else 1])
    expected = [rows for epoch in range(3) for rows in epoch_batches(10, 3, 42, epoch)][:7]
    for (found, words), rows in zip(whole, expected, strict=True):
        assert torch.equal(found, every[rows])
        assert words == [pictures.shards.words[i] for i in rows]
    for first in range(8):
        rest = list(pictures.batches(first))
        assert len(rest) == 7 - first
        assert all(torch.equal(one, other) for (one, _), (other, _) in
                   zip(rest, whole[first:], strict=True))  # fmt: skip


def test_the_order_differs_from_epoch_to_epoch():
    steps = shuffled(12, 3, seed=1, first=0)
    epochs = [torch.cat([next(steps) for _ in range(4)]) for _ in range(3)]
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])


def test_shards_of_another_size_are_refused(shards):
    with pytest.raises(DataError, match=r"hr pictures of \(16, 64\), found \(32, 128\)"):
        Pictures(config(shards=shards), MODELS[LR])


def test_held_out_words_are_of_another_seed_and_what_the_model_reads(shards):
    for given, seed in ((config(), 6), (config(shards=shards), 9)):
        held_out = Pictures(given, MODELS[HR]).held_out()
        assert held_out.words == arrays("train1", 2, seed)[2]
    for image in ("hr", "lr"):  # a student on small sharp pictures is not validated on blurred ones
        held_out = Pictures(config(image=image), MODELS[LR]).held_out()
        hr, lr, _ = arrays("train1", 2, 6, hr_size=LR)
        found = images_for(MODELS[LR], held_out)
        assert torch.equal(found, channels_first(hr if image == "hr" else lr))


@pytest.fixture
def photographs(tmp_path):
    """Single words, 8, and pairs, 30, to learn from; and among each one that cannot be read."""
    def image(seed, shape):  # of one colour: no two pairs show one scene
        return np.broadcast_to(np.random.default_rng(seed).integers(0, 255, 3, np.uint8), shape)

    pairs = [Pair(image(i, (32, 128, 3)), image(i, (16, 64, 3)), f"pair{i}") for i in range(30)]
    words = [Word(image(100 + i, (40, 90, 3)), f"word{i}") for i in range(8)]
    folders = [tmp_path / "pairs", tmp_path / "words"]
    for folder, records in zip(folders, (pairs, words), strict=True):
        write_folder(folder, [*records, records[0]._replace(label="\u2014")])
    return [str(folder) for folder in folders[::-1]]


def test_a_share_of_every_batch_is_stored_words(photographs):
    given = config(words=photographs, words_share=0.4, validation=0.2, batch_size=5, steps=9)
    pictures = Pictures(given, MODELS[HR])
    held_out = pictures.held_out()
    assert held_out.words and all(word.startswith("pair") for word in held_out.words)
    assert {one["samples"] for one in pictures.source["sets"].values()} == {31, 9}
    whole = list(pictures.batches(0))
    made = [word for _, words in whole for word in words[:3]]
    assert made == arrays("train1", 27, 5)[2]  # the stream, as without stored words
    stored = [word for _, words in whole for word in words[3:]]
    assert len(stored) == 18 and not {*stored} & {*held_out.words}
    assert any(word.startswith("pair") for word in stored) and any(
        word.startswith("word") for word in stored)
    for first, (images, words) in enumerate(whole):
        again, same = next(iter(pictures.batches(first)))
        assert same == words and torch.equal(again, images)
    own = dict(zip(pictures.stored.words, pictures.stored.hr, strict=True))
    assert torch.equal(whole[0][0][3:], torch.stack([own[word] for word in whole[0][1][3:]]))


def test_single_words_alone_need_a_choice_of_what_is_held_out(photographs):
    words = photographs[:1]
    with pytest.raises(ValueError, match="set hold_out='words'"):
        Pictures(config(words=words, words_share=1.0), MODELS[HR])
    pictures = Pictures(config(words=words, words_share=1.0, hold_out="words", validation=0.3),
                        MODELS[HR])
    assert len(pictures.held_out()) == 2 and len(pictures.stored) == 6


def test_without_any_of_its_sets_generated_words_are_learned_from(tmp_path, caplog):
    missing = {"words": [str(tmp_path / "none")], "missing": "left_out"}
    assert Pictures(config(**missing), MODELS[HR]).stored is None and "left out" in caplog.text
    with pytest.raises(DataError, match="learns from stored words alone, found none of .*none"):
        Pictures(config(**missing, words_share=1.0, hold_out="words"), MODELS[HR])


def test_stored_words_may_be_no_test_set(photographs, tmp_path):
    test = tmp_path / "test" / "words"
    test.parent.mkdir()
    shutil.copytree(photographs[0], test)
    with pytest.raises(DataError, match="it lies in a folder test; leave it out"):
        Pictures(config(words=[str(test)]), MODELS[HR])


def test_effects_reach_the_generator():
    pictures = Pictures(config(effects=["lens", "ink"], steps=1), MODELS[HR])
    ((images, words),) = pictures.batches(0)
    hr, _, expected = arrays("train1", len(words), config().data_seed, effects=("ink", "lens"))
    assert words == expected and torch.equal(images, channels_first(hr))
    held_out = pictures.held_out()
    again, *_ = arrays("train1", len(held_out), config().data_seed + 1, effects=("ink", "lens"))
    assert torch.equal(held_out.hr, channels_first(again))


def test_fetching_runs_ahead_in_another_thread_and_stops_with_the_training():
    fetched, threads = [], set()

    def fetch(rows):
        fetched.append(rows)
        threads.add(threading.current_thread())
        return rows

    batches = prefetched(fetch, range(100))
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    batches.close()
    assert len(fetched) <= 3 + AHEAD and threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_an_error_of_fetching_reaches_the_training():
    def fetch(rows):
        raise DataError("cut short")

    with pytest.raises(DataError, match="cut short"):
        list(prefetched(fetch, range(2)))


def test_rendered_batches_come_through_a_pipe_and_not_through_shared_memory():
    """Which containers have little of: a worker that finds it full is waited for without end."""
    loader = Pictures(config(steps=3, workers=2), MODELS[HR])._rendered(0)
    assert all(isinstance(pictures, np.ndarray) for pictures, _ in loader)  # no tensors
    alone, helped = (
        list(Pictures(config(steps=3, workers=workers), MODELS[HR]).batches(0))
        for workers in (0, 2))
    for (pictures, words), (again, same) in zip(alone, helped, strict=True):
        assert pictures.equal(again) and words == same and pictures.dtype == torch.uint8
