"""Running a notebook as a batch job.

    kdltr notebook IN.ipynb OUT.ipynb -f params.yaml -p steps 100

is papermill with four promises that papermill alone does not make: a parameter that the
notebook does not know, or of another type than its default, is an error; OUT appears only
when every cell has passed; a failed run leaves its notebook, traceback included, beside OUT
as `NAME.failed.ipynb`; the exit status and the last line say which cell failed and why.
"""

import ast
import difflib
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kdltr.files import PROGRESS, atomic_path, repository_root, require
from kdltr.workflow.follower import Follower
from kdltr.workflow.processes import JobRecord

_PLAIN_TYPES = {"bool": bool, "int": int, "float": (int, float), "str": str}


class NotebookError(Exception):
    """A notebook could not be run; the message says what to do. `status` is for the shell."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


def read_parameters(files: list[str], pairs: list[list[str]]) -> dict[str, Any]:
    """Merge YAML files and NAME VALUE pairs, the later winning; values are read as YAML."""
    merged: dict[str, Any] = {}
    for file in files:
        if not Path(file).is_file():
            raise NotebookError(f"{file}: no such parameter file", 2)
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise NotebookError(f"{file}: expected `name: value` lines, found a {type(content)}", 2)
        merged.update(content)
    for name, value in pairs:
        merged[name] = yaml.safe_load(value)
    return merged


def check_parameters(notebook: str | os.PathLike, given: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook's `parameters` cell does not declare.

    Raises:
        NotebookError: an unknown name (with the nearest known one), or a value whose type is
            not that of an annotated plain default (bool, int, float, str).
    """
    papermill = require("papermill", "notebooks")
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns about what we raise
    known = papermill.inspect_notebook(str(notebook))
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {sorted(known)}"
            raise NotebookError(f"{notebook} has no parameter {name!r}; {hint}", 2)
        wanted = _PLAIN_TYPES.get(_annotation(known[name]))
        wrong = wanted and (
            not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)
        )
        if wrong:
            raise NotebookError(
                f"{notebook}: parameter {name!r} is {_annotation(known[name])} (default "
                f"{known[name]['default']}), found {value!r}; correct the parameter file "
                "(YAML reads 1e-3 as text: write 1.0e-3)",
                2,
            )


def _annotation(parameter: Mapping[str, Any]) -> str:
    """The declared type of a parameter, or that of its literal default."""
    declared = parameter.get("inferred_type_name") or "None"
    if declared != "None":
        return declared
    try:
        return type(ast.literal_eval(parameter["default"])).__name__
    except (ValueError, SyntaxError):
        return ""


def run_notebook(
    source: str | os.PathLike,
    target: str | os.PathLike,
    parameters: Mapping[str, Any],
    label: str | None = None,
    threads: int | None = None,
    record: str | os.PathLike | None = None,
) -> None:
    """Execute `source` with `parameters` from the repository root; write `target` if all is well.

    Args:
        label: name in the progress lines (default: the stem of `target`).
        threads: sets OMP_NUM_THREADS of the kernel.
        record: file that holds the process ids while the notebook runs (see kdltr.workflow).

    Raises:
        NotebookError: bad parameters, a failed cell, or a kernel that died.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise NotebookError(f"{source}: no such notebook", 2)
    check_parameters(source, parameters)
    partial = target.with_name(f"{target.stem}.partial.ipynb")
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    progress = target.with_name(f"{target.stem}.progress.log").resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    progress.write_text("")
    os.environ.update({PROGRESS: str(progress), "TQDM_DISABLE": "1"})
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # inherited by the kernel
    job = JobRecord(record) if record else None
    follower = Follower(label or target.stem, progress, job)
    follower.say(f"started {source.name}")
    follower.start()
    try:
        _execute(source, partial, parameters)
    except Exception as error:
        if partial.exists():
            os.replace(partial, failed)
        follower.stop()  # its last lines first
        follower.say(f"FAILED after {follower.seconds:.0f} s: {_reason(error)}")
        raise NotebookError(f"{source}: {_reason(error)}\nsee {failed}") from error
    finally:
        follower.stop()
        if job:
            job.remove()
    with atomic_path(target) as temporary:
        shutil.copyfile(partial, temporary)
    for left in (partial, failed):
        left.unlink(missing_ok=True)
    follower.say(f"finished in {follower.seconds:.0f} s")


def _execute(source: Path, partial: Path, parameters: Mapping[str, Any]) -> None:
    """papermill saves `partial` after each cell, so a killed run leaves what it had done."""
    require("papermill", "notebooks").execute_notebook(
        str(source),
        str(partial),
        parameters=dict(parameters),
        cwd=str(repository_root()),
        progress_bar=False,
        extra_arguments=["--log-level=CRITICAL"],  # of the kernel's own server
    )


def _reason(error: Exception) -> str:
    """One line: the cell, the exception and its text."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        return f"cell {error.exec_count} raised {error.ename}: {error.evalue}".splitlines()[0]
    if isinstance(error, DeadKernelError):
        return (
            "the kernel died: killed by someone, or by the system for want of memory; "
            "run again to go on from the last checkpoint"
        )
    return f"{type(error).__name__}: {error}".splitlines()[0]
