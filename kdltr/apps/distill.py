"""Training a student from a file of settings: `kdltr distill`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

import yaml

from kdltr.apps.signals import Stop
from kdltr.files import place
from kdltr.train import DistillConfig, distill


class SettingsError(ValueError):
    """A file of settings, or a change of one, that cannot be understood."""


def command(options: Namespace) -> int:
    """Train, with progress on stderr; the path of the weights on stdout.

    Returns what a shell reports of an interrupted program if it was interrupted before the end.
    """
    with Stop().noting() as stop:
        result = distill(read_settings(options.config, options.changes), stop_now=stop)
    if stop.signal and not result.finished:
        sys.stderr.write(f"{options.prog}: interrupted after step {result.steps}, which is saved "
                         f"in {result.run_dir}; run the same command to go on\n")
        return 128 + stop.signal
    best = "" if result.best_accuracy is None else f", {100 * result.best_accuracy:.1f} % right"
    sys.stderr.write(f"step {result.best_step} of {result.steps}{best}; all of the run is in "
                     f"{result.run_dir}\n")
    sys.stdout.write(f"{result.weights}\n")
    return 0


def read_settings(file: str, changes: Sequence[str] = ()) -> DistillConfig:
    """The settings in a YAML file.

    Args:
        file: `name: value` lines.
        changes: `name=value`, the value as in YAML, in place of the file's.

    Raises:
        SettingsError: no such file, no such lines, an unknown setting or a bad value.
    """
    try:
        settings = _mapping(place(file).read_text(encoding="utf-8-sig"), file)
    except OSError as error:
        raise SettingsError(f"expected a file of settings at {file}, found: "
                            f"{error.strerror.lower()}; check the path") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: expected UTF-8, found other text ({error.reason} at byte "
                            f"{error.start}); save the file as UTF-8") from None
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise SettingsError(f"expected --set NAME=VALUE, found {change!r}")
        settings |= _mapping(f"{name}: {value}", f"--set {change}")
    if not settings.get("output_dir"):
        raise SettingsError(f"expected output_dir in {file}, where the run is to lie, found none; "
                            "add a line `output_dir: runs/mine`")
    return DistillConfig.from_dict(settings)


def _mapping(text: str, where: str) -> dict:
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise SettingsError(f"{where}: expected YAML, found something else: {line}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{where}: expected `name: value` lines, found {type(found).__name__}")
    return found
