"""CRNN, convolutions and two bidirectional LSTMs read by CTC (Shi et al., TPAMI 2017).

It reads grey images, here made from RGB within. Parameter names are those of the copy that
super-resolution methods take as their generator of text priors, where it reads 0-9a-z in that
order.

Symbols: N images, C channels or classes, (H, W) a map, T frames, E width of a frame's vector.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.charset import DIGITS_FIRST36, MAX_LENGTH, Charset
from kdltr.models.base import Recogniser
from kdltr.models.fitting import fit_convolution
from kdltr.models.folding import folded
from kdltr.models.grey import grey
from kdltr.models.output import ModelOutput

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CRNNConfig:
    """Sizes of a CRNN; the defaults are the published teacher's."""

    image_size: tuple[int, int] = (32, 128)  # pixels
    read_size: tuple[int, int] = (32, 100)  # pixels, to which images are resized within
    first_pool: bool = True  # the student has half the image, no first pooling, and the same map
    widths: tuple[int, ...] = (64, 128, 256, 256, 512, 512, 512)  # channels of the convolutions
    hidden: int = 256  # of an LSTM, a side
    charset: Charset = DIGITS_FIRST36


class Convolutions(nn.Module):
    """Seven convolutions, pooled to one row of frames."""

    def __init__(self, widths: tuple[int, ...], first_pool: bool) -> None:
        super().__init__()
        self.first_pool = first_pool
        before = 1
        for i, width in enumerate(widths):
            kernel, padding = (2, 0) if i == 6 else (3, 1)
            self.add_module(f"conv{i}", nn.Conv2d(before, width, kernel, padding=padding))
            if i in (2, 4, 6):
                self.add_module(f"batchnorm{i}", nn.BatchNorm2d(width))
            before = width

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) → the fourth convolution's map, which is distilled, and (N, C, 1, T)."""
        x = F.relu(self.conv0(grey))
        x = F.max_pool2d(x, 2) if self.first_pool else x
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(self.batchnorm2(self.conv2(x)))
        visual = F.relu(self.conv3(x))
        x = F.relu(self.batchnorm4(self.conv4(_halved(visual))))
        x = _halved(F.relu(self.conv5(x)))
        return visual, F.relu(self.batchnorm6(self.conv6(x)))


def _halved(x: Tensor) -> Tensor:
    """Half the height; one column more."""
    return F.max_pool2d(x, 2, (2, 1), (0, 1))


class BidirectionalLSTM(nn.Module):
    """An LSTM each way, then a linear layer."""

    def __init__(self, before: int, hidden: int, width: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(before, hidden, bidirectional=True, batch_first=True)
        self.embedding = nn.Linear(2 * hidden, width)


class CRNN(Recogniser):
    """Convolutional recurrent network; the student leaves out the first pooling.

    Raises:
        ValueError: a height that does not give one row of frames.
    """

    decoding = "ctc"
    steps = MAX_LENGTH + 1

    def __init__(self, name: str, config: CRNNConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.image_size = config.charset, tuple(config.image_size)
        self.read_size = tuple(config.read_size)
        rows = 32 if config.first_pool else 16
        if self.read_size[0] != rows:
            raise ValueError(f"{name} reads at a height of {rows} pixels, found read_size "
                             f"{self.read_size}; its width may be another")
        self.frames = self.read_size[1] // (rows // 8) + 1
        self.semantic_width = 2 * config.hidden
        self.cnn = Convolutions(config.widths, config.first_pool)
        self.cnn.to(memory_format=torch.channels_last)  # a sixth less time on a CPU
        self.rnn = nn.ModuleList([
            BidirectionalLSTM(config.widths[-1], config.hidden, config.hidden),
            BidirectionalLSTM(config.hidden, config.hidden, self.charset.size),
        ])

    def for_reading(self) -> Recogniser:
        """A copy with batch norm folded into the convolutions."""
        return folded(self)

    def grey(self, images: Tensor) -> Tensor:
        """Images (N, 3, ·, ·), RGB in [0, 1] → (N, 1, H, W), resized (bicubic, not clipped)."""
        return grey(F.interpolate(images, self.read_size, mode="bicubic"))

    def forward(self, images: Tensor) -> ModelOutput:
        """Read images (N, 3, ·, ·), RGB in [0, 1].

        Returns:
            logits (N, T, C), class 0 the blank; semantic (N, T, E), what the second LSTM says;
            visual (N, C', 8, T − 1); no attention.
        """
        visual, x = self.cnn(self.grey(images))
        x = x.squeeze(2).transpose(1, 2)  # (N, T, C)
        first, second = self.rnn
        semantic, _ = second.rnn(first.embedding(first.rnn(x)[0]))
        return ModelOutput(second.embedding(semantic), semantic, visual)

    @torch.no_grad()
    def fit_start(self, teacher: CRNN, images: Tensor) -> None:
        """Start the first convolution from the teacher's (not in the paper, which copies it).

        The kernel and bias that come nearest, by least squares over all places of ``images``, to
        what the teacher's and its pooling give on the bicubic image.

        Args:
            teacher: with a first pooling, of images twice as large.
            images: (M, 3, H, W) of the student's size, in [0, 1]; a few hundred do.
        """
        def seen(some: Tensor) -> tuple[Tensor, Tensor]:
            return self.grey(some), teacher.grey(some)

        def pooled(large: Tensor) -> Tensor:  # before the ReLU, which does not mind
            return F.max_pool2d(teacher.cnn.conv0(large), 2)

        left = fit_convolution(self.cnn.conv0, pooled, seen, images)
        log.info("%s: first convolution fitted, %.3f of the variance left", self.name, left)
