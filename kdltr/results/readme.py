"""The table README.md quotes: made from results/reference/, never typed.

`make publish` writes it between two comments; a test checks that it still agrees.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from kdltr.atomic import write_text
from kdltr.results.record import read_result
from kdltr.results.rows import AVERAGE
from kdltr.results.tables import SUBSETS, published_accuracy, to_markdown
from kdltr.scores import PROTOCOL

_BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main_table(result: Path) -> str:
    """Markdown of a `04_textzoom` result: percent of words read right, measured and published."""
    rows = read_result(result).rows
    accuracies = [row for row in rows if row.metric == "accuracy" and row.table != "fonts"]
    costs = {(row.recogniser, row.method, row.metric): f"{row.value / 1e6:.2f} M"
             for row in rows if row.table == "size"}
    lines = []
    for recogniser, method in dict.fromkeys((row.recogniser, row.method) for row in accuracies):
        mine = {row.subset: row for row in accuracies
                if (row.recogniser, row.method) == (recogniser, method)}
        whole = mine[AVERAGE]
        line = {"recogniser": recogniser, "method": method}
        line |= {name: f"{mine[name].value:.1f}" for name in SUBSETS}
        line["95 % interval"] = f"{whole.low:.1f} to {whole.high:.1f}"
        for cost in ("parameters", "multiply-adds"):
            line[cost] = costs.get((recogniser, method, cost))
        paper = published_accuracy(recogniser, method, AVERAGE)
        line["published, TextZoom"] = f"{paper:.2f}" if paper else "–"
        lines.append(line)
    return to_markdown(pd.DataFrame(lines), caption=f"{whole.n} test words. {PROTOCOL}")


def refreshed(text: str, root: Path) -> str:
    """``text`` of a README with every marked table made anew.

    A mark is ``<!-- table: PATH -->`` … ``<!-- end of table -->``, PATH from the repository root.
    """
    def block(match: re.Match) -> str:
        path = root / match[2]
        return match[1] + (main_table(path) if path.is_file() else "") + match[3]

    return _BLOCK.sub(block, text)


def refresh(readme: Path) -> None:
    """Rewrite the marked tables of a README beside which results/reference/ lies."""
    write_text(readme, refreshed(readme.read_text(encoding="utf-8"), readme.parent))
