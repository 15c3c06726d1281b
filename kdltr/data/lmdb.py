"""Word images in LMDB files: the keys of TextZoom and of the recognition benchmarks, read, written.

TextZoom (`PairedWords`): keys `image_hr-%09d`, `image_lr-%09d`, `label-%09d` from 1, and
`num-samples`. Benchmarks (`Words`): `image-%09d`, `label-%09d`, `num-samples`. Images are stored
as encoded files of varying size. `kdltr.data.opening` opens one beside folders and shards.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from itertools import islice

import lmdb
import numpy as np

from kdltr.data.environments import close, data_file, reading
from kdltr.data.images import encode_png, read_image
from kdltr.data.records import (
    DataError,
    EncodedPair,
    EncodedWord,
    ImageError,
    Pair,
    RecordError,
    Word,
)
from kdltr.files import atomic_path, place

_FIRST_MAP_SIZE = 64 << 20  # bytes; doubled as needed, and only pages in use reach the disk
_RECORDS_A_COMMIT = 1000
SKIP = "kdltr data convert SOURCE TARGET --skip"  # makes a copy without damaged records
ImageLike = np.ndarray | bytes


class _Records:
    """What both layouts share: counting, finding, decoding, and saying what is wrong where."""

    image_keys: tuple[str, ...]

    def __init__(self, path: str | os.PathLike):
        data_file(path)  # a wrong path fails here; the LMDB itself is opened at the first read
        self.path = place(path)
        self._count: int | None = None

    def __reduce__(self):
        return type(self), (self.path,)  # handles do not travel to other processes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __len__(self) -> int:
        if self._count is None:
            self._count = self._read_count()
        return self._count

    def label(self, index: int) -> str:
        """The label of record `index`, without decoding its images."""
        number = self._number(index)
        with reading(self.path) as transaction:
            return self._label(transaction, number)

    def encoded(self, index: int) -> tuple:
        """Record `index` as stored: image files as bytes, then the label."""
        number = self._number(index)
        with reading(self.path) as transaction:
            files = [self._get(transaction, key, number) for key in self.image_keys]
            return (*files, self._label(transaction, number))

    def _read_count(self) -> int:
        with reading(self.path) as transaction:
            value, entries = transaction.get(b"num-samples"), transaction.stat()["entries"]
        if value is None:
            raise DataError(f"{self.path}: expected the key 'num-samples', found none; this is "
                            "not a data set of word images, or writing it was interrupted")
        if not value.strip().isdigit() or int(value) == 0:
            raise DataError(f"{self.path}: expected a positive number under 'num-samples', found "
                            f"{value[:20]!r}; the data set is empty or damaged: get it again")
        if int(value) > entries:
            raise DataError(f"{self.path}: expected at most {entries} under 'num-samples', as "
                            f"many as there are entries, found {value[:20].decode()}; the data "
                            "set is damaged: get it again")
        return int(value)

    def _number(self, index: int) -> int:
        """Position in the file (from 1) of Python index `index`."""
        try:
            return range(1, len(self) + 1)[index]
        except IndexError:
            raise IndexError(f"{self.path}: expected an index below {len(self)}, found {index}; "
                             "records are numbered from 0") from None

    def _get(self, transaction: lmdb.Transaction, key: str, number: int) -> bytes:
        name = f"{key}-{number:09d}"
        value = transaction.get(name.encode())
        if value is None:
            with transaction.cursor() as cursor:
                first = cursor.key().decode(errors="replace") if cursor.first() else "nothing"
            raise RecordError(
                f"{self.path}, record {number - 1}: expected the key {name!r}, found none (the "
                f"first key is {first!r}); get the file again, or check that it has the layout "
                f"of {type(self).__name__}")
        return value

    def _label(self, transaction: lmdb.Transaction, number: int) -> str:
        value = self._get(transaction, "label", number)
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(f"{self.path}, record {number - 1}, key 'label-{number:09d}': "
                              f"expected UTF-8, found {value[:40]!r}; mend the label, or leave "
                              f"the record out: {SKIP}") from error

    def _decoded(self, index: int) -> tuple:
        *files, label = self.encoded(index)
        number = self._number(index)
        arrays = []
        for key, content in zip(self.image_keys, files, strict=True):
            try:
                arrays.append(read_image(content))
            except ImageError as error:
                raise RecordError(f"{self.path}, record {number - 1}, key '{key}-{number:09d}': "
                                  f"{error}; or leave it out: {SKIP}") from error
        return (*arrays, label)


class PairedWords(_Records):
    """A TextZoom LMDB: `len(self)` pairs, `self[i]` is a `Pair` in native sizes.

    Raises:
        DataError: no LMDB at `path`, or none of this layout.
        RecordError: (from `self[i]`) a missing key, a damaged image, a label that is not UTF-8.
    """

    image_keys = ("image_hr", "image_lr")

    def __getitem__(self, index: int) -> Pair:
        return Pair(*self._decoded(index))

    def encoded(self, index: int) -> EncodedPair:
        return EncodedPair(*super().encoded(index))


class Words(_Records):
    """A benchmark LMDB: `len(self)` words, `self[i]` is a `Word` in native size.

    Raises:
        DataError, RecordError: as `PairedWords`.
    """

    image_keys = ("image",)

    @staticmethod
    def holds(path: str | os.PathLike) -> bool:
        """Whether the LMDB at `path` holds single words rather than pairs."""
        with reading(path) as transaction:
            return transaction.get(b"image-000000001") is not None

    def __getitem__(self, index: int) -> Word:
        return Word(*self._decoded(index))

    def encoded(self, index: int) -> EncodedWord:
        return EncodedWord(*super().encoded(index))


def write_pairs(
    path: str | os.PathLike, records: Iterable[tuple[ImageLike, ImageLike, str]]
) -> int:
    """Write (hr, lr, label) records as a TextZoom LMDB; `path` is replaced when all are written.

    Args:
        path: the LMDB's folder.
        records: images as (H, W, 3) uint8 arrays (stored as PNG) or as encoded image files.

    Returns:
        How many were written. The same records give the same bytes.

    Raises:
        DataError: no records.
        OSError: the disk is full; `path` is as before.
    """
    return _write(path, records, PairedWords.image_keys)


def write_words(path: str | os.PathLike, records: Iterable[tuple[ImageLike, str]]) -> int:
    """Write (image, label) records as a benchmark LMDB; otherwise as `write_pairs`."""
    return _write(path, records, Words.image_keys)


def _write(path: str | os.PathLike, records: Iterable[tuple], keys: tuple[str, ...]) -> int:
    items = _items(records, keys)
    with atomic_path(path) as temporary:
        # no lock file: nobody else knows the temporary name
        handle = lmdb.open(str(temporary), map_size=_FIRST_MAP_SIZE, lock=False, sync=False)
        try:
            count = 0
            while batch := list(islice(items, _RECORDS_A_COMMIT * (len(keys) + 1))):
                _commit(handle, batch)
                count += len(batch) // (len(keys) + 1)
            if count == 0:
                raise DataError(f"{path}: expected at least one record to write, found none; "
                                "an empty data set cannot be opened")
            _commit(handle, [(b"num-samples", str(count).encode())])
        finally:
            handle.close()
        close(path)  # the old file's handle in this process, if any
    return count


def _items(records: Iterable[tuple], keys: tuple[str, ...]) -> Iterator[tuple[bytes, bytes]]:
    for number, (*images, label) in enumerate(records, start=1):
        for key, image in zip(keys, images, strict=True):
            content = image if isinstance(image, bytes) else encode_png(image)
            yield f"{key}-{number:09d}".encode(), content
        yield f"label-{number:09d}".encode(), label.encode("utf-8")


def _commit(handle: lmdb.Environment, batch: list[tuple[bytes, bytes]]) -> None:
    while True:
        try:
            with handle.begin(write=True) as transaction:
                for key, value in batch:
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            handle.set_mapsize(handle.info()["map_size"] * 2)
        except lmdb.DiskError as error:
            raise OSError(errno.ENOSPC, f"no room to write the LMDB: {error}") from error
