"""Rows of training, path search, kept outputs and precisions: which there are, and how they hang
together. Never how long anything takes."""

import json
from dataclasses import asdict

import pytest
import torch

from kdltr import bench
from kdltr.bench import measure
from kdltr.bench.clock import TOTAL, Laps
from kdltr.bench.measure import WORK
from kdltr.bench.rows import KDLTR, PLAIN, RATIO, STEP, TEXTZOOM_PAIRS
from kdltr.results import write_result
from tests.bench.conftest import NAMES

PARTS = ["data", "teacher", "student", "losses", "backward", "optimiser"]


@pytest.fixture(autouse=True)
def floor(monkeypatch):
    """A machine of a thousand million multiply-adds a second."""
    monkeypatch.setattr(measure, "matmul_throughput", lambda *_: 1e9)
    return 1e9


def values(rows):
    return {(row.method, row.subset, row.metric): row.value for row in rows}


@pytest.mark.parametrize("name", NAMES)
def test_a_step_in_parts_on_both_paths(name, toy, floor, tmp_path):
    rows = bench.training(name, toy(name))
    found = values(rows)
    assert len(found) == len(rows)  # no row twice
    for way in (KDLTR, PLAIN):
        parts = [found[way, STEP, part] for part in PARTS]
        assert min(parts) > 0 and found[way, STEP, TOTAL] > 0
        rate = 1e3 * 2 / found[way, STEP, TOTAL]  # pairs a second from milliseconds
        assert found[way, STEP, "pairs a second"] == pytest.approx(rate)
        work = found[way, STEP, "multiply-adds, student"]
        share = 100 * work / (found[way, STEP, WORK] / 1e3) / floor
        assert found[way, STEP, "student's work of the floor"] == pytest.approx(share)
    for part in (*PARTS, TOTAL, WORK):
        assert found[RATIO, STEP, part] > 0
    # What the teacher need not do again is not counted: PARSeq's decoder is run at each step.
    asked = [found[way, STEP, "multiply-adds, teacher"] for way in (KDLTR, PLAIN)]
    assert asked[0] < asked[1] and (asked[0] == 0) == (name != "parseq_nano")
    assert f"{TEXTZOOM_PAIRS} pairs, 25 epochs" in {row.metric for row in rows}
    assert {row.extra["precision"] for row in rows} == {"no"} and not rows[0].extra["gpu"]
    write_result(tmp_path / "bench.json", rows, {})  # of the schema
    json.dumps([asdict(row) for row in rows])


def test_the_plain_path_may_have_settings_of_its_own(toy, monkeypatch):
    made = []

    class Spy(measure.TrainingStep):
        def __init__(self, recogniser, settings, plain=False, **changes):
            made.append((settings.precision, plain))
            super().__init__(recogniser, settings, plain, **changes)

    monkeypatch.setattr(measure, "TrainingStep", Spy)
    floors = {torch.bfloat16: 4e9, torch.float32: 1e9}
    monkeypatch.setattr(measure, "matmul_throughput", lambda _, dtype: floors[dtype])
    rows = bench.training(
        "parseq_nano", toy("parseq_nano", precision="bf16"), toy("parseq_nano", batch_size=4)
    )
    assert made == [("bf16", False), ("no", True)]
    said = {row.method: (row.extra["precision"], row.extra["batch_size"]) for row in rows}
    assert said == {KDLTR: ("bf16", 2), PLAIN: ("no", 4), RATIO: ("bf16", 2),
                    "student": ("bf16", 2)}
    assert {row.extra["plain_precision"] for row in rows if row.method == RATIO} == {"no"}
    assert not any(row.extra["tf32"] for row in rows)
    shares = {row.method: row.extra["matrix_throughput"] for row in rows if row.unit == "%"}
    assert shares == {KDLTR: 4e9, PLAIN: 1e9}


def test_a_compiled_step_goes_through_what_was_compiled(toy, monkeypatch):
    calls = []

    def compiled(forward, mode):
        return lambda *given, **extra: calls.append(mode) or forward(*given, **extra)

    monkeypatch.setattr(torch, "compile", compiled)
    step = measure.TrainingStep("parseq_nano", toy("parseq_nano"), compile="default")
    step(Laps(parts=False))
    assert calls == ["default"]


def test_an_option_is_timed_over_all_pairs_beside_the_default(toy, monkeypatch):
    lengths, batch = [], measure.TrainingStep.batch

    def watched(step):
        found = batch(step)
        lengths.append((step.config.batches, found[2].shape[1]))
        return found

    monkeypatch.setattr(measure.TrainingStep, "batch", watched)
    settings = toy("parseq_nano", batch_size=2, pairs=6, repeats=1, warmup=0)
    rows = bench.option("parseq_nano", settings, batches="by_length")
    # Words of 10 to 5 characters, and the end token.
    assert lengths == [("shuffled", 11), ("shuffled", 9), ("shuffled", 7),
                       ("by_length", 7), ("by_length", 9), ("by_length", 11)]
    by_length = "batches=by_length"
    assert {row.method for row in rows} == {KDLTR, by_length, f"{KDLTR} ÷ {by_length}"}
    assert {row.table for row in rows} == {"options"} and all(row.value > 0 for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_paths_are_searched_for_a_sure_and_an_unsure_teacher(name, toy):
    rows = bench.path_search(name, toy(name))
    found = values(rows)
    for case in ("path search, sure teacher", "path search, unsure teacher"):
        assert all(found[way, case, TOTAL] > 0 for way in (KDLTR, PLAIN, RATIO))
    words = {"parseq_nano": 2 * 4, "abinet_nano": 2}[name]  # PARSeq: four reading orders
    assert all(row.extra["words"] == words for row in rows)
    assert all(0 <= row.extra["plain_completed"] <= words for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_kept_outputs_change_the_loss_little_and_bfloat16_takes_half(name, toy):
    found = values(bench.kept_outputs(name, toy(name)))
    place = "one batch"
    size = f"kept for {TEXTZOOM_PAIRS} pairs"
    single, half = found["fp32", place, size], found["bf16", place, size]
    assert single == 2 * half > 0
    for term in ("visual", "semantic", "cross_entropy", "soft_logits"):
        assert found["fp32", place, f"{term}, relative difference"] < 1e-5
        assert found["bf16", place, f"{term}, relative difference"] < 1e-2
    assert found["bf16", place, "visual, relative difference"] > 0


def test_both_precisions_of_one_step(toy):
    rows = bench.precisions("parseq_nano", toy("parseq_nano"))
    assert {row.table for row in rows} == {"precisions"}
    assert {row.method for row in rows} == {"float32", "bfloat16", "float32 ÷ bfloat16"}
