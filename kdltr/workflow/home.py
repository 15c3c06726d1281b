"""A home for programs that keep files there, where the person's cannot be written."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)
_FOLDERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "IPYTHONDIR",
            "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")  # in place of HOME


@contextlib.contextmanager
def writable_home() -> Iterator[None]:
    """Where the home cannot be written, programs started meanwhile have a temporary one.

    Jupyter and Snakemake keep files there: containers and batch systems may have none.
    """
    try:
        home = str(Path.home())
    except RuntimeError:
        home = ""
    lost = [name for name in _FOLDERS if os.environ.get(name) and not _writable(os.environ[name])]
    if home and _writable(home) and not lost:
        yield
        return
    logger.warning("%s cannot be written: going on with a temporary home",
                   ", ".join(f"{name} ({os.environ[name]})" for name in lost) or f"HOME ({home})")
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="kdltr-home-") as temporary:
        os.environ["HOME"] = temporary
        for name in lost:
            del os.environ[name]
        try:
            yield
        finally:
            for name in ("HOME", *lost):
                os.environ.pop(name, None)
                os.environ.update({name: before[name]} if name in before else {})


def _writable(folder: str) -> bool:
    """Whether a file can be made in a folder, or the folder in the nearest one that there is."""
    there = next(path for path in (Path(folder), *Path(folder).absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False
