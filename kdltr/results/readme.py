"""The tables README.md quotes: made from results/reference/, never typed.

`make publish` writes it between two comments; a test checks that it still agrees.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from kdltr.evaluation.scores import PROTOCOL
from kdltr.files import write_text
from kdltr.results.record import read_result
from kdltr.results.rows import AVERAGE
from kdltr.results.tables import SUBSETS, is_published_size, published_accuracy, to_markdown

# Title of a column of `cost_table` → subset, metric and method of its rows, digits.
_COSTS = {
    "training step": ("training step", "total", "kdltr", 0),
    "plain ÷ kdltr": ("training step", "total", "plain ÷ kdltr", 2),
    "student's work, of the floor": ("training step", "student's work of the floor", "kdltr", 0),
    "peak memory": ("training step", "peak memory", "kdltr", 0),
    "peak, plain ÷ kdltr": ("training step", "peak memory", "plain ÷ kdltr", 2),
    "reading": ("reading", "images a second", "kdltr", 1),
    "reading, plain ÷ kdltr": ("reading", "total", "plain ÷ kdltr", 2),
    "one image": ("reading, batch 1", "total", "kdltr", 0),
}
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


def cost_table(result: Path) -> str:
    """Markdown of a `07_efficiency` result: training and reading at the published sizes."""
    found = read_result(result)
    measured = {(row.recogniser, row.subset, row.metric, row.method): row for row in found.rows
                if row.table == "bench" and not row.extra.get("gpu")}
    lines = []
    for recogniser in dict.fromkeys(key[0] for key in measured):
        if not is_published_size(recogniser):
            continue
        line = {"recogniser": recogniser}
        for title, (subset, metric, method, digits) in _COSTS.items():
            row = measured[recogniser, subset, metric, method]
            line[title] = f"{row.value:.{digits}f} {row.unit}"
        lines.append(line)
    machine = found.document["hardware"]
    return to_markdown(pd.DataFrame(lines), caption=(
        f"{machine['cpu']}, {machine['threads']} threads; float32, batch "
        f"{measured[recogniser, 'training step', 'total', 'kdltr'].extra['batch_size']}; plain ÷ "
        "kdltr in the same run."))


def photographs_table(result: Path) -> str:
    """Markdown of a `10_photographs` result: words read right, and the time for one."""
    rows = read_result(result).rows
    times = {(row.recogniser, row.method): row for row in rows if row.metric == "milliseconds"}
    counted = [row for row in rows  # the others were measured elsewhere
               if row.metric == "accuracy" and (row.recogniser, row.method) in times]
    lines = []
    for reader in dict.fromkeys((row.recogniser, row.method) for row in counted):
        mine = {row.subset: row for row in counted if (row.recogniser, row.method) == reader}
        line = dict(zip(("reader", "method"), reader, strict=True))
        for subset, row in mine.items():
            line["all" if subset == AVERAGE else subset] = f"{row.extra['correct']} of {row.n}"
        whole = mine.get(AVERAGE, row)  # a single set has no average
        line["95 % interval"] = f"{whole.low:.0f} to {whole.high:.0f} %"
        line["one word"] = f"{times[reader].value:.1f} ms"
        lines.append(line)
    caption = f"{whole.table.capitalize()}; time of one thread. {PROTOCOL}"
    return to_markdown(pd.DataFrame(lines), caption=caption)


# By the run that made the result.
_MAKERS = {"04_textzoom": main_table, "07_efficiency": cost_table,
           "10_photographs": photographs_table}


def refreshed(text: str, root: Path) -> str:
    """``text`` of a README with every marked table made anew.

    A mark is ``<!-- table: PATH -->`` … ``<!-- end of table -->``, PATH of a result from the
    repository root; which table is made of it follows from its name.
    """
    def block(match: re.Match) -> str:
        path = root / match[2]
        return match[1] + (_MAKERS[path.stem](path) if path.is_file() else "") + match[3]

    return _BLOCK.sub(block, text)


def refresh(readme: Path) -> None:
    """Rewrite the marked tables of a README beside which results/reference/ lies."""
    write_text(readme, refreshed(readme.read_text(encoding="utf-8"), readme.parent))
