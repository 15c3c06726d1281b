"""The plan of a profile: `params/<profile>/workflow.yaml`, read for the Snakefile.

    base: quick                    # optional: take that profile's plan and parameters first
    verify: [textzoom]             # optional: names in data/manifest.yaml to check before running
    report: true                   # whether results/<profile>/report.html is made
    runs:
      distill_parseq:              # the run's name: its JSON, executed notebook and folder
        notebook: 03_distill       # notebooks/03_distill.ipynb (default: the run's name)
        params: [distill]          # parameter files shared with other runs, read before its own
        own: distill_parseq        # its own parameter file (default: the run's name)
        seeds: [42, 43]            # a job a seed, distill_parseq-42 and so on: kdltr.workflow.seeds
        needs: [01_data]           # runs whose outputs it reads
        inputs: [data/weights/…]   # files it reads that no run makes
        optional: [data/benchmarks/SVT]   # the same, but it does without those that are missing
        outputs: [results/{profile}/distill_parseq.safetensors]   # beside JSON and notebook
        state: [results/{profile}/distill_parseq]   # folders of checkpoints or data that go on
                                   # being used by a repeated run (default: that folder)
        threads: 1                 # of the kernel; results depend on it bit for bit
        alone: true                # nothing runs beside it: it measures time
        gpu: 1                     # GPUs it takes, where there are any: such runs go one by one

Each run's parameters are `params/<base>/<run>.yaml`, then `params/<profile>/<run>.yaml`; of both
profiles, the shared files come before. A later file replaces an earlier one's values whole.
Of the runs that could start, the one written first does: long ones are best written first.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdltr.files import PACKAGE, place, shipped
from kdltr.messages import nearest
from kdltr.settings import SettingError, Threads, check
from kdltr.workflow import keys
from kdltr.workflow.parameters import NotebookError, read_yaml
from kdltr.workflow.processes import WorkflowError
from kdltr.workflow.seeds import by_seed

NAME = re.compile(r"\w[\w.-]*")  # of a profile or run: no syntax of shells and Snakemake


@dataclass(frozen=True)
class Content:
    """A workflow.yaml, as written."""

    base: str = ""
    verify: tuple[str, ...] = ()
    report: bool = True
    runs: dict[str, dict[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """One entry of `runs`, as written."""

    notebook: str = ""
    own: str = ""
    params: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    threads: Threads = 1
    gpu: int = 0
    alone: bool = False


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

    @property
    def results(self) -> tuple[str, ...]:
        """The JSON of every run."""
        return tuple(run.outputs[0] for run in self.runs)

    @property
    def targets(self) -> tuple[str, ...]:
        """What the workflow makes in the end."""
        return (self.report,) if self.report else self.results

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
    content, bases = _read(profile, root)
    written = {name: _checked(Spec, entry or {}, f"run {name!r}")
               for name, entry in content["runs"].items()}
    entries = by_seed(written)
    specs = {name: _spec(name, entry, profile) for name, entry in entries.items()}
    order = _sorted(specs, profile)
    _check_files(specs, bases, root)
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
    report = f"results/{profile}/report.html" if content.get("report", True) else None
    library = keys.library_digest("import kdltr.results.report", PACKAGE)
    shown = (PACKAGE / "results/report/templates", shipped("paper"))
    read = [keys.file_digest(path) for path in shown]
    report_key = keys.digest([run.key for run in runs.values()], library, read)
    return Plan(profile, tuple(runs.values()), report, report_key)


def profiles(root: Path) -> list[str]:
    """The names of all profiles."""
    return sorted(path.parent.name for path in root.glob("params/*/workflow.yaml"))


def names_to_verify(profile: str, root: Path | str = ".") -> tuple[str, ...]:
    """The data sets and checkpoints of data/manifest.yaml that `profile` rests on."""
    return tuple(_read(profile, Path(root))[0].get("verify", ()))


def _read(
    profile: str, root: Path, above: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The merged YAML, and the profiles it comes from, base first."""
    check_name("profile", profile)
    path = root / "params" / profile / "workflow.yaml"
    if not path.is_file():
        raise WorkflowError(f"no profile {profile!r}: expected {path}"
                            f"{nearest(profile, profiles(root))}")
    own = _checked(Content, _yaml(path), str(path))
    for name in own.get("runs", {}):
        check_name("run", name)
    if profile in above:
        raise WorkflowError(f"{path}: `base` goes in a circle: {' of '.join([*above, profile])}")
    merged, bases = _read(own["base"], root, (*above, profile)) if own.get("base") else ({}, [])
    runs = {name: dict(entry or {}) for name, entry in merged.get("runs", {}).items()}
    for name, entry in own.get("runs", {}).items():
        runs[name] = runs.get(name, {}) | dict(entry or {})
    return merged | own | {"runs": runs}, [*bases, profile]


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except NotebookError as error:
        raise WorkflowError(str(error)) from None


def _checked(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        check(kind, values)
    except SettingError as error:
        raise WorkflowError(f"{where}: {error}; see kdltr/workflow/plan.py") from None
    return values


def check_name(of: str, name: str) -> None:
    """Raise WorkflowError for a name of a profile or run that is syntax to shells or Snakemake."""
    if not NAME.fullmatch(name):
        raise WorkflowError(f"expected the name of a {of}, of letters, digits, '-', '_' and '.', "
                            f"found {name!r}: spaces and other signs are syntax to shells and "
                            "Snakemake; rename it")


def _spec(name: str, entry: dict[str, Any], profile: str) -> Spec:
    lists = {key: tuple(_path(text, name, profile) for text in entry.get(key) or ())
             for key in ("params", "needs", "inputs", "optional", "outputs", "state")}
    seeds = tuple(entry.get("seeds") or ())
    return Spec(**{"notebook": name, "own": name} | entry | lists | {"seeds": seeds})


def _path(text: str, name: str, profile: str) -> str:
    text = text.replace("{profile}", profile)
    if {*text} & {*"{}*?\n"}:
        raise WorkflowError(f"run {name!r}: expected the path of one file, found {text!r}: braces "
                            "and stars are syntax to Snakemake; rename it")
    return str(place(text)) if text.startswith("~") else text


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


def _parameter_files(names: tuple[str, ...], bases: list[str], root: Path) -> tuple[str, ...]:
    paths = [f"params/{base}/{name}.yaml" for base in bases for name in names]
    return tuple(path for path in paths if (root / path).is_file())


def _check_files(specs: dict[str, Spec], bases: list[str], root: Path) -> None:
    missing = []
    for spec in specs.values():
        wanted = [f"notebooks/{spec.notebook}.ipynb", *spec.inputs]
        missing += [path for path in wanted if not (root / path).exists()]
        for file in (*spec.params, spec.own):
            if not _parameter_files((file,), bases, root):
                missing.append(f"params/{bases[-1]}/{file}.yaml")
    if missing:
        raise WorkflowError(
            "missing: " + ", ".join(sorted(set(missing))) + "; data/README.md says where data "
            "and checkpoints come from, `kdltr run PROFILE` makes results/PROFILE, git restores "
            "the rest"
        )


def _resolve(
    name: str, spec: Spec, done: dict[str, Run], bases: list[str], label: str, root: Path
) -> Run:
    folder = f"results/{bases[-1]}"
    notebook = f"notebooks/{spec.notebook}.ipynb"
    files = _parameter_files((*spec.params, spec.own), bases, root)
    needs = [done[need] for need in spec.needs]
    parameters: dict[str, Any] = {}
    for file in files:
        parameters |= _yaml(root / file)
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
