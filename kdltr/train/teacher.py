"""The frozen teacher's outputs, computed once for every training pair.

The published recipe has no augmentation, so the teacher says the same of an image in every epoch.
Its outputs stay beside the images, or in a memory-mapped file when they are larger than a budget.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdltr.data.loader import WordPairs
from kdltr.losses.visual import focus_map
from kdltr.models.base import Recogniser
from kdltr.models.output import ModelOutput
from kdltr.train.config import TEACHER_OUTPUTS, DistillConfig
from kdltr.train.engine import sent

log = logging.getLogger(__name__)
FREE = 0.5  # of a GPU's free memory, at most: training takes some, too
BATCH = 64  # images the teacher reads at once; fixed, so that every run computes the same bits


class TeacherOutputs:
    """What the criterion needs of the teacher, by training pair.

    Attention is kept as the mask the visual focus loss makes of it, (H, W) a word and not
    (T, H, W), unless the criterion compares that of every step.
    Of several processes each keeps the pairs that `kdltr.data.batches.epoch_batches` shows it,
    those whose index is ``rank`` modulo ``world``.

    Args:
        teacher: frozen, in eval mode, on the device it computes on.
        pairs: M training pairs; the outputs are kept on their device.
        lengths: (M,) steps of each word.
        dtype: torch.float32 or torch.bfloat16.
        budget: bytes; above it the outputs go to a file in ``folder``.
        folder: of that file, which is anonymous: it has no name and goes with the process.
        autocast: context the teacher runs in.
        rank, world: which process this is, and of how many.
        whole_attention: keep that of every step.
    """

    def __init__(
        self,
        teacher: Recogniser,
        pairs: WordPairs,
        lengths: Tensor,
        dtype: torch.dtype,
        budget: float,
        folder: Path,
        autocast: AbstractContextManager,
        rank: int = 0,
        world: int = 1,
        whole_attention: bool = False,
    ) -> None:
        self.teacher, self.device, self.world = teacher, pairs.hr.device, world
        self.kept: dict[str, Tensor] = {}
        mine = torch.arange(rank, len(pairs), world)
        with torch.no_grad(), autocast:
            for start in range(0, len(mine), BATCH):
                chosen = mine[start : start + BATCH]
                fields = teacher.remember(pairs.sharp(chosen))
                if "attention" in fields and not whole_attention:
                    read = lengths[chosen].to(self.device) if teacher.decoding != "ctc" else None
                    fields["attention"] = focus_map(fields["attention"], read)
                if not self.kept:
                    self.kept = self._allocate(fields, len(mine), dtype, budget, folder)
                for name, values in fields.items():
                    self.kept[name][start : start + len(chosen)] = values

    def __call__(self, chosen: Tensor, extra: dict[str, Any]) -> ModelOutput:
        """The teacher's output for pairs ``chosen`` (B,), given what `prepare` returned."""
        fields, rows = {}, chosen // self.world
        places = sent(rows, self.device)
        for name, values in self.kept.items():
            here = values.device == self.device  # and not in a file
            fields[name] = (values[places] if here else sent(values[rows], self.device)).float()
        return self.teacher.recall(fields, **extra)

    @property
    def bytes(self) -> int:
        """What is kept."""
        return sum(values.numel() * values.element_size() for values in self.kept.values())

    def _allocate(
        self, fields: dict[str, Tensor], n: int, dtype: torch.dtype, budget: float, folder: Path
    ) -> dict[str, Tensor]:
        shapes = {name: (n, *values.shape[1:]) for name, values in fields.items()}
        size = sum(map(math.prod, shapes.values())) * dtype.itemsize
        spilled = size > budget
        log.info("the teacher's outputs of %d pairs: %.2f GB %s", n, size / 1e9,
                 f"in a file in {folder}" if spilled else f"on {self.device}")
        if not spilled:
            return {name: torch.empty(shape, dtype=dtype, device=self.device)
                    for name, shape in shapes.items()}
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _mapped(folder, shape, dtype) for name, shape in shapes.items()}


def start_teaching(
    teacher: Recogniser,
    pairs: WordPairs,
    lengths: Tensor,
    config: DistillConfig,
    folder: Path,
    autocast: AbstractContextManager,
    rank: int = 0,
    world: int = 1,
    whole_attention: bool = False,
    part_logits: bool = False,
) -> Callable[[Tensor, dict[str, Any]], ModelOutput]:
    """The function from chosen pairs (B,) and what `prepare` returned to the teacher's output.

    The last two say what a criterion compares beside the usual (`kdltr.losses.weighted`).
    """
    dtype = TEACHER_OUTPUTS[config.teacher_outputs]
    kind = type(teacher)
    if dtype and kind.prepare is not Recogniser.prepare and kind.remember is Recogniser.remember:
        log.info("%s has prepare() but not remember() and recall(): its outputs may differ from "
                 "step to step, and are recomputed", teacher.name)
        dtype = None
    if dtype and part_logits:
        log.info("%s: the logits of its parts are not kept, all outputs are recomputed",
                 teacher.name)
        dtype = None
    if dtype is None:
        device = pairs.hr.device
        return lambda chosen, extra: teacher(pairs.sharp(sent(chosen, device)), **extra)
    budget = 1e9 * config.teacher_budget
    if (device := pairs.hr.device).type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        budget = min(budget, FREE * (torch.cuda.mem_get_info(device)[0] + unused))
    return TeacherOutputs(
        teacher, pairs, lengths, dtype, budget, folder, autocast, rank, world, whole_attention
    )


def _mapped(folder: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor in a file without a name, so that a killed process leaves nothing behind."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".teacher-") as file:
        size = math.prod(shape)
        _reserve(file.fileno(), size * dtype.itemsize, folder)
        return torch.from_file(file.name, shared=True, size=size, dtype=dtype).view(shape)


def _reserve(file: int, size: int, folder: Path) -> None:
    """Make a file that large, on the disk too: a mapped file on a full one kills the process."""
    if not hasattr(os, "posix_fallocate"):
        os.truncate(file, size)
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{size / 1e9:.2f} GB of the teacher's outputs do not go into {folder} "
            f"({error.strerror}): make room, raise teacher_budget to keep them on the device, or "
            f"set teacher_outputs to 'bf16' (half the size) or 'recomputed'",
        ) from error
