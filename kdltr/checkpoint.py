"""Weights and training states on disk.

Weights are read in every layout people have and saved as safetensors; training states are torch
files. Both are written under a temporary name and renamed, and nothing that could run code is
unpickled.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kdltr.files import atomic_path, list_weights, place, weights_file
from kdltr.messages import kind_of

# Where the released files keep the model, and what data-parallel wrappers put before each name.
_CONTAINERS = ("state_dict_G", "model", "state_dict")
_PREFIXES = ("module.", "model.")  # and torch.compile's, of parts too
_COMPILED = "_orig_mod."
_NOT_WRITTEN = "inline_container.cc"  # in what torch says of a full disk
_GLOBAL = re.compile(r"GLOBAL (\S+)")  # of torch's message: what a pickle would call


def _numpy_plain() -> list[Any]:
    """What NumPy's numbers and arrays are pickled with: values, which cannot run code."""
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    known = [(function, f"numpy.{core}.multiarray.{function.__name__}")
             for core in ("core", "_core") for function in (scalar, array)]
    return [*known, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bhilqBHILQefdSU"}]


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, unsafe or of another model."""


def read_weights(path: str | Path, names: Collection[str] = ()) -> dict[str, Tensor]:
    """The state dict in a file, whatever its layout.

    Read are safetensors, and torch files that hold a bare state dict or one under ``model``
    (ABINet, MATRN), ``state_dict`` or ``state_dict_G`` (the published students), whatever the
    file's suffix. Names may start with ``module.`` and ``model.`` in any order and number, and have
    ``_orig_mod.`` anywhere.

    Args:
        path: of the file, or the name of shipped weights.
        names: of the model that it is for, whose own prefixes stay.

    Raises:
        CheckpointError: no such file, one that is no weights, a damaged one, one with code in it,
            no tensors, sparse, quantised or complex ones, or numbers that are none.
    """
    path = weights_file(path)
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint at {path}, nor shipped weights of this name (these are "
            f"{', '.join(list_weights())}); data/README.md says where released ones are to be had"
        )
    content = _read_safetensors(path) if is_safetensors(path) else read_state(path)
    while inner := [content[name] for name in _CONTAINERS
                    if isinstance(content.get(name), Mapping)]:
        content = inner[0]
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(
            f"{path} holds no weights: expected a state dict, bare or under one of "
            f"{', '.join(_CONTAINERS)}; found the keys {list(content)[:5]}"
        )
    state = {str(name).replace(_COMPILED, ""): value for name, value in state.items()}
    while not state.keys() & set(names) and (
            found := [prefix for prefix in _PREFIXES
                      if all(name.startswith(prefix) for name in state)]):
        state = {name.removeprefix(found[0]): value for name, value in state.items()}
    odd = [f"{name} ({value.dtype}, {value.layout}, {value.device})"
           for name, value in state.items() if not _is_plain(value)]
    if odd:
        raise CheckpointError(
            f"{path}: expected dense tensors of real numbers, found others in {len(odd)} of "
            f"{len(state)} entries, the first {odd[0]}; save the weights dense and dequantised"
        )
    broken = [name for name, value in state.items()
              if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: expected numbers, found NaN or infinity in {len(broken)} of {len(state)} "
            f"entries, the first {broken[0]!r}: the training diverged, or the copy is damaged; "
            "take earlier weights, or get the file again"
        )
    return state


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor holds its numbers, each as it is."""
    return value.layout is torch.strided and value.device.type == "cpu" and not (
        value.is_quantized or value.is_complex() or (
            value.is_floating_point() and value.dtype.itemsize < 2))


def is_safetensors(path: str | Path) -> bool:
    """Whether a file is laid out so, by its first bytes: a length, then JSON."""
    with place(path).open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < 10**9


def load_weights(
    model: nn.Module, path: str | Path, beside: Mapping[str, tuple[int, ...]] | None = None
) -> None:
    """Load a checkpoint strictly; half-precision files are widened.

    Args:
        beside: name and shape of entries that the file may hold beside the model's; such are passed
            over.

    Raises:
        CheckpointError: as `read_weights`, or names or shapes differ, or whole numbers stand for
            others; how many, and the first of each kind.
    """
    beside = beside or {}
    found = {name: value for name, value in read_weights(path, model.state_dict()).items()
             if beside.get(name) != tuple(value.shape)}
    fit_weights(model, found, path)


def fit_weights(model: nn.Module, found: Mapping[str, Tensor], path: str | Path) -> None:
    """Load a state dict strictly; ``path`` is where it was found.

    Raises:
        CheckpointError: names or shapes differ; how many, and the first of each kind.
    """
    expected = model.state_dict()
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    kinds = [
        [f"missing {name} {tuple(expected[name].shape)}" for name in missing],
        [f"unexpected {name} {tuple(found[name].shape)}" for name in unexpected],
        [f"mis-shaped {name}: expected {tuple(expected[name].shape)}, found {tuple(value.shape)}"
         for name, value in found.items()
         if name in expected and value.shape != expected[name].shape],
        [f"mis-typed {name}: expected floating-point numbers, found {value.dtype}"
         for name, value in found.items()
         if name in expected and expected[name].is_floating_point() > value.is_floating_point()],
    ]
    if any(kinds):
        name = getattr(model, "name", type(model).__name__)
        few = [min(kind) + (f" and {len(kind) - 1} more" if len(kind) > 1 else "")
               for kind in kinds if kind]
        raise CheckpointError(f"{path} does not fit {name}, {sum(map(len, kinds))} differences: "
                              f"{'; '.join(few)}. Is it of another model?")
    model.load_state_dict(found)


def load_matching(model: nn.Module, path: str | Path) -> list[str]:
    """Load what a checkpoint of a related model shares with this one: same name, same shape.

    Returns:
        Names of the model's entries that keep their own start.

    Raises:
        CheckpointError: as `read_weights`, or nothing is shared.
    """
    expected = model.state_dict()
    found = read_weights(path, expected)
    shared = {
        name: value for name, value in found.items()
        if name in expected and value.shape == expected[name].shape
    }
    if not shared:
        name = getattr(model, "name", type(model).__name__)
        raise CheckpointError(f"{path} shares no entry with {name}; is it of a related model?")
    model.load_state_dict(shared, strict=False)
    return [name for name in expected if name not in shared]


def save_weights(
    model: nn.Module, path: str | Path, metadata: Mapping[str, Any], half: bool = False
) -> None:
    """Save a model as safetensors, in half precision if asked; ``metadata`` goes in the header.

    Raises:
        CheckpointError: half precision cannot hold its numbers.
    """
    dtype = torch.float16 if half else torch.float32
    # Copies: safetensors takes no two entries that share memory, as tied weights do.
    state = {
        name: value.to("cpu", dtype if value.is_floating_point() else value.dtype,
                       copy=True).contiguous()
        for name, value in model.state_dict().items()
    }
    if half and (high := [name for name, value in state.items() if value.isinf().any()]):
        raise CheckpointError(f"{path}: half precision holds numbers up to 65504, found larger "
                              f"ones in {high[0]!r}; save the weights whole")
    sizes = getattr(model, "sizes", {})  # of kdltr.models: those that the name does not say
    header = {key: value if isinstance(value, str) else json.dumps(value)
              for key, value in (({"config": sizes} if sizes else {}) | dict(metadata)).items()}
    with _written(path) as temporary:
        temporary.write_bytes(_sorted(save(state, header)))


def _sorted(content: bytes) -> bytes:
    """A safetensors file with its metadata in order: the same weights are the same bytes, then.

    The library writes them in an order of chance.
    """
    begin = 8 + int.from_bytes(content[:8], "little")  # of the tensors
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


def read_metadata(path: str | Path) -> dict[str, str]:
    """The header of a safetensors file; empty for other layouts and for damaged files."""
    path = weights_file(path)
    if not path.is_file() or not is_safetensors(path):
        return {}
    try:
        with safe_open(path, "pt") as content:
            return content.metadata() or {}
    except (SafetensorError, OSError):
        return {}  # loading says what is wrong with it


def save_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Save a training state: nested containers of tensors and plain values."""
    with _written(path) as temporary:
        torch.save(dict(state), temporary)


@contextmanager
def _written(path: str | Path) -> Iterator[Path]:
    """As `atomic_path`; what the libraries say of a full disk becomes an OSError."""
    with atomic_path(path) as temporary:
        try:
            yield temporary
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and _NOT_WRITTEN not in str(error):
                raise
            raise OSError(f"{path} cannot be written ({error}); make room on its disk, and run "
                          "again to go on from what was saved before") from error


def read_state(path: str | Path) -> dict[str, Any]:
    """Read a torch file with ``weights_only=True``.

    Raises:
        CheckpointError: the file is damaged, or holds more than tensors and plain values.
    """
    path = place(path)
    try:
        _check_layout(path)
        # An open file: of a path torch looks at the suffix.
        with torch.serialization.safe_globals(_numpy_plain()), path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        raise CheckpointError(
            f"{path} is refused: expected tensors and plain values, found "
            f"{named[1] if named else 'something else'}, which could run code when loaded; get the "
            f"weights from their publisher, or save them anew as a state dict"
        ) from error
    except Exception as error:  # of whatever kind: a damaged file fails anywhere in torch
        raise CheckpointError(
            f"{path} cannot be read as a torch file: {error}; it may be truncated: fetch it again"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__}; expected a state dict")
    return dict(content)


def _check_layout(path: Path) -> None:
    """Raise CheckpointError unless the file looks like one of torch's."""
    with path.open("rb") as file:
        start = file.read(512)
    found = kind_of(start)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return
        found = f"a zip archive of {', '.join(names[:3])}; unpack it"
    elif start[:1] == b"\x80" or start[:4] == b"PK\x03\x04":  # a pickle, or a file cut short
        return
    raise CheckpointError(f"{path} cannot be read as weights: expected safetensors or a torch "
                          f"file, found {found}; get the file again from where it is published")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # as above
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}; it may be truncated: fetch it again"
        ) from error
