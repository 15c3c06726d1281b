"""What lies at a path: an LMDB, a folder of images or shards, opened alike and copied.

A folder of images has a labels.tsv (`kdltr.data.folder`); shards are opened where pairs are.
"""

import logging
import os
from collections.abc import Iterator, Sequence

from kdltr.data.folder import PairFolder, WordFolder, is_folder, write_folder
from kdltr.data.lmdb import PairedWords, Words, write_pairs, write_words
from kdltr.data.records import DataError, RecordError
from kdltr.data.shards import Shards, is_shards

log = logging.getLogger(__name__)


def open_pairs(path: str | os.PathLike) -> PairedWords | PairFolder | Shards:
    """The pairs at `path`: a TextZoom LMDB, a folder of *.hr.png, *.lr.png and labels.tsv, shards.

    Raises:
        DataError: single words, or nothing that kdltr reads.
    """
    if is_shards(path):
        return Shards(path)
    if not is_folder(path):
        return PairedWords(path)
    if not PairFolder.holds(path) and WordFolder(path).files(0)[0].is_file():
        raise DataError(f"{path}: expected pairs, NAME.hr.png with NAME.lr.png, found single "
                        "words; give these where words are taken (words), or name the files so")
    return PairFolder(path)


def open_words(path: str | os.PathLike) -> Words | WordFolder:
    """The words at `path`: a benchmark LMDB, or a folder of images with labels.tsv."""
    return WordFolder(path) if is_folder(path) else Words(path)


def open_data(path: str | os.PathLike) -> PairedWords | PairFolder | Shards | Words | WordFolder:
    """The data set at `path`, of pairs or of words: what it holds decides."""
    if is_shards(path):
        return Shards(path)
    if is_folder(path):
        return PairFolder(path) if PairFolder.holds(path) else WordFolder(path)
    return Words(path) if Words.holds(path) else PairedWords(path)


def folder_to_lmdb(
    folder: str | os.PathLike, path: str | os.PathLike, skip: bool = False
) -> int:
    """Copy a folder of pairs or words to an LMDB; the count is returned.

    Args:
        skip: leave damaged records out, with a warning for each.
    """
    source = open_data(folder)
    write = write_pairs if isinstance(source, PairFolder) else write_words
    return write(path, (source.encoded(i) for i, _ in _records(source, skip)))


def lmdb_to_folder(
    path: str | os.PathLike, folder: str | os.PathLike, skip: bool = False
) -> int:
    """Copy an LMDB to a folder of PNG files with labels.tsv; pixels and labels stay the same.

    Args:
        skip: as `folder_to_lmdb`.
    """
    return write_folder(folder, (record for _, record in _records(open_data(path), skip)))


def _records(source: Sequence, skip: bool) -> Iterator[tuple[int, tuple]]:
    """The number of each record, and what it holds."""
    for i in range(len(source)):
        try:
            yield i, source[i]
        except RecordError as error:
            if not skip:
                raise
            log.warning("left out: %s", error)
