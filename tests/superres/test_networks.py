"""The four networks agree with the published code, under every option."""

import json
import math

import pytest
import torch
from torch import nn

from kdltr.checkpoint import CheckpointError
from kdltr.superres import create_upscaler, list_upscalers
from kdltr.superres.clues import VisualClue
from kdltr.superres.images import with_mask
from kdltr.superres.prior import frames, text_prior
from tests.models.conftest import GOLDEN, close, golden
from tests.superres.conftest import LR, filled, seen, thin, upscaler

BLOCKS = [f"block{i}" for i in range(1, 8)]
NAMES = ["tsrn", "stt", "tatt", "c3stisr"]
PUBLISHED = {"tsrn": 2681677, "stt": 3210335, "tatt": 7608334, "c3stisr": 31008883}
TRAINED = {"tsrn": (2681677, 826629), "stt": (2980460, 1125700), "tatt": (7570638, 5715590),
           "c3stisr": (17143266, 15288218)}


def agree(found, reference, names, prefix=""):
    """Every eighth channel of the first image of these maps."""
    for name in names:
        close(thin(found[name][:1, ::8]), reference[prefix + name.replace(".", "_")])


def aligned(network, lr, reference, prefix=""):
    """The alignment's stages, in eval mode but for the network's own flag."""
    image = network.stn_head.prepare(lr)
    points = network.stn_head(image)
    close(points, reference[f"{prefix}control_points"])
    close(network.tps.grid(points)[:, ::2, ::2], reference[f"{prefix}grid"])
    close(thin(network.tps(image, points)), reference[f"{prefix}rectified"])
    network.training = True
    close(thin(network(lr)), reference[f"{prefix}output_stn"])


@pytest.mark.parity
@torch.no_grad()
def test_tsrn():
    reference, network = golden("tsrn.npz"), upscaler("tsrn")
    found = seen(network, *BLOCKS, "block2.bn2", "block2.gru1")
    close(thin(network(LR)), reference["output"])
    agree(found, reference, [*BLOCKS, "block2.bn2"])
    close(thin(found["block2.gru1"].mT[:1, ::8]), reference["block2_gru1"])
    close(network.tps.inverse, reference["tps_inverse_kernel"])
    close(network.tps.target, reference["tps_target_points"])
    aligned(network, LR, reference)
    network = upscaler("tsrn", align_corners=True)
    close(thin(network.align(LR)), reference["rectified_aligned_corners"])
    network = upscaler("tsrn", mask=False, align=False)
    close(thin(network(LR[:, :3])), reference["output_3channels"])


@pytest.mark.parity
@torch.no_grad()
def test_the_original_alignment_of_textzoom():
    reference = golden("tsrn.npz")
    aligned(upscaler("tsrn", align_head="textzoom"), LR, reference, "textzoom_")
    network = upscaler("tsrn", align_head="textzoom", align_corners=True)
    close(thin(network.align(LR)), reference["textzoom_rectified_aligned_corners"])


@pytest.mark.parity
@torch.no_grad()
def test_stt():
    reference, network, rgb = golden("stt.npz"), upscaler("stt"), LR[:, :3]
    enhancer = network.block2.feature_enhancer
    parts = [f"block2.feature_enhancer{part}" for part in
             ("", ".multihead", ".mul_layernorm1", ".mul_layernorm3")]
    found = seen(network, *BLOCKS, "block2.bn2", *parts)
    tokens = []
    enhancer.multihead.register_forward_hook(lambda _, inputs, __: tokens.append(inputs[0]))
    close(thin(network(rgb)), reference["output"])
    agree(found, reference, [*BLOCKS, "block2.bn2"])
    places = enhancer.positions.table.mT.unflatten(1, (16, 64))
    close(places[::4], reference["positions"])
    attention = enhancer.multihead.look(tokens[0][:1], tokens[0][:1])[1][0]
    close(attention[:, ::256], reference["block2_attention"])
    stages = zip(("attention_output", "norm1", "norm3"), parts[1:], strict=True)
    for stage, part in stages:
        close(found[part][:1, ::16], reference[f"block2_{stage}"])
    close(thin(found[parts[0]][:1, ::8]), reference["block2_enhanced"])
    aligned(network, rgb, reference)
    close(thin(upscaler("stt", mask=True)(LR)), reference["output_4channels"])


@pytest.mark.parity
@torch.no_grad()
def test_tatt():
    reference, network = golden("tatt.npz"), upscaler("tatt", recurrence="batch")
    prior = reference["text_prior"].double()
    clues, decoder = network.infoGen, network.infoGen.transformer.decoder
    layers = [f"infoGen.transformer.decoder.layers.{i}" for i in range(2)]
    found = seen(network, *BLOCKS, "infoGen", "infoGen.activation", *layers)
    close(thin(network(LR, prior)), reference["output"])
    agree(found, reference, BLOCKS)
    close(found["infoGen.activation"], reference["characters"])
    close(thin(found["infoGen"][:, ::8]), reference["prior_map"])
    queries = clues.queries(3).unflatten(1, (16, 64))  # (N, h, w, E)
    close(queries.permute(2, 0, 1, 3)[::8, :, ::4], reference["queries"])
    places = clues.positions.table
    memory = clues.remember(frames(prior), places)
    close(memory.transpose(0, 1), reference["memory"])
    close(found[layers[0]].transpose(0, 1)[::16, :1], reference["decoder_layer0"])
    copies = torch.stack([decoder.norm(found[layer]) for layer in layers])
    close(copies.transpose(1, 2)[:, ::16, :1], reference["decoder"])
    attention = decoder.layers[1].multihead_attn
    asked = attention.query(found[layers[0]] + clues.queries(3))
    weights = (asked @ attention.key(memory + places).mT / asked.shape[-1] ** 0.5).softmax(-1)
    close(weights.mean(1)[:1, ::4], reference["attention"])
    for i, name in ((0, "first"), (2, "last")):
        alone = network(LR[i : i + 1], prior[i : i + 1])
        close(thin(alone), reference[f"output_{name}_alone"])
    read = golden("crnn.npz")["logits"].double().transpose(0, 1)
    close(thin(network(LR, text_prior(read))), reference["output_from_crnn"])
    close(network.stn_head(LR), reference["control_points"])
    network.training = True
    close(thin(network(LR, prior)), reference["output_stn"])
    network = upscaler("tatt")
    found = seen(network, "infoGen")
    close(thin(network(LR, prior=prior)), reference["output_columns"])
    close(thin(found["infoGen"][:1, ::8]), reference["prior_map_columns"])


@pytest.mark.parity
@torch.no_grad()
def test_c3stisr():
    reference, network = golden("c3stisr.npz"), upscaler("c3stisr")
    prior = reference["text_prior"].double()
    parts = ["infoGen", "infoGen.bn1", "infoGen.bn3", "dsta_rec", "dsta_rec.conv2",
             "dsta_rec.conv_du", "dsta_ling", "down_conv", "gated", "gated.gated1", "lm"]
    found = seen(network, *BLOCKS, *parts)
    close(thin(network(LR, prior)), reference["output"])
    agree(found, reference, BLOCKS)
    close(found["lm"], reference["language_logits"])
    close(text_prior(found["lm"]), reference["linguistic_clue"])
    close(found["infoGen.bn1"][:1, ::64], reference["tconv1"])
    close(thin(found["infoGen.bn3"][:1, ::16]), reference["tconv3"])
    close(thin(network.infoGen.grow(prior)[:1, ::8]), reference["prior_map"])
    close(thin(found["infoGen"][:1, ::8]), reference["prior_map_resized"])
    close(found["dsta_rec.conv2"][:1], reference["dsta_conv2"])
    inner = network.dsta_rec.conv1(found["infoGen"])
    close(network.dsta_rec.deformed(inner)[:1], reference["dsta_deformed"])
    close(found["dsta_rec.conv_du"], reference["dsta_channel"])
    for clue, part in (("recognition", "dsta_rec"), ("linguistic", "dsta_ling"),
                       ("fused", "gated")):
        close(thin(found[part][:, ::8]), reference[clue])
    close(thin(found["down_conv"][:1, ::8]), reference["centre"])
    close(thin(found["gated.gated1"][:1, ::16]), reference["gated1"])
    shorter = network.lm(frames(prior), reference["language_lengths"])
    close(shorter, reference["language_logits_lengths"])
    network.training = True
    close(thin(network(LR, prior)), reference["output_stn"])
    released = upscaler("c3stisr", clue="recognition")
    close(thin(released(LR, prior)), reference["output_released"])


@pytest.mark.parity
@torch.no_grad()
def test_the_visual_clue():
    reference = golden("c3stisr.npz")
    clue = filled(VisualClue((512, 128, 64)))
    found = seen(clue, "vis_rec_fuser")
    shown = clue(reference["text_prior"].double(), reference["painted"].double())
    close(thin(shown[:, ::8]), reference["visual"])
    close(thin(found["vis_rec_fuser"][:, ::8]), reference["visual_deformed"])


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_names_shapes_and_counts(name):
    entries = json.loads((GOLDEN / f"{name}.keys.json").read_text())["entries"]
    for align in (True, False):
        with torch.device("meta"):  # nothing is computed
            network = create_upscaler(name, align=align)
        assert network.count_parameters() == (PUBLISHED[name], *TRAINED[name])
        own = {entry: list(value.shape) for entry, value in network.state_dict().items()}
        beside = {entry: list(shape) for entry, shape in network.beside().items()}
        assert own.keys().isdisjoint(beside) and own | beside == entries
    assert sum(p.numel() for p in network.parameters()) == TRAINED[name][1]


@pytest.mark.parametrize(("name", "config"), [
    ("tsrn", {}), ("stt", {"align": False}), ("tatt", {"recurrence": "batch"}),
    ("c3stisr", {"clue": "recognition"}), ("c3stisr", {}),
])
def test_a_published_checkpoint_loads_strictly(name, config, tmp_path):
    entries = json.loads((GOLDEN / f"{name}.keys.json").read_text())["entries"]
    state = {f"module.{entry}": torch.zeros(shape) for entry, shape in entries.items()}
    torch.save({"state_dict_G": state, "info": "of a parallel training"}, tmp_path / "net.pth")
    network = create_upscaler(name, tmp_path / "net.pth", **config)
    assert not any(value.any() for entry, value in network.state_dict().items()
                   if not entry.endswith(".pe"))
    unknown = state | {"module.block9.weight": torch.zeros(1)}
    torch.save({"state_dict_G": unknown}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"does not fit .* unexpected block9.weight"):
        create_upscaler(name, tmp_path / "other.pth", **config)
    if name == "tsrn":
        with pytest.raises(CheckpointError, match="mis-shaped block1.0.weight"):
            create_upscaler(name, tmp_path / "net.pth", mask=False)


def test_the_mask_is_pillow_s():
    from PIL import Image

    pixels = torch.randint(0, 256, (1, 3, 16, 64), dtype=torch.uint8)
    grey = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).convert("L")
    levels = torch.tensor(list(grey.get_flattened_data())).view(16, 64)
    assert torch.equal(with_mask(pixels.half() / 255)[:, 3], with_mask(pixels / 255)[:, 3].half())
    for dtype in (torch.float32, torch.float64):
        masked = with_mask(pixels.to(dtype) / 255)
        assert masked.dtype == dtype and torch.equal(masked[:, :3], pixels.to(dtype) / 255)
        assert torch.equal(masked[0, 3] == 0, levels > levels.double().mean())


@pytest.mark.parametrize("name", [name for name in list_upscalers() if "nano" in name])
def test_a_small_network_learns_and_keeps_its_constants(name):
    torch.manual_seed(0)
    network = create_upscaler(name)
    prior = torch.rand(4, 37, 1, 26).softmax(1) if network.takes_prior else None
    lr = torch.rand(4, network.channels, 16, 64)
    out = network(lr, prior)
    assert out.shape == (4, network.channels, 32, 128)
    out.square().mean().backward()
    unused = [entry for entry, p in network.named_parameters() if p.grad is None]
    assert unused == []
    digits = network.double().tps.basis.float().double()
    assert not torch.equal(digits, network.tps.basis)  # not widened from float32


def test_only_images_of_a_batch_s_first_quarter_go_without_clues_in_training():
    torch.manual_seed(0)
    network = create_upscaler("c3stisr_nano", align=False).eval()
    lr, prior = torch.rand(5, 4, 16, 64), torch.rand(5, 37, 1, 26).softmax(1)
    with torch.no_grad():
        plain = network(lr, prior)
        network.training = True
        withheld = network(lr, prior)
    assert not torch.equal(plain[:1], withheld[:1]) and torch.equal(plain[1:], withheld[1:])


@torch.no_grad()
def test_queries_by_columns_do_not_know_the_batch():
    torch.manual_seed(0)
    columns, batch = (create_upscaler("tatt_nano", recurrence=recurrence).infoGen
                      for recurrence in ("columns", "batch"))
    assert torch.equal(columns.queries(3), columns.queries(1))
    assert not torch.allclose(batch.queries(3)[:1], batch.queries(1), atol=1e-3)
    assert not torch.allclose(batch.queries(3)[:1], batch.queries(3)[2:], atol=1e-3)


@pytest.mark.parametrize(("name", "config", "said"), [
    ("tsnr", {}, "did you mean 'tsrn'"),
    ("tsrn", {"recurrence": "batch"}, "tsrn has no setting 'recurrence'"),
    ("tatt", {"recurrence": "rows"}, "recurrence must be one of columns, batch, found 'rows'"),
    ("c3stisr", {"clue": "visual"}, "clue must be one of fused, recognition"),
    ("tsrn", {"align_head": "other"}, "align_head must be one of shared, textzoom"),
])
def test_what_is_unknown_is_said(name, config, said):
    with pytest.raises(ValueError, match=said):
        create_upscaler(name, **config)


def test_wrong_input_is_said():
    network = create_upscaler("tsrn_nano")
    with pytest.raises(ValueError, match=r"images \(N, 4, 16, 64\), found \(1, 3, 16, 64\)"):
        network(torch.rand(1, 3, 16, 64))
    with pytest.raises(ValueError, match="tsrn_nano takes no text prior"):
        network(torch.rand(1, 4, 16, 64), torch.rand(1, 37, 1, 26))
    with pytest.raises(ValueError, match="tatt_nano needs text prior"):
        create_upscaler("tatt_nano")(torch.rand(1, 4, 16, 64))


def test_the_deformable_convolution_is_the_literal_loop():
    from kdltr.superres.deformable import DeformableConv

    torch.manual_seed(0)
    layer = DeformableConv(2, 2).double()
    nn.init.normal_(layer.bias)
    x, offsets = torch.rand(1, 2, 4, 5).double(), 2 * torch.randn(1, 36, 4, 5).double()
    modulation = torch.rand(1, 18, 4, 5).double()

    def pixel(c, y, z):
        return x[0, c, y, z].item() if 0 <= y < 4 and 0 <= z < 5 else 0.0

    def bilinear(c, y, z):
        top, left = int(y // 1), int(z // 1)
        return sum((1 - abs(y - row)) * (1 - abs(z - column)) * pixel(c, row, column)
                   for row in (top, top + 1) for column in (left, left + 1))

    expected = torch.empty(1, 4, 4, 5).double()
    for out in range(4):
        c = out // 2
        for i in range(4):
            for j in range(5):
                total = layer.bias[out].item()
                for k in range(9):
                    dy, dx = (offsets[0, 18 * c + 2 * k + n, i, j].item() for n in (0, 1))
                    value = bilinear(c, i + k // 3 - 1 + dy, j + k % 3 - 1 + dx)
                    weight = layer.weight[out, 0, k // 3, k % 3].item()
                    total += weight * value * modulation[0, 9 * c + k, i, j].item()
                expected[0, out, i, j] = total
    assert torch.allclose(layer(x, offsets, modulation), expected, atol=1e-12)


def test_both_clues_of_a_first_quarter_are_withheld():
    network = create_upscaler("c3stisr_nano", align=False).eval()
    network.training, found = True, {}
    for part in ("infoGen", "infoGen_ling"):
        network.get_submodule(part).register_forward_pre_hook(
            lambda _, given, part=part: found.update({part: given[0]}))
    for n in (3, 4, 8, 9):
        with torch.no_grad():
            network(torch.rand(n, 4, 16, 64), torch.rand(n, 37, 1, 26).softmax(1))
        assert len(found) == 2
        for clue in found.values():
            assert (clue.flatten(1).abs().sum(1) == 0).tolist() == [i < n // 4 for i in range(n)]


def test_a_mask_is_0_where_it_is_lighter_than_the_mean():
    assert (with_mask(torch.full((1, 3, 16, 64), 0.5))[:, 3] == 1).all()


def test_tatt_drops_positions_too():
    clue, asked = create_upscaler("tatt_nano", dropout=0.5).infoGen.train(), []
    remember = clue.remember
    clue.remember = lambda prior, places: asked.append(places) or remember(prior, places)
    (width,) = clue.transformer.decoder.norm.normalized_shape
    clue(torch.rand(2, width, 16, 64), torch.rand(2, 26, 37))
    assert 0.3 < (asked[0] == 0).float().mean() < 0.7


def test_initialisation_of_alignment_and_of_tatts_transformer():
    network = create_upscaler("tatt")
    head = network.stn_head.stn_fc1[0].weight
    assert head.std().item() == pytest.approx(1e-3, rel=0.05)
    for weight in (p for p in network.infoGen.transformer.parameters() if p.ndim > 1):
        fan = math.sqrt(6 / sum(nn.init._calculate_fan_in_and_fan_out(weight)))
        assert weight.abs().max() <= fan
        assert weight.std().item() == pytest.approx(fan / math.sqrt(3), rel=0.1)
