"""A photograph with its words framed, and beside it what is read in each frame.

Readings stand at their words' places on a sheet of their own, so that they cover nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kdltr.apps.photograph import Word
from kdltr.extras import optional
from kdltr.models.detector import Box

cv2 = optional("cv2", "ppocr")

LEAST, MOST = 32, 1600  # pixels: heights of words for which the picture is enlarged, and its side
COLOURS = ((0, 90, 170), (190, 70, 0), (0, 120, 80))  # of the models, in the order of their names
LEGEND = 28  # pixels


def drawn(image: np.ndarray, words: Sequence[Word]) -> np.ndarray:
    """The picture of an image (H, W, 3) uint8 RGB and its words: (H', W', 3) uint8.

    The sheet is on the right of an upright photograph and below another; a line at the bottom says
    in which colour the words of each model are.
    """
    sides = image.shape[:2]
    heights = [word.box.size[0] for word in words]
    scale = min(max(1.0, LEAST / min(heights, default=LEAST)), MOST / max(sides))
    height, width = (max(round(side * scale), 1) for side in sides)
    photo = np.array(Image.fromarray(image).resize((width, height)))
    sheet = np.full_like(photo, 255)
    names = sorted({word.model for word in words})
    colours = dict(zip(names, COLOURS, strict=False))
    for word in words:
        box = Box(word.box.corners * (width / sides[1], height / sides[0]), word.box.score)
        frame = [box.corners.round().astype(np.int32)]
        cv2.polylines(photo, frame, True, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.polylines(photo, frame, True, colours[word.model], 1, cv2.LINE_AA)
        cv2.polylines(sheet, frame, True, (205, 205, 205), 1, cv2.LINE_AA)
        _write(sheet, box, word.reading.text, colours[word.model])
    both = np.concatenate([photo, sheet], axis=1 if height > width else 0)
    return np.concatenate([both, _legend(words, colours, both.shape[1])])


def _write(sheet: np.ndarray, box: Box, text: str, colour: tuple[int, int, int]) -> None:
    """A text into a box of the sheet, in place: as large as there is room, turned as the box is."""
    height, width = box.size
    left, top, right, bottom = ImageFont.load_default(100).getbbox(text)
    size = min(0.75 * height, 96 * width / (right - left), 92 * height / (bottom - top))
    tile = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(tile).text((width / 2, height / 2), text, colour,
                              ImageFont.load_default(max(size, 1)), anchor="mm")  # fmt: skip
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    place = cv2.getPerspectiveTransform(flat, box.corners.astype(np.float32))
    seen = cv2.warpPerspective(np.array(tile), place, sheet.shape[1::-1], borderValue=(255,) * 3)
    np.minimum(sheet, seen, out=sheet)


def _legend(
    words: Sequence[Word], colours: dict[str, tuple[int, int, int]], width: int
) -> np.ndarray:
    """(LEGEND, W, 3): how many words each model read, in its colour."""
    strip = Image.new("RGB", (width, LEGEND), "white")
    pen, font, left = ImageDraw.Draw(strip), ImageFont.load_default(15), 8.0
    counts = {name: sum(word.model == name for word in words) for name in colours}
    for name, count in counts.items() or {"no words found": 0}.items():
        said = f"{count} read by {name}" if count else name
        pen.text((left, LEGEND / 2), said, colours.get(name, "black"), font, anchor="lm")
        left += font.getlength(said) + 24
    return np.array(strip)
