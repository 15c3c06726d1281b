"""Fill a super-resolution network's parameters; ``fill.py`` with a few exceptions.

The exceptions keep what ``fill.py`` would make degenerate: the constant tables of the
thin-plate spline, gains that are not called ``weight``, PReLU slopes near 1, and
control points that all lie at the origin, uniform attention.
"""

import zlib

import numpy as np
import torch
from tests.golden.fill import fill_state_dict


def _normal(name: str, tensor: torch.Tensor, salt: str) -> np.ndarray:
    return np.random.RandomState(zlib.crc32((salt + name).encode())).standard_normal(tuple(tensor.shape))


def border_points(count: int = 20, margin: float = 0.01) -> np.ndarray:
    """``(count, 2)`` points (x, y): half along the top edge, half along the bottom, left to right."""
    x = np.linspace(margin, 1.0 - margin, count // 2)
    top, bottom = np.full_like(x, margin), np.full_like(x, 1.0 - margin)
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)])


def fill_sr(state_dict: dict[str, torch.Tensor], salt: str = "") -> dict[str, torch.Tensor]:
    """As ``fill_state_dict``, for the networks of README-sr.md."""
    filled = fill_state_dict(state_dict, salt)
    for name, tensor in state_dict.items():
        if name.startswith("tps."):
            filled[name] = tensor
            continue
        if name.endswith((".a_2", ".weight_g")):
            values = 1.0 + 0.1 * _normal(name, tensor, salt)
        elif tuple(tensor.shape) == (1,) and name.endswith("weight"):  # PReLU
            values = 0.25 * (1.0 + 0.1 * _normal(name, tensor, salt))
        elif name.endswith("enhancer.multihead.linears.0.weight"):  # or attention is uniform
            values = 4.0 / np.sqrt(tensor.shape[1]) * _normal(name, tensor, salt)
        elif name.endswith("stn_fc2.bias"):
            values = border_points(tensor.numel() // 2).reshape(-1) + 0.02 * _normal(name, tensor, salt)
        elif name.endswith("stn_fc2.weight"):
            values = 0.5 / np.sqrt(tensor.shape[1]) * _normal(name, tensor, salt)
        else:
            continue
        filled[name] = torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape).to(tensor.dtype)
    return filled
