"""Two-stage readers side by side: a network before several recognisers enlarges a batch once.

    readers = sharing(load_readers(recognisers))   # the readings stay the same, to the last bit
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kdltr.models.base import Recogniser
from kdltr.superres import TwoStage, Upscaler
from kdltr.superres.trunk import UpscalerConfig
from kdltr.superres.two_stage import upscaled

MOST = 768 * 2**20  # bytes of enlarged images that are remembered: 16,384 words in float32


def sharing(
    readers: Mapping[str, Mapping[str, Recogniser]], most: int = MOST
) -> dict[str, dict[str, Recogniser]]:
    """The readers, of which two-stage ones share what their networks make of the same images.

    They do in `evaluate`, where one reads after the other: have all read a data set before the
    next, for what was enlarged longest ago is forgotten when there is too much of it. What is
    remembered goes with the readers returned here. Not for timing them.

    Args:
        readers: `readers[recogniser][method]`, from `kdltr.evaluation.readers.load_readers`.
        most: bytes that are remembered at once, in the CPU's memory.
    """
    memory = _Memory(most)
    before = [any(isinstance(model, TwoStage) for model in methods.values())
              for methods in readers.values()]
    if sum(before) < 2:  # nobody to share with
        return {name: dict(methods) for name, methods in readers.items()}
    return {name: {method: _shared(model, memory) for method, model in methods.items()}
            for name, methods in readers.items()}  # fmt: skip


def _shared(model: Recogniser, memory: _Memory) -> Recogniser:
    apart = isinstance(model, TwoStage) and not isinstance(model, _Sharing)
    return _Sharing(model, memory) if apart else model


class _Memory:
    """Enlarged images by what they were made from and with; the last used, up to ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self.kept: OrderedDict[str, Tensor] = OrderedDict()

    def find(self, key: str) -> Tensor | None:
        """What was kept under the key, if it still is."""
        if key in self.kept:
            self.kept.move_to_end(key)
        return self.kept.get(key)

    def keep(self, key: str, large: Tensor) -> None:
        """Keep a copy."""
        self.kept[key] = large.to("cpu", copy=True, memory_format=torch.contiguous_format)
        self.size += self.kept[key].nbytes
        while self.size > self.most:
            self.size -= self.kept.popitem(last=False)[1].nbytes


class _Sharing(TwoStage):
    """Two stages of which the first may be done already, by what reads as it is now."""

    def __init__(self, reader: TwoStage, memory: _Memory) -> None:
        super().__init__(reader.upscaler, reader.recogniser, reader.generator, reader.clamp)
        self.memory = memory

    def for_reading(self) -> Recogniser:
        """See `TwoStage.for_reading`."""
        ready = super().for_reading()
        once = _Once(ready.upscaler, ready.generator, self.memory)
        return TwoStage(once, ready.recogniser, clamp=ready.clamp)


class _Once(nn.Module):
    """An upscaler and its generator as one network of RGB images that looks them up first."""

    takes_prior, config = False, UpscalerConfig(mask=False)

    def __init__(
        self, upscaler: Upscaler, generator: Recogniser | None, memory: _Memory
    ) -> None:
        super().__init__()
        self.upscaler, self.generator, self.memory = upscaler, generator, memory
        self.name = upscaler.name
        self.made_of = _digest(f"{upscaler.name} {upscaler.config}", self.state_dict())

    def forward(self, images: Tensor, prior: None = None) -> Tensor:
        """(N, 3, 16, 64) → (N, 3, 32, 128); remembered in inference mode, without gradients."""
        if not torch.is_inference_mode_enabled():
            return upscaled(images, self.upscaler, self.generator)
        key = _digest(self.made_of, {"images": images})
        large = self.memory.find(key)
        if large is None:
            large = upscaled(images, self.upscaler, self.generator)
            self.memory.keep(key, large)
        return large.to(images.device)


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Of a text and of tensors: names, types, shapes, devices and values."""
    found = hashlib.blake2b(text.encode())
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()
