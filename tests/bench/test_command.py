"""`python -m kdltr.bench`: what is measured when, and what a run that ends early leaves."""

import pytest

from kdltr import bench
from kdltr.bench import __main__ as command
from kdltr.bench.rows import KDLTR, STEP, maker
from kdltr.results import read_result

NAMES = ["parseq_nano", "abinet_nano"]


@pytest.fixture
def asked(monkeypatch):
    """What was measured: (part, name, precision, that of the plain path), in order."""
    calls = []

    def part_called(part):
        def measure(name, settings, against=None):
            calls.append((part, name, settings.precision, against and against.precision))
            make = maker(name, STEP, settings, part)
            return [make(KDLTR, "total", len(calls), "ms")]

        return measure

    monkeypatch.setattr(command, "PARTS", {part: part_called(part) for part in command.PARTS})
    monkeypatch.setattr(bench, "matrix_throughput", lambda _: 2.5e9)
    return calls


def test_every_part_of_all_recognisers_before_the_next(asked, capsys):
    command.main([*NAMES, "--precision", "bf16", "no", "--parts", "operations", "training"])
    assert asked == [
        *[("training", name, precision, "no") for precision in ("bf16", "no") for name in NAMES],
        *[("operations", name, "bf16", None) for name in NAMES],
    ]
    said = capsys.readouterr().out
    assert said.count("2.5 G multiply-adds a second") == 2
    assert all(f"{value:.1f}" in said for value in range(1, 7))  # the tables


@pytest.mark.parametrize("part", ["by_length", "cuda_graphs", "compile"])
def test_an_option_is_a_setting_of_the_training(part):
    config, changes = bench.Settings().config, command.PARTS[part].keywords
    assert config("parseq_nano", **changes) != config("parseq_nano")


def test_after_its_minutes_nothing_is_begun_and_the_result_holds_what_was(
    asked, tmp_path, monkeypatch, capsys
):
    now = [0.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0] + 20 * len(asked))
    out = tmp_path / "bench.json"
    command.main([*NAMES, "--minutes", "0.5", "--out", str(out)])
    assert [call[:2] for call in asked] == [("training", name) for name in NAMES]
    assert "left out after 40 s: reading of parseq_nano" in capsys.readouterr().out
    result = read_result(out)
    assert [row.value for row in result.rows] == [1, 2]
    assert result.document["wall_time"] == 40


def test_what_fails_is_named_and_the_rest_is_measured(asked, tmp_path, monkeypatch, capsys):
    def fails(name, settings, against=None):
        if name == NAMES[0]:
            raise RuntimeError("no such kernel")
        return measure(name, settings, against)

    measure = command.PARTS["training"]
    monkeypatch.setitem(command.PARTS, "training", fails)
    out = tmp_path / "bench.json"
    with pytest.raises(SystemExit) as stopped:
        command.main([*NAMES, "--parts", "training", "--out", str(out)])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert "no such kernel" in said and "failed: training of parseq_nano" in said
    assert [row.recogniser for row in read_result(out).rows] == [NAMES[1]]
