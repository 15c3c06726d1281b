"""What words stand on: surfaces, their colours, and the light on them."""

from __future__ import annotations

import functools

import numpy as np

from kdltr.extras import optional

cv2 = optional("cv2", "generate")

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # brightness of an RGB colour


@functools.cache
def _textures() -> np.ndarray:
    """A bank of textures (8, 320, 1024) float32 of unit deviation: grain, cloth, wood, clouds."""
    rng = np.random.Generator(np.random.SFC64(20230801))
    scales = ((0.8, 0.8), (2, 2), (5, 5), (14, 14), (12, 1), (1, 12), (30, 3), (40, 40))
    bank = []
    for sigma_x, sigma_y in scales:
        noise = rng.standard_normal((320, 1024), dtype=np.float32)
        soft = cv2.GaussianBlur(noise, (0, 0), sigma_x, sigmaY=sigma_y)
        bank.append((soft - soft.mean()) / soft.std())
    return np.stack(bank).clip(-2.5, 2.5)


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random piece (height, width, 1) of the bank."""
    bank = _textures()
    height_left, width_left = bank.shape[1] - height, bank.shape[2] - width
    if height_left < 0 or width_left < 0:  # only a very long word in a very wide face
        bank = np.tile(bank, (1, 1 + height // bank.shape[1], 1 + width // bank.shape[2]))
        height_left, width_left = bank.shape[1] - height, bank.shape[2] - width
    k, y, x = (int(rng.integers(n)) for n in (len(bank), height_left + 1, width_left + 1))
    return bank[k, y : y + height, x : x + width, None]


def colours(rng: np.random.Generator, apart: float = 70.0) -> tuple[np.ndarray, np.ndarray]:
    """Background and ink, RGB float32: most often near-grey beside a colour, always apart.

    `apart` is how far their brightness differs at least, in grey levels.
    """
    while True:
        pair = rng.uniform(15, 240, (2, 3)).astype(np.float32)
        grey = pair @ LUMA
        # Signs and print pair a colour with near-black or near-white more often than not.
        for k in range(2):
            fade = np.float32(rng.uniform(0.15, 1.0))
            pair[k] += fade * (grey[k] - pair[k])
        if rng.random() < 0.5:
            light = rng.uniform(185, 245) if rng.random() < 0.5 else rng.uniform(10, 55)
            pair[int(rng.integers(2))] = light + rng.uniform(-8, 8, 3)
        distance = abs(float((pair[0] - pair[1]) @ LUMA))
        if distance > apart + 50 * rng.random() ** 2:
            return pair[0], pair[1]


def background(
    rng: np.random.Generator, colour: np.ndarray, height: int, width: int
) -> np.ndarray:
    """A surface (H, W, 3): plain or textured, sometimes of two colours or with a ruled line."""
    surface = np.empty((height, width, 3), dtype=np.float32)
    surface[:] = colour
    kind = rng.random()
    if kind < 0.65:
        strength = np.float32(1.5 + 8.0 * rng.random() ** 2)
        surface += strength * texture(rng, height, width)
    if kind < 0.2:  # a second grain over the first
        surface += np.float32(6.0 * rng.random()) * texture(rng, height, width)
    if rng.random() < 0.15:  # the edge of a sign, a rule, the gap between boards
        shade = (colour + rng.uniform(-60, 60, 3)).clip(0, 255).tolist()
        y = height * (rng.uniform(0.0, 0.22) if rng.random() < 0.5 else rng.uniform(0.78, 1.0))
        slope = height * 0.08 * rng.standard_normal()
        ends = (0, round(y - slope)), (width, round(y + slope))
        if rng.random() < 0.5:
            cv2.line(surface, *ends, shade, int(rng.integers(1, 4)), cv2.LINE_AA)
        else:
            far = height + 40 if y > height / 2 else -40
            area = np.array([*ends, (width, far), (0, far)], dtype=np.int32)
            cv2.fillPoly(surface, [area], shade, cv2.LINE_AA)
    return surface


def light(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Brightness (H, W, 1) around 1: a slope, and now and then a soft spot of light or shade."""
    slope = 0.12 * rng.standard_normal(2)
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    light = 1.0 + np.float32(slope[0]) * x + np.float32(slope[1]) * y
    if rng.random() < 0.2:
        at, reach = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.4)
        spot = np.exp(-0.5 * ((x - np.float32(at)) / np.float32(reach)) ** 2)
        light = light + np.float32(rng.uniform(-0.25, 0.2)) * spot
    return light[:, :, None]


def photograph(rng: np.random.Generator, colour: np.ndarray, height: int, width: int) -> np.ndarray:
    """Surroundings (H, W, 3) as a photograph has them: things of other colours, out of focus.

    Boards, posts, foliage, sky: a few shapes over a gradient, blurred by one lens, then grain.
    """
    other = (colour + rng.uniform(-50, 50) + rng.uniform(-25, 25, 3)).clip(0, 255)
    ramp = np.linspace(0, 1, width if rng.random() < 0.5 else height, dtype=np.float32)
    ramp = ramp[None, :, None] if len(ramp) == width else ramp[:, None, None]
    scene = np.empty((height, width, 3), dtype=np.float32)
    scene[:] = colour + ramp * (other - colour).astype(np.float32)
    for _ in range(int(rng.integers(2, 9))):
        shade = colour + 45 * rng.standard_normal() + 18 * rng.standard_normal(3)
        shade = shade.clip(0, 255).tolist()
        x, y = int(rng.integers(width)), int(rng.integers(height))
        form = rng.random()
        if form < 0.35:
            reach = rng.uniform(0.1, 0.8, 2) * height
            turn, axes = float(rng.uniform(0, 180)), np.maximum(reach, 1).astype(int).tolist()
            cv2.ellipse(scene, (x, y), axes, turn, 0, 360, shade, -1, cv2.LINE_AA)
        elif form < 0.7:
            corners = np.array([x, y]) + height * rng.uniform(-0.9, 0.9, (4, 2))
            cv2.fillConvexPoly(scene, cv2.convexHull(corners.astype(np.int32)), shade, cv2.LINE_AA)
        else:
            end = (rng.uniform(-0.5, 1.5, 2) * (width, height)).astype(int).tolist()
            cv2.line(scene, (x, y), end, shade, int(rng.integers(1, 6)), cv2.LINE_AA)
    soft = float(rng.uniform(0.5, 4.0))
    scene = cv2.GaussianBlur(scene, (0, 0), soft)
    scene += np.float32(rng.uniform(1, 12)) * texture(rng, height, width)
    return scene


def hard_light(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Brightness (H, W, 1) around 1 of light that does not spread: a shadow's edge, or a glare."""
    x, y = np.meshgrid(
        np.linspace(-0.5, 0.5, width, dtype=np.float32),
        np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(height / width),
    )
    turn = rng.uniform(0, 2 * np.pi)
    across = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    if rng.random() < 0.6:
        edge, soft = np.float32(rng.uniform(-0.35, 0.35)), np.float32(rng.uniform(0.004, 0.08))
        shade = np.float32(rng.uniform(0.15, 0.6))
        return (1 - shade / (1 + np.exp(((edge - across) / soft).clip(-20, 20))))[:, :, None]
    at = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5) * height / width
    reach = np.float32(rng.uniform(0.05, 0.3))
    far = ((x - np.float32(at[0])) ** 2 + (y - np.float32(at[1])) ** 2) / reach**2
    return (1 + np.float32(rng.uniform(0.2, 0.7)) * np.exp(-0.5 * far))[:, :, None]
