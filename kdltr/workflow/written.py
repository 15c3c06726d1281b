"""A plan as it is written: `params/<profile>/workflow.yaml`, read and checked.

    base: quick                    # optional: take that profile's plan and parameters first
    verify: [textzoom]             # optional: names in data/manifest.yaml to check before running
    report: true                   # whether results/<profile>/report.html is made
    publish: [04_textzoom]         # runs that `kdltr publish` copies (default: all, and the report)
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

from kdltr.files import place
from kdltr.messages import nearest
from kdltr.settings import SettingError, Threads, check
from kdltr.workflow.parameters import NotebookError, given_in
from kdltr.workflow.processes import WorkflowError
from kdltr.workflow.seeds import by_seed

NAME = re.compile(r"\w[\w.-]*")  # of a profile or run: no syntax of shells and Snakemake


@dataclass(frozen=True)
class Content:
    """A workflow.yaml, as written."""

    base: str = ""
    verify: tuple[str, ...] = ()
    report: bool = True
    publish: tuple[str, ...] = ()
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


def read_specs(profile: str, root: Path) -> tuple[dict[str, Spec], list[str], Content]:
    """The runs of `profile`, the profiles that they come from, base first, and what is written.

    Raises:
        WorkflowError: no such profile, an unknown key, a missing file; all of these at once.
    """
    content, bases = _read(profile, root)
    written = {name: _checked(Spec, entry or {}, f"run {name!r}")
               for name, entry in content["runs"].items()}
    specs = {name: _spec(name, entry, profile) for name, entry in by_seed(written).items()}
    _check_files(specs, bases, root)
    content = Content(**content | {"publish": tuple(content.get("publish", ()))})
    if unknown := [name for name in content.publish if name not in specs]:
        raise WorkflowError(f"profile {profile!r}: `publish` names a run that it does not have"
                            f"{nearest(unknown[0], specs)}")
    return specs, bases, content


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
    own = _checked(Content, written_yaml(path), str(path))
    for name in own.get("runs", {}):
        check_name("run", name)
    if profile in above:
        raise WorkflowError(f"{path}: `base` goes in a circle: {' of '.join([*above, profile])}")
    merged, bases = _read(own["base"], root, (*above, profile)) if own.get("base") else ({}, [])
    runs = {name: dict(entry or {}) for name, entry in merged.get("runs", {}).items()}
    for name, entry in own.get("runs", {}).items():
        runs[name] = runs.get(name, {}) | dict(entry or {})
    return merged | own | {"runs": runs}, [*bases, profile]


def written_yaml(path: Path) -> dict[str, Any]:
    """The `name: value` lines of a file; raises WorkflowError where there are none."""
    try:
        return given_in(path)
    except NotebookError as error:
        raise WorkflowError(str(error)) from None


def _checked(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        check(kind, values)
    except SettingError as error:
        raise WorkflowError(f"{where}: {error}; see kdltr/workflow/written.py") from None
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


def parameter_files(names: tuple[str, ...], bases: list[str], root: Path) -> tuple[str, ...]:
    """Those of such names that the profiles have, in the order in which they are read."""
    paths = [f"params/{base}/{name}.yaml" for base in bases for name in names]
    return tuple(path for path in paths if (root / path).is_file())


def _check_files(specs: dict[str, Spec], bases: list[str], root: Path) -> None:
    missing = []
    for spec in specs.values():
        wanted = [f"notebooks/{spec.notebook}.ipynb", *spec.inputs]
        missing += [path for path in wanted if not (root / path).exists()]
        for file in (*spec.params, spec.own):
            if not parameter_files((file,), bases, root):
                missing.append(f"params/{bases[-1]}/{file}.yaml")
    if missing:
        raise WorkflowError(
            "missing: " + ", ".join(sorted(set(missing))) + "; data/README.md says where data "
            "and checkpoints come from, `kdltr run PROFILE` makes results/PROFILE, git restores "
            "the rest"
        )
