"""The evaluation protocol: what counts, what is right, intervals, tests and verdicts."""

import logging

import numpy as np
import pytest
import torch
from scipy.stats import binom

from kdltr.charset import ASCII94, Charset, Reading
from kdltr.data.lmdb import write_pairs
from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import (
    PROTOCOL,
    UpsampleBicubic,
    combine,
    evaluate,
    images_for,
    load_for,
    matches,
    mcnemar,
    score,
    similarity,
    upsample_bicubic,
    verdict,
    wilson,
)
from kdltr.models import create_model
from kdltr.models.base import Recogniser
from kdltr.models.output import ModelOutput
from kdltr.results import collect


class Parrot(Recogniser):
    """Reads the list `answers`: the first pixel of an image is the place in it."""

    def __init__(self, answers, image_size=(16, 64), confidence=0.5):
        super().__init__()
        self.name, self.charset, self.image_size = "parrot", ASCII94, image_size
        self.answers, self.confidence, self.batches = answers, confidence, []
        self.scale = torch.nn.Parameter(torch.ones(()))

    def read(self, images):
        self.check_images(images)
        assert torch.is_inference_mode_enabled()
        self.batches.append(len(images))
        places = (images[:, 0, 0, 0] * 255).round().int().tolist()
        return [Reading(self.answers[place], self.confidence) for place in places]


def words_as_pairs(words, **options):
    n = len(words)
    places = torch.arange(n, dtype=torch.uint8)[:, None, None, None]
    return WordPairs(places.expand(n, 3, 32, 128).contiguous(),
                     places.expand(n, 3, 16, 64).contiguous(), list(words), **options)


def scores_of(labels, readings, **columns):
    pairs = words_as_pairs(labels)
    return evaluate(Parrot(readings), pairs)


def test_nothing_is_dropped_and_the_order_stays():
    words = [f"w{i}" for i in range(11)]
    model = Parrot(words)
    found = evaluate(model, words_as_pairs(words), batch_size=4)
    assert model.batches == [4, 4, 3]
    assert found.n == found.correct == 11 and found.accuracy == 1
    assert list(found.predictions["reading"]) == words
    assert list(found.predictions["index"]) == list(range(11))
    assert list(found.predictions.columns) == [
        "index", "label", "reading", "confidence", "correct", "image"]


@pytest.mark.parametrize("label, reading, right", [
    ("Hornbill!", "HORN-bill", True),
    ("Don't", "dont", True),
    ("café", "cafe", True),  # folded: the accent goes, the letter stays
    ("ＡＢ１", "ab1", True),
    ("straße", "strasse", False),
    ("ab", "abc", False),
    ("", "", True),
    ("!?", "...", True),  # both empty after filtering
    ("!?", "a", False),
    ("", "a", False),
    ("a" * 25, "A" * 25, True),
    ("a" * 26, "a" * 26, False),  # too long to be read: wrong, whatever the model says
    ("a" * 24 + "!!", "a" * 24, True),  # its filtered form can be read
])
def test_what_counts_as_right(label, reading, right):
    found = scores_of([label], [reading])
    assert found.n == 1 and found.correct == right


def test_similarity_is_of_filtered_strings_over_the_longer():
    assert similarity("Hello!", "hallo") == pytest.approx(0.8)
    assert similarity("ab", "abcd") == pytest.approx(0.5)
    assert similarity("abcd", "ab") == pytest.approx(0.5)
    assert similarity("!", "?") == 1 and similarity("a", "") == 0
    assert scores_of(["Hello!", "ab"], ["hallo", "abcd"]).ned == pytest.approx(0.65)


def test_wilson_interval_against_the_formula():
    z, p, n = 1.959963984540054, 0.7, 10
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert wilson(7, 10) == pytest.approx((centre - half, centre + half), abs=1e-9)
    found = scores_of(list("abcdefghij"), list("abcdefgxxx"))
    assert found.interval == wilson(7, 10) and str(found).startswith("70.00 % of 10 [39.6")
    assert wilson(0, 10).low == 0 and wilson(10, 10).high == 1


def test_confidence_is_the_mean():
    assert evaluate(Parrot(["a", "b"], confidence=0.25), words_as_pairs("ab")).confidence == 0.25


def test_image_size_decides_between_lr_and_hr():
    pairs = words_as_pairs("ab")
    for size in ((16, 64), (32, 128)):
        assert evaluate(Parrot(["a", "b"], size), pairs).correct == 2
    with pytest.raises(ValueError, match=r"reads images of \(8, 32\), found LR of \(16, 64\)"):
        evaluate(Parrot(["a"], (8, 32)), pairs)


def test_a_student_of_another_size_reads_lr_images(tmp_path):
    hr, lr = np.full((32, 128, 3), 255, np.uint8), np.zeros((16, 64, 3), np.uint8)
    write_pairs(tmp_path / "pairs", [(hr, lr, "a")])
    for name, width, image, pixel in (
        ("parrot_ltr", 96, None, 0), ("parrot", 96, "lr", 0), ("parrot", 96, "hr", 255),
        ("parseq", 96, None, 255), ("parrot", 64, None, 0), ("parrot", 64, "hr", 255),
    ):
        model = Parrot(["a"], (16, width))
        model.name = name
        images = images_for(model, load_for(model, tmp_path / "pairs", image))
        assert images.shape[2:] == (16, width) and (images == pixel).all()
    with pytest.raises(ValueError, match="expected hr or lr, found 'sharp'"):
        load_for(model, tmp_path / "pairs", "sharp")
    model.name, model.image_size = "parrot", (16, 96)
    with pytest.raises(ValueError, match="which reads 16×96 pixels, may be a teacher"):
        load_for(model, tmp_path / "pairs")


def test_nothing_to_evaluate_and_numbers_that_are_none():
    with pytest.raises(ValueError, match="found none"):
        evaluate(Parrot([]), words_as_pairs([]))
    with pytest.raises(ValueError, match=r"image 0 \('a'\), found nan"):
        evaluate(Parrot(["a"], confidence=float("nan")), words_as_pairs("a"))


def test_left_out_records_are_said(caplog):
    with caplog.at_level(logging.WARNING):
        found = evaluate(Parrot(["a"]), words_as_pairs("a", skipped=("record 1",)))
    assert found.skipped == 1 and found.n == 1 and "1 damaged records" in caplog.text


def test_average_is_weighted_by_what_was_counted():
    easy, hard = scores_of("abc", "abc"), scores_of("d", "x")
    both = combine({"easy": easy, "hard": hard})
    assert both.n == 4 and both.accuracy == 0.75  # the mean of the two would be 0.5
    assert list(both.predictions["subset"]) == ["easy"] * 3 + ["hard"]
    assert combine([easy, hard]).accuracy == 0.75
    with pytest.raises(ValueError, match="found none"):
        combine([])


def test_mcnemar_is_exact_and_two_sided():
    labels = [f"w{i}" for i in range(12)]
    a = scores_of(labels, ["x"] * 9 + labels[9:])  # 3 right
    b = scores_of(labels, [*labels[:8], "x", *labels[9:11], "x"])  # 10 right, 8 of them alone
    p, counts = mcnemar(a, b)
    assert counts == (2, 1, 8, 1) and counts.only_b == 8
    assert p == pytest.approx(2 * binom.cdf(1, 9, 0.5))
    assert mcnemar(b, a).p == p
    assert mcnemar(a, a) == (1.0, (3, 0, 0, 9))


def test_mcnemar_refuses_other_images():
    a = scores_of("abc", "abc")
    other = words_as_pairs("abc")
    other.lr[1, 0, 5, 5] += 1  # same labels, one other pixel
    for b, said in ((scores_of("ab", "ab"), "3 and 2 images"),
                    (evaluate(Parrot("abc"), other), "at row 1"),
                    (scores_of("abd", "abd"), "at row 2")):
        with pytest.raises(ValueError, match=said):
            mcnemar(a, b)
    # LR for one, HR for the other: the same images all the same
    assert mcnemar(a, evaluate(Parrot("abx", (32, 128)), words_as_pairs("abc"))).counts.only_a == 1
    parts = {"easy": a, "hard": a}
    assert mcnemar(combine(parts), combine(parts)).p == 1
    with pytest.raises(ValueError, match="same images"):
        mcnemar(combine(parts), combine({"easy": a, "medium": a}))


def test_score_is_made_anew_from_the_readings():
    frame = scores_of("ab", "ax").predictions.assign(correct=True)
    assert score(frame).correct == 1


@pytest.mark.parametrize("published, measured, n, expected", [
    (78.23, 76.73, (4373, 4373), "reproduced"),  # 1.5 exactly, but not in binary
    (78.23, 79.73, (4373, 4373), "reproduced"),
    (78.23, 76.72, (4373, 4373), "not reproduced"),
    (78.23, 79.74, (4373, 4373), "not reproduced"),  # better is not the same either
    (78.23, 78.23, (4373, 1500), "different data"),
    (78.23, 78.23, (None, 1500), "different data"),
])
def test_verdicts(published, measured, n, expected):
    assert verdict(published, measured, *n) == expected
    assert verdict(published, measured, *n, same_data=False) == "different data"
    other = verdict(published, measured, *n, same_model=False)
    assert other == ("different data" if expected == "different data" else "different model")


def test_upsampling_keeps_the_corners():
    images = torch.rand(2, 3, 16, 64, generator=torch.Generator().manual_seed(0))
    large = upsample_bicubic(images)
    assert large.shape == (2, 3, 32, 128)
    for y in (0, -1):
        for x in (0, -1):
            assert torch.allclose(large[..., y, x], images[..., y, x], atol=1e-6)


def test_bicubic_baseline_is_the_teacher_on_upsampled_images():
    torch.manual_seed(0)
    teacher = create_model("parseq_nano", width=16, depth=1, heads=2, decoder_heads=2).eval()
    bicubic = UpsampleBicubic(teacher)
    images = torch.rand(3, 3, 16, 64)
    out = bicubic(images)
    assert isinstance(out, ModelOutput) and bicubic.image_size == (16, 64)
    assert torch.equal(out.logits, teacher(upsample_bicubic(images)).logits)
    assert bicubic.read(images) == teacher.read(upsample_bicubic(images))
    found = evaluate(bicubic, words_as_pairs(["a", "b", "c"]), batch_size=2)
    assert found.n == 3
    with pytest.raises(ValueError, match="parseq_nano_bicubic reads images"):
        bicubic.read(torch.rand(1, 3, 32, 128))


def test_bicubic_reads_images_of_the_size_it_is_told():
    teacher = create_model("crnn_nano").eval()
    bicubic = UpsampleBicubic(teacher, (16, 48))
    assert (bicubic.image_size, bicubic.decoding, bicubic.frames) == ((16, 48), "ctc", 26)
    images = torch.rand(2, 3, 16, 48)
    large = upsample_bicubic(images, (32, 128))
    assert bicubic.read(images) == teacher.read(large)
    assert bicubic.for_reading().image_size == (16, 48)


def test_protocol_names_what_it_does():
    for said in ("[0-9a-z]", "Wilson", "McNemar", "NED", "weighted"):
        assert said in PROTOCOL
    for letter, other in (("é", "e"), ("ａ", "a")):
        assert f"{letter} is {other}" in PROTOCOL and matches(letter, other)


def test_of_other_letters_those_are_compared(caplog):
    """And not [0-9a-z] alone, of which there are none."""
    model = Parrot(["字国", "ｂ中"])
    model.charset = Charset("own", "中文字国b")
    with caplog.at_level(logging.WARNING):
        found = evaluate(model, words_as_pairs(["中文", "b 中"]))
    assert found.correct == 1 and found.ned == 0.5 and not caplog.text
    assert "charset own" in found.protocol and combine([found, found]).protocol == found.protocol
    with pytest.raises(ValueError, match="of one charset to combine, found alnum36"):
        combine([found, evaluate(Parrot(["a"]), words_as_pairs("a"))])
    with pytest.raises(ValueError, match=r"expected readings in \[0-9a-z\].*found charset own"):
        collect({"read": {"all": found}}, "own")
