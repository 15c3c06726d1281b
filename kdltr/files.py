"""What is on this disk: files written whole or not at all, the checkout, what kdltr ships.

A disk that fills up, an exception or a SIGKILL in mid-save must not cost the last good
checkpoint. Everything is written under a temporary name beside its target (rename is atomic
only within one file system), flushed to the disk, and then renamed over it.
"""

import errno
import glob
import itertools
import json
import logging
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdltr.messages import is_message

PROGRESS = "KDLTR_PROGRESS"  # environment variable: the file a notebook's log lines go to
ROOT = "KDLTR_ROOT"  # environment variable: overrides the repository root (tests)

# What file systems answer that lack fsync or flock: network drives, those of some containers.
NO_SUCH_CALL = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

PACKAGE = Path(__file__).resolve().parent
OF_A_CLONE = ("Snakefile", "data/manifest.yaml")  # other projects have Snakefiles too

_counter = itertools.count()
_ASIDE = ".aside"
_HOST = socket.gethostname().replace(".", "_")
_UMASK = os.umask(0)
os.umask(_UMASK)  # it can only be asked for by setting it


def place(path: str | os.PathLike) -> Path:
    """A path as people write it: ``~`` is their home, what is relative starts where one works."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # of no user: a file whose name begins so
        return Path(path)


def check_folder(folder: str | os.PathLike) -> Path:
    """A folder that can be written to, or made; nothing is changed yet.

    Raises:
        NotADirectoryError: something else lies there, or above.
        PermissionError: it is read-only, or the one above it that is there.
    """
    folder = place(folder)
    found = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not found.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder there, or none yet, found {found}, "
                                 "which is none; name another, or move what is there away")
    if not os.access(found, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: expected a folder that can be written to, found {found}, "
                              "which is read-only; name another, or allow writing there")
    return folder


def make_folder(folder: str | os.PathLike) -> Path:
    """The folder, made where it is missing, with those above it; raises as `check_folder`."""
    folder = check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes `path` when the block ends well.

    The temporary name keeps the suffix of `path`, for writers that look at it. The block may
    make a file or a directory there. When it raises, `path` is left as it was and the
    temporary is removed. Temporaries left by a process of this machine that has been killed
    are removed by the next save of the same path.

    Raises:
        ValueError: the path has no name, is a device's, or a folder's where the block made a file.
        FileNotFoundError: the block wrote nothing.
        OSError: what writing, flushing or renaming raised (a full disk, for one).
    """
    path = place(path)
    path = path.resolve() if path.is_symlink() else path  # what a link stands for is replaced
    if not path.name or (path.exists() and not (path.is_file() or path.is_dir())):
        raise ValueError(f"expected the path of a file to write, found {str(path)!r}, which is a "
                         "device or no name; name a file")
    make_folder(path.parent)
    _remove_stale(path)
    marker = f"{_HOST}-{os.getpid()}-{next(_counter)}"
    temporary = path.with_name(f".{path.stem}.{marker}.tmp{path.suffix}")
    _remove(temporary)  # of a container that was killed: the next one has its numbers again
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(
                f"{path}: expected the new content at {temporary.name}, found nothing there; "
                "write to the path that atomic_path yields"
            )
        if temporary.is_file():  # some writers make theirs for its owner's eyes alone
            temporary.chmod(0o666 & ~_UMASK)
        _flush(temporary)
        _replace(temporary, path)
        _flush_directory(path.parent)
    finally:
        _remove(temporary)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Replace the content of `path` with `content`, wholly or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike, content: str) -> None:
    """Replace the content of `path` with `content` in UTF-8, wholly or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 2) -> None:
    """Replace the content of `path` with `value` as JSON; not-a-number values are refused."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _flush(path: Path) -> None:
    """fsync one file, or every file below a directory."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    for file in files:
        with open(file, "rb") as handle:
            try:
                os.fsync(handle.fileno())
            except OSError as error:
                if error.errno not in NO_SUCH_CALL:
                    raise


def _flush_directory(path: Path) -> None:
    """Make the rename itself durable; not every system lets a directory be opened."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # the new file is in place already: failing here would report a loss that is none
    finally:
        os.close(handle)


def _replace(temporary: Path, path: Path) -> None:
    """Rename over `path`; a directory in the way is moved aside first, for rename refuses it.

    A kill between the two renames leaves the old directory under its aside name;
    `_remove_stale` brings it back.
    """
    if not path.is_dir():
        os.replace(temporary, path)
        return
    if not temporary.is_dir():
        raise ValueError(f"{path}: expected a file or nothing there, found a folder; name another "
                         "file")
    old = temporary.with_name(f"{temporary.name}{_ASIDE}")
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove temporaries of `path` whose writer, a process of this machine, is gone."""
    prefix = f".{path.stem}.{_HOST}-"
    for left in path.parent.glob(f"{glob.escape(prefix)}*.tmp*"):
        # Else it is of another file with this stem, or of a machine whose name only begins so.
        marks = re.fullmatch(rf"(\d+)-\d+\.tmp{re.escape(path.suffix)}",
                             left.name.removeprefix(prefix).removesuffix(_ASIDE))
        if not marks or _alive(int(marks[1])):
            continue
        if left.name.endswith(_ASIDE) and not path.exists():
            os.replace(left, path)
        else:
            _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def shipped(name: str) -> Path:
    """Where a file that comes with kdltr lies: `data/<name>`, in the checkout or in the package.

    A wheel carries a copy of these files in `kdltr/shipped` (pyproject.toml lists them). Whether
    there is a file of that name is not looked at.
    """
    copy = PACKAGE / "shipped"
    return (copy if copy.is_dir() else PACKAGE.parent / "data") / name


def list_weights() -> list[str]:
    """Names of the weights that kdltr ships."""
    return sorted(file.stem for file in shipped("weights").glob("*.safetensors"))


def weights_file(weights: str | os.PathLike) -> Path:
    """Where weights lie: at a path, or, if no file is there, those shipped by this name."""
    path, own = place(weights), shipped("weights") / f"{weights}.safetensors"
    return own if own.is_file() and not path.is_file() else path


def repository_root() -> Path:
    """The directory that holds `notebooks/`, `params/` and `results/`.

    `$KDLTR_ROOT` if set, else the checkout that kdltr is installed from (`pip install -e .`),
    else the nearest directory upwards from the working directory that has what a clone has.

    Raises:
        FileNotFoundError: none of these exists.
    """
    if os.environ.get(ROOT):
        return Path(os.environ[ROOT]).resolve()
    here = Path.cwd()
    for folder in (PACKAGE.parent, here, *here.parents):
        if all((folder / path).is_file() for path in OF_A_CLONE):
            return folder
    raise FileNotFoundError(
        f"no kdltr checkout found: expected {' and '.join(OF_A_CLONE)} beside the package or above "
        f"{here}; start from a clone of the repository or set {ROOT}"
    )


def setup() -> Path:
    """First call of every notebook: work from the repository root, log where it is wanted.

    From here on an error that says what to mend is shown in one line, without a traceback. In a
    batch run the log lines of `kdltr` go to the file the wrapper follows; in JupyterLab
    nothing is configured, so that a compared cell writes nothing to stderr.

    Returns:
        The repository root, which is the working directory from here on.
    """
    root = repository_root()
    os.chdir(root)
    logger = logging.getLogger("kdltr")
    target = os.environ.get(PROGRESS)
    if target and not any(isinstance(h, logging.FileHandler) for h in logger.handlers):
        handler = logging.FileHandler(target)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
        shell.set_custom_exc((Exception,), _say)
    return root


def _say(shell: Any, kind: type, error: Exception, trace: Any, tb_offset: int | None = None):
    """In a notebook: an error that says what to mend in one line, others with their traceback."""
    if is_message(error):
        shell._showtraceback(kind, error, [f"{kind.__name__}: {error}"])
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
