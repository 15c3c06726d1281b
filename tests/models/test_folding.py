"""Folding batch norm leaves readings and the model as they were."""

import pytest
import torch
from torch import nn

from kdltr.data.loader import WordPairs
from kdltr.evaluation.evaluate import UpsampleBicubic, evaluate
from kdltr.models import create_model
from tests.models.conftest import ctc_toy, toy

FAMILIES = ["abinet", "abinet_vision", "matrn", "crnn", "ppocr"]


def trained(name):
    """A toy whose batch norms do something: statistics and scales of no special value."""
    torch.manual_seed(0)
    family = name.removesuffix("_ltr")
    model = ctc_toy(family, family != name) if family in ("crnn", "ppocr") else toy(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                nn.init.normal_(tensor, std=0.5)
            for tensor in (module.running_var, module.weight):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_reads_the_same_with_no_batch_norm_left(name):
    model = trained(f"{name}_ltr").double().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    reader = model.for_reading()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in reader.modules())
    images = torch.rand(4, 3, 16, 64, dtype=torch.float64)
    with torch.inference_mode():
        one, other = model(images), reader(images)
    for field in ("logits", "semantic", "visual", "attention"):
        if getattr(one, field) is not None:
            torch.testing.assert_close(getattr(one, field), getattr(other, field))
    assert model.read(images) == reader.read(images)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(value.equal(after[key]) for key, value in before.items())


def test_what_does_not_change_is_not_copied():
    model = trained("abinet_ltr").train()
    reader = model.for_reading()
    assert model.training and not reader.training
    assert reader.language.proj.weight is model.language.proj.weight
    kernel = model.vision.backbone.resnet.conv1
    folded = reader.vision.backbone.resnet.conv1
    assert folded.weight.data_ptr() != kernel.weight.data_ptr()
    assert kernel.bias is None and folded.bias is not None
    assert folded.weight.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_reads_the_folded_model_as_it_is_now(monkeypatch):
    model = trained("abinet_ltr").train()
    pairs = WordPairs(torch.randint(0, 256, (5, 3, 32, 128), dtype=torch.uint8),
                      torch.randint(0, 256, (5, 3, 16, 64), dtype=torch.uint8), ["a"] * 5)
    calls = []
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda *_: calls.append(1))
    first = evaluate(model, pairs).predictions
    assert not calls and model.training
    with torch.no_grad():  # as a training step would
        model.vision.backbone.resnet.bn1.bias += 1.0
    second = evaluate(model, pairs).predictions
    assert not first["reading"].equals(second["reading"])


def test_the_bicubic_baseline_folds_its_teacher_and_parseq_is_itself():
    baseline = UpsampleBicubic(trained("abinet").eval())
    reader = baseline.for_reading()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in reader.modules())
    images = torch.rand(2, 3, 16, 64)
    torch.testing.assert_close(reader(images).logits, baseline(images).logits,
                               rtol=1e-4, atol=1e-4)
    parseq = create_model("parseq_nano_ltr", width=16, depth=1, heads=2, decoder_heads=2)
    assert parseq.for_reading() is parseq
