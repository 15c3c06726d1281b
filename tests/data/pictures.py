"""Pictures for tests that ask what words look like."""

import torch
from torch.nn import functional as F


def lettering(seed: int, background: float = 200.0) -> torch.Tensor:
    """Dark blots on a light ground, (3, 32, 128) uint8: as unlike another seed's as two words."""
    generator = torch.Generator().manual_seed(seed)
    ink = (torch.rand(1, 1, 8, 24, generator=generator) > 0.5).float()
    ink = F.interpolate(ink, (32, 128), mode="bilinear")[0]
    return (background - 150 * ink).clamp(0, 255).to(torch.uint8).expand(3, -1, -1).contiguous()
