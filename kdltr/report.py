"""One page for a profile: `python -m kdltr.report --profile quick` writes its report.html.

A single file that needs nothing else: images inside, no network, sortable tables, legible on a
phone, in the dark and on paper. It is made from the result files alone; no model is run.
"""

import argparse
import base64
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from kdltr.atomic import write_text
from kdltr.results import Result, ResultError, Row, beside_published, published_wide, read_result
from kdltr.results.tables import SUBSETS, family
from kdltr.scores import PROTOCOL

MAIN = "textzoom"  # the table of rows that stands beside the paper's main table
SIZE = "size"  # of rows that say what each of them costs
COSTS = ("parameters", "multiply-adds")
TITLES = {
    "teacher": "The teacher, on sharp words and on upsampled blurred ones",
    "fonts": "Words in fonts that training has seen, and in others",
    "training": "Training",
    "attention": "Steps on which attention moves right (%)",
    "confusion": "Characters misread: rate (%) and number of errors by kind",
    "swaps": "The most frequent swaps of characters, of n occurrences",
    "calibration": "Confidence (%): calibration error over ten bins, and what chance allows",
    "data": "Pairs in each set",
}


@dataclass(frozen=True)
class Cell:
    """What stands in a table, and what it is sorted by."""

    text: str
    value: float | str | None = None

    @property
    def key(self) -> float | str:
        """For sorting; gaps come last."""
        return self.text if self.value is None else self.value

    @property
    def number(self) -> bool:
        """Whether it is aligned to the right."""
        return isinstance(self.value, float)


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A PNG with the caption from its metadata; `source` is a data URL."""

    caption: str
    source: str
    width: int
    height: int


def read_results(folder: Path) -> list[Result]:
    """Every result of a profile's folder, by name.

    Raises:
        ResultError: there is none, or one is damaged.
    """
    found = [read_result(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise ResultError(f"{folder}: expected results (*.json), found none; run the profile first")
    return found


def number(value: float | None, digits: int = 2, sign: bool = False) -> Cell:
    """A number as text, with a true minus; a gap for None and NaN."""
    if value is None or value != value:
        return Cell("–", "~")
    text = f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    return Cell(text, float(value))


def measured(row: Row) -> Cell:
    """Value with its interval."""
    digits = 0 if row.unit == "count" else 2
    interval = "" if row.low is None else f" [{row.low:.1f}–{row.high:.1f}]"
    return Cell(number(row.value, digits).text + interval, float(row.value))


def main_table(rows: Sequence[Row]) -> Table:
    """Methods down, subsets and costs across, measured above and the paper's own table below."""
    costs = {(row.recogniser, row.method, row.metric): row.value / 1e6
             for row in rows if row.table == SIZE}  # fmt: skip
    rows = [row for row in rows if row.table == MAIN and row.metric == "accuracy"]
    subsets = list(dict.fromkeys(row.subset for row in rows))
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.recogniser, row.method), {})[row.subset] = row
    body = [
        (Cell(recogniser), Cell(method), Cell("measured here"),
         *(measured(line[s]) if s in line else number(None) for s in subsets),
         *(number(costs.get((recogniser, method, cost))) for cost in COSTS))
        for (recogniser, method), line in lines.items()
    ]  # fmt: skip
    families = list(dict.fromkeys(filter(None, (family(row.recogniser) for row in rows))))
    if families:
        for (recogniser, method), line in published_wide(families).iterrows():
            numbers = [number(line[s] if s in SUBSETS else None) for s in subsets]
            body.append((Cell(recogniser), Cell(method), Cell("published"), *numbers,
                         number(line["mparams"]), number(1e3 * line["gflops"])))  # fmt: skip
    return Table(
        "Words read right (%), with 95 % intervals; cost in millions",
        ("recogniser", "method", "figures", *subsets, *COSTS), tuple(body),
        "Parameters and multiply-adds a word, in millions. Below, the paper's table for the "
        "recognisers of these families, on TextZoom; it counts modules alone, without the products "
        "inside attention, and PARSeq's for three decoding steps.",
    )  # fmt: skip


def beside_table(rows: Sequence[Row], same_data: bool) -> Table:
    """Every accuracy with what the paper states for it, and the verdict."""
    frame = beside_published([row for row in rows if row.table == MAIN], same_data)
    body = tuple(
        (Cell(r.recogniser), Cell(r.method), Cell(r.subset), number(float(r.n), 0),
         number(r.measured), Cell(f"{r.low:.1f}–{r.high:.1f}", float(r.low)), number(r.published),
         number(r.difference, sign=True), Cell(r.verdict or "nothing published"))
        for r in frame.itertuples()
    )  # fmt: skip
    columns = ("recogniser", "method", "subset", "n", "measured", "95 % interval", "published",
               "difference", "verdict")  # fmt: skip
    return Table("Measured beside published", columns, body, PROTOCOL, folded=True)


def claim_rows(claims: Sequence[dict[str, Any]]) -> Table:
    """Differences between methods, in percentage points."""
    body = tuple(
        (Cell(c["claim"]), number(c["published"], sign=True), number(c["measured"], sign=True),
         Cell(f"{number(c['low'], 1, True).text} to {number(c['high'], 1, True).text}", c["low"]),
         Cell("< 0.001" if c["p"] < 0.001 else f"{c['p']:.2g}", c["p"]),
         number(float(c["n"]), 0), Cell(c["verdict"]), Cell(c["here"]))
        for c in claims
    )  # fmt: skip
    columns = ("claim", "published", "measured", "95 % interval", "McNemar p", "n", "verdict",
               "in these data")  # fmt: skip
    return Table("The paper's claims", columns, body,
                 "Differences in percentage points over all test images. The verdict is about the "
                 "published figure, the last column about the images counted here.")  # fmt: skip


def other_tables(rows: Sequence[Row]) -> Iterable[Table]:
    """The tables that have no counterpart in the paper: a column for each metric."""
    for name in dict.fromkeys(row.table for row in rows if row.table not in (MAIN, SIZE)):
        own = [row for row in rows if row.table == name]
        metrics = list(dict.fromkeys(row.metric for row in own))
        lines: dict[tuple, dict[str, Row]] = {}
        for row in own:
            lines.setdefault((row.recogniser, row.method, row.subset, row.n), {})[row.metric] = row
        body = [
            (Cell(recogniser), Cell(method), Cell(subset), number(n and float(n), 0),
             *(measured(line[m]) if m in line else number(None) for m in metrics))
            for (recogniser, method, subset, n), line in lines.items()
        ]  # fmt: skip
        columns = ("recogniser", "method", "subset", "n", *metrics)
        keep = [i for i in range(len(columns)) if {row[i].text for row in body} - {"-", "–"}]
        yield Table(TITLES.get(name, name), tuple(columns[i] for i in keep),
                    tuple(tuple(row[i] for i in keep) for row in body))  # fmt: skip


def figures(folder: Path, run: str) -> list[Figure]:
    """The figures that `run` saved as figures/<run>-<name>.png."""
    found = []
    for path in sorted((folder / "figures").glob(f"{run}-*.png")):
        with Image.open(path) as image:
            caption, size = image.info.get("Description", path.stem), image.size
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        found.append(Figure(caption, f"data:image/png;base64,{data}", *size))
    return found


def sections(folder: Path, results: Sequence[Result]) -> list[dict[str, Any]]:
    """For each run: its name, link, tables and figures, and the circumstances of its numbers."""
    made = []
    for result in results:
        document, extra = result.document, result.document.get("extra", {})
        main = any(row.table == MAIN for row in result.rows)
        claims = extra.get("claims")
        tables = [claim_rows(claims)] if claims else []
        if main:
            tables.append(main_table(result.rows))
            tables.append(beside_table(result.rows, extra.get("same_data", False)))
        notebook = f"notebooks/{document['run']}.ipynb"
        made.append({
            "run": document["run"], "main": main, "document": document,
            "tables": [*tables, *other_tables(result.rows)],
            "figures": figures(folder, document["run"]),
            "notebook": notebook if (folder / notebook).is_file() else None,
            "other_data": main and not extra.get("same_data", False),
        })  # fmt: skip
    return sorted(made, key=lambda section: not section["main"])  # the main table first


def render(folder: Path, profile: str) -> str:
    """The page as HTML."""
    made = sections(folder, read_results(folder))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kdltr"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        profile=profile,
        sections=made,
        other_data=any(section["other_data"] for section in made),
        generated=any("data/generated/" in p for s in made for p in s["document"]["data"]),
        minutes=sum(section["document"]["wall_time"] for section in made) / 60,
        protocol=PROTOCOL,
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    from kdltr.notebook import repository_root

    parser = argparse.ArgumentParser(prog="python -m kdltr.report", description=main.__doc__)
    parser.add_argument("--profile", default="quick", help="folder of results/ (default quick)")
    options = parser.parse_args(arguments)
    folder = repository_root() / "results" / options.profile
    try:
        write_text(folder / "report.html", render(folder, options.profile))
    except ResultError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"results/{options.profile}/report.html", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
