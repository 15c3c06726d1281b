"""The engine of a run: device, precision, processes and threads; and no other run beside it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import get_int_from_env
from torch import Tensor

from kdltr.files import place
from kdltr.locks import only_writer
from kdltr.models.devices import checked_device
from kdltr.train.config import Settings

_RANKS = ["RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"]  # as Accelerate


def alone(train: Callable[..., Any]) -> Callable[..., Any]:
    """A training that refuses to begin where another one is under way in its ``output_dir``.

    Of several processes that share one training the main process holds the lock.
    """

    @functools.wraps(train)
    def locked(config: Any, *arguments: Any, **options: Any) -> Any:
        if _rank():
            return train(config, *arguments, **options)
        with only_writer(place(config.output_dir) / ".lock"):
            return train(config, *arguments, **options)

    return locked


def _rank() -> int:
    """The number of this process among those that train together, before the engine is started."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return get_int_from_env(_RANKS, 0)


def start_engine(config: Settings) -> Accelerator:
    """The accelerator of these settings; those of an earlier run of this process are forgotten.

    Accelerate keeps the first run's precision and device for good, and a notebook has several runs.

    Raises:
        ValueError: there is no such device, or it is not the one of this process of several.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    if config.device is None:
        return Accelerator(mixed_precision=config.precision)
    checked_device(config.device)
    wanted = torch.device(config.device)
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1  # else each process has a device of its own
    if wanted.type == "cuda" and alone:
        torch.cuda.set_device(wanted.index or 0)  # whose random state is saved
        os.environ["ACCELERATE_TORCH_DEVICE"] = config.device  # it has no argument for that
    try:
        accelerator = Accelerator(mixed_precision=config.precision, cpu=wanted.type == "cpu")
    finally:
        os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
    found = accelerator.device
    other = wanted.type == "cuda" and wanted.index not in (None, found.index)
    if found.type != wanted.type or other:
        raise ValueError(f"device: expected to train on {wanted}, found {found}, for which this "
                         "process was started; leave the setting out")
    return accelerator


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a GPU takes it from page-locked memory when it comes to it."""
    tensor = tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor
    return tensor.to(device, non_blocking=True)
