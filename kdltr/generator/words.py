"""Words of the synthetic data: what one meets on signs, book spines and packages.

Frequencies come from ``wordfreq``, the block list from ``better-profanity``; no downloads.
"""

from __future__ import annotations

import functools
import importlib.resources
import string

import numpy as np

from kdltr.extras import optional, require

wordfreq = optional("wordfreq", "generate")

MAX_LENGTH = 25
VOCABULARY_SIZE = 20_000
# Word frequency to this power: at 1 a twentieth of all words would be "the".
TEMPER = 0.5

_ENDINGS = (":", ":", ".", ",", ",", "!", "?", ";", "'s", "...", "*")
_WRAPPERS = ("()", '""', "[]", "''", "<>", "{}")
_JOINERS = ("-", "-", "&", "/", "+", "_", "@", ".", "~", "=", "|", "\\", "^")
_CURRENCY = ("$", "$", "#", "")
_LOOKALIKES = str.maketrans("013457@$!", "oieastasi")
_INFLECTIONS = ("s", "es", "ed", "er", "ers", "ing", "y", "ist", "ists", "ism")
_SHORT = (
    "Ltd.", "Inc.", "Co.", "Dr.", "Mr.", "Mrs.", "St.", "Ave.", "No.", "Tel:", "Fax:", "Vol.",
    "Ed.", "Fig.", "Prof.", "Jr.", "vs.", "etc.",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@functools.cache
def blocked() -> frozenset[str]:
    """Slurs and obscenities of ``better-profanity``, lower case, letters only."""
    package = require("better_profanity", "generate")
    listed = importlib.resources.files(package) / "profanity_wordlist.txt"
    text = listed.read_text(encoding="utf-8")
    plain = ("".join(c for c in line.lower() if c.isalpha()) for line in text.splitlines())
    return frozenset(word for word in plain if word)


def is_blocked(word: str) -> bool:
    """Whether the letters of ``word`` are, inflect or contain a word of the block list.

    Digits that stand for letters are read as letters. Only listed words of five letters or more
    count when contained ("class" is harmless).
    """
    letters = "".join(c for c in word.lower().translate(_LOOKALIKES) if c.isalpha())
    listed = blocked()
    if letters in listed or any(letters.removesuffix(ending) in listed for ending in _INFLECTIONS):
        return True
    pieces = (
        letters[i:j] for i in range(len(letters)) for j in range(i + 5, len(letters) + 1)
    )
    return any(piece in listed for piece in pieces)


@functools.cache
def vocabulary() -> tuple[tuple[str, ...], np.ndarray]:
    """The common English words (lower case) and the cumulative weights to draw them by (V,)."""
    frequencies = wordfreq.get_frequency_dict("en", wordlist="best")
    words = [
        word
        for word in wordfreq.top_n_list("en", 3 * VOCABULARY_SIZE // 2, wordlist="best")
        if word.isascii() and word.isalpha() and len(word) <= 16
        and (len(word) > 1 or word in "ai") and not is_blocked(word)
    ][:VOCABULARY_SIZE]
    weights = np.array([frequencies[word] for word in words]) ** TEMPER
    cumulative = np.cumsum(weights)
    return tuple(words), cumulative / cumulative[-1]


def _pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def _plain(rng: np.random.Generator) -> str:
    words, cumulative = vocabulary()
    # The last cumulative weight is 1 and rng.random() < 1, so the place always exists.
    word = words[int(np.searchsorted(cumulative, rng.random(), side="right"))]
    case = rng.random()
    if case < 0.42:
        return word
    return word.capitalize() if case < 0.72 else word.upper()


def _number(rng: np.random.Generator) -> str:
    kind = int(rng.integers(8))
    n = [int(x) for x in rng.integers(0, 10 ** rng.integers(1, 5, 3))]
    if kind < 3:
        return str(n[0])
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(1, 13)), int(
        rng.integers(1950, 2030)
    )
    return (
        str(year),
        f"{day:02d}/{month:02d}/{year}",
        f"{_pick(rng, _CURRENCY)}{n[0] % 1000}.{n[1] % 100:02d}",
        f"{n[0] % 101}%" if n[2] % 2 else f"{n[0] % 24}:{n[1] % 60:02d}",
        f"{n[0]}-{n[1]}" if n[2] % 2 else f"{n[0] * 1000 + n[1] % 1000:,}",
    )[kind - 3]


def _code(rng: np.random.Generator) -> str:
    """Postcodes, models, seats: capitals and digits mixed, so that nothing but sight helps."""
    pool = string.ascii_uppercase + string.digits
    code = "".join(_pick(rng, pool) for _ in range(int(rng.integers(2, 8))))
    return code if rng.random() < 0.8 else f"{_pick(rng, _MONTHS)}{code[:2]}"


def _punctuated(rng: np.random.Generator) -> str:
    kind, word = rng.random(), _plain(rng)
    if kind < 0.5:
        return word + _pick(rng, _ENDINGS)
    if kind < 0.7:
        left, right = _pick(rng, _WRAPPERS)
        return left + word + right
    if kind < 0.9:
        return word + _pick(rng, _JOINERS) + _plain(rng)
    if kind < 0.95:
        return _pick(rng, "#@&$*`%") + word
    return f"www.{word.lower()}.com"


def _scrambled(rng: np.random.Generator) -> str:
    """Letters that are no word: brands, names of other languages, halves of hyphenated words."""
    words, _ = vocabulary()
    pieces = [_pick(rng, words) for _ in range(2)]
    word = "".join(piece[int(rng.integers(len(piece))) :][:5] for piece in pieces)
    case = rng.random()
    return word if case < 0.3 else word.capitalize() if case < 0.6 else word.upper()


def _abbreviated(rng: np.random.Generator) -> str:
    """Initials, units and ordinals: "Ltd.", "U.S.A", "25cm", "3rd"."""
    kind, number = int(rng.integers(4)), int(rng.integers(1, 100))
    letters = "".join(_pick(rng, string.ascii_uppercase) for _ in range(int(rng.integers(2, 5))))
    if kind == 0:
        return _pick(rng, _SHORT)
    if kind == 1:
        return letters if rng.random() < 0.5 else ".".join(letters)
    if kind == 2:
        return f"{number}{_pick(rng, ('cm', 'kg', 'ml', 'km', 'mm', 'GB', 'MB', 'h', 'am', 'pm'))}"
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number < 14 else ends.get(number % 10, 'th')}"


def draw_word(rng: np.random.Generator, varied: bool = False) -> str:
    """A random word of 1 to 25 of the 94 printable ASCII characters, never a blocked one.

    `varied` mixes in more of what no dictionary holds: numbers, prices, dates, codes,
    abbreviations, and letters that are no word.
    """
    while True:
        kind = rng.random()
        if varied and kind < 0.4:
            maker = (_scrambled if kind < 0.15 else _number if kind < 0.28
                     else _abbreviated if kind < 0.34 else _code)  # fmt: skip
            word = maker(rng)
            if 0 < len(word) <= MAX_LENGTH and not is_blocked(word):
                return word
            continue
        kind = rng.random() if varied else kind
        maker = (
            _plain if kind < 0.83 else _punctuated if kind < 0.91 else _number if kind < 0.97
            else _code
        )
        word = maker(rng)
        if len(word) <= MAX_LENGTH and not (maker is not _plain and is_blocked(word)):
            return word
