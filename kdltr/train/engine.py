"""The engine of a run: device, precision, processes and threads; and no other run beside it."""

from __future__ import annotations

import functools
import logging
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
from kdltr.models.devices import checked_device, multiplies_bf16
from kdltr.train.config import Settings

log = logging.getLogger(__name__)

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
    if config.device is None:  # never one that happens to be there, as Apple's
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        precision = _mixed_precision(config.precision, kind)
        return Accelerator(mixed_precision=precision, cpu=kind == "cpu")
    checked_device(config.device)
    wanted = torch.device(config.device)
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1  # else each process has a device of its own
    if wanted.type == "cuda" and alone:
        # The one whose random state is saved, and whose instructions are asked for.
        torch.cuda.set_device(wanted.index or 0)
        os.environ["ACCELERATE_TORCH_DEVICE"] = config.device  # it has no argument for that
    precision = _mixed_precision(config.precision, wanted.type)
    try:
        accelerator = Accelerator(mixed_precision=precision, cpu=wanted.type == "cpu")
    finally:
        os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
    found = accelerator.device
    other = wanted.type == "cuda" and wanted.index not in (None, found.index)
    if found.type != wanted.type or other:
        raise ValueError(f"device: expected to train on {wanted}, found {found}, for which this "
                         "process was started; leave the setting out")
    return accelerator


def _mixed_precision(asked: str, kind: str) -> str:
    """ "no" or "bf16", of "auto" by the instructions of the device; a slow one is warned of."""
    there = multiplies_bf16(torch.device(kind))
    if asked == "bf16" and not there:
        log.warning("precision 'bf16': this %s has no instructions for it, and takes many times as "
                    "long as in float32; 'auto' takes what is fast", kind)
    return {"auto": "bf16" if there else "no"}.get(asked, asked)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a GPU takes it from page-locked memory when it comes to it."""
    tensor = tensor.pin_memory() if device.type == "cuda" and not tensor.is_cuda else tensor
    return tensor.to(device, non_blocking=True)
