"""Trained networks on disk: an upscaler, and the generator of its priors, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from kdltr.checkpoint import CheckpointError, load_weights, read_metadata, save_weights
from kdltr.files import place
from kdltr.models import Recogniser, create_model
from kdltr.superres.registry import create_upscaler
from kdltr.superres.trunk import Upscaler


class Parts(nn.Module):
    """What is saved together, under these names."""

    def __init__(self, upscaler: Upscaler, generator: Recogniser | None) -> None:
        super().__init__()
        self.upscaler, self.generator = upscaler, generator


def save_upscaler(
    path: str | Path, upscaler: Upscaler, generator: Recogniser | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Save so that `load_upscaler` needs nothing but the file.

    Args:
        metadata: more of it. ``settings`` and ``generator_settings``, what differs from the names'
            sizes, are needed where something does.
    """
    facts = {"upscaler": upscaler.name, "settings": {}, "generator_settings": {}}
    facts["generator"] = generator.name if generator is not None else ""
    save_weights(Parts(upscaler, generator), path, facts | dict(metadata or {}))


def load_upscaler(
    path: str | Path, name: str | None = None, generator: str | None = None,
    generator_weights: str | Path | None = None, **settings: Any,
) -> tuple[Upscaler, Recogniser | None]:
    """An upscaler, and its generator where it has one, in eval mode.

    Args:
        path: a file of `save_upscaler`, which says the rest; or a published one.
        name: of the published network, with its ``settings`` as in `create_upscaler`.
        generator, generator_weights: name and file of the one that came with it.

    Raises:
        kdltr.checkpoint.CheckpointError: no such file, a damaged one, or one of another kind.
    """
    if name is not None:
        upscaler = create_upscaler(name, path, **settings)
        reader = create_model(generator, generator_weights) if generator else None
        Parts(upscaler, reader).eval()
        return upscaler, reader
    if not place(path).is_file():
        raise CheckpointError(f"no upscaler at {path}; `kdltr run superres` or notebook "
                              "11_superresolution trains one")
    facts = read_metadata(path)
    if "upscaler" not in facts:
        raise CheckpointError(
            f"{path} does not say which upscaler it is of: expected one of kdltr.train.superres; "
            "for a published one name the network (name=)"
        )
    upscaler = create_upscaler(facts["upscaler"], **json.loads(facts["settings"]))
    reader = None
    if facts["generator"]:
        reader = create_model(facts["generator"], **json.loads(facts["generator_settings"]))
    load_into(path, upscaler, reader)
    Parts(upscaler, reader).eval()
    return upscaler, reader


def load_into(path: str | Path, upscaler: Upscaler, generator: Recogniser | None) -> None:
    """Load a file of `save_upscaler` strictly into what has its sizes."""
    load_weights(Parts(upscaler, generator), path)
