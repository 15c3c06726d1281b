"""Running snakemake so that nothing is lost and nobody writes twice.

Order of events: take the profile's lock; end what an earlier run left behind; set aside
checkpoints that belong to other code or parameters; unlock Snakemake; run it as leader of its
own session; when it ends or is killed, end what it leaves behind.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from kdltr import machine
from kdltr.extras import require
from kdltr.files import PACKAGE, write_text
from kdltr.locks import only_writer
from kdltr.workflow.home import writable_home
from kdltr.workflow.parameters import check_parameters, read_parameters
from kdltr.workflow.plan import Plan, Run, load_plan
from kdltr.workflow.processes import JobRecord, WorkflowError, end_recorded
from kdltr.workflow.written import check_name, names_to_verify

logger = logging.getLogger(__name__)
# Snakemake's own words go to a file, while its jobs write to the terminal as before.
_SNAKEMAKE = ("import sys; sys.stderr = open(sys.argv.pop(1), 'a', 1, 'utf-8', 'replace'); "
              "from snakemake.cli import main; main()")
_FLAGS = "nkpFvLDS"  # its short options that have no value
_CHATTER = (
    "Assuming unrestricted shared", "Building DAG", "Using shell", "Select jobs", "Execute ",
    "Complete log", "Elapsed time", "Exiting because", "Nothing to be done", "Shutting down",
)  # fmt: skip


def lock_of(profile: str, root: Path) -> AbstractContextManager[None]:
    """The lock that every writer of `results/<profile>` holds."""
    check_name("profile", profile)
    return only_writer(root / "results" / profile / ".workflow" / "lock")


def run(profile: str, root: Path, cores: int | None = None, extra: tuple[str, ...] = ()) -> int:
    """Make everything of `profile` that is missing or out of date.

    Args:
        cores: how many notebooks' threads run at once on this machine (default: all cores).
        extra: further arguments of snakemake, as `--executor slurm --jobs 8` or a target.

    Returns:
        The exit status of snakemake; 130 if interrupted, 143 if asked to end, 137 if snakemake
        was killed.

    Raises:
        WorkflowError: something the profile needs is missing.
        kdltr.locks.BusyError: another run holds the profile.
    """
    if _given(extra, "-n", "--dry-run", "--dryrun"):
        return preview(profile, root, extra)
    started = time.monotonic()
    with lock_of(profile, root):
        records = root / "results" / profile / ".workflow" / "jobs"
        records.mkdir(parents=True, exist_ok=True)
        end_recorded(records)
        _verify(names_to_verify(profile, root))
        plan = load_plan(profile, root)
        changed = [item for item in plan.runs if _key_in(_note(item, plan, root)) != item.state_key]
        _check_parameters(changed, plan, root)
        for item in changed:
            _choose_state(item, plan, root)
        _unlock(root)
        own_words = records.parent / "snakemake.log"
        own_words.unlink(missing_ok=True)
        with writable_home():
            command = _command(plan, root, cores, extra, own_words)
            status = _supervise(command, root, records)
    seconds = time.monotonic() - started
    if status == 0:
        logger.info("profile %s: done in %.0f s; results in %s", profile, seconds, plan.folder)
    else:
        for line in _said(own_words):
            logger.error("snakemake: %s", line)
        logs = sorted((root / ".snakemake" / "log").glob("*.log"), key=os.path.getmtime)
        logger.error(
            "profile %s: stopped after %.0f s (status %d; log %s); what is done is kept, "
            "run the same command to go on",
            profile,
            seconds,
            status,
            logs[-1].relative_to(root) if logs else "none",
        )
    return status


def _command(
    plan: Plan, root: Path, cores: int | None, extra: tuple[str, ...], log: Path | None = None
) -> list[str]:
    """The command line of snakemake.

    Args:
        log: where its own words go, not those of its jobs; None: to stderr.
    """
    require("snakemake", "notebooks")
    asked = _given(extra, "-q", "--quiet", "--verbose")
    start = ["-m", "snakemake"] if asked or log is None else ["-c", _SNAKEMAKE, str(log)]
    cores = cores or machine.cores()
    own = root / "Snakefile"
    snakefile = own if own.is_file() else PACKAGE.parent / "Snakefile"
    command = [sys.executable, *start, *extra, "--snakefile", str(snakefile)]
    command += ["--directory", str(root)]
    command += ["--config", f"profile=params/{plan.profile}"]  # see Snakefile
    command += ["--rerun-incomplete", "--keep-going", "--nocolor"]
    # By content, not by file times: the keys in `params` stand for all that a result is made of.
    command += ["--rerun-triggers", "params", "input"]
    if not asked:
        command += ["--quiet", "host", "progress", "reason", "rules"]
    if not _given(extra, "-c", "--cores", "-j", "--jobs"):
        command += ["--cores", str(cores)]
    if not _given(extra, "--resources", "--res", "-e", "--executor"):
        command += ["--resources", "gpu=1"]  # one run at a time on this machine's GPU
    return command


def _given(options: tuple[str, ...], *names: str) -> bool:
    """Whether one of snakemake's options is given, also as "--cores=1", "-c1" or "-np"."""
    for option in options:
        if option.startswith("-") and not option.startswith("--"):
            flags = re.match(f"-([{_FLAGS}]*.?)", option)[1]  # the last one may have a value
            if {*names} & {f"-{letter}" for letter in flags}:
                return True
        elif option.partition("=")[0] in names:
            return True
    return False


def _said(log: Path) -> list[str]:
    """What snakemake says of what went wrong; nothing if a notebook failed, which has said so."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    if "At least one job did not complete successfully" in text:
        return []
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(_CHATTER)][-30:]


def _verify(names: tuple[str, ...]) -> None:
    """Check data sets and checkpoints against data/manifest.yaml; report all that fail."""
    if not names:
        return
    from kdltr.data.manifest import verify

    failed = []
    for name in names:
        logger.info("verifying %s against data/manifest.yaml", name)
        try:
            verify(name)
        except (KeyError, ValueError, OSError) as error:
            failed.append(str(error.args[0] if error.args else error))
    if failed:
        raise WorkflowError("\n  ".join(["not all data is in place:", *failed]))


def _note(item: Run, plan: Plan, root: Path, of: str = "key") -> Path:
    """What holds the key of the state that is there, or of the one set aside ("superseded")."""
    return root / plan.folder / ".workflow" / "state" / f"{item.name}.{of}"


def _key_in(note: Path) -> str | None:
    return note.read_text(encoding="utf-8").strip() if note.is_file() else None


def _check_parameters(runs: list[Run], plan: Plan, root: Path) -> None:
    """Find every unknown parameter now, not after the hours of the runs before it."""
    for item in runs:
        files = [str(root / path) for path in item.parameter_files]
        given = read_parameters(files, []) | {"output_dir": str(plan.folder), "run": item.name}
        check_parameters(root / item.notebook, given)


def _choose_state(item: Run, plan: Plan, root: Path) -> None:
    """Move checkpoints and data aside that were made by other code or parameters.

    Going on from them would give a result that neither the old nor the new code explains. One
    earlier state is kept, and comes back when its code and parameters come back.
    """
    note, aside_note = _note(item, plan, root), _note(item, plan, root, "superseded")
    known, returns = _key_in(note), _key_in(aside_note) == item.state_key
    moved, done_with = False, []
    for folder in (root / path for path in item.state):
        if known is None or (not folder.exists() and not returns):
            continue
        aside = folder.with_name(f"{folder.name}.superseded")
        earlier = folder.with_name(f"{folder.name}.earlier")
        shutil.rmtree(earlier, ignore_errors=True)  # of a run that was killed here
        aside_note.unlink(missing_ok=True)  # until all is moved it would say what is not so
        if aside.exists():
            os.replace(aside, earlier)
        if folder.exists():
            os.replace(folder, aside)
            moved = True
            logger.warning(
                "%s: its code, parameters or inputs have changed; the state made "
                "before is kept in %s",
                item.name,
                aside.relative_to(root),
            )
        if returns and earlier.exists():
            os.replace(earlier, folder)
            logger.warning("%s: goes on from the state it had with these", item.name)
        done_with.append(earlier)
    if moved:  # else what lies aside, if anything, is still what it was
        write_text(aside_note, known + "\n")
    write_text(note, item.state_key + "\n")
    for earlier in done_with:
        shutil.rmtree(earlier, ignore_errors=True)


def _unlock(root: Path) -> None:
    """Remove Snakemake's own locks if the snakemake that took them is gone."""
    locks = root / ".snakemake" / "locks"
    if not (locks.is_dir() and any(locks.iterdir())) or _snakemake_lives(root):
        return
    for lock in locks.iterdir():  # what `snakemake --unlock` does, without its start-up time
        lock.unlink(missing_ok=True)


def _snakemake_lives(root: Path) -> bool:
    found = [process.info for process in psutil.process_iter(["cmdline", "cwd"])]
    return any("snakemake" in " ".join((process["cmdline"] or [])[:4])
               and Path(process["cwd"] or "") == root for process in found)


def _supervise(command: list[str], root: Path, records: Path) -> int:
    """Run `command`; whatever happens to it, none of its jobs outlives this call."""
    environment = os.environ | {"KDLTR_ROOT": str(root), "PYTHONUNBUFFERED": "1"}
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    earlier = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True)
        JobRecord(records / "snakemake.json", psutil.Process(process.pid))
        status = process.wait()
    except KeyboardInterrupt:
        for number in earlier:
            signal.signal(number, signal.SIG_IGN)  # the clean-up is short; let it finish
        status = 128 + stopped[0]
    finally:
        end_recorded(records)
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if status < 0:
        logger.error("snakemake was killed by %s", signal.Signals(-status).name)
        return 128 - status
    return status


def preview(profile: str, root: Path, extra: tuple[str, ...] = ()) -> int:
    """List what `run` would do, without doing it."""
    command = _command(load_plan(profile, root), root, 1, ("--dry-run", "--nolock", *extra))
    with writable_home():
        return subprocess.run(command, cwd=root, check=False).returncode
