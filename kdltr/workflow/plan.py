"""The plan of a profile: its runs, each with its files and its keys, in the order they come."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdltr.files import PACKAGE, shipped
from kdltr.workflow import keys
from kdltr.workflow.processes import WorkflowError
from kdltr.workflow.written import Spec, parameter_files, read_specs, written_yaml


@dataclass(frozen=True)
class Run:
    """One notebook run, resolved. Paths are relative to the repository root."""

    name: str
    label: str  # for progress lines: name (2/5)
    notebook: str
    parameter_files: tuple[str, ...]
    inputs: tuple[str, ...]  # files that no run makes
    needed: tuple[str, ...]  # outputs of the runs it needs
    outputs: tuple[str, ...]
    executed: str
    state: tuple[str, ...]  # folders that `state_key` is about
    threads: int
    gpu: int
    alone: bool
    seed: int | None  # given to the notebook, of a job that is one of several seeds
    key: str  # of the result: see kdltr.workflow.keys
    state_key: str  # of checkpoints and data: the same without notebook text and leaf modules


@dataclass(frozen=True)
class Plan:
    """All runs of a profile, in an order in which each comes after those it needs."""

    profile: str
    runs: tuple[Run, ...]
    report: str | None
    report_key: str
    published: tuple[str, ...]  # runs that are committed, without the report; none: all, with it

    @property
    def results(self) -> tuple[str, ...]:
        """The JSON of every run."""
        return tuple(run.outputs[0] for run in self.runs)

    @property
    def targets(self) -> tuple[str, ...]:
        """What the workflow makes, and makes again where it is missing."""
        return (*self.results, self.report) if self.report else self.results

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path("results") / self.profile


def load_plan(profile: str, root: Path | str = ".") -> Plan:
    """Read, check and resolve the plan of `profile`.

    Raises:
        WorkflowError: no such profile, an unknown key or run, a missing file; all missing files
            are listed at once.
    """
    root = Path(root)
    specs, bases, content = read_specs(profile, root)
    order = _sorted(specs, profile)
    runs: dict[str, Run] = {}
    for number, name in enumerate(order, 1):
        label = f"{name} ({number}/{len(order)})"
        try:
            runs[name] = _resolve(name, specs[name], runs, bases, label, root)
        except (ValueError, KeyError, SyntaxError) as error:  # JSON, Python
            raise WorkflowError(
                f"run {name!r}: its notebook, its parameters or the library cannot be read: "
                f"{type(error).__name__}: {error}"
            ) from error
    report = f"results/{profile}/report.html" if content.report else None
    library = keys.library_digest("import kdltr.results.report", PACKAGE)
    shown = (PACKAGE / "results/report/templates", shipped("paper"))
    read = [keys.file_digest(path) for path in shown]
    report_key = keys.digest([run.key for run in runs.values()], library, read)
    return Plan(profile, tuple(runs.values()), report, report_key, content.publish)


def _sorted(specs: dict[str, Spec], profile: str) -> list[str]:
    """Run names, each after those it needs; otherwise as written."""
    order: list[str] = []
    while len(order) < len(specs):
        ready = [n for n, s in specs.items() if n not in order and set(s.needs) <= set(order)]
        if not ready:
            stuck = {n: s.needs for n, s in specs.items() if n not in order}
            raise WorkflowError(
                f"profile {profile!r}: `needs` names an unknown run or goes in a circle: {stuck}"
            )
        order += ready
    return order


def _resolve(
    name: str, spec: Spec, done: dict[str, Run], bases: list[str], label: str, root: Path
) -> Run:
    folder = f"results/{bases[-1]}"
    notebook = f"notebooks/{spec.notebook}.ipynb"
    files = parameter_files((*spec.params, spec.own), bases, root)
    needs = [done[need] for need in spec.needs]
    parameters: dict[str, Any] = {}
    for file in files:
        parameters |= written_yaml(root / file)
    inputs = (*spec.inputs, *(path for path in spec.optional if (root / path).exists()))
    given = [name, parameters, [keys.file_digest(root / p) for p in inputs], spec.threads]
    given += spec.seeds
    code = keys.notebook_code(root / notebook)
    executed = f"{folder}/notebooks/{name}.ipynb"
    return Run(
        name=name,
        label=label,
        notebook=notebook,
        parameter_files=files,
        inputs=inputs,
        needed=tuple(path for need in needs for path in need.outputs if path != need.executed),
        outputs=(f"{folder}/{name}.json", *spec.outputs, executed),
        executed=executed,
        state=spec.state or (f"{folder}/{name}",),
        threads=spec.threads,
        gpu=spec.gpu,
        alone=spec.alone,
        seed=next(iter(spec.seeds), None),
        key=keys.digest(
            given,
            keys.code_digest(code),
            keys.library_digest(code, PACKAGE),
            [need.key for need in needs],
        ),
        state_key=keys.digest(
            given,
            keys.library_digest(code, PACKAGE, keys.LEAVES),
            [need.state_key for need in needs],
        ),
    )
