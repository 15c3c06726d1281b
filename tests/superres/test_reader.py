"""STT's recogniser and the text-focus terms agree with the published ones."""

import json

import pytest
import torch
from torch.nn import functional as F

from kdltr.charset import END
from kdltr.models import create_model
from kdltr.superres.abinet_reader import ABINetReader
from kdltr.superres.losses import content_loss
from kdltr.superres.reader import create_reader
from tests.models.conftest import GOLDEN, close, golden
from tests.superres.conftest import HR, filled, labels, seen, thin


@pytest.mark.parity
def test_published_reading_and_losses():
    reference, reader = golden("stt_loss.npz"), filled(create_reader("stt_reader"))
    reader.requires_grad_(False)  # as in training: the gradient goes to the image alone
    ids, lengths = labels(reader, "stt_loss.npz")
    assert torch.equal(lengths, reference["lengths"])
    assert torch.equal(F.pad(ids, (1, -1)), reference["inputs"])
    spoken = torch.arange(ids.shape[1]) < lengths[:, None]
    assert torch.equal(ids[spoken], reference["targets"])
    hr = HR[:, :3]
    found = seen(reader, "encoder.cnn", "encoder.cnn.layer1", "encoder.cnn.layer2_bn",
                 "decoder.mul_layernorm1", "decoder.mul_layernorm2", "decoder")
    greys = []
    reader.encoder.cnn.register_forward_hook(lambda _, inputs, __: greys.append(inputs[0]))
    with torch.no_grad():
        logits, attention = reader(hr, ids)
    close(thin(greys[0][:1]), reference["grey"])
    close(found["encoder.cnn.layer1"][:1, ::16], reference["layer1"])
    close(found["encoder.cnn.layer2_bn"][:1, ::16].relu(), reference["layer2"])
    close(found["encoder.cnn"][:1, ::64], reference["features"])
    for i in (1, 2):
        close(found[f"decoder.mul_layernorm{i}"][..., ::8], reference[f"norm{i}"])
    close(found["decoder"][0][..., ::8], reference["decoded"])
    close(logits[spoken], reference["logits"])
    close(attention[:, ::4, :, ::4], reference["attention"])
    sr = reference["sr"].double().requires_grad_()
    read, looked = reader(sr, ids)
    apart, squares = F.l1_loss(looked, attention), F.mse_loss(sr, hr)
    for name, similarity in (("plain", None), ("weighted", reference["weights"].double())):
        content = content_loss(read, ids, lengths, similarity)
        total = squares + 10 * apart + 5e-4 * content
        (gradient,) = torch.autograd.grad(total, sr, retain_graph=True)
        terms = torch.stack([total, squares, apart, content, gradient.norm()])
        assert torch.allclose(terms, reference[name].double(), rtol=1e-6)


@pytest.mark.parity
def test_names_shapes_and_a_published_checkpoint(tmp_path):
    keys = json.loads((GOLDEN / "stt_transformer.keys.json").read_text())
    with torch.device("meta"):
        reader = create_reader("stt_reader")
    own = {name: list(value.shape) for name, value in reader.state_dict().items()}
    assert own.items() <= keys["entries"].items()
    never = sum(torch.Size(shape).numel() for name, shape in keys["entries"].items()
                if name not in own and name != "pe.pe")
    assert sum(p.numel() for p in reader.parameters()) + never == keys["parameters"] == 62314951
    state = {f"module.{name}": torch.zeros(shape) for name, shape
             in keys["entries"].items()}
    torch.save(state, tmp_path / "pretrain_transformer.pth")
    loaded = create_reader("stt_reader", tmp_path / "pretrain_transformer.pth")
    assert not any(p.any() for p in loaded.parameters())


def test_an_abinet_reads_in_its_place_in_the_order_of_its_classes():
    torch.manual_seed(0)
    model = create_model("abinet_nano").eval()
    reader = ABINetReader(model)
    images, (labels, _) = torch.rand(2, 3, 32, 128), reader.charset.encode(["a0z", "9"])
    with torch.no_grad():
        logits, looked = reader(images, labels)
        out = model(images)
    assert logits.shape == (2, 4, 37) and looked.shape == (2, 1, 4, reader.places)
    assert torch.equal(looked[:, 0, 2], out.attention[:, 2].flatten(1))
    for character in reader.charset.characters:
        own, other = (charset.encode([character])[0][0, 0]
                      for charset in (reader.charset, model.charset))
        assert torch.equal(logits[..., own], out.logits[:, :4, other])
    assert torch.equal(logits[..., END], out.logits[:, :4, END])
    assert isinstance(create_reader("abinet_nano"), ABINetReader)


def test_a_step_knows_the_characters_before_it_alone():
    torch.manual_seed(0)
    reader = create_reader("stt_reader_nano").eval()
    images = torch.rand(1, 3, 32, 128)
    with torch.no_grad():
        short, looked = reader(images, torch.tensor([[5, 7]]))
        long, at = reader(images, torch.tensor([[5, 9, 3, 0]]))
    assert looked.shape == (1, 4, 2, 256) and short.shape == (1, 2, 37)
    assert torch.allclose(short, long[:, :2], atol=1e-5)
    assert torch.allclose(looked, at[:, :, :2], atol=1e-6)
    with pytest.raises(ValueError, match="did you mean 'stt_reader'"):
        create_reader("sttreader")
