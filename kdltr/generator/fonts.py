"""Font faces of the synthetic data, from PyPI packages only, never from the system.

Every face is listed by package, family and file name, so that its place in the list is the same
on every machine. Faces that a person cannot read at 32 px (hairlines) and fonts of symbols are
left out; Computer Modern stores other glyphs at some ASCII codes and writes a subset only.
"""

from __future__ import annotations

import functools
import importlib.metadata
import string
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PIL import ImageFont

from kdltr.extras import MissingExtra

ASCII = frozenset(string.ascii_letters + string.digits + string.punctuation)
LETTERS = frozenset(string.ascii_letters + string.digits + ".,:;!?-'()/")

# Families that no training split ever uses; a third of every test split is written with them:
# a serif, a plain sans and a condensed display face.
HELD_OUT = ("Caladea", "Fjalla One", "Hanken Grotesk")

_WEIGHTS = ("Regular", "Italic", "Bold", "BoldItalic")
_RED_HAT = ("Black", "Bold", "ExtraBold", "Light", "Medium", "Regular", "SemiBold")
_SOURCE = ("Black", "Bold", "ExtraLight", "Light", "Regular", "Semibold")
_DEJAVU = ("", "-Bold", "-BoldOblique", "-Oblique")


def _italics(weights: tuple[str, ...], italic: str) -> tuple[str, ...]:
    """The weights and their italics; the italic of "Regular" drops the weight's name."""
    slanted = tuple((w if w != "Regular" else "") + italic for w in weights)
    return weights + slanted


# (package, family, file name with {} for the face, faces, characters it can write)
_FAMILIES = (
    ("font-amatic-sc", "Amatic SC", "AmaticSC-{}.ttf", ("Bold", "Regular"), ASCII),
    ("font-caladea", "Caladea", "Caladea-{}.ttf", _WEIGHTS, ASCII),
    ("matplotlib", "Computer Modern", "{}.ttf", ("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
     LETTERS),
    ("matplotlib", "DejaVu Sans", "DejaVuSans{}.ttf", _DEJAVU, ASCII),
    ("matplotlib", "DejaVu Sans Mono", "DejaVuSansMono{}.ttf", _DEJAVU, ASCII),
    ("matplotlib", "DejaVu Serif", "DejaVuSerif{}.ttf", ("", "-Bold", "-BoldItalic", "-Italic"),
     ASCII),
    ("font-fjallaone", "Fjalla One", "FjallaOne-{}.ttf", ("Regular",), ASCII),
    ("font-fredoka-one", "Fredoka One", "FredokaOne-{}.ttf", ("Regular",), ASCII),
    ("font-hanken-grotesk", "Hanken Grotesk", "HankenGrotesk-{}.otf",
     _italics(("Bold", "Light", "Medium", "Regular", "SemiBold"), "Italic"), ASCII),
    ("font-lato", "Lato", "Lato-{}.ttf",
     _italics(("Black", "Bold", "Light", "Regular"), "Italic"), ASCII),
    ("font-manrope", "Manrope", "Manrope-{}.ttf",
     ("Bold", "ExtraBold", "ExtraLight", "Light", "Medium", "Regular", "SemiBold"), ASCII),
    ("font-rhd", "Red Hat Display", "RedHatDisplay-{}.ttf", _italics(_RED_HAT, "Italic"), ASCII),
    ("font-roboto", "Roboto", "Roboto-{}.ttf",
     _italics(("Black", "Bold", "Light", "Medium", "Regular"), "Italic"), ASCII),
    ("matplotlib", "STIX General", "STIXGeneral{}.ttf", ("", "Bol", "BolIta", "Italic"), ASCII),
    ("font-source-sans-pro", "Source Sans Pro", "SourceSansPro-{}.ttf", _italics(_SOURCE, "It"),
     ASCII),
    ("font-source-serif-pro", "Source Serif Pro", "SourceSerifPro-{}.ttf", _italics(_SOURCE, "It"),
     ASCII),
)

# Of handwriting, whatever a line of IAM's holds. Each split has hands of its own, printed ones and
# joined ones, so that no line is read that a recogniser has learned the hand of.
HANDS = {
    "train": (
        ("fontpkg-caveat", "Caveat", "Caveat[wght].ttf", ("",), ASCII),
        ("fontpkg-dancing-script", "Dancing Script", "DancingScript[wght].ttf", ("",), ASCII),
        ("fontpkg-great-vibes", "Great Vibes", "GreatVibes-Regular.ttf", ("",), ASCII),
        ("font-intuitive", "Intuitive", "Intuitive.ttf", ("",), ASCII),
        ("fontpkg-kalam", "Kalam", "Kalam-{}.ttf", ("Bold", "Light", "Regular"), ASCII),
        ("fontpkg-lobster", "Lobster", "Lobster-Regular.ttf", ("",), ASCII),
        ("fontpkg-oleo-script", "Oleo Script", "OleoScript-{}.ttf", ("Bold", "Regular"), ASCII),
        ("fontpkg-pacifico", "Pacifico", "Pacifico-Regular.ttf", ("",), ASCII),
        ("fontpkg-shadows-into-light", "Shadows Into Light", "ShadowsIntoLight.ttf", ("",), ASCII),
        ("fontpkg-zeyada", "Zeyada", "Zeyada.ttf", ("",), ASCII),
    ),
    "validation": (
        ("fontpkg-delius", "Delius", "Delius-Regular.ttf", ("",), ASCII),
        ("fontpkg-yellowtail", "Yellowtail", "Yellowtail-Regular.ttf", ("",), ASCII),
    ),
    "test": (
        ("fontpkg-indie-flower", "Indie Flower", "IndieFlower-Regular.ttf", ("",), ASCII),
        ("fontpkg-satisfy", "Satisfy", "Satisfy-Regular.ttf", ("",), ASCII),
    ),
}


@dataclass(frozen=True)
class Face:
    """One font file: where it comes from and which characters it can write."""

    package: str
    family: str
    file: str
    path: str
    characters: frozenset[str]

    @property
    def small_caps(self) -> bool:
        """Lower case is drawn as small capitals, so a word in it is only honest in upper case."""
        return self.family == "Amatic SC"

    def can_write(self, word: str) -> bool:
        return self.characters.issuperset(word)


@functools.cache
def faces() -> tuple[Face, ...]:
    """All faces of type, ordered by family and file name (never by where they are installed).

    Raises ``MissingExtra`` when one of the font packages is missing, ``RuntimeError`` when it is of
    another version.
    """
    return _found(_FAMILIES)


@functools.cache
def hands(split: str) -> tuple[tuple[Face, ...], ...]:
    """The faces of `HANDS` that a split is written in, by family; errors as `faces`."""
    return _by_family(_found(HANDS[split]))


def _found(families: tuple[tuple, ...]) -> tuple[Face, ...]:
    found = []
    for package, family, pattern, names, characters in families:
        wanted = {pattern.format(name) for name in names}
        try:
            files = importlib.metadata.distribution(package).files or []
        except importlib.metadata.PackageNotFoundError as error:
            raise MissingExtra(
                f"expected the font package {package}, found no files of {family}; "
                "run: pip install 'kdltr[generate]'"
            ) from error
        paths = {f.name: str(f.locate()) for f in files if f.name in wanted}
        if paths.keys() != wanted:
            raise RuntimeError(
                f"expected {len(wanted)} faces of {family} in package {package!r}, found "
                f"{len(paths)} (missing: {', '.join(sorted(wanted - paths.keys()))}); install the "
                "version pinned in constraints.txt"
            )
        found += [Face(package, family, n, paths[n], characters) for n in wanted]
    return tuple(sorted(found, key=lambda face: (face.family, face.file)))


@functools.cache
def families(held_out: bool) -> tuple[tuple[Face, ...], ...]:
    """The faces grouped by family: those kept for testing, or those used everywhere."""
    return _by_family(face for face in faces() if (face.family in HELD_OUT) == held_out)


def _by_family(chosen: Iterable[Face]) -> tuple[tuple[Face, ...], ...]:
    return tuple(tuple(group) for _, group in groupby(chosen, lambda face: face.family))


def draw_face(rng: np.random.Generator, word: str, held_out: bool) -> Face:
    """A face that can write ``word``: first a family, so that large ones do not dominate."""
    while True:
        face = _pick(rng, _pick(rng, families(held_out)))
        if face.can_write(word):
            return face


def draw_hand(rng: np.random.Generator, split: str) -> Face:
    """A face of a split of `HANDS`: first a family, as `draw_face`."""
    return _pick(rng, _pick(rng, hands(split)))


def _pick(rng: np.random.Generator, options: tuple):
    return options[int(rng.integers(len(options)))]


@functools.lru_cache(maxsize=1024)
def font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """An open font of ``size`` px; opening costs more than drawing a word, so it is kept."""
    # The basic layout engine needs no libraqm and so draws the same everywhere.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
