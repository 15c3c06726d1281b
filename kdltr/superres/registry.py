"""The super-resolution networks, each built by its name.

A name's sizes are written here and nowhere else; everything may be overridden by keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kdltr.settings import check_fields, check_names
from kdltr.superres.c3stisr import C3STISR, C3STISRConfig
from kdltr.superres.stt import STT, STTConfig
from kdltr.superres.tatt import TATT, TATTConfig
from kdltr.superres.trunk import Upscaler, UpscalerConfig
from kdltr.superres.tsrn import TSRN


@dataclass(frozen=True)
class Entry:
    """One name of the registry: what builds it, and its sizes."""

    build: Callable[[str, Any], Upscaler]
    config: UpscalerConfig


# A quarter of the published widths, where a map has 16 channels or more.
_NANO = {"width": 16, "align_widths": (16, 16, 32, 64, 64, 64)}
_C3STISR_NANO = {
    "map_widths": (128, 32, 16), "language_width": 128, "language_hidden": 512,
    "language_layers": 2,
}

_FULL = {
    "tsrn": Entry(TSRN, UpscalerConfig()),
    "stt": Entry(STT, STTConfig()),
    "tatt": Entry(TATT, TATTConfig()),
    "c3stisr": Entry(C3STISR, C3STISRConfig()),
}
_MORE_NANO = {
    "stt": {"dropout": 0.0}, "tatt": {"dropout": 0.0}, "c3stisr": {"dropout": 0.0} | _C3STISR_NANO
}
_REGISTRY = _FULL | {
    f"{name}_nano": replace(
        entry, config=replace(entry.config, **_NANO, **_MORE_NANO.get(name, {}))
    )
    for name, entry in _FULL.items()
}


def list_upscalers() -> list[str]:
    """Every name `create_upscaler` knows; ``_nano`` marks those of a quarter of the width."""
    return sorted(_REGISTRY)


def create_upscaler(name: str, checkpoint: str | Path | None = None, **config: Any) -> Upscaler:
    """Build a super-resolution network, with random weights or those of a checkpoint.

    Args:
        name: one of `list_upscalers`.
        checkpoint: a published file, or one of kdltr. Published files of TATT want
            ``recurrence="batch"``, those of C3-STISR ``clue="recognition"``.
        **config: settings that differ from the name's: ``mask`` (a fourth channel), ``align``
            (build the alignment), ``align_corners``, ``recurrence``, ``clue``, … .

    Raises:
        ValueError: an unknown name or setting, or an unknown value of one or of another type.
        kdltr.checkpoint.CheckpointError: the file cannot be read or does not fit the network.
    """
    made = check_options(name, config)
    network = _REGISTRY[name].build(name, made)
    if checkpoint is not None:
        network.load(checkpoint)
    return network


def check_options(name: str, config: Mapping[str, Any]) -> UpscalerConfig:
    """The configuration of a network with other settings than its name's, as from YAML.

    Raises:
        ValueError: as `create_upscaler`.
    """
    check_names(_REGISTRY, [name], "unknown network")
    known = _REGISTRY[name].config
    check_names((field.name for field in fields(known)), config, f"{name} has no setting")
    made = replace(known, **config)
    check_fields(made)
    return made

