"""Under which circumstances the numbers of a report came about, each fact said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kdltr.results import Result
from kdltr.results.report.cells import GAP, Cell, Line, Table


def runs_table(results: Sequence[Result], links: Mapping[str, str]) -> Table:
    """When each run was written, from which code, how long it took."""
    lines = tuple(
        Line.of(Cell(d["run"], link=links.get(d["run"])),
                d["date"].replace("T", " ").removesuffix("+00:00"),
                Cell(duration(d["wall_time"]), d["wall_time"]), d["seed"],
                (d["commit"] or "outside git")[:12],
                {True: "yes", False: "no", None: GAP}[d["dirty"]], d["hardware"]["threads"])
        for d in (result.document for result in results)
    )  # fmt: skip
    columns = ("run", "written (UTC)", "wall time", "seed", "commit", "changed since", "threads")
    return Table("Runs", columns, lines, "Changed since: whether tracked files differed from that "
                 "commit when the run was written.")  # fmt: skip


def data_table(results: Sequence[Result]) -> Table:
    """Every data set once, with its hash and the runs that read it."""
    readers: dict[tuple, list[str]] = {}
    for result in results:
        for path, entry in result.document["data"].items():
            key = (path, entry["samples"], entry["sha256"])
            readers.setdefault(key, []).append(result.document["run"])
    lines = tuple(Line.of(path, samples, ", ".join(runs), Cell(sha256, kind="hash"))
                  for (path, samples, sha256), runs in sorted(readers.items()))  # fmt: skip
    return Table("Data", ("data set", "records", "read by", "sha256"), lines,
                 "The hash is of the records in order, images as stored.")  # fmt: skip


def machines(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Each combination of hardware and versions once: runs, machine, versions as text."""
    found: dict[tuple[str, str], list[str]] = {}
    for document in (result.document for result in results):
        hardware = document["hardware"]
        machine = (f"{hardware['cpu']}, {hardware['cores']} cores, "
                   f"{hardware['memory'] / 2**30:.0f} GiB; GPU: {hardware['gpu'] or 'none'}")
        versions = ", ".join(f"{name} {version or GAP}"
                             for name, version in document["versions"].items())  # fmt: skip
        found.setdefault((machine, versions), []).append(document["run"])
    return [{"runs": runs, "machine": machine, "versions": versions}
            for (machine, versions), runs in found.items()]  # fmt: skip


def parameters_text(document: Mapping[str, Any]) -> str:
    """All parameters of a run as YAML, which a file in params/ may hold as it is."""
    return yaml.safe_dump(document["parameters"], sort_keys=False, allow_unicode=True, width=88)


def duration(seconds: float) -> str:
    """Seconds as people say them: "18 s", "4 min 54 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
