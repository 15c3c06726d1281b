"""The plain way gives what kdltr's gives: the ratios compare two ways of doing one thing."""

import pytest
import torch

from kdltr.bench import plain
from kdltr.models import create_model
from tests.models.conftest import ctc_toy, toy

NAMES = ["parseq_ltr", "abinet_ltr", "abinet_vision_ltr", "matrn_ltr", "crnn_ltr", "ppocr_ltr"]
PARSEQ = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "dropout": 0.0}
FIELDS = ("logits", "semantic", "visual", "attention")


def model_of(name):
    torch.manual_seed(0)
    if name == "parseq_ltr":
        return create_model("parseq_nano_ltr", **PARSEQ).double()
    if name in ("crnn_ltr", "ppocr_ltr"):
        return ctc_toy(name.removesuffix("_ltr"), student=True).double()
    return toy(name, **({"masking": 0.0} if name == "matrn_ltr" else {})).double()


def same(one, other):
    for field in FIELDS:
        if getattr(one, field) is not None:
            torch.testing.assert_close(getattr(one, field), getattr(other, field))


@pytest.mark.parametrize("name", NAMES)
def test_a_training_pass_and_its_gradients(name):
    model = model_of(name).train()
    copied = plain.form(model)
    images = torch.rand(3, 3, 16, 64, dtype=torch.float64)
    labels, _ = model.charset.encode(["word", "a", "seven"], model.steps)
    extra = model.prepare(labels, torch.Generator().manual_seed(1))
    outs = model(images, **extra), plain.forward(copied, images, **extra)
    same(*outs)
    for out in outs:
        (out.logits.square().sum() + out.semantic.square().sum()).backward()
    for (part, one), other in zip(model.named_parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=part)


@pytest.mark.parametrize("name", NAMES)
def test_reading(name):
    model = model_of(name).eval()
    images = torch.rand(3, 3, 16, 64, dtype=torch.float64)
    with torch.inference_mode():
        same(model(images), plain.read(plain.form(model), images))


@pytest.mark.parametrize("name", NAMES[1:])
def test_maps_have_another_form_in_memory(name):
    """Otherwise the ratio would say nothing of it."""
    model = model_of(name)
    found = {}
    for way, one in (("kdltr", model), ("plain", plain.form(model))):
        for part, module in one.named_modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
                module.register_forward_hook(
                    lambda _, given, out, key=(way, part): found.update({key: (*given, out)}))
        one(torch.rand(2, 3, 16, 64, dtype=torch.float64))
    for (way, part), maps in found.items():
        for tensor in maps:
            if tensor.shape[1] == 1:  # a grey image has both forms
                continue
            fastest = 3 if way == "plain" else 1  # W or C
            assert tensor.stride(fastest) == 1, (way, part, tensor.stride())
