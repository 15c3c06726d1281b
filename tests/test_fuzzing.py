"""Inputs that nobody thought of: each is taken, or refused by one clear error of kdltr's own.

The usual run has a fixed budget of examples, the same ones every time; the slow one has more, and
draws new ones (`pytest -m slow tests/test_fuzzing.py`).
"""

import atexit
import dataclasses
import io
import shutil
import struct
import tempfile
import typing
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kdltr.charset import ALNUM36, ASCII94, alphanumeric_lower, fold
from kdltr.checkpoint import CheckpointError, read_weights
from kdltr.data import environments
from kdltr.data.folder import write_folder
from kdltr.data.images import encode_png, read_image
from kdltr.data.lmdb import Words, write_words
from kdltr.data.loader import load_words, select_labels
from kdltr.data.opening import open_words
from kdltr.data.records import DataError, ImageError, RecordError, Word
from kdltr.settings import SettingError, check
from kdltr.train import DistillConfig, PretrainConfig

TMP = Path(tempfile.mkdtemp(prefix="kdltr-fuzzing-"))
atexit.register(shutil.rmtree, TMP, ignore_errors=True)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8))
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "TGA", "QOI", "AVIF", "JPEG2000",
         "DDS", "ICO", "PCX", "SGI", "MPO")  # fmt: skip


def budget(usual, *strategies):
    """A test of what the strategies draw: so many examples, 40 times as many in the slow run."""
    common = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

    def both(body):
        few = settings(max_examples=usual, derandomize=True, **common)(given(*strategies)(body))
        many = settings(max_examples=40 * usual, **common)(given(*strategies)(body))
        slow = [pytest.mark.slow, pytest.mark.timeout(3600)]
        runs = [pytest.param(few, id="usual"), pytest.param(many, id="slow", marks=slow)]

        @pytest.mark.parametrize("run", runs)
        def test(run):
            run()

        return test

    return both


def _encoded(kind):
    buffer = io.BytesIO()
    try:
        PICTURE.save(buffer, kind)
    except (KeyError, OSError):  # Pillow was built without it
        PICTURE.save(buffer, "PNG")
    return buffer.getvalue()


@st.composite
def damaged(draw, files):
    """A file with bytes changed, left out, put in or cut off."""
    content = bytearray(draw(files))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["change", "drop", "insert", "cut", "number"]))
        if how == "change" and content:
            content[place] ^= draw(st.integers(1, 255))
        elif how == "drop":
            del content[place : place + draw(st.integers(1, 9))]
        elif how == "insert":
            content[place:place] = draw(st.binary(max_size=9))
        elif how == "cut":
            del content[place:]
        else:
            content[place : place + 4] = struct.pack(">I", draw(st.integers(0, 2**32 - 1)))
    return bytes(content)


@budget(300, st.one_of(damaged(st.sampled_from(KINDS).map(_encoded)), st.binary(max_size=200)))
def test_images(content):
    try:
        image = read_image(content)
    except ImageError as error:
        assert str(error).startswith(f"image of {len(content)} bytes: ") and len(str(error)) < 1000
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "CMYK", "YCbCr", "LAB", "HSV", "F")


@budget(100, st.sampled_from(MODES), st.sampled_from(["PNG", "TIFF"]), st.integers(1, 9),
       st.integers(1, 9), st.integers(0, 9), st.data())
def test_pictures_of_every_mode(mode, kind, width, height, orientation, data):
    image = Image.new(mode, (width, height))
    pixels = data.draw(st.binary(min_size=len(image.tobytes()), max_size=len(image.tobytes())))
    image.frombytes(pixels)
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, exif=exif)
    except (OSError, ValueError):  # a format that has no such mode
        return
    try:
        read = read_image(buffer.getvalue())
    except ImageError:
        return
    turned = orientation in (5, 6, 7, 8)
    assert read.shape == ((width, height, 3) if turned else (height, width, 3))


LABELS = st.text(max_size=30)
IMAGE = encode_png(np.asarray(PICTURE))


@budget(25, st.lists(LABELS, min_size=1, max_size=5))
def test_labels_come_back_and_are_taught_or_counted(labels):
    write_words(TMP / "w", [(IMAGE, label) for label in labels])
    words = Words(TMP / "w")
    assert [words.label(i) for i in range(len(words))] == labels
    try:
        write_folder(TMP / "f", [Word(np.asarray(PICTURE), label) for label in labels])
        assert open_words(TMP / "f").labels == labels
    except RecordError as error:
        assert "a label of one line without tabs" in str(error)
    for charset in (ALNUM36, ASCII94):
        try:
            kept, taught, report = select_labels(labels, charset, "filtered")
        except DataError:
            continue
        charset.encode(taught)
        assert report["total"] == len(labels) and report["kept"] == len(kept) == len(taught)
        assert not any(charset.unread(labels[i]) for i in kept)


@budget(300, LABELS)
def test_folding_is_done_once(word):
    assert fold(fold(word)) == fold(word)
    assert alphanumeric_lower(alphanumeric_lower(word)) == alphanumeric_lower(word)
    assert ASCII94.filter(ASCII94.filter(word)) == ASCII94.filter(word)


KEYS = st.sampled_from([b"num-samples", b"image-000000001", b"label-000000001", b"label-000000002",
                        b"image-000000002", b"image_hr-000000001", b"image_lr-000000001", b"x"])
VALUES = st.one_of(st.binary(max_size=40),
                   st.sampled_from([b"1", b"2", b"-1", b"1e3", b"0", IMAGE]),
                   st.integers(-3, 500).map(lambda n: str(n).encode()))


@budget(60, st.dictionaries(KEYS, VALUES, max_size=8))
def test_records(records):
    path = TMP / "records"
    path.mkdir(exist_ok=True)
    environments.close(path)
    for file in path.iterdir():
        file.unlink()
    with lmdb.open(str(path), map_size=1 << 20) as store, store.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    for on_error in ("raise", "skip"):
        try:
            assert len(load_words(path, on_error=on_error)) >= 1
        except DataError as error:
            assert str(path) in str(error)


@budget(60, st.data())
def test_damaged_lmdb_files(data):
    path = TMP / "damaged"
    environments.close(path)
    write_words(path, [(IMAGE, "word")] * 3)
    environments.close(path)
    content = bytearray((path / "data.mdb").read_bytes())
    (path / "data.mdb").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        load_words(path, on_error="skip")
    except DataError as error:
        assert str(path) in str(error)


@budget(150, st.data())
def test_weights(data):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(3), "b": {"c": 1}}, buffer)
    old = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, old, _use_new_zipfile_serialization=False)
    safe = struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'.ljust(
        60) + bytes(12)
    file = TMP / data.draw(st.sampled_from(["w.pt", "w.safetensors"]))
    file.write_bytes(data.draw(damaged(st.sampled_from([buffer.getvalue(), old.getvalue(), safe]))))
    try:
        assert read_weights(file)
    except CheckpointError as error:
        assert str(file) in str(error)


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
              st.sampled_from(["1e-3", "32", "no", "train1", "bf16", "parseq", "parseq_ltr"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3),
                            st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner,
                                            max_size=3)),
    max_leaves=5)


@budget(250, st.sampled_from([DistillConfig, PretrainConfig]), st.data())
def test_settings(kind, data):
    names = [field.name for field in dataclasses.fields(kind)]
    values = data.draw(st.dictionaries(
        st.one_of(st.sampled_from(names), st.text(max_size=6)), ANYTHING, max_size=3))
    try:
        config = kind.from_dict({"output_dir": "x"} | values)
    except ValueError as error:
        assert str(error)
        return
    hints = typing.get_type_hints(kind)
    for name, value in config.to_dict().items():
        check(hints[name], value, name)
    with pytest.raises(SettingError, match="unknown setting"):
        kind.from_dict(config.to_dict() | {"no such": 1})
