"""Image files to (H, W, 3) uint8 RGB arrays, and the one way images of words are resized.

Resizing is Pillow's bicubic on uint8 RGB, never a tensor interpolation: the published
recipe does it before dividing by 255, and antialiasing differs between the two.
"""

import io
import logging
import os
import re
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from kdltr.data.records import ImageError
from kdltr.files import place
from kdltr.messages import kind_of

log = logging.getLogger(__name__)
MIN_SIDE = 2  # pixels; less holds no character, and a 1×1 file is a known placeholder of crawlers
DEPTHS = (8, 10, 12, 14, 16)  # bits of a grey in use; what wide integers hold is one of these
SUFFIXES = (  # of image files in a folder
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
    ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
_PROGRAMS = ("EPS", "WMF")  # drawn by other programs, not decoded
_PAGED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # not MPO, a JPEG with previews
_KIND, _PREVIEW = 254, 1  # TIFF's tag of what a page is, and its bit of a smaller form of another
_TURNS = {  # EXIF's and TIFF's tag 274: how the stored picture becomes the upright one
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])")
# Pillow warns of large scans and odd metadata; here an image is read or refused, with a reason.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Bytes of one text beside the pixels: editors put whole drawings there. Of all, Pillow has a bound.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


def read_image(source: str | os.PathLike | bytes | BinaryIO) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8 RGB, upright.

    It is turned as its EXIF or XMP data say. Grey is repeated in three channels. Transparency is
    laid over white, or over black where that shows clearly more: light letters. Greys of more than
    8 bits are scaled by the bits that they use (`DEPTHS`). Of several pages or frames the first is
    read, and a warning says how many there are.

    Args:
        source: a path, the bytes of an image file, or a file open for binary reading.

    Raises:
        ImageError: no such file, no image, a damaged one or one of a kind that cannot be read here,
            floating-point pixels, nothing but transparency, too many pixels, or a side shorter than
            `MIN_SIDE`.
    """
    name = _name(source)
    rgb = _to_rgb(*_decoded(source, name), name)
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{name}: expected the image of a word, at least {MIN_SIDE} pixels on "
                         f"each side, found {height}×{width} (height×width); remove it")
    return rgb


def image_files(folder: str | os.PathLike) -> list[Path]:
    """The files in a folder that are images by their names, in the order of these.

    Raises:
        ImageError: no such folder, or none in it.
    """
    folder = place(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: expected a folder of images, found "
                         f"{'a file' if folder.exists() else 'nothing there'}; check the path")
    files = [path for path in sorted(folder.iterdir())
             if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()]
    if not files:
        raise ImageError(f"{folder}: expected image files ({', '.join(SUFFIXES)}), found "
                         "none; check the path")
    return files


def resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pillow bicubic of an (h, w, 3) uint8 array to `size` = (H, W), uint8 in and out."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"resize expected an (H, W, 3) uint8 array, found {array.shape} "
                         f"{array.dtype}; read images with kdltr.data.images.read_image")
    height, width = size
    return np.array(Image.fromarray(array).resize((width, height), Image.Resampling.BICUBIC))


def encode_png(array: np.ndarray) -> bytes:
    """An (H, W, 3) uint8 array as a PNG file, without loss; level 1, for speed."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _decoded(
    source: str | os.PathLike | bytes | BinaryIO, name: str
) -> tuple[Image.Image, bool]:
    """The upright image, and whether its file holds colours of 16 bits (Pillow keeps 8)."""
    try:
        with Image.open(_opened(source, name)) as image:
            if image.format in _PROGRAMS:
                raise NotImplementedError(f"{image.format} is a drawing")
            if (pages := _pages(image)) > 1:
                log.warning("%s: only the first of %d pages or frames is read; save the others as "
                            "images of their own to read them too", name, pages)
            wide = any(";16" in str(tile[3]) for tile in image.tile)
            image.load()
            return _upright(image, name), wide
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: expected a PNG, JPEG or other image, found "
                         f"{kind_of(_start(source))}; replace the file") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ImageError(f"{name}: expected the image of a word, found one of too many pixels to "
                         f"read ({error}); cut the word out, or shrink the image") from error
    except NotImplementedError as error:
        raise ImageError(f"{name}: expected an image that Pillow reads, found one of another kind "
                         f"({error}); save it as PNG or JPEG") from error
    except Exception as error:  # of whatever kind: decoders report damage by any that there is
        if isinstance(error, OSError) and error.errno:
            reason = error.strerror.lower()
            raise ImageError(f"{name}: expected an image file: {reason}; check the path") from error
        raise ImageError(f"{name}: the image is damaged or cut short ({error}); "
                         "get the file again") from error


def _opened(source: str | os.PathLike | bytes | BinaryIO, name: str) -> Path | BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        return source
    path = place(source)
    if path.exists() and not path.is_file():  # reading a pipe or a device may never end
        kind = ("a directory; name the files in it, as DIRECTORY/*.png" if path.is_dir() else
                "a pipe or device; check the path")
        raise ImageError(f"{name}: expected an image file, found {kind}")
    return path


def _upright(image: Image.Image, name: str) -> Image.Image:
    """The image turned as the camera, the scanner or an editor says beside the pixels."""
    try:
        tag = image.getexif().get(274)
    except Exception as error:  # as with decoders, of any kind
        log.warning("%s: its EXIF data are damaged (%s); taken as upright", name, error)
        tag = None
    if tag is None:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        found = _XMP.search(xmp.encode() if isinstance(xmp, str) else xmp)
        tag = int(found[1]) if found else None
    turn = _TURNS.get(tag) if isinstance(tag, int) else None
    return image if turn is None else image.transpose(turn)


def _pages(image: Image.Image) -> int:
    """Pages or frames of the file, without the previews that scanners put beside them."""
    try:
        pages = image.n_frames if image.format in _PAGED else 1
        if pages > 1 and image.format == "TIFF":
            kinds = [image.seek(page) or image.tag_v2.get(_KIND, 0) for page in range(1, pages)]
            pages = 1 + sum(not kind & _PREVIEW for kind in kinds)
            image.seek(0)
    except Exception:  # of whatever kind: damage, of which reading the first has to say more
        return 1
    return pages


def _to_rgb(image: Image.Image, wide: bool, name: str) -> np.ndarray:
    """Pixels, (H, W, 3) uint8.

    Args:
        wide: the file holds colours of 16 bits, of which Pillow keeps the upper 8.
    """
    if image.mode == "F":
        raise ImageError(f"{name}: expected integer pixels, found floating-point ones, whose "
                         "range is unknown; save the image with 8 or 16 bits")
    hidden = image.info.get("transparency")  # a grey, a colour, or a palette's index or alphas
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)  # (H, W); Pillow's own conversion clips at 255
        rgb = np.repeat(_scaled(grey, name)[:, :, None], 3, axis=2)
        return _laid(rgb, np.where(grey == hidden, 0.0, 1.0), name)  # None equals no grey
    if wide and isinstance(hidden, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in hidden)
    colours = "RGBA" if image.has_transparency_data else "RGB"
    try:
        pixels = np.array((image.convert("LA") if image.mode == "La" else image).convert(colours))
    except ValueError as error:
        raise ImageError(f"{name}: expected colours that become RGB, found {image.mode} ({error}); "
                         "save the image as RGB or grey") from error
    rgb = _brightened(pixels[:, :, :3]) if wide else pixels[:, :, :3]
    return _laid(rgb, pixels[:, :, 3] / 255, name) if colours == "RGBA" else rgb


def _scaled(grey: np.ndarray, name: str) -> np.ndarray:
    """Greys of 8 to 16 bits, whichever of `DEPTHS` they use, as 8 bits: (H, W) uint8."""
    least, most = int(grey.min()), int(grey.max())
    if least < 0 or most > 65535:
        raise ImageError(f"{name}: expected pixels of at most 16 bits, found values from {least} "
                         f"to {most}; save the image with 8 or 16 bits")
    full = next(2**bits - 1 for bits in DEPTHS if most < 2**bits)
    return ((grey * 255 + full // 2) // full).astype(np.uint8)


def _brightened(high: np.ndarray) -> np.ndarray:
    """Upper 8 of 16 bits, by the bits that the colours use."""
    full = next(2 ** (bits - 8) - 1 for bits in DEPTHS[1:] if high.max() < 2 ** (bits - 8))
    return (high.astype(np.int64) * 255 // full).astype(np.uint8)


def _laid(rgb: np.ndarray, opacity: np.ndarray, name: str) -> np.ndarray:
    """Colours (H, W, 3) over the ground, white or black, on which their shape shows.

    Args:
        opacity: (H, W) in [0, 1].
    """
    if opacity.min() == 1:
        return np.ascontiguousarray(rgb)
    opacity = opacity[:, :, None]
    light, dark = (rgb * opacity + ground * (1 - opacity) for ground in (255, 0))
    shown = [layer.mean(axis=2).std() for layer in (light, dark)]
    if max(shown) < 0.5:  # grey levels: nothing but rounding
        raise ImageError(f"{name}: expected the image of a word, found nothing but transparency; "
                         "save it with a background")
    return np.rint(dark if shown[1] > 1.5 * shown[0] else light).astype(np.uint8)


def _name(source: str | os.PathLike | bytes | BinaryIO) -> str:
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "image file"))


def _start(source: str | os.PathLike | bytes | BinaryIO) -> bytes:
    """What was found, for the error message."""
    if isinstance(source, bytes):
        return source[:512]
    if isinstance(source, str | os.PathLike):
        with place(source).open("rb") as file:
            return file.read(512)
    source.seek(0)
    return source.read(512)
