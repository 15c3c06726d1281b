"""What every recogniser shares: reading images, and taking a teacher's weights."""

from __future__ import annotations

import logging
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdltr.charset import Charset, Reading

log = logging.getLogger(__name__)


class Recogniser(nn.Module):
    """A word recogniser: images (N, 3, H, W), RGB in [0, 1], to a `ModelOutput`.

    Attributes:
        name: its name in the registry.
        charset: what it reads.
        image_size: (H, W) in pixels.
        semantic_width: E of ``ModelOutput.semantic``; the contrastive projector needs it.
        steps: T of its training targets, None if that is the batch's longest word + 1.
    """

    name: str
    charset: Charset
    image_size: tuple[int, int]
    semantic_width: int
    steps: int | None = None
    # State-dict entries whose shape depends on the input's resolution.
    resolution_dependent: tuple[str, ...] = ()

    def prepare(self, labels: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """What ``forward`` needs beside images in training; goes to teacher and student alike.

        Args:
            labels: (N, T) ids, end tokens after each word.
            generator: the random state of this step.
        """
        return {}

    @torch.inference_mode()
    def read(self, images: Tensor) -> list[Reading]:
        """Read images (N, 3, H, W), RGB in [0, 1] → N readings.

        Leaves the mode (train or eval) as it was.

        Raises:
            ValueError: images of another shape or type.
        """
        self.check_images(images)
        training = self.training
        self.eval()
        try:
            return self.charset.decode(self(images).logits)
        finally:
            self.train(training)

    def check_images(self, images: Tensor) -> None:
        """Raise ValueError unless ``images`` is a float (N, 3, H, W) of this model's size."""
        expected = (3, *self.image_size)
        fits = images.ndim == 4 and tuple(images.shape[1:]) == expected
        if not fits or not images.is_floating_point():
            raise ValueError(
                f"{self.name} reads float images (N, {', '.join(map(str, expected))}) in [0, 1], "
                f"found {images.dtype} {tuple(images.shape)}; resize with kdltr.data.images.resize "
                f"and divide by 255"
            )

    def init_from_teacher(self, teacher: Recogniser) -> Self:
        """Copy the teacher's weights wherever name and shape agree (paper §3.1).

        Only the entries named in ``resolution_dependent`` may differ; they keep their own initial
        values. Returns self, so that it can follow the constructor.

        Raises:
            ValueError: another entry differs in name or shape: the two are not of one family.
        """
        source, target = teacher.state_dict(), self.state_dict()
        kept = [name for name in target if name.endswith(self.resolution_dependent or ("\0",))]
        copied = {name: source[name] for name in target if name in source and name not in kept}
        wrong = [name for name in target if name not in kept and name not in source]
        wrong += [name for name, value in copied.items() if value.shape != target[name].shape]
        if wrong:
            raise ValueError(
                f"{self.name} cannot start from {teacher.name}: {len(wrong)} entries differ in "
                f"name or shape, the first {wrong[0]!r}; a student takes the teacher of its family"
            )
        self.load_state_dict(copied, strict=False)
        log.info(
            "%s: %d tensors from %s, own start for %s", self.name, len(copied), teacher.name, kept
        )
        return self
