"""What is done with a profile: `kdltr run`, `report`, `publish`, `clean`; and `kdltr notebook`."""

from __future__ import annotations

import logging
import math
import sys
from argparse import Namespace
from pathlib import Path

from kdltr.apps import timebox, timebox_plan
from kdltr.files import place, repository_root, write_text
from kdltr.messages import nearest
from kdltr.workflow import engine, tidy
from kdltr.workflow.notebook import run_notebook
from kdltr.workflow.parameters import NotebookError, declarations, read_parameters
from kdltr.workflow.written import profiles

LARGE = 8 * 10**6  # bytes of a page: a phone takes its time, and a repository keeps every version
logger = logging.getLogger(__name__)


def run(options: Namespace) -> int:
    """Make what is missing or out of date; the main table and the report's path on stdout."""
    root, extra = repository_root(), tuple(options.snakemake)
    if (options.minutes is None) != (options.out is None):
        raise ValueError("--minutes and --out go together: how long a time box is, and where its "
                         "results lie")
    if options.minutes is not None:
        if not 0 < options.minutes < math.inf:
            raise ValueError(f"--minutes must be above 0, found {options.minutes}")
        if options.dry_run or options.cores is not None or extra:
            raise ValueError("a time box (--minutes) has no --dry-run, no --cores and no options "
                             "of snakemake; leave them out")
        return _run_timebox(options, root)
    if options.plan is not None:
        raise ValueError("--plan is of a time box, which --minutes and --out ask for; add them, or "
                         "leave it out")
    if options.cores is not None and options.cores < 1:
        raise ValueError(f"--cores must be at least 1, found {options.cores}")
    if options.dry_run:
        return engine.preview(options.profile, root, extra)
    status = engine.run(options.profile, root, options.cores, extra)
    if status == 0:
        _show(root / "results" / options.profile)
    return status


def _run_timebox(options: Namespace, root: Path) -> int:
    """The path of the summary on stdout."""
    file = Path(options.plan or root / "params" / options.profile / timebox_plan.DEFAULT)
    out = Path(options.out)
    status = timebox.run(file, options.minutes, out, root)
    sys.stdout.write(f"{out / 'summary.json'}\n")
    return status


def _show(folder: Path) -> None:
    table, page = folder / "04_textzoom.json", folder / "report.html"
    if table.is_file():
        from kdltr.results import read_result, wide  # takes a second, which a long run has

        found = wide([row for row in read_result(table).rows if row.table == "textzoom"])
        sys.stdout.write(f"words read right, percent\n{found.round(1).to_string()}\n")
    if page.is_file():
        sys.stdout.write(f"{page.relative_to(folder.parents[1])}\n")


def report(options: Namespace) -> int:
    """Write the page; its path on stdout."""
    from kdltr.results.report import render  # not what `run` waits for

    page = repository_root() / "results" / options.profile / "report.html"
    write_text(page, render(page.parent, options.profile))
    if (size := page.stat().st_size) > LARGE:
        logger.warning("the report has %.1f MB; draw fewer or smaller figures in the notebooks",
                       size / 1e6)  # fmt: skip
    sys.stdout.write(f"results/{options.profile}/report.html\n")
    return 0


def publish(options: Namespace) -> int:
    """Copy the results, and write the tables that README quotes from them."""
    from kdltr.results.readme import refresh

    root = repository_root()
    if options.box:
        if options.profile not in (known := profiles(root)):
            raise ValueError(f"no profile {options.profile!r}{nearest(options.profile, known)}")
        timebox.publish(Path(options.box), root / "results" / "reference" / options.profile)
    else:
        tidy.publish(options.profile, root)
    readme = root / "README.md"
    if readme.is_file():
        refresh(readme)
    return 0


def clean(options: Namespace) -> int:
    """Remove what the profile made."""
    tidy.clean(options.profile, repository_root())
    return 0


def notebook(options: Namespace) -> int:
    """Execute a notebook; returns 1 if a cell failed."""
    try:
        declared = declarations(place(options.source))
        parameters = read_parameters(options.files, options.pairs, declared)
        run_notebook(options.source, options.target, parameters, options.label, options.threads,
                     options.record)
    except NotebookError as error:
        sys.stderr.write(f"{options.prog}: error: {error}\n")
        return error.status
    return 0
