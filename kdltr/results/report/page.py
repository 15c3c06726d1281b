"""The page: claims, then tables and figures of every run, then the circumstances."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from kdltr.results import Result, ResultError, read_result
from kdltr.results.report.cells import Table, quantity
from kdltr.results.report.circumstances import (
    data_table,
    duration,
    machines,
    parameters_text,
    runs_table,
)
from kdltr.results.report.findings import VERDICTS, Finding, findings, findings_table
from kdltr.results.report.published import MAIN
from kdltr.results.report.tables import tables_of, words_of

# Parts of the page by the table that a run's rows belong to; the first part holds the rest.
PARTS = {"Results": (), "Teachers": ("teacher",), "Training": ("training",), "Data": ("data",)}
CLAIMS_NOTE = (
    "Small below a published figure: its file in data/paper/; below a measured one: its 95 % "
    "interval and the images counted. Points are differences in percentage points on the same "
    "images: interval for paired proportions, p of McNemar's exact test. The verdict is about the "
    "published figure, “in these data” about the images counted here."
)


@dataclass(frozen=True)
class Figure:
    """A PNG with the caption from its metadata; `source` is a data URL."""

    caption: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Section:
    """A run on the page."""

    run: str
    title: str
    part: str
    words: str  # what its words are, if not the paper's
    notebook: str | None
    document: Mapping[str, Any]
    tables: Sequence[Table]
    figures: Sequence[Figure]


def read_results(folder: Path) -> list[Result]:
    """Every result of a profile's folder, by name.

    Raises:
        ResultError: there is none, or one is damaged.
    """
    found = [read_result(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise ResultError(f"{folder}: expected results (*.json), found none; run the profile first")
    return found


def figures(folder: Path, run: str) -> list[Figure]:
    """The figures that `run` saved as figures/<run>-<name>.png."""
    found = []
    for path in sorted((folder / "figures").glob(f"{run}-*.png")):
        with Image.open(path) as image:
            caption, size = image.info.get("Description", path.stem), image.size
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        found.append(Figure(caption, f"data:image/png;base64,{data}", *size))
    return found


def heading_of(notebook: Path, run: str) -> str:
    """The first heading of an executed notebook; the run's name where there is none."""
    if notebook.is_file():
        for cell in json.loads(notebook.read_text(encoding="utf-8")).get("cells", ()):
            heading = re.match(r"#\s+(.+)", "".join(cell["source"]))
            if cell["cell_type"] == "markdown" and heading:
                return heading[1].strip()
    return run


def section(folder: Path, result: Result) -> Section:
    """A run: its name, link, tables and figures."""
    document, run = result.document, result.document["run"]
    tables = {row.table for row in result.rows}
    part = next((part for part, own in PARTS.items() if tables & {*own}), next(iter(PARTS)))
    notebook = f"notebooks/{run}.ipynb"
    return Section(
        run, heading_of(folder / notebook, run), part, words_of(result),
        notebook if (folder / notebook).is_file() else None, document, tables_of(result),
        figures(folder, run),
    )  # fmt: skip


def render(folder: Path, profile: str) -> str:
    """The page of the results in `folder` as HTML.

    Raises:
        ResultError: there is none, or one is damaged.
    """
    results = read_results(folder)
    sections = [section(folder, result) for result in results]
    links = {made.run: made.notebook for made in sections if made.notebook}
    paper, beyond = findings(results)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kdltr.results.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        profile=profile,
        claims=_claims(paper, beyond, links),
        counts=_counts(paper),
        verdicts=VERDICTS,
        parts={part: own for part in PARTS if (own := [s for s in sections if s.part == part])},
        words=sorted({s.words for s in sections if s.words and s.part != "Data"}),
        test_words=quantity(max((row.n or 0 for result in results for row in result.rows
                                 if row.table == MAIN), default=0), "count"),
        total=duration(sum(result.document["wall_time"] for result in results)),
        circumstances=(runs_table(results, links), data_table(results)),
        machines=machines(results),
        parameters={s.run: parameters_text(s.document) for s in sections},
    )  # fmt: skip


def _claims(
    paper: Sequence[Finding], beyond: Sequence[Finding], links: dict[str, str]
) -> list[Table]:
    tables = [findings_table("What the paper states", paper, links, CLAIMS_NOTE)]
    if beyond:
        tables.append(findings_table("What was asked beyond the paper", beyond, links))
    return tables


def _counts(paper: Sequence[Finding]) -> list[tuple[str, int]]:
    """How many claims got which verdict, in the order of `VERDICTS`; absent ones left out."""
    counted = Counter(finding.verdict for finding in paper)
    return [(verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict]]
