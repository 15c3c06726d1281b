"""Packages that kdltr is installed without unless asked for: its extras (pyproject.toml)."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class MissingExtra(ImportError):
    """A package that kdltr is installed without; the message says how to install it."""


def require(module: str, extra: str) -> ModuleType:
    """Import a module of a package that comes with ``pip install 'kdltr[<extra>]'``.

    Raises:
        MissingExtra: the package is not installed.
    """
    # jsonschema does without this one, which parses a grammar for more than a second.
    hidden = sys.modules.setdefault("rfc3987_syntax", None) is None
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise  # it is there, and lacks something of its own
        raise MissingExtra(
            f"expected the package {package}, found none; run: pip install 'kdltr[{extra}]'"
        ) from None
    finally:
        if hidden:
            sys.modules.pop("rfc3987_syntax", None)


class optional:
    """A module of an extra, imported by `require` at its first use: ``cv2 = optional(…)``.

    What a module needs now and then is declared so at its top, and the rest of it goes without.
    """

    def __init__(self, module: str, extra: str) -> None:
        self._module, self._extra = module, extra

    def __getattr__(self, name: str) -> Any:
        return getattr(require(self._module, self._extra), name)
