"""The convolutional backbone of ABINet, MATRN and DAN, "ResNet45".

Symbols: N images, C channels, (H, W) a feature map. Parameter names are those of the released
checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

Stride = int | tuple[int, int]


class BasicBlock(nn.Module):
    """1×1 then 3×3 convolution, the latter with the stride; a 1×1 shortcut where shapes change.

    Args:
        projected: the shortcut is there even if no shape changes.
    """

    def __init__(
        self, before: int, width: int, stride: Stride, projected: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if projected or before != width or stride not in (1, (1, 1)):
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', H', W') → (N, C, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


def initialise(module: nn.Module) -> None:
    """Initial weights of a convolution, as the published code's."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet(nn.Module):
    """A 3×3 stem and five stages of basic blocks.

    Args:
        widths: channels of each stage; the stem has the first one's.
        blocks: how many of each stage.
        strides: of each stage's first block. The student takes 1 where the teacher takes 2 first,
            so that both give the same map.
        distilled: the stage, from 1, whose map is distilled.
        channels: of an image.
        stem: the stem's stride.
        projected: every stage's first block has a 1×1 shortcut, whatever its stride.

    Raises:
        ValueError: there is no such stage.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: Sequence[int],
        strides: Sequence[Stride],
        distilled: int = 3,
        channels: int = 3,
        stem: Stride = 1,
        projected: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= distilled <= len(widths):
            raise ValueError(f"the stage to distil must be 1 to {len(widths)}, found {distilled}")
        self.distilled = distilled
        before = widths[0]
        self.conv1 = nn.Conv2d(channels, before, 3, stem, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        for i, (width, depth, stride) in enumerate(zip(widths, blocks, strides, strict=True), 1):
            stage = [BasicBlock(before, width, stride, projected)]
            stage += [BasicBlock(width, width, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{i}", nn.Sequential(*stage))
            before = width
        self.apply(initialise)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, H, W) → the map that is distilled, and the last stage's."""
        visual = features = self.first_stage(images)
        for number, stage in enumerate((self.layer2, self.layer3, self.layer4, self.layer5), 2):
            features = stage(features)
            visual = features if number == self.distilled else visual
        return visual, features

    def first_stage(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) → the first stage's map."""
        return self.layer1(F.relu(self.bn1(self.conv1(images)), inplace=True))
