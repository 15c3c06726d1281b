"""Peers: the adapter of RapidOCR, and what a peer is given."""

import subprocess
import sys
from importlib import metadata
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from kdltr.charset import Reading
from kdltr.data.loader import WordPairs
from kdltr.evaluation import peers
from kdltr.evaluation.evaluate import evaluate
from kdltr.evaluation.peers import PeerRecogniser, load_peer
from kdltr.extras import MissingExtra


@pytest.fixture
def engines(monkeypatch):
    """A stand-in for the package; the engines that were made, with what they were given."""
    made = []

    class Engine:
        def __init__(self, params):
            self.params, self.given = params, []
            small = SimpleNamespace(value="PP-OCR"), SimpleNamespace(value="small")
            self.cfg = SimpleNamespace(Rec=SimpleNamespace(ocr_version=small[0],
                                                           model_type=small[1]))
            made.append(self)

        def __call__(self, image):
            assert image.flags.c_contiguous
            self.given.append(image)
            if not image.any():
                return SimpleNamespace(txts=None, scores=None)
            return SimpleNamespace(txts=(f"word{len(self.given)}",), scores=[np.float64(0.75)])

    package = ModuleType("rapidocr")
    package.RapidOCR = Engine
    monkeypatch.setitem(sys.modules, "rapidocr", package)
    monkeypatch.setattr(peers.metadata, "version", lambda name: {"rapidocr": "9.9"}[name])
    return made


def test_rapidocr_gets_bgr_and_gives_readings(engines):
    peer = load_peer("rapidocr", threads=3)
    assert (peer.name, peer.model) == ("rapidocr 9.9", "PP-OCR small")
    images = [np.zeros((16, 64, 3), np.uint8), np.full((20, 30, 3), (1, 2, 3), np.uint8)]
    assert peer.read(images) == [Reading("", 0.0), Reading("word2", 0.75)]
    assert type(peer.read(images)[1].confidence) is float
    (engine,) = engines
    assert engine.given[1].shape == (20, 30, 3) and engine.given[1][0, 0].tolist() == [3, 2, 1]
    assert engine.params["EngineConfig.onnxruntime.intra_op_num_threads"] == 3
    assert not engine.params["Global.use_det"] and not engine.params["Global.use_cls"]


def test_as_a_recogniser_it_sees_the_very_pixels(engines):
    generator = torch.Generator().manual_seed(0)
    lr = torch.randint(0, 256, (3, 3, 16, 64), dtype=torch.uint8, generator=generator)
    pairs = WordPairs(torch.zeros(3, 3, 32, 128, dtype=torch.uint8), lr, ["Word1", "x", "word3"])
    found = evaluate(PeerRecogniser(load_peer("rapidocr")), pairs, batch_size=2)
    assert found.predictions["correct"].tolist() == [True, False, True]
    given = np.stack(engines[0].given)[..., ::-1]
    np.testing.assert_array_equal(given, lr.permute(0, 2, 3, 1).numpy())
    with pytest.raises(ValueError, match="16, 64"):
        PeerRecogniser(load_peer("rapidocr")).read(torch.zeros(1, 3, 32, 128))


def test_one_that_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(MissingExtra, match=r"the package rapidocr.*pip install 'kdltr\[peers\]'"):
        load_peer("rapidocr")
    with pytest.raises(ValueError, match="peer of rapidocr, found 'tesseract'"):
        load_peer("tesseract")


def test_nothing_is_imported_before_a_peer_is_loaded():
    code = "import kdltr.evaluation.peers, sys; sys.exit('rapidocr' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_rapidocr_itself_reads_a_clear_word():
    pytest.importorskip("rapidocr")
    image = Image.new("RGB", (192, 48), "white")
    ImageDraw.Draw(image).text((20, 4), "Harbour", "black", font_size=34)
    peer = load_peer("rapidocr")
    assert peer.name == f"rapidocr {metadata.version('rapidocr')}"
    (reading,) = peer.read([np.asarray(image)])
    assert reading.text == "Harbour" and 0.5 < reading.confidence <= 1
