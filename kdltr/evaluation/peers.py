"""Other OCR engines, to read the same word images beside kdltr's readers.

    peer = load_peer("rapidocr")
    peer.read(images)                          # N arrays (H, W, 3) uint8 RGB -> N readings
    evaluate(PeerRecogniser(peer), pairs)      # on the same pixels as any recogniser

They are optional (the extra `peers`): `load_peer` alone imports an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Protocol

import numpy as np
from torch import Tensor

from kdltr.charset import ASCII94, Reading
from kdltr.extras import require
from kdltr.models.base import Recogniser


class Peer(Protocol):
    """A reader of word images.

    Attributes:
        name: the engine and its version.
        model: what it reads with.
    """

    name: str
    model: str

    def read(self, images: Sequence[np.ndarray]) -> list[Reading]:
        """N readings of N images (H, W, 3), uint8 RGB of any size, one at a time."""


class RapidOCR:
    """The recogniser of RapidOCR, by default PP-OCRv6 small, whose weights are in its wheel.

    Only recognition: neither detection nor the correction of upside-down lines, nor the enlarging
    of small pictures, which is there for detection. The engine resizes a word to 48 pixels in
    height itself. `Reading.confidence` is its score, the mean over the characters read (kdltr's is
    their product).

    Args:
        threads: of ONNX Runtime.

    Raises:
        MissingExtra: it is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        self._engine = require("rapidocr", "peers").RapidOCR(params={
            "Global.use_det": False, "Global.use_cls": False, "Global.use_preprocess_img": False,
            "Global.log_level": "warning",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        })
        recogniser = self._engine.cfg.Rec
        self.name = f"rapidocr {metadata.version('rapidocr')}"
        self.model = f"{recogniser.ocr_version.value} {recogniser.model_type.value}"

    def read(self, images: Sequence[np.ndarray]) -> list[Reading]:
        """See `Peer.read`."""
        return [self._read(image) for image in images]

    def _read(self, image: np.ndarray) -> Reading:
        found = self._engine(np.ascontiguousarray(image[..., ::-1]))  # it expects BGR
        return Reading(found.txts[0], float(found.scores[0])) if found.txts else Reading("", 0.0)


PEERS = {"rapidocr": RapidOCR}


def load_peer(name: str, threads: int = 1) -> Peer:
    """A peer ready to read.

    Args:
        name: one of `PEERS`.
        threads: that it may take.

    Raises:
        ValueError: an unknown name.
        MissingExtra: it is not installed.
    """
    if name not in PEERS:
        raise ValueError(f"expected a peer of {', '.join(PEERS)}, found {name!r}")
    return PEERS[name](threads)


class PeerRecogniser(Recogniser):
    """A peer that reads what recognisers read: images (N, 3, H, W), RGB in [0, 1].

    They become uint8 again, which for images that were uint8 changes nothing.

    Args:
        image_size: (H, W) of the images it is given.
    """

    def __init__(self, peer: Peer, image_size: tuple[int, int] = (16, 64)) -> None:
        super().__init__()
        self.peer, self.name, self.image_size = peer, peer.name, image_size
        self.charset = ASCII94  # what it reads beside is not compared

    def read(self, images: Tensor) -> list[Reading]:
        """Images (N, 3, H, W) to N readings."""
        self.check_images(images)
        pixels = (images.cpu() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        return self.peer.read(list(pixels.numpy()))
