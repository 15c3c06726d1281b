"""The page: claims, then tables and figures of every run, then the circumstances."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from kdltr.results import Result, ResultError, read_result
from kdltr.results.report import circumstances
from kdltr.results.report.cells import quantity
from kdltr.results.report.claims import Finding
from kdltr.results.report.findings import VERDICTS, findings, findings_table
from kdltr.results.report.published import MAIN
from kdltr.results.report.tables import tables_of, words_of

# Parts of the page by the table that a run's rows belong to; the first part holds the rest.
PARTS = {"Results": (), "Teachers": ("teacher",), "Training": ("training",), "Data": ("data",)}
CLAIMS_NOTE = (
    "Small below a published figure: its file in data/paper/; below a measured one: its 95 % "
    "interval and how many {things} were counted. {points}The verdict is about the published "
    "figure, “in these data” about the {things} counted here."
)
POINTS = {  # how differences are tested, by what is counted
    "images": "Points are differences in percentage points on the same images: interval for paired "
    "proportions, p of McNemar's exact test, of several seeds by sign flips. ",
    "lines": "Points are differences in percentage points of the error rates on the same lines: "
    "interval by resampling the lines. ",
}


def read_results(folder: Path) -> list[Result]:
    """Every result of a profile's folder, by name.

    Raises:
        ResultError: there is none, or one is damaged.
    """
    found = [read_result(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise ResultError(f"{folder}: expected results (*.json), found none; run the profile first")
    return found


def figures(folder: Path, run: str) -> list[dict[str, Any]]:
    """The figures that `run` saved as figures/<run>-<name>.png: caption, data URL, size."""
    found = []
    for path in sorted((folder / "figures").glob(f"{run}-*.png")):
        with Image.open(path) as image:
            caption, size = image.info.get("Description", path.stem), image.size
        source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
        found.append({"caption": caption, "source": source, "size": size})
    return found


def heading_of(notebook: Path) -> str:
    """The first heading of an executed notebook; the run's name where there is none."""
    if notebook.is_file():
        for cell in json.loads(notebook.read_text(encoding="utf-8")).get("cells", ()):
            heading = re.match(r"#\s+(.+)", "".join(cell["source"]))
            if cell["cell_type"] == "markdown" and heading:
                return heading[1].strip()
    return notebook.stem


def claims_note(found: Sequence[Finding]) -> str:
    """What is small in the table of these findings, and how their differences were tested."""
    tested = [finding for finding in found if finding.here]  # of lines there is no p
    counted = {"images": any(finding.p is not None for finding in tested),
               "lines": any(finding.p is None for finding in tested)}  # fmt: skip
    things = [name for name, some in counted.items() if some]
    return CLAIMS_NOTE.format(things=" or ".join(things) or "images",
                              points="".join(map(POINTS.get, things)))  # fmt: skip


def section(folder: Path, result: Result) -> dict[str, Any]:
    """What the page shows of a run: name, link, what its words are, tables, figures."""
    run, tables = result.document["run"], {row.table for row in result.rows}
    notebook = f"notebooks/{run}.ipynb"
    return {
        "run": run, "title": heading_of(folder / notebook), "words": words_of(result),
        "notebook": notebook if (folder / notebook).is_file() else None,
        "part": next((part for part, own in PARTS.items() if tables & {*own}), next(iter(PARTS))),
        "tables": tables_of(result), "figures": figures(folder, run),
    }  # fmt: skip


def render(folder: Path, profile: str) -> str:
    """The page of the results in `folder` as HTML.

    Those that another result names as its ``extra["parts"]`` are shown by it, and of their own have
    circumstances alone.

    Raises:
        ResultError: there is none, or one is damaged.
    """
    results = read_results(folder)
    extras = [result.document.get("extra", {}) for result in results]
    parts = {part for extra in extras for part in extra.get("parts", ())}
    whole = [result for result in results if result.document["run"] not in parts]
    sections = [section(folder, result) for result in whole]
    links = {made["run"]: made["notebook"] for made in sections if made["notebook"]}
    measured, alone, beyond = findings(whole)
    claims = {"What the paper states": measured,
              "Also stated, and not measured in this profile": alone,
              "What was asked beyond the paper": beyond}  # fmt: skip
    counted = Counter(finding.verdict for finding in measured)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kdltr.results.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        profile=profile,
        claims=[findings_table(title, found, links, claims_note(found) if found is measured else "")
                for title, found in claims.items() if found],
        counts=[(verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict]],
        verdicts=VERDICTS,
        parts={part: own for part in PARTS if (own := [s for s in sections if s["part"] == part])},
        words=sorted({s["words"] for s in sections if s["words"] and s["part"] != "Data"}),
        test_words=quantity(max((row.n or 0 for result in results for row in result.rows
                                 if row.table == MAIN), default=0), "count"),
        total=circumstances.duration(sum(r.document["wall_time"] for r in results)),
        circumstances=[table for table in (circumstances.runs_table(results, links),
                                           circumstances.data_table(results)) if table.lines],
        machines=circumstances.machines(results),
        parameters={r.document["run"]: circumstances.parameters_text(r.document) for r in results},
    )  # fmt: skip
