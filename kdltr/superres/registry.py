"""The super-resolution networks, each built by its name.

A name's sizes are written here and nowhere else; everything may be overridden by keyword.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kdltr.models import nearest
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
        ValueError: an unknown name or setting, or an unknown value of one.
        kdltr.checkpoint.CheckpointError: the file cannot be read or does not fit the network.
    """
    if name not in _REGISTRY:
        raise ValueError(f"unknown upscaler {name!r}{nearest(name, list_upscalers())}")
    entry = _REGISTRY[name]
    known = [field.name for field in fields(entry.config)]
    for key in config:
        if key not in known:
            raise ValueError(f"{name} has no setting {key!r}{nearest(key, known)}")
    network = entry.build(name, replace(entry.config, **config))
    if checkpoint is not None:
        network.load(checkpoint)
    return network

