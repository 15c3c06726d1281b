"""Image files to (H, W, 3) uint8 RGB arrays, and the one way images are resized here.

Resizing is Pillow's bicubic on uint8 RGB, never a tensor interpolation: the published
recipe does it before dividing by 255, and antialiasing differs between the two.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdltr.data.records import ImageError

MIN_SIDE = 2  # pixels; less holds no character, and a 1×1 file is a known placeholder of crawlers


def read_image(source: str | os.PathLike | bytes | BinaryIO) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8 RGB.

    Grey is repeated in three channels, transparency is laid over white, 16-bit greys are scaled
    to 8 bits, and of an animation the first frame is read.

    Args:
        source: a path, the bytes of an image file, or a file open for binary reading.

    Raises:
        ImageError: no such file, no image, a damaged one, floating-point pixels, or a side
            shorter than `MIN_SIDE`.
    """
    name = _name(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            rgb = _to_rgb(image, name)
    except ImageError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        reason = error.strerror.lower()
        raise ImageError(f"{name}: expected an image file: {reason}; check the path") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: expected a PNG, JPEG or other image, found {_glance(source)}"
                         "; replace the file") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        # Pillow's decoders report damage with any of these.
        raise ImageError(f"{name}: the image is damaged or cut short ({error}); "
                         "get the file again") from error
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{name}: expected the image of a word, at least {MIN_SIDE} pixels on "
                         f"each side, found {height}×{width} (height×width); remove it")
    return rgb


def resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pillow bicubic of an (h, w, 3) uint8 array to `size` = (H, W), uint8 in and out."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"resize expected an (H, W, 3) uint8 array, found {array.shape} "
                         f"{array.dtype}; read images with kdltr.data.images.read_image")
    height, width = size
    return np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.BICUBIC))


def encode_png(array: np.ndarray) -> bytes:
    """An (H, W, 3) uint8 array as a PNG file, without loss; level 1, for speed."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    if image.mode == "F":
        raise ImageError(f"{name}: expected integer pixels, found floating-point ones, whose "
                         "range is unknown; save the image with 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)  # (H, W); Pillow's own conversion clips at 255
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageError(f"{name}: expected pixels of at most 16 bits, found values from "
                             f"{grey.min()} to {grey.max()}; save the image with 8 or 16 bits")
        scaled = ((grey * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(scaled[:, :, None], 3, axis=2)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(white, layer)
    return np.array(image.convert("RGB"))


def _name(source: str | os.PathLike | bytes | BinaryIO) -> str:
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "image file"))


def _glance(source: str | os.PathLike | bytes | BinaryIO) -> str:
    """The start of what was found, for the error message."""
    if isinstance(source, bytes):
        start = source[:8]
    elif isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            start = file.read(8)
    else:
        return "something else"
    return f"a file that starts with {start!r}" if start else "an empty file"
