"""Degrading word images: as the paper does, at random, and one way at a time by level for curves.

A corruption is a function of an image (H, W, 3) uint8 RGB and a NumPy generator; it returns a new
image of the same shape. `degrade` applies one to a batch. Every image has a generator of its own,
made from (seed, index), so a degraded image is a pure function of the image, the seed and its
index in the data, whatever the batches, and the levels of one kind share their random numbers.

`published` is the degradation of the paper's benchmark images. Its published form is a pipeline
of imgaug 0.4, and the parameters mean here what they mean there:

- the kernel of Gaussian blur is cut off at 3.3 σ in all (at least 5 pixels), σ < 0.001 is no blur;
- average blur with an even k shifts the image by half a pixel;
- the median's k is drawn from 3 to 7 and an even one becomes the next odd one: 3 in a fifth of
  the images, 5 and 7 in two fifths each;
- motion blur has a random angle in [0, 360) degrees and a random direction in [-1, 1], which
  weights the ends of the line from 0 to 1;
- mean shift has a spatial and a colour radius in [5, 40) each;
- each superpixel is replaced by its mean colour with one probability an image, drawn from
  [0.1, 0.5]; one segment is the whole image, of which then nothing can be read;
- noise is rounded before it is added, and is equal in the three channels half the time.

Different are: the stream of random numbers (imgaug's was not seeded in the published code); the
kernel of motion blur, not rounded to 8 bits; and the superpixels of today's scikit-image, which
spreads the image's values to [0, 1] before clustering.

Single corruptions for curves are in `KINDS`, made by `corruption(name, level)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdltr.data.images import resize
from kdltr.extras import optional

cv2 = optional("cv2", "generate")
segmentation = optional("skimage.segmentation", "generate")

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]
PROBABILITY = 0.25  # of each degradation of the published list


def degrade(
    images: Tensor, corruption: Corruption, seed: int, indices: Sequence[int] | None = None
) -> Tensor:
    """Apply `corruption` to each of `images` (M, 3, H, W) uint8 RGB; the result is a new tensor.

    Args:
        images: for instance `WordPairs.lr`.
        corruption: `published`, or one made by `corruption(name, level)`.
        seed: of the random numbers, at least 0.
        indices: each image's index in its data, from which (with the seed) its random numbers
            come; 0 to M - 1 if None.

    Raises:
        ValueError: images of another type or shape, or as many indices as there are images not.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"degrade expected images (M, 3, H, W) uint8, found {tuple(images.shape)} "
            f"{images.dtype}; degrade them before they are divided by 255"
        )
    indices = range(len(images)) if indices is None else indices
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    degraded = np.empty(pixels.shape, np.uint8)
    for place, (image, index) in enumerate(zip(pixels, indices, strict=True)):
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, int(index)))))
        degraded[place] = corruption(np.ascontiguousarray(image), rng)
    return torch.from_numpy(degraded).permute(0, 3, 1, 2).contiguous().to(images.device)


def gaussian_blur(image: np.ndarray, sigma: float, size: int = 0) -> np.ndarray:
    """Blur by σ pixels; `size` is the kernel's width, wide enough for 8 bits if 0."""
    if sigma < 1e-3:
        return image.copy()
    return cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)


def average_blur(image: np.ndarray, k: int) -> np.ndarray:
    """Mean of k × k pixels."""
    return cv2.blur(image, (k, k), borderType=cv2.BORDER_REFLECT_101)


def median_blur(image: np.ndarray, k: int) -> np.ndarray:
    """Median of k × k pixels, channel by channel; an even k counts as k + 1."""
    return cv2.medianBlur(image, k + 1 - k % 2)


def bilateral_blur(
    image: np.ndarray, d: int, sigma_colour: float, sigma_space: float
) -> np.ndarray:
    """Mean over a disc of diameter d, weighted by nearness in place and colour."""
    return cv2.bilateralFilter(image, d, sigma_colour, sigma_space)


def motion_blur(image: np.ndarray, k: int, angle: float, direction: float) -> np.ndarray:
    """Mean along a line of k pixels, `angle` degrees clockwise from upright (k odd).

    `direction` in [-1, 1] puts the weight at one end of the line or the other; 0: evenly.
    """
    line = np.zeros((k, k), np.float32)
    line[:, k // 2] = np.linspace((1 + direction) / 2, (1 - direction) / 2, k)
    turn = cv2.getRotationMatrix2D((k // 2, k // 2), -angle, 1.0)
    kernel = cv2.warpAffine(line, turn, (k, k), flags=cv2.INTER_LINEAR)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def mean_shift_blur(image: np.ndarray, radius: float, colour_radius: float) -> np.ndarray:
    """Mean-shift filter over two levels of a pyramid: flat colours with soft borders."""
    return cv2.pyrMeanShiftFiltering(image, radius, colour_radius)


def superpixels(
    image: np.ndarray, rng: np.random.Generator, probability: float, segments: int
) -> np.ndarray:
    """Paint each of about `segments` superpixels in its mean colour with `probability`."""
    painted = rng.random(segments) < probability
    if not painted.any():
        return image.copy()
    labels = segmentation.slic(image, segments, compactness=10, start_label=0)
    result = image.copy()
    for number, label in enumerate(np.unique(labels)):
        if painted[number % segments]:  # there may be more superpixels than asked for
            place = labels == label
            result[place] = np.round(image[place].mean(axis=0))
    return result


def gaussian_noise(
    image: np.ndarray, rng: np.random.Generator, sigma: float, per_channel: bool = True
) -> np.ndarray:
    """Add noise of standard deviation σ (of 255); not `per_channel`: one value a pixel."""
    shape = (*image.shape[:2], 3 if per_channel else 1)
    noise = np.rint(sigma * rng.standard_normal(shape))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Store as JPEG of `quality` (1 to 100) and read again."""
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1]


def resolution(image: np.ndarray, height: int) -> np.ndarray:
    """Shrink to `height` pixels, as it is shaped, and enlarge to its size again (bicubic)."""
    small = (height, max(1, round(height * image.shape[1] / image.shape[0])))
    return resize(resize(image, small), image.shape[:2])


def _published_gaussian_blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sigma = rng.uniform(0, 3)
    return gaussian_blur(image, sigma, max(int(3.3 * sigma), 5) | 1)


PUBLISHED: tuple[Corruption, ...] = (
    _published_gaussian_blur,
    lambda image, rng: average_blur(image, int(rng.integers(1, 6))),
    lambda image, rng: median_blur(image, int(rng.integers(3, 8))),
    lambda image, rng: bilateral_blur(image, int(rng.integers(3, 10)), *rng.uniform(10, 250, 2)),
    lambda image, rng: motion_blur(image, 3, rng.uniform(0, 360), rng.uniform(-1, 1)),
    lambda image, rng: mean_shift_blur(image, *rng.uniform(5, 40, 2)),
    lambda image, rng: superpixels(image, rng, rng.uniform(0.1, 0.5), int(rng.integers(1, 8))),
    lambda image, rng: gaussian_noise(image, rng, rng.uniform(0, 0.05 * 255), rng.random() < 0.5),
)


def published(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The paper's degradation: each of `PUBLISHED` with `PROBABILITY`, in random order."""
    for number in rng.permutation(len(PUBLISHED)):
        if rng.random() < PROBABILITY:
            image = PUBLISHED[number](image, rng)
    return image.copy()


@dataclass(frozen=True)
class Kind:
    """A corruption with one level.

    Attributes:
        name: for people.
        level: what the level is.
        apply: of an image, a generator and a level.
        low, high: the levels it knows, both included.
    """

    name: str
    level: str
    apply: Callable[[np.ndarray, np.random.Generator, float], np.ndarray]
    low: float
    high: float

    @property
    def title(self) -> str:
        """Name and level, for tables and axes."""
        return f"{self.name}: {self.level}"


KINDS = {
    "gaussian_blur": Kind(
        "Gaussian blur", "σ in pixels", lambda x, rng, s: gaussian_blur(x, s), 0, 100),
    "gaussian_noise": Kind("Gaussian noise", "σ of 255", gaussian_noise, 0, 255),
    "average_blur": Kind(
        "Average blur", "k × k pixels", lambda x, rng, k: average_blur(x, int(k)), 1, 99),
    "median_blur": Kind(
        "Median blur", "k × k pixels, k odd", lambda x, rng, k: median_blur(x, int(k)), 1, 99),
    "bilateral_blur": Kind(
        "Bilateral blur", "σ of colour and place, d = 9",
        lambda x, rng, s: bilateral_blur(x, 9, s, s), 1, 1000),
    "motion_blur": Kind(
        "Motion blur", "k pixels at any angle, k odd",
        lambda x, rng, k: motion_blur(x, int(k) | 1, rng.uniform(0, 360), 0.0), 1, 99),
    "mean_shift_blur": Kind(
        "Mean shift", "radius of place and colour",
        lambda x, rng, r: mean_shift_blur(x, r, r), 1, 100),
    "superpixels": Kind(
        "Superpixels", "share of 7 replaced", lambda x, rng, p: superpixels(x, rng, p, 7), 0, 1),
    "jpeg": Kind("JPEG", "quality", lambda x, rng, q: jpeg(x, int(q)), 1, 100),
    "resolution": Kind(
        "Resolution", "height in pixels", lambda x, rng, h: resolution(x, int(h)), 2, 1000),
}  # fmt: skip


def corruption(name: str, level: float) -> Corruption:
    """The corruption `name` of `KINDS` at `level`, for `degrade`.

    Raises:
        ValueError: no such name, or a level that it does not know.
    """
    if name not in KINDS:
        raise ValueError(f"expected a corruption of {', '.join(KINDS)}, found {name!r}")
    kind = KINDS[name]
    if not kind.low <= level <= kind.high:
        raise ValueError(f"{name}: expected a level ({kind.level}) from {kind.low} to {kind.high}, "
                         f"found {level}")
    return lambda image, rng: kind.apply(image, rng, level)
