"""Word pairs as uint8 tensors: decoded once, kept where the training runs.

TextZoom is small (17 367 training pairs are 267 MB as uint8 at 32×128 and 16×64), so decoding and
resizing once is cheaper than a loader with workers; batches are an index (`kdltr.data.batches`).
"""

import logging
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from kdltr.charset import MAX_LENGTH, Charset, frames_needed
from kdltr.data.images import resize
from kdltr.data.lines import placed, separated
from kdltr.data.opening import open_pairs, open_words
from kdltr.data.records import DataError, RecordError, Word
from kdltr.data.shards import Shards
from kdltr.machine import cores

log = logging.getLogger(__name__)
_SPLIT_STREAM = 1  # keeps the validation split independent of the order of epoch 0


@dataclass(frozen=True)
class WordPairs:
    """M words in memory.

    Attributes:
        hr: (M, 3, 32, 128) uint8 RGB.
        lr: (M, 3, 16, 64) uint8 RGB.
        words: M labels as they stand in the data.
        skipped: one message for each record left out (`on_error="skip"`).
    """

    hr: torch.Tensor
    lr: torch.Tensor
    words: list[str]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.words)

    def subset(self, indices: torch.Tensor | Sequence[int]) -> "WordPairs":
        """The words at `indices`, in that order."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        place = indices.to(self.hr.device)
        words = [self.words[i] for i in indices.tolist()]
        return WordPairs(self.hr[place], self.lr[place], words)

    def sharp(self, indices: torch.Tensor) -> torch.Tensor:
        """HR images at `indices`: (B, 3, 32, 128), float32 in [0, 1]."""
        return self.hr[indices.to(self.hr.device)].float() / 255

    def blurred(self, indices: torch.Tensor) -> torch.Tensor:
        """LR images at `indices`: (B, 3, 16, 64), float32 in [0, 1]."""
        return self.lr[indices.to(self.lr.device)].float() / 255

    def to(self, device: str | torch.device) -> "WordPairs":
        """The same words with the images on `device`."""
        return WordPairs(self.hr.to(device), self.lr.to(device), self.words, self.skipped)


def load_pairs(
    paths: str | os.PathLike | Sequence,
    hr_size: tuple[int, int] = (32, 128),
    lr_size: tuple[int, int] = (16, 64),
    device: str | torch.device = "cpu",
    on_error: str = "raise",
    threads: int | None = None,
    lines: bool = False,
) -> WordPairs:
    """Decode and resize (Pillow bicubic on uint8 RGB) every pair at `paths`, in their order.

    Args:
        paths: TextZoom LMDBs, folders of pairs or of shards, or opened data sets of `Pair` or
            `Word`; a `Word` has no LR photograph, so its image is shrunk to `lr_size`.
        hr_size: (H, W) of the teacher's input.
        lr_size: (H, W) of the student's input.
        device: where the uint8 tensors go.
        on_error: "raise" stops at a damaged record, "skip" leaves it out, counts and logs it.
        threads: decoding threads, one a core if None; the result does not depend on it.
        lines: place the images on white canvases (`kdltr.data.lines.placed`), as recognisers of
            lines have them, in place of resizing them; a `Word`'s canvas is what is shrunk, and
            blanks in labels become ``|`` (`kdltr.data.lines.separated`).

    Raises:
        DataError: a path that is no data set, shards of other sizes, or no record left.
        RecordError: a damaged record, with `on_error="raise"`.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error: expected 'raise' or 'skip', found {on_error!r}")
    single = isinstance(paths, str | os.PathLike) or hasattr(paths, "label")
    datasets = [_open(path) for path in ([paths] if single else paths)]
    for dataset in datasets:
        if isinstance(dataset, Shards):  # resized when they were rendered
            dataset.check_sizes(hr=hr_size, lr=lr_size)
    places = [(dataset, i) for dataset in datasets for i in range(len(dataset))]
    results: list[str | RecordError] = [""] * len(places)
    hr = np.empty((len(places), 3, *hr_size), np.uint8)  # (M, 3, H, W)
    lr = np.empty((len(places), 3, *lr_size), np.uint8)

    def decode(row: int) -> None:
        dataset, index = places[row]
        try:
            record = dataset[index]
        except RecordError as error:
            if on_error == "raise":
                raise
            results[row] = error
            return
        sharp, small = (record.image, None) if isinstance(record, Word) else record[:2]
        fit, label = (placed, separated(record.label)) if lines else (resize, record.label)
        large = fit(sharp, hr_size)
        if small is not None:
            small = fit(small, lr_size)
        else:
            small = resize(large if lines else sharp, lr_size)
        hr[row], lr[row] = large.transpose(2, 0, 1), small.transpose(2, 0, 1)
        results[row] = label

    encoded, start = [], 0
    for dataset in datasets:
        rows = slice(start, start + len(dataset))
        if isinstance(dataset, Shards):
            dataset.copy_to(hr[rows], lr[rows])
            results[rows] = dataset.words
        else:
            encoded += range(rows.start, rows.stop)
        start = rows.stop
    with ThreadPoolExecutor(threads or cores()) as pool:  # the decoders run without Python's lock
        deque(pool.map(decode, encoded), maxlen=0)
    kept = [row for row, result in enumerate(results) if isinstance(result, str)]
    skipped = tuple(str(result) for result in results if not isinstance(result, str))
    if skipped:
        log.warning("left out %d of %d damaged records; the first: %s",
                    len(skipped), len(places), skipped[0])
    if not kept:
        raise DataError(f"{paths}: expected word pairs, found none that can be read of "
                        f"{len(places)}; {skipped[0] if skipped else 'give at least one path'}")
    if skipped:
        hr, lr = hr[kept], lr[kept]
    return WordPairs(torch.from_numpy(hr).to(device), torch.from_numpy(lr).to(device),
                     [results[row] for row in kept], skipped)


def load_words(paths: str | os.PathLike | Sequence, **options) -> WordPairs:
    """`load_pairs` for benchmark LMDBs or folders of single words: LR is the image shrunk."""
    single = isinstance(paths, str | os.PathLike)
    return load_pairs([open_words(path) for path in ([paths] if single else paths)], **options)


def split(n: int, fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of n words in two parts, both ascending: (training, validation).

    Args:
        n: number of words.
        fraction: share of the validation part, in [0, 1); above 0 it gets at least one word.
        seed: chooses which; the same for the same (n, fraction, seed).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction: expected a share in [0, 1), found {fraction}; 0.05 is usual")
    held_out = max(1, round(n * fraction)) if fraction > 0 else 0
    if held_out >= max(n, 1):
        raise DataError(f"expected more than {held_out} words to hold {held_out} of them out, "
                        f"found {n}; use more data, or a share of 0 (validation)")
    order = np.random.default_rng((seed, _SPLIT_STREAM)).permutation(n)
    validation, training = np.sort(order[:held_out]), np.sort(order[held_out:])
    return torch.from_numpy(training), torch.from_numpy(validation)


def select_labels(
    words: Sequence[str],
    charset: Charset,
    mode: str,
    longest: int = MAX_LENGTH,
    frames: int | None = None,
) -> tuple[list[int], list[str], dict[str, int]]:
    """Training labels from the words of the data.

    "filtered" folds what the charset lacks (`Charset.folded`: "café" is "cafe" to one without é),
    drops signs that it lacks, as the evaluation does, and leaves out words with letters or digits
    that it lacks (counted in a warning), and those then empty or longer than `longest`.
    "published" keeps every word as it is, for `charset.encode(words, unknown="end")`: there an
    unknown character becomes an end token inside the word, and a word longer than `longest` loses
    its end token.

    A recogniser that reads by CTC has so many `frames`; a word that needs more
    (`kdltr.charset.frames_needed`) counts as too long. None for others.

    Returns:
        kept indices, their words, and how many words the choice touches: `total`, `kept`,
        `outside_charset` (hold a character the charset lacks), `empty`, `too_long` (both after
        dropping characters in "filtered", as they stand in "published").

    Raises:
        DataError: no word is left.
    """
    if mode not in ("published", "filtered"):
        raise ValueError(f"labels: expected 'published' or 'filtered', found {mode!r}")
    kept, cleaned, lost = [], [], []
    report = dict.fromkeys(("total", "kept", "outside_charset", "empty", "too_long"), 0)
    report["total"] = len(words)
    for index, word in enumerate(words):
        known = charset.filter(word)
        label = known if mode == "filtered" else word
        shown = charset.folded(word) if mode == "filtered" else word
        report["outside_charset"] += known != (shown.lower() if charset.lower else shown)
        if mode == "filtered" and charset.unread(word):
            lost.append(word)
            continue
        report["empty"] += not label
        too_long = len(label) > longest or (bool(frames) and frames_needed(label) > frames)
        report["too_long"] += too_long
        if mode == "published" or (label and not too_long):
            kept.append(index)
            cleaned.append(label)
    report["kept"] = len(kept)
    if lost:
        log.warning("left out %d of %d words whose labels hold letters that charset %s lacks; the "
                    "first: %r", len(lost), len(words), charset.name, lost[0])
    if not kept:
        raise DataError(f"expected words of 1 to {longest} characters of charset {charset.name}, "
                        f"found none among {len(words)} (first: {list(words[:3])}); use another "
                        "charset or other data")
    if report["outside_charset"] or report["empty"] or report["too_long"]:
        log.info("labels=%s: %s", mode, report)
    return kept, cleaned, report


def _open(path):
    return open_pairs(path) if isinstance(path, str | os.PathLike) else path
