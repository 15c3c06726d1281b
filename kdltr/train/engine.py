"""The engine of a run: device, precision, processes and threads."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from kdltr.train.config import DistillConfig, PretrainConfig


def start_engine(config: DistillConfig | PretrainConfig) -> Accelerator:
    """The accelerator of these settings; those of an earlier run of this process are forgotten.

    Accelerate keeps the first run's precision for good, and a notebook has several runs.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a GPU takes it from page-locked memory when it comes to it."""
    tensor = tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor
    return tensor.to(device, non_blocking=True)
