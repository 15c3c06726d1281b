"""Running a notebook as a batch job.

    kdltr notebook IN.ipynb OUT.ipynb -f params.yaml -p steps 100

is papermill with five promises that papermill alone does not make: a parameter that the
notebook does not know, or of another type than declared, is an error; the kernel is this
interpreter; OUT appears only when every cell has passed; a failed run leaves its notebook,
traceback included, beside OUT as `NAME.failed.ipynb`; the exit status and the last line say
which cell failed and why.
"""

import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdltr.extras import require
from kdltr.files import PROGRESS, atomic_path, make_folder, place, repository_root
from kdltr.workflow.follower import Follower
from kdltr.workflow.home import writable_home
from kdltr.workflow.parameters import NotebookError, at_home, check_parameters
from kdltr.workflow.processes import JobRecord

_BRACES = str.maketrans({"{": "{{", "}": "}}"})  # papermill fills in what paths have in braces


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
    require("papermill", "notebooks")  # said now, not after the parameters have been looked at
    source, target = place(source), place(target)
    if target.resolve() == source.resolve():
        raise NotebookError(f"{target}: expected another file than the notebook itself, whose "
                            "parameters would be replaced", 2)
    check_parameters(source, parameters)
    parameters = at_home(dict(parameters))
    partial = target.with_name(f"{target.stem}.partial.ipynb")
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    progress = target.with_name(f"{target.stem}.progress.log").resolve()
    make_folder(target.parent)
    progress.write_text("")
    os.environ.update({PROGRESS: str(progress), "TQDM_DISABLE": "1"})
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # inherited by the kernel
    job = JobRecord(record) if record else None
    follower = Follower(label or target.stem, progress, job)
    follower.say(f"started {source.name}")
    follower.start()
    try:
        with writable_home():
            _execute(source, partial, parameters)
    except Exception as error:
        if partial.exists():
            os.replace(partial, failed)
        follower.stop()  # its last lines first
        follower.say(f"FAILED after {follower.seconds:.0f} s: {_reason(error)}")
        raise NotebookError(f"{source}: {_reason(error)}\nsee {failed}", _status(error)) from error
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
    logging.getLogger("papermill").setLevel(logging.ERROR)
    require("papermill", "notebooks").execute_notebook(
        str(source).translate(_BRACES),
        str(partial).translate(_BRACES),
        parameters=parameters,
        cwd=str(repository_root()).translate(_BRACES),
        progress_bar=False,
        kernel_name="python3",  # whatever the notebook says: its kernel is the one below
        language="python",
        kernel_manager_class=_own_kernel(),
        extra_arguments=["--log-level=CRITICAL"],  # of the kernel's own server
    )


def _own_kernel() -> type:
    """A manager whose kernel is this interpreter, whatever kernels the machine has by what name."""
    spec = require("jupyter_client.kernelspec", "notebooks").KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="Python 3", language="python",
    )  # fmt: skip
    manager = require("jupyter_client.manager", "notebooks").AsyncKernelManager
    return type("OwnKernel", (manager,), {"kernel_spec": property(lambda self: spec)})


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


def _status(error: Exception) -> int:
    """2 for what can be mended by who started it: `kdltr.files.setup` shows that in one line."""
    return 2 if len(getattr(error, "traceback", ())) == 1 else 1
