"""DAN, of handwritten lines and of words in scenes, and its students (Wang et al., AAAI 2020).

The paper's supplement distils it for handwriting (table 3) without saying how; here the student
follows the rule of the paper's others: a smaller image, smaller first strides, the same maps.

Symbols: N images, T steps, C classes, E width of a character's vector, (H, W) the last map.
Parameter names are those of the released checkpoints, here after ``fe.``, ``cam.`` and ``dtd.``,
which are files of their own. Words are resized to 32×128, bicubic, as for all recognisers of words
here; DAN's code does it bilinearly, and keeps the shape of words that are higher than wide, on
black.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdltr.charset import IAM79, Charset
from kdltr.checkpoint import CheckpointError, fit_weights, read_weights
from kdltr.files import place
from kdltr.models.base import Recogniser
from kdltr.models.dan_alignment import PlaneAlignment, RowAlignment, Size, normed
from kdltr.models.dan_decoder import RecurrentDecoder
from kdltr.models.folding import folded
from kdltr.models.grey import grey
from kdltr.models.output import ModelOutput
from kdltr.models.resnet import ResNet, initialise

PARTS = {"fe": "model.", "cam": "", "dtd": ""}  # and what all names of a part begin with
SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class DANConfig:
    """Sizes of a DAN; the defaults are the released teacher's of handwriting."""

    image_size: tuple[int, int] = (192, 2048)  # pixels of the teacher's image
    scale: int = 1  # 2, 4, 8: a student's image is smaller by it, and so are its first strides
    lines: bool = True  # white paper is 1, the last map one row. False: words in scenes
    # Of the stem, then the stages, in the teacher.
    strides: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 1), (2, 2), (2, 2), (2, 1))
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)  # of the stages
    blocks: tuple[int, ...] = (3, 4, 6, 6, 3)
    row_width: int = 256  # of the one row
    visual_stage: int = 6  # of the map that is distilled; in lines the sixth is the one row
    max_steps: int = 150  # characters and end token
    dropout: float = 0.7  # before the classifier
    context_dropout: float = 0.3
    charset: Charset = IAM79

    def own_strides(self) -> list[Size]:
        """Strides that are left when the first have given up the scale.

        Raises:
            ValueError: they have not that much to give, the image's sides are no multiples, or the
                stages have not as many strides, widths and numbers of blocks.
        """
        if not len(self.strides) - 1 == len(self.widths) == len(self.blocks):
            raise ValueError(f"expected strides of the stem and each stage, and as many widths and "
                             f"blocks as stages; found {len(self.strides)} strides, "
                             f"{len(self.widths)} widths and {len(self.blocks)} blocks")
        left, strides = [self.scale, self.scale], []
        for pair in self.strides:
            shared = [stride if rest % stride == 0 else 1
                      for rest, stride in zip(left, pair, strict=True)]
            left = [rest // stride for rest, stride in zip(left, shared, strict=True)]
            strides.append(tuple(s // taken for s, taken in zip(pair, shared, strict=True)))
        if left != [1, 1] or any(side % self.scale for side in self.image_size):
            raise ValueError(f"expected a scale (1, 2, 4, …) that the strides {self.strides} can "
                             f"give up and that divides image_size {self.image_size}, found "
                             f"{self.scale}")
        return strides

    def collected(self) -> list[int]:
        """The stages, from 1, whose maps alignment takes: where the teacher's map shrinks, and the
        last."""
        last = len(self.widths)
        return [i for i in range(1, last + 1) if i == last or self.strides[i] != (1, 1)]


class Backbone(ResNet):
    """The ResNet's stages, and in lines a last convolution that leaves one row."""

    def __init__(self, config: DANConfig) -> None:
        stem, *strides = config.own_strides()
        super().__init__(config.widths, config.blocks, strides, channels=1, stem=stem,
                         projected=True)
        if config.lines:
            self.layer6 = normed(nn.Conv2d(config.widths[-1], config.row_width, (3, 1)))
            self.layer6.apply(initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Grey images (N, 1, ·, ·) → every stage's map."""
        maps = [self.first_stage(images)]
        for name, stage in self.named_children():
            if name.startswith("layer") and name != "layer1":
                maps.append(stage(maps[-1]))
        return maps


class DAN(Recogniser):
    """Decoupled attention network: where to look is known before the first character is.

    In evaluation it reads greedily; with ``targets`` it is teacher-forced.

    A line's paths are improbable for their length: the sequence part of the soft logits loss is off
    wherever the best falls below ``logits_threshold``.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    def __init__(self, name: str, config: DANConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.max_steps = config.charset, config.max_steps
        self.longest, self.lines = config.max_steps - 1, config.lines
        sizes, widths = map_sizes(config), [*config.widths]
        self.image_size = tuple(side // config.scale for side in config.image_size)
        taken = config.collected()
        if config.lines:
            if sizes[-1][0] != 3:
                raise ValueError(f"{name} reads lines from a map of three rows, found "
                                 f"{sizes[-1][0]}; choose another image_size or strides")
            sizes.append((1, sizes[-1][1]))
            widths.append(config.row_width)
            taken.append(len(widths))
        if not 1 <= config.visual_stage <= len(widths):
            raise ValueError(f"visual_stage must be 1 to {len(widths)}, found "
                             f"{config.visual_stage}")
        self.taken, self.semantic_width = [i - 1 for i in taken], widths[-1]
        aligned = RowAlignment if config.lines else PlaneAlignment
        self.fe = nn.Sequential(OrderedDict(model=Backbone(config)))
        self.cam = aligned([widths[i] for i in self.taken], [sizes[i] for i in self.taken],
                           config.max_steps)
        self.dtd = RecurrentDecoder(self.semantic_width, self.charset.size, config.dropout,
                                    config.context_dropout)
        self.fe.to(memory_format=torch.channels_last)

    def load(self, checkpoint: str | Path) -> None:
        """Load weights strictly: one file, or a folder of the three that are published.

        Raises:
            CheckpointError: as `kdltr.checkpoint.load_weights`, or the folder does not hold each
                part once.
        """
        folder = place(checkpoint)
        if not folder.is_dir():
            super().load(checkpoint)
            return
        found: dict[str, dict[str, Tensor]] = {}
        files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
        for file in files:
            state = read_weights(file)
            part = self._part(state)
            if part in found:
                break
            found[part] = {f"{part}.{PARTS[part]}{name}": value for name, value in state.items()}
        if len(files) != len(PARTS) or len(found) != len(PARTS):
            raise CheckpointError(
                f"{folder}: expected three files of weights, DAN's feature extractor, alignment "
                f"and decoder; found {', '.join(file.name for file in files) or 'none'}; leave "
                f"one of each there"
            )
        fit_weights(self, {name: value for part in found.values() for name, value in part.items()},
                    folder)

    def _part(self, state: dict[str, Tensor]) -> str:
        """Which part's names these are, most of them."""
        def shared(part: str) -> int:
            own = self.get_submodule(part).state_dict()
            return sum(PARTS[part] + name in own for name in state)

        return max(PARTS, key=shared)

    def prepare(self, labels: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """The targets (N, T), which are the labels (N, T) themselves."""
        return {"targets": labels}

    def for_reading(self) -> Recogniser:
        """A copy with batch norm folded into the convolutions."""
        return folded(self)

    def forward(self, images: Tensor, targets: Tensor | None = None) -> ModelOutput:
        """Read images, or predict given targets.

        Args:
            images: (N, 3, H', W'), RGB in [0, 1].
            targets: (N, T) ids: characters, then 0 to the end.

        Returns:
            logits (N, T, C), semantic (N, T, E), the GRU's states; visual (N, C', ·, ·) of stage
            ``visual_stage``; attention (N, ``max_steps``, H, W), each value in [0, 1]. Without
            targets T is the step at which the last word ends.

        Raises:
            ValueError: targets of more steps than the model has.
        """
        visual, attention, context = self.look(images)
        return self.decode(visual, attention, context, targets)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What does not depend on characters: visual, attention, and the context (N, ·, E)."""
        return self.look_at(self.maps(images))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Every stage's map of images (N, 3, ·, ·), RGB in [0, 1]."""
        images = grey(images)
        return self.fe(2 * images - 1 if self.config.lines else images)

    def look_at(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What `look` returns, from what `maps` does."""
        attention = self.cam([maps[i] for i in self.taken])
        context = self.dtd.context(self.dtd.glimpses(maps[-1], attention))
        return maps[self.config.visual_stage - 1], attention, context

    def decode(
        self, visual: Tensor, attention: Tensor, context: Tensor, targets: Tensor | None = None
    ) -> ModelOutput:
        """What `forward` returns, from what `look` does."""
        if targets is None:
            states, logits = self.dtd.read(context)
            return ModelOutput(logits, states, visual, attention)
        if targets.shape[1] > self.max_steps:
            raise ValueError(f"{self.name} takes {self.max_steps} steps, the end token among them; "
                             f"found targets of {targets.shape[1]}; leave longer labels out, or "
                             f"build it with max_steps={targets.shape[1]}")
        states = self.dtd.forced(context, targets)
        return ModelOutput(self.dtd.generator(states), states, visual, attention)

    def traceable_logits(self, images: Tensor) -> Tensor:
        """All ``max_steps`` steps whatever the words."""
        return self.dtd.read(self.look(images)[2], every_step=True)[1]

    def remember(self, images: Tensor) -> dict[str, Tensor]:
        """What `look` returns: only the decoder's work depends on targets."""
        return dict(zip(("visual", "attention", "context"), self.look(images), strict=True))

    def recall(self, remembered: dict[str, Tensor], **extra: Any) -> ModelOutput:
        """Decode what was kept under this step's targets."""
        return self.decode(**remembered, **extra)


def map_sizes(config: DANConfig) -> list[Size]:
    """(H, W) of every stage's map."""
    def smaller(size: Size, stride: Size) -> Size:
        return tuple(-(-side // step) for side, step in zip(size, stride, strict=True))

    stem, *strides = config.own_strides()
    image = tuple(side // config.scale for side in config.image_size)
    return [*accumulate(strides, smaller, initial=smaller(image, stem))][1:]
