"""Words made from nothing: fonts, lettering, surfaces, light, and a camera that blurs them.

Here are the names of what can be made; making it is in `synthetic` and `standins`, which need the
fonts and word lists of ``pip install 'kdltr[generate]'``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kdltr.messages import nearest

GENERATOR_VERSION = 1  # raise it whenever the bytes of any pair change
EFFECTS_VERSION = 1  # raise it whenever those of a pair with effects change
EFFECTS = (
    "words",  # more numbers, codes, abbreviations, and letters that are no word
    "letters",  # weights, widths, slants and tracking that no font at hand has
    "shape",  # arcs, waves, signs turned away, words aslant
    "ink",  # depth, gradients, several colours, relief, hollow letters, low contrast
    "surroundings",  # photographic backgrounds, other lines of text, something in front
    "light",  # the edge of a shadow, a glare
    "lens",  # defocus, shake, colour fringes, haze, misalignment, worse JPEG files
)
SPLITS = ("train1", "train2", "test/easy", "test/medium", "test/hard")


def split_number(split: str) -> int:
    """The place of a split in `SPLITS`; raises ``ValueError`` for one that there is not."""
    if split not in SPLITS:
        raise ValueError(f"expected a split, found {split!r}{nearest(split, SPLITS)}")
    return SPLITS.index(split)


def checked_effects(effects: Collection[str]) -> tuple[str, ...]:
    """Those of `EFFECTS` that are in `effects`, in their order.

    Raises ``ValueError`` for one that there is not.
    """
    effects = (effects,) if isinstance(effects, str) else tuple(effects)
    for name in effects:
        if name not in EFFECTS:
            raise ValueError(f"expected effects, found {name!r}{nearest(name, EFFECTS)}")
    return tuple(name for name in EFFECTS if name in effects)


def source(split: str, seed: int, effects: Collection[str] = ()) -> dict[str, Any]:
    """All that the pairs of a split depend on, as JSON values, to be recorded beside them.

    Raises ``ValueError`` for an unknown split or effect.
    """
    split_number(split)
    made_from = {"split": split, "seed": seed, "generator_version": GENERATOR_VERSION}
    if effects := checked_effects(effects):
        made_from |= {"effects": list(effects), "effects_version": EFFECTS_VERSION}
    return made_from
