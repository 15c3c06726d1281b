"""Tables of a result's rows: accuracies in the paper's layout, anything else in a default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

from kdltr.evaluation.compare import WRONG
from kdltr.results import Result, Row, beside_published
from kdltr.results.report.cells import GAP, Cell, Line, Table, measured, number, quantity
from kdltr.results.report.published import (
    BELOW,
    MAIN,
    published_curves,
    published_lines,
)
from kdltr.results.tables import family

SIZE = "size"  # rows that say what each method of the main table costs
COSTS = ("parameters", "multiply-adds")
ACCURACY, OTHER_SCORES = "accuracy", {"1-NED", "confidence"}  # the metrics that PROTOCOL defines
LINE_READERS = {"dan", "dan_ltr", "dan_nano", "dan_nano_ltr"}
FOLDED_FROM = 24  # lines: longer tables are shown when asked for
MOST_SUBSETS = 12  # with more of them, subsets stand below each other
MOST_METRICS = 6  # with more of them, methods stand side by side and metrics below each other
TITLES = {
    "ablations": "What each change costs",
    "attention": "Steps on which attention moves right (%)",
    "bench": "Speed and memory, beside the plain way",
    "calibration": "Confidence (%): calibration error over ten bins, and what chance allows",
    "confusion": "Characters misread: rate (%) and number of errors by kind",
    "costs": "What each recogniser costs, counted in full and as the paper counts",
    "data": "Pairs in each set",
    "fonts": "Words in fonts that training has seen, and in others",
    "growth": "How time grows: the power of the size that fits",
    "handwriting": "Errors in lines of handwriting",
    "image quality": "How near enlarged images are to the HR ones",
    "kept outputs": "Loss and size by how the teacher's outputs are kept",
    "one stage or two": "Reading and training: the student, and networks before its teacher",
    "operations": "Where a training step's time goes",
    "options": "What settings that change no result are worth",
    "precisions": "A training step in float32 and bfloat16",
    "scaling": "Time against pairs, batch size and word length",
    "size": "What a word costs",
    "swaps": "The most frequent swaps of characters, of n occurrences",
    "teacher": "The teacher, on sharp words and on upsampled blurred ones",
    "textzoom": "Words read right",
    "training": "Training",
    "two stages": "Words read right after one network",
}
COST_NOTE = (
    "Published: the paper's main table, on TextZoom. It counts the multiply-adds of modules alone, "
    "without the products inside attention, and PARSeq's for three decoding steps; kdltr counts "
    "them all."
)


def tables_of(result: Result) -> list[Table]:
    """Every table of a result, in the order of its rows, the main one first."""
    extra, made = result.document.get("extra", {}), []

    def add(table: Table, name: str, scored: bool = True) -> None:
        """With what its words are, and how its accuracies were measured."""
        protocol = result.document["protocol"] if scored else ""
        made.append(replace(table, words=words_of(result, name), protocol=protocol))

    by_name: dict[str, list[Row]] = {}
    for row in result.rows:
        by_name.setdefault(row.table, []).append(row)
    others: list[Row] = []  # scores beside accuracies
    for name in sorted(by_name, key=lambda name: name != MAIN):
        own, title = by_name[name], title_of(name)
        if {row.metric for row in own} <= {ACCURACY, *OTHER_SCORES}:
            others += [row for row in own if row.metric != ACCURACY]
            own = [row for row in own if row.metric == ACCURACY]
            if own:
                costs = by_name.get(SIZE, ()) if name == MAIN else ()
                add(accuracy_table(own, title, costs), name)
        elif name != SIZE or MAIN not in by_name:
            scored = any(row.metric.startswith(ACCURACY) for row in own)
            table = spread(own, title)
            if name in BELOW:
                table = replace(table, lines=(*table.lines, *BELOW[name](own)))
            add(table, name, scored)
        if name == MAIN:
            add(beside_table(own, extra.get("same_data", False)), name)
    if others:
        if len({row.table for row in others}) > 1:
            others = [replace(row, subset=f"{title_of(row.table)}: {row.subset}") for row in others]
        add(replace(spread(others, "Other scores"), folded=True), others[0].table)
    if words := extra.get("readings"):
        add(readings_table(words), result.rows[0].table,
            any(row.metric == ACCURACY for row in result.rows))
    return made


def title_of(name: str) -> str:
    """The heading of a table of rows."""
    return TITLES.get(name) or (name[:1].upper() + name[1:]).replace("_", " ")


def words_of(result: Result, table: str = "") -> str:
    """What a table's words are, if they are not those of the paper; "" if they are, or none.

    Args:
        table: its name; the result's first if not given.
    """
    document, table = result.document, table or next((row.table for row in result.rows), MAIN)
    papers = "the benchmarks" if "benchmarks" in table.lower() else "TextZoom"
    paths = _measured_on(document)
    if any(row.recogniser in LINE_READERS for row in result.rows):
        iam = document["parameters"].get("iam") or any("/iam/" in path for path in paths)
        return "" if iam else "generated lines, not IAM's"
    if any("data/generated/" in path for path in paths):
        return f"generated words, not {papers}"
    same = document.get("extra", {}).get("same_data")
    own = any(not path.startswith(("data/textzoom/", "data/benchmarks/")) for path in paths)
    return f"other words, not {papers}" if same is False or (same is None and own) else ""


def _measured_on(document: Mapping[str, Any]) -> list[str]:
    """The sets whose words are counted: of a training those that words are held out of, not all
    that it learns from."""
    given = document["parameters"]
    held_out = {f"{given.get('data_root')}/{name}" for name in given.get("train_sets", ())}
    return [path for path in document["data"] if path in held_out] or list(document["data"])


def accuracy_table(rows: Sequence[Row], title: str, costs: Sequence[Row] = ()) -> Table:
    """Methods down, subsets across, and below each recogniser's lines the published ones.

    Args:
        rows: accuracies of one table.
        costs: rows of `COSTS` by recogniser and method, for two more columns.
    """
    subsets = list(dict.fromkeys(row.subset for row in rows))
    if len(subsets) > MOST_SUBSETS:
        return spread(rows, title)
    cost = {(row.recogniser, row.method, row.metric): row.value for row in costs}
    shown_costs = COSTS if costs or rows[0].table == MAIN else ()
    found: dict[tuple, dict[str, list[Row]]] = {}
    for row in rows:
        found.setdefault((row.recogniser, row.method), {}).setdefault(row.subset, []).append(row)
    lines: dict[str | None, list[Line]] = {}
    for (recogniser, method), own in found.items():
        seeds = max(map(len, own.values()))
        lines.setdefault(family(recogniser), []).append(Line.of(
            recogniser, method if seeds == 1 else f"{method}, {seeds} seeds",
            *(over_seeds(own[subset]) if subset in own else None for subset in subsets),
            *(cost.get((recogniser, method, name)) for name in shown_costs),
        ))  # fmt: skip
    for name in filter(None, lines):
        lines[name] += published_lines(rows[0].table, name, subsets)
    every = [line for own in lines.values() for line in own]
    every += published_curves(rows[0].table, subsets)
    return Table(
        f"{title}: accuracy (%)", ("recogniser", "method", *subsets, *shown_costs), tuple(every),
        f"Small: 95 % intervals{_spread_note(rows)}. {_images(rows)} "
        f"{COST_NOTE if shown_costs else ''}".strip(),
    )  # fmt: skip


def over_seeds(rows: Sequence[Row]) -> Cell:
    """One training's value with its interval; of several their mean ± standard deviation."""
    if len(rows) == 1:
        return measured(rows[0])
    values = [row.value for row in rows]
    unit = rows[0].unit
    return number(mean(values), unit, small=f"± {quantity(stdev(values), unit)}")


def _spread_note(rows: Sequence[Row]) -> str:
    several = any(row.seed is not None for row in rows)
    return "; of several seeds the mean and its standard deviation over them" if several else ""


def _images(rows: Sequence[Row]) -> str:
    """The images behind each column."""
    counts = {row.subset: row.n for row in rows if row.n}
    if len({*counts.values()}) == 1:
        return f"n = {next(iter(counts.values()))}."
    return f"n: {', '.join(f'{subset} {n}' for subset, n in counts.items())}."


def beside_table(rows: Sequence[Row], same_data: bool) -> Table:
    """Every accuracy with what the paper states for it, and the verdict."""
    frame = beside_published(rows, same_data)
    lines = tuple(
        Line.of(r.recogniser, r.method, r.subset, r.n, r.seeds, number(r.measured, "%"),
                number(r.sd, "%"),
                Cell(f"{r.low:.1f}–{r.high:.1f}", float(r.low)), number(r.published, "%"),
                number(r.difference, "points", sign=True),
                verdict_cell(r.verdict or "not in the paper"))
        for r in frame.itertuples()
    )  # fmt: skip
    columns = ("recogniser", "method", "subset", "n", "seeds", "measured", "sd", "95 % interval",
               "published", "difference", "verdict")  # fmt: skip
    table = Table("Measured beside published", columns, lines, folded=True)
    alone = {*frame["seeds"]} <= {1}
    return table.without_columns("seeds", "sd") if alone else table


def readings_table(words: Sequence[Mapping[str, str]]) -> Table:
    """What each method reads of each word: records of `kdltr.evaluation.compare.reading_table`."""
    lines = tuple(Line.of(*word.values()) for word in words)
    return Table("Readings, word by word", tuple(words[0]), lines, f"{WRONG}: wrong.",
                 folded=len(lines) >= FOLDED_FROM)


def verdict_cell(verdict: str) -> Cell:
    """A verdict, coloured by what it says; a gap if there is none."""
    return Cell(verdict or GAP, kind=verdict and f"verdict {verdict.replace(' ', '-')}")


def spread(rows: Sequence[Row], title: str) -> Table:
    """A table that has no counterpart in the paper.

    A column for each metric; or for each method, where there is one metric alone, and where
    metrics are many or of several units: then each has a line. What all rows share of their
    `extra` is the note.

    Raises:
        ValueError: two rows that would be one cell.
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
        own = grouped.setdefault(key, {})
        if own.setdefault(getattr(row, across), row) is not row:
            raise ValueError(f"{title}: expected one row for each cell, found two of {key[:3]}, "
                             f"{getattr(row, across)}; their subsets must say how they differ")
    lines = tuple(
        Line.of(recogniser, GAP if alone else what, label(subset), seed, n,
                *(measured(found[h], with_unit=mixed) if h in found else None for h in heads))
        for (recogniser, what, subset, seed, n), found in grouped.items()
    )  # fmt: skip
    metrics = [_with_unit(metric, next(iter(found))) for metric, found in units.items()]
    table = Table(
        f"{title}: {metrics[0]}" if alone else title,
        ("recogniser", down, "subset", "seed", "n", *(metrics if across == "metric" else heads)),
        lines, _shared(rows), folded=len(lines) >= FOLDED_FROM,
    )  # fmt: skip
    return table.without_empty_columns()


def label(text: str) -> Cell:
    """A subset; one that is a level, as "0.5", is a number and sorted as such."""
    try:
        return Cell(text, float(text))
    except ValueError:
        return Cell(text)


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
