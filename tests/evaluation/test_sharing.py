"""A network before several recognisers enlarges a batch once, and nothing is confused."""

import pytest
import torch

from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.robustness import read_tables
from kdltr.evaluation.sharing import sharing
from kdltr.superres import TwoStage, create_upscaler
from kdltr.superres.trunk import Upscaler
from tests.models.conftest import ctc_toy, toy

BATCH = 3 * 3 * 32 * 128 * 4  # bytes that three enlarged words take


def words(seed, n=3):
    torch.manual_seed(seed)
    hr, lr = (torch.randint(0, 256, (n, 3, h, 4 * h), dtype=torch.uint8) for h in (32, 16))
    return WordPairs(hr, lr, [f"word{i}" for i in range(n)])


def network(name="tsrn_nano", seed=0):
    torch.manual_seed(seed)
    made = create_upscaler(name)
    return made, ctc_toy("crnn") if made.takes_prior else None


def two_stages(names=("tsrn_nano",)):
    """Three recognisers, one of another size, each behind its own copy of the same networks."""
    readers = {"ppocr": ctc_toy("ppocr"), "crnn": ctc_toy("crnn"), "abinet": toy("abinet")}
    return {recogniser: {"teacher on HR": reader, **{
        name: TwoStage((parts := network(name))[0], reader, parts[1]) for name in names}}
        for recogniser, reader in readers.items()}  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """Names of the networks that enlarged, one for each batch."""
    made, forward = [], Upscaler.forward

    def counted(self, lr, prior=None, **extra):
        made.append(self.name)
        return forward(self, lr, prior, **extra)

    monkeypatch.setattr(Upscaler, "forward", counted)
    return made


def test_once_for_all_recognisers_with_the_same_readings(calls):
    names, pairs = ["tsrn_nano", "tatt_nano"], words(1)
    apart, images = two_stages(names), pairs.blurred(torch.arange(3))
    alone, bits = {}, {}
    for recogniser, methods in apart.items():
        for name in names:
            alone[recogniser, name] = evaluate(methods[name], pairs).predictions
            with torch.inference_mode():
                bits[recogniser, name] = methods[name].for_reading()(images).logits
    calls.clear()
    together = sharing(apart)
    for (recogniser, name), expected in alone.items():
        reader = together[recogniser][name]
        assert evaluate(reader, pairs).predictions.equals(expected)
        with torch.inference_mode():
            assert torch.equal(reader.for_reading()(images).logits, bits[recogniser, name])
    assert sorted(calls) == sorted(names)
    assert together["crnn"]["teacher on HR"] is apart["crnn"]["teacher on HR"]


def test_each_batch_of_each_table(calls):
    tables = [("table", "one", words(1)), ("table", "two", words(2)), ("more", "one", words(1, 2))]
    readers = two_stages()
    del readers["ppocr"]  # which reads HR images of another size
    found = read_tables(readers, tables, lr_alone=["table", "more"])
    assert len(calls) == len(tables)
    for name, methods in readers.items():
        for table, subset, pairs in tables:
            expected = evaluate(methods["tsrn_nano"], pairs).predictions
            assert found[name][table]["tsrn_nano"][subset].predictions.equals(expected)


def test_other_images_and_changed_weights_are_enlarged_anew(calls):
    readers = sharing(two_stages())
    first, second = (readers[name]["tsrn_nano"] for name in ("crnn", "abinet"))
    images = words(1).blurred(torch.arange(3))

    def enlarged(reader, images):
        with torch.inference_mode():
            return reader.for_reading().enlarge(images)

    made = enlarged(first, images)
    assert torch.equal(enlarged(second, images), made) and len(calls) == 1
    other = images.clone()
    other[2, 2, 15, 63] += 1 / 256  # the last pixel
    assert not torch.equal(enlarged(second, other), made) and len(calls) == 2
    enlarged(second, images[:2])
    assert len(calls) == 3
    with torch.no_grad():
        second.upscaler.block7[1].running_var[0] *= 2
    assert not torch.equal(enlarged(second, images), made) and len(calls) == 4
    assert torch.equal(enlarged(first, images), made) and len(calls) == 4
    with torch.no_grad():  # nothing is remembered where there may be a gradient
        second.for_reading().enlarge(images)
    assert len(calls) == 5


def test_the_same_weights_with_another_setting_or_another_generator(calls):
    reader, weights = ctc_toy("crnn"), create_upscaler("tatt_nano").state_dict()
    one, other = ctc_toy("crnn"), ctc_toy("crnn")
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    readers = {}
    for recurrence, generator in (("batch", one), ("columns", one), ("batch", other)):
        made = create_upscaler("tatt_nano", recurrence=recurrence)
        made.load_state_dict(weights)
        readers[f"{len(readers)}"] = {"TATT": TwoStage(made, reader, generator)}
    for methods in sharing(readers).values():
        evaluate(methods["TATT"], words(1))
    assert len(calls) == 3


def test_what_was_used_longest_ago_is_forgotten(calls):
    readers = sharing(two_stages(), most=2 * BATCH)
    reader = readers["crnn"]["tsrn_nano"]
    memory = reader.memory
    for seed in (1, 2, 1, 3):
        evaluate(reader, words(seed))
        assert memory.size == sum(large.nbytes for large in memory.kept.values()) <= 2 * BATCH
    assert len(calls) == 3
    evaluate(reader, words(1))
    assert len(calls) == 3
    evaluate(reader, words(2))
    assert len(calls) == 4
    few = sharing(two_stages(), most=BATCH - 1)["crnn"]["tsrn_nano"]
    evaluate(few, words(1))
    assert not few.memory.kept


def test_nothing_is_kept_for_one_recogniser_alone():
    readers = {"crnn": two_stages()["crnn"]}
    assert sharing(readers) == readers
