"""Character sets: words to class ids and logits back to words.

Class 0 is the end token, or the blank of CTC; characters count from 1 in the order of the published
checkpoints, so a classifier's columns can be loaded as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch

END = 0
BLANK = 0  # of CTC, which has no end token
DECODINGS = ("attention", "ctc")  # how logits are read
OTHER = "\ufffd"  # in a charset: stands for every character that it lacks, and is never read
MAX_LENGTH = 25  # characters; every published model reads 25 characters and the end token


@dataclass(frozen=True)
class Reading:
    """One word as a model read it.

    Attributes:
        text: the characters before the first end token; in CTC those left when repeats are merged
            and blanks dropped.
        confidence: product of the greedy probabilities up to and including the end token; in CTC
            of the frames that are neither blank nor a repeat, or of all where all are blank.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class Charset:
    """An ordered set of characters.

    Attributes:
        name: what a model's configuration calls it.
        characters: class 1 is the first of them.
        lower: words are lower-cased before anything else.

    Raises:
        ValueError: a character is there twice: the second class would never be taught.
    """

    name: str
    characters: str
    lower: bool = False

    def __post_init__(self) -> None:
        if twice := [c for c, n in Counter(self.characters).items() if n > 1]:
            raise ValueError(f"charset {self.name}: expected each character once, found "
                             f"{''.join(twice)!r} twice; leave one")

    @property
    def size(self) -> int:
        """Number of output classes: the characters and the end token."""
        return len(self.characters) + 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters, start=1)}

    @cached_property
    def alphanumeric(self) -> bool:
        """Whether its letters, digits and marks are of [0-9a-zA-Z]."""
        return _compared(self.characters).isascii()

    def folded(self, word: str) -> str:
        """``word`` with each character that this set lacks in its compatibility form.

        Marks that it lacks are dropped: to one of [a-z] "café" and "ｃａｆｅ" are "cafe", where one
        with é leaves "café" as it is. Lower-cased if ``lower``.
        """
        if not word.isascii():
            word = unicodedata.normalize("NFC", word.lower() if self.lower else word)
            for character, composed in self._decomposed.items():
                word = word.replace(composed, character)
            word = "".join(c if c in self._ids else self._parts(c) for c in word)
        return word.lower() if self.lower else word

    @cached_property
    def _decomposed(self) -> dict[str, str]:
        """Characters that NFC puts others for, as it does of some scripts, and these."""
        composed = {c: unicodedata.normalize("NFC", c) for c in self.characters}
        return {c: other for c, other in composed.items() if c != other}

    def _parts(self, character: str) -> str:
        parts = unicodedata.normalize("NFKD", character)
        return "".join(c for c in parts if c in self._ids or not unicodedata.combining(c))

    def filter(self, word: str) -> str:
        """``word``, folded, without the characters this set lacks."""
        return "".join(c for c in self.folded(word) if c in self._ids)

    def unread(self, word: str) -> str:
        """The letters and digits of ``word``, folded, that this set lacks."""
        return "".join(c for c in self.folded(word) if c.isalnum() and c not in self._ids)

    @cached_property
    def _small(self) -> Charset:
        """The same in lower case, whatever case it has."""
        return Charset(self.name, "".join(dict.fromkeys(self.characters.lower())), lower=True)

    def comparable(self, word: str) -> str:
        """``word`` as accuracies compare it: letters and digits alone, in lower case (paper §4.1).

        Of an `alphanumeric` set only [0-9a-z], folded; of any other all, and marks that it has.
        """
        if self.alphanumeric:
            return alphanumeric_lower(word)
        return _compared(self._small.folded(word))

    def encode(
        self, words: Sequence[str], steps: int | None = None, unknown: str = "error"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Class ids of ``words``, each followed by end tokens.

        Args:
            words: N words.
            steps: T; the longest word and its end token if None. A word of ``steps`` characters
                or more is cut and loses its end token, as in the published code.
            unknown: what a character outside the set becomes: ``"error"``, or ``"end"`` for an end
                token inside the word (the published ABINet and MATRN targets). A set that has
                `OTHER` takes that.

        Returns:
            ids (N, T) int64 and lengths (N,) int64, which count the end token.

        Raises:
            ValueError: an unknown character with ``unknown="error"``, or another ``unknown``.
        """
        if unknown not in ("error", "end"):
            raise ValueError(f"unknown must be 'error' or 'end', not {unknown!r}")
        words = [word.lower() if self.lower else word for word in words]
        other = self._ids.get(OTHER, END)
        steps = steps or max((len(word) for word in words), default=0) + 1
        ids = torch.zeros(len(words), steps, dtype=torch.int64)
        lengths = torch.zeros(len(words), dtype=torch.int64)
        for row, word in enumerate(words):
            codes = [self._ids.get(character, other) for character in word[:steps]]
            if unknown == "error" and END in codes:
                raise ValueError(
                    f"word {word!r} holds {word[codes.index(END)]!r}, which charset {self.name} "
                    f"lacks; use labels='filtered', or Charset.filter, to drop such characters"
                )
            ids[row, : len(codes)] = torch.tensor(codes, dtype=torch.int64)
            lengths[row] = min(len(word) + 1, steps)
        return ids, lengths

    def decode(self, logits: torch.Tensor, decoding: str = "attention") -> list[Reading]:
        """Greedy readings of ``logits`` (N, T, C).

        Args:
            logits: class scores of each step.
            decoding: "attention" or "ctc", as `kdltr.Recogniser` says of itself.

        Raises:
            ValueError: the last dimension is not the number of classes, or another ``decoding``.
        """
        if decoding not in DECODINGS:
            raise ValueError(f"decoding must be one of {DECODINGS}, found {decoding!r}")
        if logits.ndim != 3 or logits.shape[-1] != self.size:
            raise ValueError(
                f"charset {self.name} decodes logits (N, T, {self.size}), found "
                f"{tuple(logits.shape)}"
            )
        best, ids = logits.float().softmax(-1).max(-1)  # (N, T)
        if decoding == "attention":
            ended = (ids == END).cumsum(-1)
            kept, counted = ended == 0, ended - (ids == END).long() == 0
        else:
            kept = kept_frames(ids)
            counted = kept | ~kept.any(-1, keepdim=True)
        confidence = torch.where(counted, best, 1.0).prod(-1).tolist()
        return [
            Reading("".join(self.characters[i - 1] for i in row if i).replace(OTHER, ""),
                    probability)
            for row, probability in zip((ids * kept).tolist(), confidence, strict=True)
        ]


def kept_frames(ids: torch.Tensor) -> torch.Tensor:
    """Which frames (N, T) of CTC are neither blank nor a repeat, by their classes (N, T)."""
    repeat = torch.zeros_like(ids, dtype=torch.bool)
    repeat[:, 1:] = ids[:, 1:] == ids[:, :-1]
    return (ids != BLANK) & ~repeat


def frames_needed(word: str) -> int:
    """Frames that ``word`` takes in CTC: a doubled letter has a blank between."""
    return len(word) + sum(one == other for one, other in pairwise(word))


ALNUM36 = Charset("alnum36", "abcdefghijklmnopqrstuvwxyz1234567890", lower=True)
DIGITS_FIRST36 = Charset("digits_first36", "0123456789abcdefghijklmnopqrstuvwxyz", lower=True)
ASCII94 = Charset(
    "ascii94",
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
)
ASCII95 = Charset("ascii95", ASCII94.characters + " ")  # for lines of words
# DAN's: of scene text, and of handwritten lines, where words are parted by |.
ALNUM36_OTHER = Charset("alnum36_other", ALNUM36.characters + OTHER, lower=True)
IAM79 = Charset(
    "iam79", "!#\"'&)(+*-,/.1032547698;:?ACBEDGFIHKJMLONQPSRUTWVYXZacbedgfihkjmlonqpsrutwvyxz|"
)

CHARSETS = {
    charset.name: charset
    for charset in (ALNUM36, DIGITS_FIRST36, ASCII94, ASCII95, ALNUM36_OTHER, IAM79)
}


def fold(word: str) -> str:
    """``word`` in its compatibility form (NFKD) without marks: "café" and "ｃａｆｅ" as "cafe"."""
    if word.isascii():
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _compared(word: str) -> str:
    """The letters, digits and marks of ``word``."""
    return "".join(c for c in word if unicodedata.category(c)[0] in "LMN")


def alphanumeric_lower(word: str) -> str:
    """``word`` as accuracies compare it: folded, lower case, only [0-9a-z] (paper §4.1)."""
    return re.sub("[^0-9a-z]", "", fold(word).lower())
