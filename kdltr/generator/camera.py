"""A camera that looks at a rendered scene: blur, sampling, colour, noise, sharpening, JPEG.

TextZoom's pairs are two photographs of one place at two focal lengths (Wang et al., ECCV 2020),
so both pictures of a pair are taken here by a `Camera`: the HR one close, the LR one zoomed out,
with a lens, a hand, a white balance and a JPEG encoder of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from kdltr.extras import optional

cv2 = optional("cv2", "generate")

DIFFICULTIES = ("easy", "medium", "hard")
# zoom ratio, blur in LR pixels, misalignment (sd, in scene pixels), noise (sd, grey levels)
_LEVELS = {
    "easy": ((1.6, 2.4), (0.35, 0.70), 0.8, (0.7, 3.0)),
    "medium": ((2.2, 3.2), (0.40, 0.85), 1.3, (1.0, 3.5)),
    "hard": ((2.9, 4.2), (0.45, 0.95), 1.6, (1.0, 4.0)),
}


@dataclass(frozen=True)
class Camera:
    """One camera setting. Lengths are in pixels of the picture it takes unless said otherwise."""

    zoom: float = 1.0  # scene pixels per picture pixel
    # Standard deviations along and across `angle`; a disc's are across, and across² / along.
    blur: tuple[float, float] = (0.4, 0.4)
    angle: float = 0.0  # of the blur, radians
    shape: str = "gaussian"  # gaussian, disc (out of focus) or line (hand shake)
    shift: tuple[float, float] = (0.0, 0.0)  # misalignment x, y, in scene pixels
    stretch: tuple[float, float] = (1.0, 1.0)  # misalignment of scale, x and y
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)  # exposure and white balance, RGB
    contrast: float = 1.0  # around mid-grey
    sharpen: float = 0.0  # the camera's own unsharp mask; it leaves the halos of real pictures
    noise: float = 1.0  # standard deviation of luminance noise, grey levels
    colour_noise: float = 1.0  # of chroma noise, correlated over 2×2 pixels as Bayer sensors do
    quality: int = 95  # of the JPEG file
    fringe: float = 0.0  # chromatic aberration: red is moved so far along x, blue the other way

    @classmethod
    def close(cls, rng: np.random.Generator) -> Camera:
        """The camera of an HR picture: nearly sharp, aligned, little noise."""
        u = rng.random(8)
        sigma = 0.25 + 0.45 * u[0] ** 2
        gain = 1.0 + 0.04 * (u[1:4] - 0.5)
        return cls(
            blur=(sigma, sigma), gain=tuple(gain.tolist()), sharpen=0.6 * float(u[4]),
            noise=0.5 + 2.0 * float(u[5]) ** 2, colour_noise=0.5 + 2.0 * float(u[6]) ** 2,
            quality=int(90 + 8 * u[7]),
        )

    @classmethod
    def far(cls, rng: np.random.Generator, difficulty: str) -> Camera:
        """The camera of an LR picture of ``difficulty`` easy, medium or hard."""
        if difficulty not in _LEVELS:
            raise ValueError(f"expected a difficulty of {DIFFICULTIES}, found {difficulty!r}")
        zooms, blurs, misalignment, noises = _LEVELS[difficulty]
        zoom, sigma, noise = (float(rng.uniform(*r)) for r in (zooms, blurs, noises))
        u = rng.random(8)
        shift = misalignment * rng.standard_normal(2) * (2.0 if u[0] < 0.12 else 1.0)
        shift = np.clip(shift, -6.0, 6.0)
        shape = "gaussian" if u[1] < 0.55 else "disc" if u[1] < 0.8 else "line"
        across = sigma * (0.55 + 0.45 * float(u[2]))
        exposure = math.exp(0.09 * float(rng.standard_normal()))
        gain = exposure * np.exp(0.04 * rng.standard_normal(3))
        return cls(
            zoom=zoom, blur=(sigma, across), angle=math.pi * float(u[3]), shape=shape,
            shift=(float(shift[0]), float(shift[1])),
            stretch=tuple((1.0 + 0.06 * (rng.random(2) - 0.4)).tolist()),
            gain=tuple(gain.tolist()), contrast=0.78 + 0.27 * float(u[4]),
            sharpen=1.6 * float(u[5]), noise=noise, colour_noise=noise * (0.4 + 0.8 * float(u[6])),
            quality=int(65 + 30 * u[7]),
        )

    def varied(self, rng: np.random.Generator) -> Camera:
        """The same picture under conditions that vary more than those of `close` and `far`.

        Focus from half to 1.7 times the blur, words cut off by misalignment, colour fringes, dull
        contrast, stronger compression: what real photographs of words were seen to have.
        """
        u = rng.random(8)
        blur = 0.5 + 1.2 * u[0] ** 2  # times as much
        astray = 3.0 if u[1] < 0.25 else 1.0
        gain = np.array(self.gain) * np.exp(0.08 * rng.standard_normal(3))
        return replace(
            self,
            blur=(self.blur[0] * blur, self.blur[1] * blur),
            shift=(self.shift[0] * astray, self.shift[1] * astray),
            gain=tuple(gain.tolist()),
            contrast=self.contrast * (0.65 + 0.45 * float(u[2])),
            noise=self.noise * (0.5 + 1.5 * float(u[3])),
            colour_noise=self.colour_noise * (0.5 + 1.5 * float(u[4])),
            sharpen=self.sharpen * 1.3 * float(u[5]),
            quality=int(self.quality * (0.5 + 0.5 * u[6])),
            fringe=float(rng.uniform(-0.5, 0.5)) if u[7] < 0.3 else 0.0,
        )

    def kernel(self, samples: float) -> np.ndarray:
        """The blur kernel (K, K), summing to 1, on a grid of ``samples`` per picture pixel."""
        along, across = (max(s * samples, 0.2) for s in self.blur)
        radius = max(1, math.ceil(2.4 * max(along, across)))
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
        u = x * math.cos(self.angle) + y * math.sin(self.angle)
        v = y * math.cos(self.angle) - x * math.sin(self.angle)
        if self.shape == "gaussian":
            kernel = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
        elif self.shape == "disc":  # of radius 2σ it has standard deviation σ on each axis
            kernel = np.clip(2 * across + 0.5 - np.hypot(u, v * along / across), 0, 1)
            kernel = cv2.GaussianBlur(kernel, (3, 3), 0.5)
        else:  # a line of length √12·σ, softened across by a third of σ
            beyond = np.maximum(np.abs(u) - math.sqrt(3) * along, 0)
            kernel = np.exp(-0.5 * ((beyond / 0.5) ** 2 + (v / max(0.35 * across, 0.45)) ** 2))
        return kernel / kernel.sum()

    def capture(
        self, scene: np.ndarray, box: tuple[int, int, int, int], rng: np.random.Generator
    ) -> bytes:
        """Photograph ``box`` (left, top, right, bottom) of ``scene`` (H, W, 3) float32 RGB.

        Returns a JPEG file of about box size / zoom. The scene should reach some pixels beyond
        the box, which misalignment and blur bring into view; beyond its edge it is repeated.
        """
        left, top, right, bottom = box
        # The lens works on a grid of about two samples a pixel: enough for kernels this wide.
        ratio = min(1.0, 2.0 / self.zoom)
        if ratio < 1.0:
            size = (round(scene.shape[1] * ratio), round(scene.shape[0] * ratio))
            scene = cv2.resize(scene, size, interpolation=cv2.INTER_AREA)
        seen = cv2.filter2D(
            scene, -1, self.kernel(self.zoom * ratio), borderType=cv2.BORDER_REPLICATE
        )
        if (self.zoom, self.shift, self.stretch) == (1.0, (0.0, 0.0), (1.0, 1.0)):
            picture = seen[top:bottom, left:right]
        else:
            picture = self._sample(seen, ratio, left, top, right, bottom)
        if self.fringe:
            for channel, side in ((0, 1.0), (2, -1.0)):
                move = np.array([[1, 0, side * self.fringe], [0, 1, 0]])
                picture[:, :, channel] = cv2.warpAffine(
                    picture[:, :, channel], move, picture.shape[1::-1],
                    borderMode=cv2.BORDER_REPLICATE,
                )
        return self._develop(picture, rng)

    def _sample(self, seen, ratio, left, top, right, bottom) -> np.ndarray:
        """Sample the blurred grid at picture pixels: centres map to centres, then misalign."""
        width = max(4, round((right - left) / self.zoom))
        height = max(4, round((bottom - top) / self.zoom))
        step_x = (right - left) / width * self.stretch[0]
        step_y = (bottom - top) / height * self.stretch[1]
        x = (left + right) / 2 + self.shift[0] + step_x * (0.5 - width / 2)
        y = (top + bottom) / 2 + self.shift[1] + step_y * (0.5 - height / 2)
        grid = np.array(
            [[step_x * ratio, 0, x * ratio - 0.5], [0, step_y * ratio, y * ratio - 0.5]],
            dtype=np.float64,
        )
        return cv2.warpAffine(
            seen, grid, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def _develop(self, picture: np.ndarray, rng: np.random.Generator) -> bytes:
        """From light to a JPEG file: colour, sensor noise, sharpening, encoding."""
        height, width, _ = picture.shape
        gain = np.array(self.gain, dtype=np.float32) * np.float32(self.contrast)
        picture = picture * gain + np.float32(127.5 * (1.0 - self.contrast))
        luma = rng.standard_normal((height, width, 1), dtype=np.float32)
        chroma = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), dtype=np.float32)
        chroma = cv2.resize(chroma, (width, height), interpolation=cv2.INTER_LINEAR)
        picture = picture + luma * np.float32(self.noise) + chroma * np.float32(self.colour_noise)
        if self.sharpen:
            soft = cv2.GaussianBlur(picture, (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE)
            picture = cv2.addWeighted(picture, 1.0 + self.sharpen, soft, -self.sharpen, 0.0)
        pixels = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
        done, data = cv2.imencode(
            ".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        )
        if not done:
            raise RuntimeError(f"OpenCV could not encode a picture of {width}×{height} as JPEG")
        return data.tobytes()
