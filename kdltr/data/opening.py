"""What lies at a path: an LMDB, a folder of images or shards, opened alike and copied.

A folder of images has a labels.tsv (`kdltr.data.folder`); shards are opened where pairs are.
"""

import os

from kdltr.data.folder import PairFolder, WordFolder, is_folder, write_folder
from kdltr.data.lmdb import PairedWords, Words, write_pairs, write_words
from kdltr.data.shards import Shards, is_shards


def open_pairs(path: str | os.PathLike) -> PairedWords | PairFolder | Shards:
    """The pairs at `path`: a TextZoom LMDB, a folder of *.hr.png, *.lr.png and labels.tsv, shards.
    """
    if is_shards(path):
        return Shards(path)
    return PairFolder(path) if is_folder(path) else PairedWords(path)


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


def folder_to_lmdb(folder: str | os.PathLike, path: str | os.PathLike) -> int:
    """Copy a folder of pairs or words to an LMDB; the count is returned."""
    source = open_data(folder)
    write = write_pairs if isinstance(source, PairFolder) else write_words
    return write(path, (source.encoded(i) for i in range(len(source))))


def lmdb_to_folder(path: str | os.PathLike, folder: str | os.PathLike) -> int:
    """Copy an LMDB to a folder of PNG files with labels.tsv; pixels and labels stay the same."""
    source = open_data(path)
    return write_folder(folder, (source[i] for i in range(len(source))))
