"""Putting ink on a surface: shadow, outline, relief and wear, as signs and print have them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from kdltr.extras import optional
from kdltr.generator import surface
from kdltr.generator.surface import LUMA, texture

cv2 = optional("cv2", "generate")


def compose(
    rng: np.random.Generator,
    mask: np.ndarray,
    height: float,
    letters: int,
    effects: Collection[str] = (),
    distractors: np.ndarray | None = None,
) -> np.ndarray:
    """Put the ink of `mask` on a random surface, seen in some light.

    Args:
        mask: coverage (H, W) uint8.
        height: of the letters, in pixels.
        letters: how many.
        effects: of `kdltr.generator.EFFECTS`.
        distractors: coverage (H, W) uint8 of other words on the same surface.

    Returns:
        (H, W, 3) float32 RGB in 0..255.
    """
    rich = "ink" in effects
    faint = rich and rng.random() < 0.2
    ground, ink = surface.colours(rng, apart=25.0) if faint else surface.colours(rng)
    if "surroundings" in effects and rng.random() < 0.45:
        pixels = surface.photograph(rng, ground, *mask.shape)
        _calm(pixels, mask, ground, ink)
    else:
        pixels = surface.background(rng, ground, *mask.shape)
    if distractors is not None:
        pixels += distractors[:, :, None].astype(np.float32) / 255 * (ink - pixels)
    if rich and rng.random() < 0.4:
        mask, ink = _rich(rng, pixels, mask, ground, ink, height, letters)
    else:
        _plain(rng, pixels, mask, ink, height)
    cover = mask[:, :, None].astype(np.float32) * np.float32(rng.uniform(0.9, 1.0) / 255)
    if rng.random() < 0.25:  # worn or uneven ink
        ink = ink + np.float32(8.0) * texture(rng, *mask.shape)
    pixels += cover * (ink - pixels)
    if "surroundings" in effects and rng.random() < 0.08:
        _occlude(rng, pixels, height)
    pixels *= surface.light(rng, *mask.shape)
    if "light" in effects and rng.random() < 0.3:
        pixels *= surface.hard_light(rng, *mask.shape)
    return np.clip(pixels, 0, 255, out=pixels)


def _shifted(mask: np.ndarray, dx: float, dy: float) -> np.ndarray:
    return cv2.warpAffine(mask, np.array([[1.0, 0, dx], [0, 1, dy]]), mask.shape[::-1])


def _plain(rng, pixels: np.ndarray, mask: np.ndarray, ink: np.ndarray, height: float) -> None:
    """What lies between ink and surface, in place: now and then a shadow or an outline."""
    kind = rng.random()
    if kind < 0.15:  # cast shadow or a bevel: a shifted, softened copy, darker or lighter
        cast = _shifted(mask, *(height * rng.uniform(-0.09, 0.09, 2)).tolist())
        cast = cv2.GaussianBlur(cast, (0, 0), float(rng.uniform(0.5, 1.6)))
        depth = np.float32(rng.uniform(0.2, 0.6) / 255)
        pixels *= 1.0 - depth * cast[:, :, None].astype(np.float32)
    elif kind < 0.24:  # outline of a third colour
        _outline(rng, pixels, mask, ink, 3 if rng.random() < 0.6 else 5)


def _outline(rng, pixels: np.ndarray, mask: np.ndarray, ink: np.ndarray, size: int) -> None:
    wide = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    # Dark around light ink and light around dark ink: an outline that helps reading.
    rim = np.where(ink @ LUMA > 128, rng.uniform(0, 60, 3), rng.uniform(190, 250, 3))
    cover = cv2.GaussianBlur(wide, (3, 3), 0.6)[:, :, None].astype(np.float32) / 255
    pixels += cover * (rim.astype(np.float32) - pixels)


def _rich(
    rng, pixels: np.ndarray, mask: np.ndarray, ground: np.ndarray, ink: np.ndarray, height: float,
    letters: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Display lettering: depth, gradients, letters of several colours. Returns coverage and ink."""
    kind = rng.random()
    h, w = mask.shape
    if kind < 0.25:  # letters with a third dimension
        side = (ink * rng.uniform(0.2, 0.7)).astype(np.float32)
        dx, dy = (rng.choice([-1, 1], 2) * rng.uniform(0.3, 1.0, 2)).tolist()
        depth = mask
        for step in range(1, int(rng.integers(2, 6))):
            depth = np.maximum(depth, _shifted(mask, dx * step, dy * step))
        pixels += depth[:, :, None].astype(np.float32) / 255 * (side - pixels)
    elif kind < 0.45:
        _outline(rng, pixels, mask, ink, int(rng.choice([5, 7])))
        if rng.random() < 0.5:
            _outline(rng, pixels, mask, 255 - ink, 3)
    elif kind < 0.65:  # from one colour to another, down the letters
        end = _away(ink + rng.uniform(-110, 110, 3), ground)
        ramp = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
        ink = ink + ramp * (end - ink)
    elif kind < 0.8:  # every letter in its own colour, or nearly: letters differ in width
        left, _, width, _ = cv2.boundingRect(mask)
        palette = np.stack([_away(rng.uniform(0, 255, 3), ground) for _ in range(max(letters, 1))])
        place = (np.arange(w) - left) * len(palette) // max(width, 1)
        ink = palette[place.clip(0, len(palette) - 1)][None]
    elif kind < 0.92:  # relief: a lit and a shaded edge, the letters of the surface's own colour
        dx, dy = rng.choice([-1.0, 1.0], 2).tolist()
        edge = _shifted(mask, dx, dy).astype(np.float32) - _shifted(mask, -dx, -dy)
        pixels += np.float32(rng.uniform(0.25, 0.5)) * cv2.GaussianBlur(edge, (3, 3), 0)[:, :, None]
        ink = ground + np.float32(rng.uniform(0.25, 0.5)) * (ink - ground)
    else:  # hollow letters
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        mask = cv2.subtract(cv2.dilate(mask, brush), cv2.erode(mask, brush))
    return mask, ink.astype(np.float32)


def _away(colour: np.ndarray, ground: np.ndarray, apart: float = 60.0) -> np.ndarray:
    """The colour, made lighter or darker until it differs from `ground` by `apart` grey levels."""
    colour = np.asarray(colour, dtype=np.float32).clip(0, 255)
    gap = float((colour - ground) @ LUMA)
    if abs(gap) >= apart:
        return colour
    goal = float(ground @ LUMA) + (apart if float(ground @ LUMA) < 128 else -apart)
    return (colour + np.float32(goal - float(colour @ LUMA))).clip(0, 255)


def _calm(pixels: np.ndarray, mask: np.ndarray, ground: np.ndarray, ink: np.ndarray) -> None:
    """Flatten a photograph towards `ground`, in place, until the ink stands out from it."""
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
    if not near.any():
        return
    unrest = float((pixels[near] @ LUMA).std())
    gap = abs(float((ink - ground) @ LUMA))
    share = np.float32(min(1.0, 0.35 * gap / max(unrest, 1.0)))
    pixels += (1 - share) * (ground - pixels)


def _occlude(rng, pixels: np.ndarray, height: float) -> None:
    """Something thin in front of the word, in place: a wire, a twig, a scratch."""
    h, w = pixels.shape[:2]
    ends = [(int(rng.integers(w)), int(rng.integers(h))) for _ in range(2)]
    width = max(1, round(height * rng.uniform(0.02, 0.08)))
    cv2.line(pixels, *ends, rng.uniform(0, 255, 3).tolist(), width, cv2.LINE_AA)
