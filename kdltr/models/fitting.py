"""A fitted start for a student with a convolutional backbone (an option; not in the paper).

A student takes every weight of its teacher, but its first stage has half the stride and half the
image: what it hands on is nothing that the later stages know. Fitted to the teacher's first stage
on the ×2 bicubic image, it makes the student start out as a rough form of the "Bicubic" baseline.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kdltr.models.resnet import ResNet

STEPS, BATCH, RATE = 300, 32, 1e-2  # Adam, the rate falling to 0 by a cosine


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
