"""Tables of a result's rows: the paper's main table, and any other in a readable default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdltr.report.cells import GAP, Cell, Line, Table, measured, number
from kdltr.results import Result, Row, beside_published, published_wide
from kdltr.results.tables import SUBSETS, family

MAIN = "textzoom"  # the rows that stand beside the paper's main table
SIZE = "size"  # rows that say what each of its methods costs
COSTS = ("parameters", "multiply-adds")
SCORED = {"accuracy", "1-NED", "confidence"}  # metrics that PROTOCOL defines
FOLDED_FROM = 24  # lines: longer tables are shown when asked for
MOST_METRICS = 6  # with more of them, methods stand side by side and metrics below each other
TITLES = {
    "bench": "What kdltr takes, beside a plain way of doing the same",
    "benchmarks": "Words read right on the recognition benchmarks",
    "calibration": "Confidence and how often it is right",
    "confusion": "Characters taken for one another",
    "data": "Pairs in each set",
    "fonts": "Words in fonts that training has seen, and in others",
    "robustness": "Words read right as images get worse",
    "scaling": "Time against size",
    "size": "What a word costs",
    "teacher": "The teacher, on sharp words and on upsampled blurred ones",
    "training": "Training",
}
# What the words of a table would be if they were the paper's; TextZoom's if it is not listed.
PAPERS_WORDS = {"benchmarks": "the benchmarks"}


def tables_of(result: Result) -> list[Table]:
    """Every table of a result: the main one first, then in the order of its rows."""
    protocol, rows = result.document["protocol"], result.rows
    names = list(dict.fromkeys(row.table for row in rows))
    made = []
    if MAIN in names:
        same_data = result.document.get("extra", {}).get("same_data", False)
        made = [main_table(rows), beside_table(rows, same_data)]
        made = [replace(table, words=other_words(result.document)) for table in made]
        made = [replace(table, protocol=protocol) for table in made]
    for name in names:
        if name != MAIN and not (name == SIZE and MAIN in names):
            own = [row for row in rows if row.table == name]
            scored = any(row.metric in SCORED and row.unit == "%" for row in own)
            made.append(replace(spread(own, TITLES.get(name, name)),
                                protocol=protocol if scored else "",
                                words=other_words(result.document, name)))  # fmt: skip
    return made


def other_words(document: Mapping[str, Any], table: str = MAIN) -> str:
    """What a result's words are, if they are not those of the paper; "" if they are, or none."""
    papers = PAPERS_WORDS.get(table, "TextZoom")
    if any("data/generated/" in path for path in document["data"]):
        return f"generated words, not {papers}"
    same = document.get("extra", {}).get("same_data")
    own = any(not path.startswith(("data/textzoom/", "data/benchmarks/"))
              for path in document["data"])  # fmt: skip
    return f"other words, not {papers}" if same is False or (same is None and own) else ""


def main_table(rows: Sequence[Row]) -> Table:
    """Methods down, subsets and costs across; below each recogniser's the paper's own table."""
    costs = {(row.recogniser, row.method, row.metric): row.value
             for row in rows if row.table == SIZE}  # fmt: skip
    rows = [row for row in rows if row.table == MAIN and row.metric == "accuracy"]
    subsets = list(dict.fromkeys(row.subset for row in rows))
    found: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row.recogniser, row.method, row.seed), {})[row.subset] = row
    lines: dict[str | None, list[Line]] = {}
    for (recogniser, method, seed), own in found.items():
        lines.setdefault(family(recogniser), []).append(Line(
            (Cell(recogniser), Cell(method), Cell(_seeded("measured here", seed)),
             *(measured(own[s]) if s in own else number(None) for s in subsets),
             *(number(costs.get((recogniser, method, cost)), "count") for cost in COSTS))
        ))  # fmt: skip
    for name in filter(None, lines):
        lines[name] += _published_lines(name, subsets)
    return Table(
        "Words read right (%), and what a word costs",
        ("recogniser", "method", "figures", *subsets, *COSTS),
        tuple(line for own in lines.values() for line in own),
        "Small: 95 % intervals. Below what was measured stands the paper's table for recognisers "
        "of that family. It counts the multiply-adds of modules alone, without the products inside "
        "attention, and PARSeq's for three decoding steps; kdltr counts them all.",
    )  # fmt: skip


def _published_lines(name: str, subsets: Sequence[str]) -> Iterator[Line]:
    """The paper's main table for its recogniser `name`."""
    for (recogniser, method), paper in published_wide([name]).iterrows():
        yield Line(
            (Cell(recogniser), Cell(method), Cell("published, TextZoom"),
             *(number(paper[s] if s in SUBSETS else None, "%") for s in subsets),
             number(1e6 * paper["mparams"], "count"), number(1e9 * paper["gflops"], "count")),
            muted=True,
        )  # fmt: skip


def _seeded(text: str, seed: int | None) -> str:
    return text if seed is None else f"{text}, seed {seed}"


def beside_table(rows: Sequence[Row], same_data: bool) -> Table:
    """Every accuracy with what the paper states for it, and the verdict."""
    frame = beside_published([row for row in rows if row.table == MAIN], same_data)
    lines = tuple(
        Line((Cell(r.recogniser), Cell(r.method), Cell(r.subset), number(r.n, "count"),
              number(r.measured, "%"), Cell(f"{r.low:.1f}–{r.high:.1f}", float(r.low)),
              number(r.published, "%"), number(r.difference, "points", sign=True),
              verdict_cell(r.verdict or "not in the paper")))
        for r in frame.itertuples()
    )  # fmt: skip
    columns = ("recogniser", "method", "subset", "n", "measured", "95 % interval", "published",
               "difference", "verdict")  # fmt: skip
    return Table("Measured beside published", columns, lines, folded=True)


def verdict_cell(verdict: str) -> Cell:
    """A verdict, coloured by what it says."""
    return Cell(verdict, kind=f"verdict {verdict.replace(' ', '-')}")


def spread(rows: Sequence[Row], title: str) -> Table:
    """A table that has no counterpart in the paper.

    A column for each metric; or for each method, where there is one metric alone, and where
    metrics are many or of several units: then each has a line. What all rows share of their
    `extra` is the note.
    """
    units: dict[str, dict[str, None]] = {}
    for row in rows:
        units.setdefault(row.metric, {})[row.unit] = None
    mixed = len(units) > MOST_METRICS or any(len(found) > 1 for found in units.values())
    alone = not mixed and len(units) == 1 and len({row.method for row in rows}) > 1
    across, down = ("method", "metric") if mixed or alone else ("metric", "method")
    heads = list(dict.fromkeys(getattr(row, across) for row in rows))
    grouped: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        key = (row.recogniser, getattr(row, down), row.subset, row.seed, row.n)
        grouped.setdefault(key, {})[getattr(row, across)] = row
    lines = tuple(
        Line((Cell(recogniser), Cell(GAP if alone else what), Cell(subset),
              Cell(GAP) if seed is None else Cell(str(seed), seed), number(n, "count"),
              *(measured(found[h], with_unit=mixed) if h in found else Cell(GAP) for h in heads)))
        for (recogniser, what, subset, seed, n), found in grouped.items()
    )  # fmt: skip
    metrics = [_with_unit(metric, next(iter(found))) for metric, found in units.items()]
    table = Table(
        f"{title}: {metrics[0]}" if alone else title,
        ("recogniser", down, "subset", "seed", "n", *(metrics if across == "metric" else heads)),
        lines, _shared(rows), folded=len(lines) >= FOLDED_FROM,
    )  # fmt: skip
    return table.without_empty_columns()


def _with_unit(metric: str, unit: str) -> str:
    return metric if unit in ("count", "1", "") else f"{metric} ({unit})"


def _shared(rows: Iterable[Row]) -> str:
    """What all rows have in common beside their fields, as "name: value; …"."""
    extras = [dict(row.extra) for row in rows]
    common = {
        name: value for name, value in extras[0].items()
        if isinstance(value, str | int | float) and name != "correct"
        and len(extras) > 1 and all(other.get(name) == value for other in extras)
    }  # fmt: skip
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in common.items())
