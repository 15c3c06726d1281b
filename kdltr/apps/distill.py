"""Training a student from a file of settings: `kdltr distill`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from kdltr.apps.signals import Stop
from kdltr.settings import SettingError, named_values, read_yaml
from kdltr.train import DistillConfig, distill


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
    best = "" if result.best_score is None else f", score {result.best_score:.3f}"
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
        SettingError: no such file, no such lines, an unknown setting or a bad value.
    """
    settings = read_yaml(file)
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise SettingError(f"expected --set NAME=VALUE, found {change!r}")
        settings |= named_values(f"{name}: {value}", f"--set {change}")
    if not settings.get("output_dir"):
        raise SettingError(f"expected output_dir in {file}, where the run is to lie, found none; "
                           "add a line `output_dir: runs/mine`")
    return DistillConfig.from_dict(settings)
