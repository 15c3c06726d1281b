"""Where text is in a photograph: the detector of PP-OCRv6 small, under ONNX Runtime.

    Detector().find(image)     # (H, W, 3) uint8 RGB -> the boxes of its lines

By differentiable binarisation (Liao et al., AAAI 2020): the network gives every pixel's probability
of lying in the core of a line of text; connected cores become rectangles, which grow back to the
line. Its file lies in the `rapidocr` wheel (`kdltr.models.rapidocr`), of which nothing is run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdltr.extras import optional
from kdltr.models.rapidocr import DETECTOR, wheel_model

cv2 = optional("cv2", "ppocr")
onnxruntime = optional("onnxruntime", "ppocr")

SHORTER, LONGER = 736, 2000  # pixels that a side has at least and, which goes first, at most; but
ENLARGED = 2  # a picture is made so many times larger at most: a lone word stays one
STEP = 32  # pixels; what the network's input is a multiple of, and the border around a picture
# As rapidocr has them.
CORE, SURE = 0.3, 0.5  # probability of a pixel of a core, and the mean that a core has at least
GROWTH = 1.6  # a core grows by its area × this ÷ its circumference, on all sides
THIN = 3  # pixels of the input; thinner cores are none


@dataclass(frozen=True)
class Box:
    """A quadrilateral of a photograph.

    Attributes:
        corners: (4, 2) float, x and y in pixels, clockwise from the top left of what is read in it.
        score: mean probability that its core is text.
    """

    corners: np.ndarray
    score: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its crop: the longer of opposite sides, in whole pixels."""
        sides = np.linalg.norm(self.corners - np.roll(self.corners, -1, axis=0), axis=1)
        top, right, bottom, left = sides
        return max(round(max(left, right)), 1), max(round(max(top, bottom)), 1)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """What is in it of an image (H, W, 3), seen from the front: (h, w, 3) of its `size`."""
        h, w = self.size
        flat = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        half = np.float32(0.5)  # corners lie at edges of pixels, OpenCV counts from their middles
        view = cv2.getPerspectiveTransform(self.corners.astype(np.float32) - half, flat - half)
        return cv2.warpPerspective(image, view, (w, h), flags=cv2.INTER_CUBIC,
                                   borderMode=cv2.BORDER_REPLICATE)  # fmt: skip

    def part(self, start: float, end: float) -> Box:
        """The part between two shares of its width, which go from 0 to 1."""
        top_left, top_right, bottom_right, bottom_left = self.corners
        top, bottom = top_right - top_left, bottom_right - bottom_left
        corners = [top_left + start * top, top_left + end * top,
                   bottom_left + end * bottom, bottom_left + start * bottom]  # fmt: skip
        return Box(np.array(corners), self.score)

    def turned(self, quarters: int) -> Box:
        """The same place, read from a side that is so many quarters of a turn further clockwise."""
        return Box(np.roll(self.corners, -quarters, axis=0), self.score)


class Detector:
    """Finds lines of text, which are mostly several words.

    Args:
        threads: of ONNX Runtime; 0: as many as there are cores.

    Raises:
        MissingExtra, CheckpointError: a package of ``kdltr[ppocr]`` is missing, or the wheel is of
            another version.
    """

    def __init__(self, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            wheel_model(DETECTOR), options, providers=["CPUExecutionProvider"]
        )

    def find(self, image: np.ndarray) -> list[Box]:
        """The lines of an image (H, W, 3) uint8 RGB of any size, row by row from the top.

        The image is searched at `LONGER` pixels at most: of a larger one, letters that are then
        less than about 8 pixels high are not found.
        """
        size = np.array(image.shape[1::-1])  # (W, H)
        scale = min(max(1.0, min(SHORTER / size.min(), ENLARGED)), LONGER / size.max())
        width, height = np.maximum(np.round(size * scale).astype(int), 1).tolist()
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(image, (width, height), interpolation=way)
        chance = self.probability(pixels, framed=scale == ENLARGED)
        return in_rows([Box(np.clip(box.corners * (size / (width, height)), 0, size), box.score)
                        for box in cores(chance)])

    def probability(self, image: np.ndarray, framed: bool = False) -> np.ndarray:
        """(h, w, 3) uint8 RGB → (h, w) float32, the probability that a pixel is of a core.

        Args:
            framed: the border is grey, so that a word that fills the picture has an end; it makes
                a line of text of many a picture without any. Else it goes on as the picture ends.
        """
        height, width = image.shape[:2]
        below, right = STEP + -height % STEP, STEP + -width % STEP
        kind = cv2.BORDER_CONSTANT if framed else cv2.BORDER_REPLICATE
        pixels = cv2.copyMakeBorder(image, STEP, below, STEP, right, kind, value=(127, 127, 127))
        batch = pixels[:, :, ::-1].transpose(2, 0, 1)[None] / np.float32(127.5) - 1  # BGR
        feed = {self._session.get_inputs()[0].name: np.ascontiguousarray(batch)}
        found = self._session.run(None, feed)[0][0, 0]
        return found[STEP:-below, STEP:-right]


def cores(chance: np.ndarray) -> list[Box]:
    """The rectangles, turned as they lie, of the lines whose cores stand out of a map (H, W)."""
    mask = cv2.dilate((chance > CORE).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour in contours:
        centre, (a, b), angle = cv2.minAreaRect(contour)
        if min(a, b) < THIN:
            continue
        score = _mean(chance, cv2.boxPoints((centre, (a, b), angle)))
        if score >= SURE:
            grown = GROWTH * a * b / (a + b)  # both sides together: twice area ÷ circumference
            corners = cv2.boxPoints((centre, (a + grown, b + grown), angle))
            found.append(Box(_from_top_left(corners.astype(float)), score))
    return found


def in_rows(boxes: list[Box]) -> list[Box]:
    """Boxes row by row from the top, each row from the left.

    A row goes on with a box whose middle is less than half of the lower one's height away from the
    middle of the box that came before.
    """
    def middle(box: Box) -> float:
        return float(box.corners[:, 1].mean())

    rows: list[list[Box]] = []
    for box in sorted(boxes, key=middle):
        last = rows[-1][-1] if rows else box
        if rows and middle(box) - middle(last) < 0.5 * min(box.size[0], last.size[0]):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda box: box.corners[:, 0].mean())]


def _mean(values: np.ndarray, corners: np.ndarray) -> float:
    """The mean of a map (H, W) inside a quadrilateral (4, 2)."""
    height, width = values.shape
    low = np.clip(np.floor(corners.min(0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(corners.max(0)), low, (width - 1, height - 1)).astype(int) + 1
    inside = np.zeros((high - low)[::-1], np.uint8)
    cv2.fillPoly(inside, [(corners - low).astype(np.int32)], 1)
    return float(cv2.mean(values[low[1] : high[1], low[0] : high[0]], inside)[0])


def _from_top_left(corners: np.ndarray) -> np.ndarray:
    """The corners (4, 2) of a rectangle in their order, from the one whose side goes right most."""
    sides = np.roll(corners, -1, axis=0) - corners
    return np.roll(corners, -int((sides[:, 0] / np.linalg.norm(sides, axis=1)).argmax()), axis=0)
