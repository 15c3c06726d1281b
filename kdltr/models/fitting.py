"""A fitted start for a student (an option; not in the paper).

A student takes every weight of its teacher, but its first layers have half the stride and half the
image: what they hand on is nothing that the later ones know. Fitted to the teacher's on the bicubic
image, they make the student start out as a rough form of the "Bicubic" baseline instead of blind.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdltr.models.resnet import ResNet

STEPS, BATCH, RATE = 300, 32, 1e-2  # Adam, the rate falling to 0 by a cosine
RIDGE = 1e-3  # added to the mean squares of what a convolution sees
AT_ONCE = 256  # images whose patches are in memory together


def fit_first_stage(student: ResNet, teacher: ResNet, small: Tensor, large: Tensor) -> float:
    """Train the student's stem and first stage to give what the teacher's give.

    Least squares by Adam, `STEPS` batches drawn by a generator of its own, so that the result
    depends on the two and the images alone. The rest of the student is left as it is.

    Args:
        student: its first stage has such a stride that both give the same map.
        teacher: frozen, in eval mode.
        small: (M, 3, h, w) normalised images for the student.
        large: (M, 3, H, W) the same for the teacher.

    Returns:
        The part of the variance of the teacher's maps that is not explained, in the last batch.
    """
    trained = [
        parameter for name, parameter in student.named_parameters()
        if name.startswith(("conv1.", "bn1.", "layer1."))
    ]
    optimiser = torch.optim.Adam(trained, RATE)
    generator = torch.Generator().manual_seed(0)
    training = student.training
    student.train()
    with torch.enable_grad():
        for step in range(STEPS):
            optimiser.param_groups[0]["lr"] = RATE / 2 * (1 + math.cos(math.pi * step / STEPS))
            chosen = torch.randint(len(small), (BATCH,), generator=generator).to(small.device)
            with torch.no_grad():
                wanted = teacher.first_stage(large[chosen])  # (B, C, H, W)
            loss = F.mse_loss(student.first_stage(small[chosen]), wanted) / wanted.var()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    optimiser.zero_grad()
    student.train(training)
    return loss.item()


@torch.no_grad()
def fit_convolution(
    student: nn.Conv2d,
    teacher: Callable[[Tensor], Tensor],
    seen: Callable[[Tensor], tuple[Tensor, Tensor]],
    images: Tensor,
) -> float:
    """Set a convolution's kernel and bias to those that come nearest to what a teacher's gives.

    By least squares over all places of all images: exact, and a function of them alone.

    Args:
        student: the convolution to be set.
        teacher: one that gives a map of the same size from its own images, and what follows it.
        seen: from images to what the student's and what the teacher's convolution sees of them.
        images: (M, 3, H, W); a few hundred do.

    Returns:
        The part of the variance of the teacher's maps that is not explained.
    """
    known = wanted = both = 0.0  # sums of products: of inputs, of outputs, of one with the other
    total, places = 0.0, 0
    for some in images.split(AT_ONCE):
        small, large = seen(some)
        y = _exact(teacher(large).flatten(2).transpose(1, 2).flatten(0, 1))  # (places, C)
        x = F.unfold(small, student.kernel_size, padding=student.padding, stride=student.stride)
        x = _exact(F.pad(x.transpose(1, 2).flatten(0, 1), (0, 1), value=1.0))  # the bias's 1
        known, both, wanted = known + x.mT @ x, both + x.mT @ y, wanted + y.square().sum(0)
        total, places = total + y.sum(0), places + len(y)
    ridge = RIDGE * torch.eye(len(known), dtype=known.dtype, device=known.device)
    solution = torch.linalg.solve(known / places + ridge, both / places)  # (inputs + 1, C)
    student.weight.copy_(solution[:-1].mT.reshape(student.weight.shape))
    student.bias.copy_(solution[-1])
    left = wanted - 2 * (solution * both).sum(0) + (solution * (known @ solution)).sum(0)
    return (left.sum() / (wanted - total.square() / places).sum()).item()


def _exact(values: Tensor) -> Tensor:
    """In float64: where they are, or on the CPU where the device has none (Apple's)."""
    return (values.cpu() if values.device.type == "mps" else values).double()
