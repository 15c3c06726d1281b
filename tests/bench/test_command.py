"""`python -m kdltr.bench`: a table for each recogniser."""

import pandas as pd

from kdltr import bench
from kdltr.bench import __main__ as command


def test_it_prints_a_table_for_each_recogniser(monkeypatch, capsys):
    asked = []
    for part in ("training", "reading", "path_search", "memory"):
        monkeypatch.setattr(bench, part, lambda name, settings, part=part: [
            asked.append((part, name, settings.batch_size, settings.precision))])
    monkeypatch.setattr(bench, "matrix_throughput", lambda _: 2.5e9)
    monkeypatch.setattr(bench, "table", lambda rows: pd.DataFrame({"kdltr": [float(len(rows))]}))
    command.main(["parseq_nano", "abinet_nano", "--batch-size", "3", "--no-memory"])
    assert asked == [(part, name, 3, "no") for name in ("parseq_nano", "abinet_nano")
                     for part in ("training", "reading", "path_search")]
    said = capsys.readouterr().out
    assert "2.5 G multiply-adds a second" in said and said.count("kdltr\n0    3.0") == 2
    command.main(["matrn_nano", "--precision", "bf16"])
    assert asked[-1] == ("memory", "matrn_nano", bench.Settings().batch_size, "bf16")
