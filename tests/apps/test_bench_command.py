"""`kdltr bench`: a table for each measurement, a result file; `kdltr data feed`: lines."""

import json

import pandas as pd
import pytest
import torch

from kdltr import bench
from kdltr.apps import bench as command
from kdltr.apps.command import main
from kdltr.bench import feeding
from kdltr.generator.render_shards import write_shards
from kdltr.results import Row


@pytest.fixture
def asked(monkeypatch):
    """What is measured, in place of measuring it."""
    asked = []

    def stand_in(part):
        def measure(name, settings, **_):
            asked.append((part, name, settings.batch_size, settings.precision))
            return [Row("bench", name, "kdltr", part, "total", 3.0, "ms")]
        return measure

    for part in command.PARTS:
        monkeypatch.setitem(command.PARTS, part, stand_in(part))
    monkeypatch.setattr(bench, "matrix_throughput", lambda _: 2.5e9)
    monkeypatch.setattr(bench, "table", lambda rows, _: pd.DataFrame({"kdltr": [rows[0].value]}))
    return asked


def test_it_prints_a_table_for_each_and_leaves_a_result(asked, capsys, tmp_path):
    out = tmp_path / "bench.json"
    arguments = ["bench", "parseq_nano", "abinet_nano", "--batch-size", "3", "--parts", "reading",
                 "training", "--out", str(out)]
    assert main(arguments) == 0
    assert asked == [(part, name, 3, "no") for part in ("training", "reading")
                     for name in ("parseq_nano", "abinet_nano")]
    said = capsys.readouterr().out
    assert "2.5 G multiply-adds a second" in said and said.count("kdltr\n0    3.0") == 4
    assert len(json.loads(out.read_text())["rows"]) == 4
    assert main(["bench", "matrn_nano", "--precision", "no", "bf16"]) == 0
    size = bench.Settings().batch_size
    assert asked[4:] == [(part, "matrn_nano", size, precision) for part in command.USUAL
                         for precision in ("no", "bf16")[:1 + (part in ("training", "reading"))]]


def test_what_fails_is_said_at_the_end_and_the_rest_is_measured(asked, capsys, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setitem(command.PARTS, "training", fails)
    assert main(["bench", "parseq_nano"]) == 1
    assert [entry[0] for entry in asked] == ["reading", "search", "memory"]
    said = capsys.readouterr().err
    assert "out of memory" in said and "failed: training of parseq_nano" in said.splitlines()[-1]


def test_an_unknown_part_is_said(asked, capsys):
    assert main(["bench", "--parts", "reding"]) == 2 and not asked
    assert "found reding" in capsys.readouterr().err


def test_feed_prints_a_line_for_each(tmp_path, monkeypatch, capsys):
    shards = write_shards(tmp_path / "shards", 9, seed=1, size=4)
    monkeypatch.setattr(feeding, "rendering", lambda workers, pairs, _: 1000.0 * workers + pairs)
    arguments = ["data", "feed", str(shards), "--workers", "3", "--pairs", "7", "--batch-size"]
    assert main([*arguments, "4"]) == 0
    said = capsys.readouterr().out
    assert "3007  rendering, 3 processes, 0 effects" in said and "augmenting on cpu" in said
    assert said.count("reading 9 pairs") == 2 and f"{torch.get_num_threads()} threads" in said
    assert main([*arguments, "10"]) == 2
    assert "give a smaller --batch-size" in capsys.readouterr().err
    assert main([*arguments, "0"]) == 2
    assert "--batch-size must be at least 1, found 0" in capsys.readouterr().err
