"""Both ways of a training step do the same work; a reading of given lengths has them."""

import pytest
import torch

from kdltr.bench.clock import Laps
from kdltr.bench.lengths import words_of_length
from kdltr.bench.subject import Settings, TrainingStep
from kdltr.models import create_model
from tests.models.conftest import CRNN, PPOCR, TOY

PARSEQ = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "dropout": 0.0}
SIZES = {"parseq_nano": PARSEQ, "abinet_nano": TOY, "matrn_nano": {**TOY, "masking": 0.0},
         "crnn": CRNN, "ppocr": PPOCR}
PARTS = ["data", "teacher", "student", "losses", "backward", "optimiser", "total"]


@pytest.mark.parametrize("name", SIZES)
def test_both_ways_compute_the_same_loss_and_report_the_same_parts(name):
    settings = Settings(batch_size=4, pairs=4, sizes=SIZES[name])
    terms, parts = {}, {}
    for plain in (False, True):
        step, laps = TrainingStep(name, settings, plain), Laps()
        terms[plain], parts[plain] = step(laps), [*laps.finish()]
        assert step.multiply_adds()["student"] > 0
    assert parts[False] == parts[True] == PARTS
    for term, value in terms[False].items():
        torch.testing.assert_close(value, terms[True][term], rtol=1e-4, atol=1e-5, msg=term)


def test_words_of_the_lengths_asked_for_also_when_some_leave_the_batch():
    model = create_model("parseq_nano_ltr", **PARSEQ).eval()
    lengths, ids = [3, 0, 7, 1, 1, 1, 9, 25], []
    refine = model.refine

    def watched(found, image):
        ids.append(found)
        return refine(found, image)

    model.refine = watched
    with torch.inference_mode(), words_of_length(model, lengths):
        for _ in range(2):  # it starts anew with each reading
            model(torch.rand(8, 3, 16, 64))
    for found in ids:
        assert (found == 0).int().argmax(-1).tolist() == lengths
