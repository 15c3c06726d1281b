"""Three steps of DAN's published training, every number to 1e-6; both forms have their optimiser.

Batch norm learns, the decoder is without dropout. In float64 they agree to 1e-11.
"""

import json

import pytest
import torch

from kdltr.losses.cross_entropy import cross_entropy_loss
from tests.models.conftest import GOLDEN, filled, golden

REFERENCE = json.loads((GOLDEN / "dan_training.json").read_text())
PARTS = {"fe": "feature_extractor", "cam": "alignment", "dtd": "decoder"}
CLIP = 20.0  # of each part's gradient; none comes near it here
MINUTES = (pytest.mark.slow, pytest.mark.timeout(900))


def optimiser(form, parameters):
    if form == "hw":
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    return torch.optim.Adadelta(parameters, lr=1.0, rho=0.9, eps=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("form", "name"), [("scene", "dan_scene"), pytest.param("hw", "dan", marks=MINUTES)]
)
def test_published_trajectory(form, name):
    reference, expected, model = golden(f"{name}.npz"), REFERENCE[form], filled(name)
    model.fe.train()
    model.cam.train()
    images = (reference["images"].double() / 255).expand(-1, 3, -1, -1)
    targets, lengths = model.charset.encode(expected["words"])
    optimisers = [optimiser(form, getattr(model, part).parameters()) for part in PARTS]
    for step, loss_before in enumerate(expected["loss"]):
        out = model(images, **model.prepare(targets, torch.Generator()))
        loss = cross_entropy_loss(out.logits, targets, lengths)
        assert loss.item() == pytest.approx(loss_before, rel=1e-6)
        if step == len(expected["loss"]) - 1:
            break
        model.zero_grad()
        loss.backward()
        for part, name_there in PARTS.items():
            parameters = getattr(model, part).parameters()
            norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP).item()
            assert norm == pytest.approx(expected[f"grad_norm_{name_there}"][step], rel=1e-6)
        for each in optimisers:
            each.step()
    state = model.state_dict()
    for tensor, norm in expected["final"].items():
        assert state[tensor].norm().item() == pytest.approx(norm, rel=1e-6)
