"""Three steps of the published training of each network, every number as in the reference.

Those that STT's recogniser watches take minutes: `make verify` runs them, `make test` does not.
"""

import json
import math

import pytest
import torch

from kdltr.models import create_model
from kdltr.superres import create_upscaler
from kdltr.superres.reader import create_reader
from kdltr.train.superres import WEIGHTS
from kdltr.train.superres.loop import adam
from kdltr.train.superres.terms import FROM_READER, Upscaling
from tests.models.conftest import GOLDEN, golden
from tests.superres.conftest import filled

REFERENCE = json.loads((GOLDEN / "sr_training.json").read_text())
OPTIONS = {
    "tsrn": {}, "tsrn_textzoom": {"align_head": "textzoom"}, "stt": {"dropout": 0.0},
    "tatt": {"dropout": 0.0, "recurrence": "batch"}, "c3stisr": {"dropout": 0.0},
    "c3stisr_released": {"dropout": 0.0, "clue": "recognition"},
}
SLOW = [pytest.mark.slow, pytest.mark.timeout(3000)]


def exact(build, *what, **options):
    """What ``build`` makes with constants of float64."""
    torch.set_default_dtype(torch.float64)
    try:
        return build(*what, **options)
    finally:
        torch.set_default_dtype(torch.float32)


def norm(parameters):
    return torch.stack([p.grad.norm() for p in parameters]).norm()


@pytest.mark.parity
@pytest.mark.parametrize("run", [
    pytest.param(run, marks=SLOW if run in ("stt", "c3stisr", "c3stisr_released") else [])
    for run in OPTIONS
])
def test_published_trajectory(run):
    reference, name = REFERENCE[run], run.split("_")[0]
    network = filled(exact(create_upscaler, name, **OPTIONS[run]))
    weights = WEIGHTS[name]
    generator = filled(create_model("crnn")) if network.takes_prior else None
    reader = filled(create_reader("stt_reader")) if FROM_READER & weights.keys() else None
    training = Upscaling(network, weights, generator, reader).train()
    images = golden("sr_training_images.npz")
    lr, hr = ((images[which].float() / 255).double() for which in ("lr", "hr"))
    given = {}
    if "words" in reference:
        charset = create_model("crnn_nano").charset
        words = [charset.filter(word) for word in reference["words"]]
        given["labels"], given["lengths"] = charset.encode(words)
    if "offsets" in reference:
        angles = [math.radians(angle) for angle in reference["angles_degrees"]]
        given["turn"] = tuple(torch.tensor(each, dtype=torch.float64)
                              for each in (angles, reference["offsets"]))
    if reader is not None:
        with torch.no_grad():
            given["looked"] = reader(hr, given["labels"])[1]
    optimiser = adam(training, reference["lr"])
    names = {"mse": "mse", "attention": "attention", "recognition": "content", "ctc": "ctc"}
    focus = ("mse", "attention", "content")
    for i, expected in enumerate(reference["steps"]):
        terms = training(lr, hr, **given)
        terms["total"].backward()
        weighted = {term: weights[term] * terms[term] for term in weights}
        found = {"total": terms["total"]}
        found |= {theirs: terms[ours] for theirs, ours in names.items() if ours in terms}
        found |= {term: weighted[term] for term in ("image", "consistency", "prior")
                  if term in weighted}
        if "ctc" in terms:
            found["image"] = sum(weighted[term] for term in focus)
            found["grad_norm_language_model"] = norm(network.lm.parameters())
        if generator is not None:
            found["grad_norm_prior_generator"] = norm(generator.parameters())
        found["grad_norm"] = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.25)
        tolerance = 1e-6 if i < 2 else 1e-5  # a third step's gradient magnifies the last bits
        assert {term: value.item() for term, value in found.items()
                if term in expected} == pytest.approx(expected, rel=tolerance)
        optimiser.step()
        optimiser.zero_grad()
