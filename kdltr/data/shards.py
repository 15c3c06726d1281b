"""Word pairs rendered beforehand: a folder of safetensors files, read where they lie.

A shard holds ``hr`` (N, 3, 32, 128) and ``lr`` (N, 3, 16, 64), uint8 RGB, and ``words``, the N
labels in UTF-8 with line breaks between them; its metadata say what it was made from. The files are
mapped into memory, so that a batch costs the copying of its rows whatever the size of the folder.
`kdltr.generator.render_shards` renders them.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kdltr.data.records import DataError, EncodedPair, Pair
from kdltr.files import atomic_path, place

if TYPE_CHECKING:
    from torch import Tensor

_FILES = "[0-9]*.safetensors"  # in the order of their numbers; temporary files start with a dot
_MADE_FROM = "made_from"
_OWN = ("start", "pairs")  # settings in which the shards of a folder differ


def is_shards(path: str | os.PathLike) -> bool:
    """Whether `path` is a folder of shards."""
    return bool(shard_files(path))


def shard_files(path: str | os.PathLike) -> list[Path]:
    """The shards in the folder `path`, in order; none if there is no such folder."""
    return sorted(place(path).glob(_FILES))


def is_shard(file: Path) -> bool:
    """Whether `file` is a shard, or damaged beyond telling; False for other safetensors files."""
    try:
        with safe_open(file, "np") as content:
            return _MADE_FROM in (content.metadata() or {})
    except (SafetensorError, OSError):
        return True


def write_shard(
    file: Path, hr: np.ndarray, lr: np.ndarray, words: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """Write one shard, wholly or not at all.

    Args:
        file: its name starts with a digit, its suffix is .safetensors.
        hr, lr: (N, H, W, 3) uint8 RGB.
        words: N labels.
        settings: what the pairs were made from, as JSON values; among them ``start``, the index of
            the first pair, and ``pairs``, N.

    Raises:
        DataError: a label with a line break, or not as many pictures, labels and ``pairs``.
    """
    counts = {"HR": len(hr), "LR": len(lr), "labels": len(words), "pairs": settings["pairs"]}
    if len(set(counts.values())) > 1:
        raise DataError(f"{file}: expected as many HR, LR and labels as pairs, found {counts}")
    if broken := [word for word in words if "\n" in word]:
        raise DataError(f"{file}: expected labels of one line, found {broken[0]!r}; leave it out")
    text = np.frombuffer("\n".join(words).encode("utf-8"), np.uint8)
    tensors = {"hr": _channels_first(hr), "lr": _channels_first(lr), "words": text}
    with atomic_path(file) as temporary:
        save_file(tensors, temporary, {_MADE_FROM: json.dumps(dict(settings), sort_keys=True)})


def shard_settings(file: Path) -> dict[str, Any]:
    """What the pairs of a shard were made from.

    Raises:
        DataError: it is no shard, or cut short.
    """
    return _Shard(file).settings


class Shards:
    """All pairs of a folder of shards: `len(self)`, `self[i]` is a `Pair`; batches by `batch`.

    Attributes:
        words: all labels.
        settings: what the pairs were made from: split, seed, generator_version and effects.
        sizes: (H, W) of "hr" and of "lr".

    Raises:
        DataError: no shards at `path`, a damaged one, a missing one, or shards of several makings.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = place(path)
        self._shards = [_Shard(file) for file in shard_files(path)]
        if not self._shards:
            raise DataError(f"{path}: expected shards (00000.safetensors, …), found none; render "
                            "them with kdltr data shards")
        self._starts = [0, *accumulate(len(shard) for shard in self._shards)]
        first = self._shards[0].settings
        self.settings = {key: first[key] for key in first if key not in _OWN}
        for shard, start in zip(self._shards, self._starts, strict=False):
            found = shard.settings
            same = self.settings | {"start": start + first["start"], "pairs": len(shard)}
            if found != same:
                raise DataError(f"{shard.file}: expected pairs made from {same}, found {found}; a "
                                "shard is missing or of another making: run write_shards again")
        self.sizes = {name: getattr(self._shards[0], name).shape[-2:] for name in ("hr", "lr")}
        self.words = []
        for shard in self._shards:
            self.words += shard.words
            if len(shard.words) != len(shard):  # else those of later shards would shift
                raise DataError(f"{shard.file}: expected {len(shard)} labels, found "
                                f"{len(shard.words)}; delete it and render it again")

    def __reduce__(self):
        return type(self), (self.path,)  # maps do not travel to other processes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Pair:
        hr, lr = (self._row(name, index).transpose(1, 2, 0) for name in ("hr", "lr"))
        return Pair(np.ascontiguousarray(hr), np.ascontiguousarray(lr), self.label(index))

    def label(self, index: int) -> str:
        """The label of pair `index`."""
        return self.words[index]

    def encoded(self, index: int) -> EncodedPair:
        """Pair `index` as stored: the bytes of its pixels, and the label."""
        hr, lr = (self._row(name, index).tobytes() for name in ("hr", "lr"))
        return EncodedPair(hr, lr, self.label(index))

    def batch(
        self, indices: Tensor | Sequence[int], image: str = "hr", pin: bool = False
    ) -> tuple[Tensor, list[str]]:
        """Pictures (B, 3, H, W) uint8 and the B words at `indices` (B,), in any order.

        Args:
            image: "hr" or "lr".
            pin: put the pictures in page-locked memory, for copies to a GPU that wait for nothing.
        """
        import torch  # takes its time, and processes that render words do without

        indices = torch.as_tensor(indices).tolist()
        pictures = torch.empty(len(indices), 3, *self.sizes[image], dtype=torch.uint8,
                               pin_memory=pin)
        rows = pictures.numpy()
        for row, index in enumerate(indices):  # a row is 12 kB: the copying outweighs the loop
            rows[row] = self._row(image, index)
        return pictures, [self.words[index] for index in indices]

    def copy_to(self, hr: np.ndarray, lr: np.ndarray) -> None:
        """Copy all pictures to (N, 3, H, W) and (N, 3, h, w) uint8, a shard at a time."""
        for shard, start in zip(self._shards, self._starts, strict=False):
            hr[start : start + len(shard)] = shard.hr
            lr[start : start + len(shard)] = shard.lr

    def check_sizes(self, **sizes: tuple[int, int]) -> None:
        """Raise DataError unless "hr" or "lr" is stored in the given (H, W)."""
        for name, size in sizes.items():
            if tuple(self.sizes[name]) != tuple(size):
                raise DataError(
                    f"{self.path}: expected {name} pictures of {tuple(size)}, found "
                    f"{tuple(self.sizes[name])}: a shard keeps one size; take a model that reads "
                    "it, or render an LMDB (kdltr.generator.synthetic.write_textzoom_like)")

    def _row(self, image: str, index: int) -> np.ndarray:
        index = range(len(self))[index]  # IndexError beyond the end, negative from the end
        number = bisect_right(self._starts, index) - 1
        return getattr(self._shards[number], image)[index - self._starts[number]]


class _Shard:
    """One file: `hr` and `lr` are views of it; opening reads no pixels."""

    def __init__(self, file: Path):
        self.file = file
        try:
            self._map(np.memmap(file, np.uint8, "r"))
        except (ValueError, KeyError, TypeError, OSError) as error:  # JSON's and UTF-8's are too
            raise DataError(f"{file}: expected a shard of word pairs, found a damaged file or one "
                            f"of something else ({error}); delete it and run write_shards again"
                            ) from error

    def __len__(self) -> int:
        return self.settings["pairs"]

    @property
    def words(self) -> list[str]:
        """The labels."""
        return self._words.tobytes().decode("utf-8").split("\n")

    def _map(self, content: np.ndarray) -> None:
        # safetensors: the header's length (8 bytes), the header, the tensors.
        length = int.from_bytes(content[:8].tobytes(), "little")
        header = json.loads(content[8 : 8 + length].tobytes())
        self.settings = json.loads(header["__metadata__"][_MADE_FROM])
        self.hr, self.lr, self._words = (
            self._view(content[8 + length :], header[name]) for name in ("hr", "lr", "words")
        )
        if not len(self.hr) == len(self.lr) == len(self):
            raise ValueError(f"{len(self.hr)} HR and {len(self.lr)} LR pictures of {len(self)}")

    @staticmethod
    def _view(content: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
        begin, end = entry["data_offsets"]
        return np.asarray(content[begin:end]).reshape(entry["shape"])  # fails if cut short


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
