"""What every recogniser shares: reading images, and taking a teacher's weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdltr.charset import MAX_LENGTH, Charset, Reading
from kdltr.checkpoint import load_weights
from kdltr.models.output import ModelOutput

log = logging.getLogger(__name__)
OVERSHOOT = (-0.5, 1.5)  # of images that were enlarged by bicubic interpolation


class Recogniser(nn.Module):
    """A word recogniser: images (N, 3, H, W), RGB in [0, 1], to a `ModelOutput`.

    Attributes:
        name: its name in the registry.
        charset: what it reads.
        image_size: (H, W) in pixels.
        semantic_width: E of ``ModelOutput.semantic``, which the contrastive projector needs; None
            where there is none.
        longest: characters at most of what it reads.
        lines: it reads lines of several words, by which its errors are counted.
        steps: T of its training targets, None if that is the batch's longest word + 1.
        decoding: how its logits are read. "attention": a class a character up to the end token,
            class 0. "ctc": a class a frame; class 0 is the blank, and repeats are one character.
        frames: T of its logits, where it reads by CTC: what a word must fit in.
        sizes: settings that its name does not say; saved with its weights.
    """

    name: str
    charset: Charset
    image_size: tuple[int, int]
    semantic_width: int | None = None
    longest: int = MAX_LENGTH
    lines: bool = False
    steps: int | None = None
    decoding: str = "attention"
    frames: int | None = None
    sizes: Mapping[str, Any] = MappingProxyType({})
    # State-dict entries whose presence or shape depends on the input's resolution, by a part of
    # their names.
    resolution_dependent: tuple[str, ...] = ()
    # Submodules that distillation gives no gradient: their output is only read.
    without_gradient: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where its parameters are; the CPU if it has none."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def prepare(self, labels: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """What ``forward`` needs beside images in training; goes to teacher and student alike.

        Args:
            labels: (N, T) ids, end tokens after each word.
            generator: the random state of this step.
        """
        return {}

    def remember(self, images: Tensor) -> dict[str, Tensor]:
        """What a frozen teacher's output for images rests on, a row a word, to be kept.

        Here the output itself (but for ``auxiliary``). A recogniser whose output also depends on
        what `prepare` returns keeps what does not, and makes the rest in `recall`.
        """
        out = self(images)
        fields = {
            "logits": out.logits, "semantic": out.semantic, "visual": out.visual,
            "attention": out.attention,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def recall(self, remembered: dict[str, Tensor], **extra: Any) -> ModelOutput:
        """The output from what `remember` kept and what `prepare` returned."""
        return ModelOutput(**remembered)

    def load(self, checkpoint: str | Path) -> None:
        """Load weights strictly, as `kdltr.checkpoint.load_weights`."""
        load_weights(self, checkpoint)

    def for_reading(self) -> Recogniser:
        """What reads the same as this model, faster if it can; its weights stay as they are now.

        Worth its making for many images. Here the model itself.
        """
        return self

    @torch.inference_mode()
    def read(self, images: Tensor) -> list[Reading]:
        """Read images (N, 3, H, W), RGB in [0, 1] → N readings.

        Leaves the modes (train or eval) as they were; in eval mode, several threads may read.

        Raises:
            ValueError: images of another shape, type or range, or logits that are no numbers.
        """
        self.check_images(images)
        low, high = images.aminmax() if images.numel() else (0, 1)
        if not (low >= OVERSHOOT[0] and high <= OVERSHOOT[1]):  # NaN too
            raise ValueError(f"{self.name} reads images in [0, 1], found values from {low:g} to "
                             f"{high:g}; divide bytes by 255, and leave other scaling to the model")
        training = [module for module in self.modules() if module.training]
        if training:
            self.eval()
        try:
            readings = self.charset.decode(self(images).logits, self.decoding)
        finally:
            for module in training:
                module.training = True
        if not all(math.isfinite(reading.confidence) for reading in readings):
            raise ValueError(f"{self.name} gives logits that are no numbers: its weights hold NaN "
                             "or infinity, or overflow in this precision; load others")
        return readings

    def check_images(self, images: Tensor) -> None:
        """Raise ValueError unless ``images`` is a tensor (N, 3, H, W) of this model's size, of the
        floating-point type of its weights.
        """
        expected = (3, *self.image_size)
        own = next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.float32)
        what = type(images).__name__
        if isinstance(images, Tensor):
            what = f"{images.dtype} {tuple(images.shape)}"
            if images.ndim == 4 and tuple(images.shape[1:]) == expected and images.dtype == own:
                return
        raise ValueError(
            f"{self.name} reads images (N, {', '.join(map(str, expected))}) of {own} in [0, 1], "
            f"found {what}; resize with kdltr.data.images.resize, and divide by 255"
        )

    def traceable_logits(self, images: Tensor) -> Tensor:
        """``forward(images).logits`` by the same operations whatever the images hold.

        What `kdltr.models.onnx` records. A recogniser whose work depends on what it reads has its
        own.
        """
        return self(images).logits

    def init_from_teacher(self, teacher: Recogniser) -> Self:
        """Copy the teacher's weights wherever name and shape agree (paper §3.1).

        Only entries named in ``resolution_dependent`` may differ: the student keeps its own initial
        values of those it has, and goes without those it has not. Both are logged. Returns self, so
        that it can follow the constructor.

        Raises:
            ValueError: another entry differs in name or shape: the two are not of one family.
        """
        source, target = teacher.state_dict(), self.state_dict()
        names = dict.fromkeys([*target, *source])  # in order
        own = [name for name in names if self.depends_on_resolution(name)]
        wrong = [
            name for name in names
            if name not in own and (
                name not in source or name not in target
                or source[name].shape != target[name].shape
            )
        ]
        if wrong:
            raise ValueError(
                f"{self.name} cannot start from {teacher.name}: {len(wrong)} entries differ in "
                f"name or shape, the first {wrong[0]!r}; a student takes the teacher of its family"
            )
        copied = {name: source[name] for name in target if name not in own}
        self.load_state_dict(copied, strict=False)
        log.info(
            "%s: %d of %d tensors copied from %s; not copied: %s",
            self.name, len(copied), len(source), teacher.name, ", ".join(own) or "none",
        )
        return self

    def depends_on_resolution(self, name: str) -> bool:
        """Whether a state-dict entry belongs to what teacher and student do not share."""
        return any(part in name for part in self.resolution_dependent)
