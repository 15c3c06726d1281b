"""Where a recogniser looks for each character it reads.

ABINet and MATRN return their attention. PARSeq's is that of its position queries to the image
tokens in the refinement pass, which gives the reading, averaged over the heads. A recogniser that
reads by CTC has none: there it is the frames that were read as the character.

Symbols: N images, T steps, P image tokens, (h, w) the grid of a map, (H, W) the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdltr.charset import BLANK, Reading, kept_frames
from kdltr.evaluation.confusion import GAP, marked
from kdltr.evaluation.evaluate import UpsampleBicubic, upsample_bicubic
from kdltr.models.base import Recogniser
from kdltr.models.output import ModelOutput
from kdltr.models.parseq import PARSeq
from kdltr.superres import TwoStage

SPOT = (255, 120, 0)  # the colour of what is attended most, RGB


def attend(model: Recogniser, images: Tensor) -> tuple[list[Reading], Tensor]:
    """Read images and say where each step looked; the mode (train or eval) is left as it was.

    Args:
        model: a recogniser that gives attention or reads by CTC, or an `UpsampleBicubic` or
            a `TwoStage` with one.
        images: (N, 3, H, W), RGB in [0, 1].

    Returns:
        N readings, and maps (N, T, h, w) whose grid covers the image evenly. A map sums to 1; that
        of step t belongs to character t, and the one after the last character to the end token
        (of CTC those after the last are even).

    Raises:
        ValueError: images of another size, or a recogniser that gives no attention.
    """
    model.check_images(images)
    if isinstance(model, UpsampleBicubic):
        return attend(model.teacher, upsample_bicubic(images, model.teacher.image_size))
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if isinstance(model, TwoStage):
                return attend(model.recogniser, model.enlarge(images))
            if isinstance(model, PARSeq):
                out, weights = cross_attention(model, images)
                maps = weights.mean(1).unflatten(-1, _grid(model))  # (N, T, h, w)
            else:
                out = model(images)
                maps = out.attention
                if maps is not None:
                    maps = maps / maps.sum((-2, -1), keepdim=True)  # DAN's come from a sigmoid
                elif model.decoding == "ctc":
                    maps = frames_read(out.logits)
    finally:
        model.train(training)
    if maps is None:
        raise ValueError(
            f"{model.name} gives no attention: expected (N, T, h, w) in ModelOutput.attention, "
            "found None; choose ABINet, MATRN, PARSeq or one that reads by CTC"
        )
    return model.charset.decode(out.logits, model.decoding), maps


def frames_read(logits: Tensor) -> Tensor:
    """Which frames of CTC logits (N, T, C) were read as each character: maps (N, T, 1, T)."""
    ids = logits.argmax(-1)
    character = kept_frames(ids).cumsum(-1) - 1  # (N, T), of each frame that is no blank
    numbers = torch.arange(ids.shape[1], device=ids.device)
    read = (character[:, None] == numbers[:, None]) & (ids != BLANK)[:, None]  # (N, T, T)
    read = (read | ~read.any(-1, keepdim=True)).float()
    return (read / read.sum(-1, keepdim=True))[:, :, None]


def cross_attention(model: PARSeq, images: Tensor) -> tuple[ModelOutput, Tensor]:
    """PARSeq's output, and its attention to the image in the refinement pass (N, heads, T, P).

    Fused attention keeps no weights, so that they are computed again from the queries and keys
    that the decoder's layer was called with.
    """
    called: dict[str, tuple[Tensor, ...]] = {}
    attention = model.layer.cross_attn
    hook = attention.register_forward_pre_hook(lambda _, inputs: called.update(last=inputs))
    try:
        out = model(images)
    finally:
        hook.remove()
    query, key = called["last"][:2]  # (N, heads, T, d), (N, heads, P, d); refinement comes last
    return out, (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)


def attention_rows(
    words: Sequence[Mapping[str, Any]], readers: Mapping[str, Recogniser]
) -> list[dict[str, Any]]:
    """Each word as each reader sees it: what `attention_maps` of the figures draws.

    Args:
        words: from `kdltr.evaluation.compare.example_rows`.
        readers: recognisers by method; the image of their size is read, LR where both fit.
    """
    rows = []
    for word in words:
        for method, model in readers.items():
            fits = (word[key] for key in ("lr", "hr") if word[key].shape[:2] == model.image_size)
            image = next(fits)
            batch = torch.from_numpy(image).permute(2, 0, 1)[None].to(model.device).float() / 255
            (reading,), maps = attend(model, batch)
            rows.append({
                "title": f"{method}, {reading.confidence:.2f}", "image": image,
                "maps": maps[0].cpu().numpy(), "characters": judged(reading.text, word["label"]),
            })  # fmt: skip
    return rows


def judged(reading: str, label: str | None) -> list[tuple[str, bool]]:
    """The characters of a reading, each with whether it is right; all are if no label is known."""
    if label is None:
        return [(character, True) for character in reading]
    return [part for part in marked(reading, label) if part != (GAP, False)]


def centres(maps: Tensor) -> Tensor:
    """Horizontal centre of each map's mass: (…, h, w) → (…), 0 is left and 1 right."""
    width = maps.shape[-1]
    places = (torch.arange(width, device=maps.device) + 0.5) / width
    return (maps.sum(-2) * places).sum(-1) / maps.sum((-2, -1))


def steps_to_the_right(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """For each step from one character to the next: whether the centre of attention moves right.

    Args:
        rows: from `attention_rows`.
    """
    moves = []
    for row in rows:
        middle = centres(torch.from_numpy(row["maps"][: len(row["characters"])]))
        moves += (middle.diff() > 0).tolist()
    return moves


def overlay(image: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """An image in grey with what is attended most coloured: (H, W, 3), (h, w) → (H, W, 3) uint8.

    Each map has its own scale: its largest weight is full colour, whatever its value.
    """
    height, width = image.shape[:2]
    share = (attention / attention.max()).astype(np.float32)
    sizes = zip((height, width), share.shape, strict=True)
    rows, columns = (np.arange(size) * places // size for size, places in sizes)
    share = share[np.ix_(rows, columns)][..., None]  # (H, W, 1), each the nearest place
    grey = image.mean(axis=-1, keepdims=True)
    mixed = (1 - 0.75 * share) * grey + 0.75 * share * np.array(SPOT, np.float32)
    return mixed.round().astype(np.uint8)


def _grid(model: PARSeq) -> tuple[int, int]:
    """(h, w): how many patches the image has."""
    (height, width), patch = model.image_size, model.config.patch
    return height // patch[0], width // patch[1]
