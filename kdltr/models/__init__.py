"""The recognisers, teachers and students, each built by its name.

A name's sizes are written here and nowhere else; everything may be overridden by keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from kdltr.charset import ALNUM36_OTHER, CHARSETS, Charset
from kdltr.messages import nearest
from kdltr.models.abinet import ABINet, ABINetConfig, ABINetVision
from kdltr.models.base import Recogniser
from kdltr.models.crnn import CRNN, CRNNConfig
from kdltr.models.dan import DAN, DANConfig
from kdltr.models.matrn import MATRN, MATRNConfig
from kdltr.models.output import ModelOutput
from kdltr.models.parseq import PARSeq, PARSeqConfig
from kdltr.models.ppocr import PPOCR, PPOCRConfig
from kdltr.settings import SettingError, check, check_fields, check_names


@dataclass(frozen=True)
class Entry:
    """One name of the registry: what builds it, and its sizes."""

    build: Callable[[str, Any], Recogniser]
    config: Any


# Columns of full height: 32 tokens in place of 128, and a fourteenth of the parameters.
_PARSEQ_NANO = PARSeqConfig(
    patch=(32, 4), width=160, depth=4, heads=5, decoder_heads=5, dropout=0.0, orders=4
)

# A quarter of the published widths, and a map of half the height.
_ABINET_NANO = {
    "strides": (2, (2, 1), 2, 1, 1),
    "widths": (16, 32, 64, 96, 128),
    "blocks": (1, 1, 2, 1, 1),
    "heads": 4,
    "hidden": 192,
    "encoder_layers": 2,
    "language_layers": 2,
    "key_channels": 32,
    "dropout": 0.0,
}

# A quarter of the published widths.
_CRNN_NANO = CRNNConfig(widths=(16, 32, 64, 64, 128, 128, 128), hidden=64)
# Half the image, half as much pooling: the same feature map.
_CRNN_STUDENT = {"image_size": (16, 64), "read_size": (16, 50), "first_pool": False}

_DAN_SCENE = DANConfig(
    image_size=(32, 128), lines=False, strides=((1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (1, 1)),
    visual_stage=3, max_steps=25, dropout=0.3, charset=ALNUM36_OTHER,
)
# Short lines of a quarter of the published size, half as many places, and smaller early: a fortieth
# of the work. Not with 8 channels, with which PyTorch 2.13 for CPUs corrupts memory.
_DAN_NANO = DANConfig(
    image_size=(48, 512), strides=((2, 2), (2, 2), (2, 2), (2, 1), (1, 1), (1, 1)),
    widths=(16, 32, 64, 96, 128), blocks=(1, 1, 2, 2, 1), row_width=128, max_steps=40,
    dropout=0.1, context_dropout=0.0,
)


def _student(config: ABINetConfig) -> ABINetConfig:
    """Half the image and half the first strides: the same feature map."""
    return replace(config, image_size=(16, 64), strides=(1, *config.strides[1:]))


def _pair(name: str, build: Callable, config: ABINetConfig, suffix: str = "") -> dict[str, Entry]:
    return {
        f"{name}{suffix}": Entry(build, config),
        f"{name}{suffix}_ltr": Entry(build, _student(config)),
    }


_REGISTRY = {
    **_pair("abinet", ABINet, ABINetConfig()),
    **_pair("abinet_vision", ABINetVision, ABINetConfig()),
    **_pair("matrn", MATRN, MATRNConfig()),
    **_pair("abinet", ABINet, ABINetConfig(**_ABINET_NANO), "_nano"),
    **_pair("abinet_vision", ABINetVision, ABINetConfig(**_ABINET_NANO), "_nano"),
    **_pair("matrn", MATRN, MATRNConfig(**_ABINET_NANO, fusion_layers=1), "_nano"),
    "parseq": Entry(PARSeq, PARSeqConfig()),
    "parseq_ltr": Entry(PARSeq, PARSeqConfig(image_size=(16, 64), patch=(2, 4))),
    "parseq_nano": Entry(PARSeq, _PARSEQ_NANO),
    "parseq_nano_ltr": Entry(PARSeq, replace(_PARSEQ_NANO, image_size=(16, 64), patch=(16, 2))),
    "crnn": Entry(CRNN, CRNNConfig()),
    "crnn_ltr": Entry(CRNN, CRNNConfig(**_CRNN_STUDENT)),
    "crnn_nano": Entry(CRNN, _CRNN_NANO),
    "crnn_nano_ltr": Entry(CRNN, replace(_CRNN_NANO, **_CRNN_STUDENT)),
    "dan": Entry(DAN, DANConfig()),
    "dan_ltr": Entry(DAN, DANConfig(scale=2)),
    "dan_nano": Entry(DAN, _DAN_NANO),
    "dan_nano_ltr": Entry(DAN, replace(_DAN_NANO, scale=2)),
    "dan_scene": Entry(DAN, _DAN_SCENE),
    "dan_scene_ltr": Entry(DAN, replace(_DAN_SCENE, scale=2)),
    "ppocr": Entry(PPOCR, PPOCRConfig()),
    "ppocr_ltr": Entry(PPOCR, PPOCRConfig(image_size=(16, 64), enlarge=1.5, stride=1)),
}


def list_models() -> list[str]:
    """Every name `create_model` knows; ``_ltr`` marks the low-resolution students."""
    return sorted(_REGISTRY)


def create_model(name: str, checkpoint: str | Path | None = None, **config: Any) -> Recogniser:
    """Build a recogniser, with random weights or those of a checkpoint.

    Args:
        name: one of `list_models`.
        checkpoint: a file of weights in any layout `kdltr.checkpoint.load_weights` reads, or the
            name of shipped ones. For "ppocr" also "rapidocr": those in the wheel of that name,
            which must be installed.
        **config: sizes that differ from the name's, for instance ``dropout=0.0``.

    Raises:
        ValueError: an unknown name or an unknown key of ``config``; the nearest known is named. Or
            sizes that do not fit each other.
        kdltr.checkpoint.CheckpointError: the file cannot be read or does not fit the model.
    """
    made = check_sizes(name, config)
    try:
        model = _REGISTRY[name].build(name, made)
    except ZeroDivisionError:
        raise ValueError(f"{name} cannot be built with {config}: expected sizes of at least 1, "
                         "found a 0 that something is divided by") from None
    model.sizes = _differing(made, _REGISTRY[name].config)
    if checkpoint is not None:
        model.load(checkpoint)
    return model


def _differing(made: Any, usual: Any) -> dict[str, Any]:
    """Sizes that the name does not say, as JSON has them."""
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    return {key: _written(value) if isinstance(value, Charset) else value
            for key, value in values.items() if value != getattr(usual, key)}


def _written(charset: Charset) -> str | dict[str, Any]:
    """The name of one of `CHARSETS`, or all of another."""
    if CHARSETS.get(charset.name) == charset:
        return charset.name
    return {key: value for key, value in asdict(charset).items() if value}


def check_model(name: str) -> str:
    """The name of a model; raises ValueError for one that there is not."""
    if name not in _REGISTRY:
        raise ValueError(f"unknown model {name!r}{nearest(name, list_models())}")
    return name


def check_sizes(name: str, config: Mapping[str, Any]) -> Any:
    """The configuration of a model with other sizes than its name's.

    Args:
        config: as from YAML: lists stand for tuples, and a charset is a name of `CHARSETS`, or a
            mapping of ``name``, ``characters`` and, if words are lower-cased, ``lower``.

    Raises:
        ValueError: an unknown name, key or charset; the nearest known is named. Or a value of
            another type than the setting's, or below 0; or a dropout that leaves nothing.
    """
    known = _REGISTRY[check_model(name)].config
    check_names((field.name for field in fields(known)), config, f"{name} has no setting")
    try:
        charset = config.get("charset", known.charset)
        if isinstance(charset, str):
            check_names(CHARSETS, [charset], "unknown charset")
            charset = CHARSETS[charset]
        elif isinstance(charset, Mapping):
            check(Charset, charset, "charset")
            if lacking := {"name", "characters"} - {*charset}:
                raise SettingError(f"charset: expected {min(lacking)} too, found {dict(charset)}")
            charset = Charset(**charset)
        made = replace(known, **{**config, "charset": charset})
        check_fields(made)
        _check_range(made)
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from None
    return made


def _check_range(made: Any) -> None:
    for field in fields(made):
        value = getattr(made, field.name)
        if any(number < 0 for number in _numbers(value)):
            raise SettingError(f"{field.name} must not be below 0, found {value!r}")
    for name in ("dropout", "context_dropout"):
        if getattr(made, name, 0) >= 1:
            raise SettingError(f"{name} must be below 1, found {getattr(made, name)!r}")
    if (orders := getattr(made, "orders", 1)) != 1 and orders % 2:
        raise SettingError(f"orders must be 1 or even, since they come in mirrored pairs, found "
                           f"{orders!r}")


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a setting, at any depth."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)


__all__ = ["ModelOutput", "Recogniser", "create_model", "list_models"]
