"""Checkpoints: every released layout, and everything that can be wrong with a file."""

import argparse
import json
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open

from kdltr.charset import CHARSETS
from kdltr.checkpoint import (
    CheckpointError,
    load_matching,
    load_weights,
    read_metadata,
    read_weights,
    save_state,
    save_weights,
)
from kdltr.models import create_model
from kdltr.models.weights import load_recogniser

TOY = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2}


@pytest.fixture
def model():
    return create_model("parseq_nano", **TOY)


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module.model."])
@pytest.mark.parametrize("container", [None, "model", "state_dict", "state_dict_G"])
def test_released_layouts(model, tmp_path, prefix, container):
    state = {prefix + name: value for name, value in model.state_dict().items()}
    content = state if container is None else {container: state, "epoch": 3}
    torch.save(content, tmp_path / "weights.pt")
    loaded = create_model("parseq_nano", tmp_path / "weights.pt", **TOY)
    for name, value in model.state_dict().items():
        assert loaded.state_dict()[name].equal(value)


@pytest.mark.parametrize("half", [False, True])
def test_safetensors_round_trip(model, tmp_path, half):
    save_weights(model, tmp_path / "w.safetensors", {"model": "parseq_nano", "step": 7}, half)
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        found = file.metadata()
    assert json.loads(found.pop("config")) == TOY  # sizes that the name does not say
    assert found == {"model": "parseq_nano", "step": "7"}
    other = create_model("parseq_nano", tmp_path / "w.safetensors", **TOY)
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].dtype == torch.float32
        expected = value.half().float() if half else value
        assert other.state_dict()[name].equal(expected)


def test_the_same_weights_are_the_same_bytes(model, tmp_path):
    metadata = {name: name for name in "abcdefgh"}
    for number in range(4):
        save_weights(model, tmp_path / f"{number}.safetensors", metadata)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert metadata.items() <= read_metadata(tmp_path / "0.safetensors").items()
    save_weights(model, tmp_path / "plain.safetensors", {})
    assert read_weights(tmp_path / "plain.safetensors").keys() == model.state_dict().keys()


def test_of_each_kind_of_difference_the_first_is_named_and_all_are_counted(model, tmp_path):
    state = model.state_dict()
    state["head.bias"] = torch.zeros(3)
    state["extra"] = torch.zeros(2)
    state["more"] = torch.zeros(2)
    del state["pos_queries"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, tmp_path / "w.pt")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "4 differences" in message and "Is it of another model" in message
    assert "missing pos_queries (1, 26, 16)" in message
    assert "unexpected extra (2,) and 1 more;" in message
    assert "mis-shaped head.bias: expected (95,), found (3,)" in message


def test_another_model(tmp_path):
    torch.save(create_model("parseq_nano").state_dict(), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="does not fit parseq_nano_ltr"):
        create_model("parseq_nano_ltr", tmp_path / "w.pt")


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*abinet_nano, .*data/README\.md"):
        read_weights(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated(model, tmp_path, name, share):
    path = tmp_path / name
    if name.endswith(".pt"):
        torch.save(model.state_dict(), path)
    else:
        save_weights(model, path, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    problem = "(cannot be read|is refused)"
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))} {problem}"):
        read_weights(path)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "old.pt"):
        with pytest.raises(CheckpointError, match="is refused"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_files_without_weights(tmp_path):
    torch.save({"note": "no tensors"}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"holds no weights.*note"):
        read_weights(tmp_path / "w.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds list"):
        read_weights(tmp_path / "list.pt")


@pytest.mark.parametrize("save", ["weights", "state"])
def test_a_disk_that_is_full_is_said_and_the_old_file_kept(model, tmp_path, save):
    resource = pytest.importorskip("resource")
    path = tmp_path / "file"

    def write(content):
        if save == "state":
            save_state(path, content)
        else:
            save_weights(model, path, {})

    write({"step": 1})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # stands for a full disk
    try:
        with pytest.raises(OSError, match=r"file cannot be written .*; make room on its disk"):
            write({"step": 2, "module": model.state_dict()})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_unknown_model_and_setting():
    with pytest.raises(ValueError, match="unknown model 'parsek'; did you mean 'parseq'"):
        create_model("parsek")
    with pytest.raises(ValueError, match="no setting 'widht'; did you mean 'width'"):
        create_model("parseq_nano", widht=3)
    with pytest.raises(ValueError, match="do not tile"):
        create_model("parseq_nano", patch=(5, 4))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model.", "model._orig_mod.module.",
                                    "module.module.", "_orig_mod.model."])
def test_what_wrappers_put_before_names_is_taken_off(model, tmp_path, prefix):
    torch.save({f"{prefix}{name}": value for name, value in model.state_dict().items()},
               tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").keys() == model.state_dict().keys()


class Wrapped(torch.nn.Module):
    """All of it is in one part, whose weights are tied."""

    def __init__(self, name="model"):
        super().__init__()
        first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        second.weight = first.weight
        self.add_module(name, torch.nn.Sequential(first, second))


@pytest.mark.parametrize("name", ["model", "module"])
@pytest.mark.parametrize("before", ["", "module.", "model."])
def test_a_model_all_in_one_part_gets_its_own_weights_back(tmp_path, name, before):
    model, other = Wrapped(name), Wrapped(name)
    save_weights(model, tmp_path / "w.safetensors", {})
    torch.save({before + key: value for key, value in model.state_dict().items()},
               tmp_path / "w.pt")
    for file in ("w.safetensors", "w.pt"):
        load_weights(other, tmp_path / file)
        assert load_matching(Wrapped(name), tmp_path / file) == []
        for key, value in model.state_dict().items():
            assert other.state_dict()[key].equal(value)


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    layer = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(layer.bias, 7e4)
    with pytest.raises(CheckpointError, match="up to 65504, found larger ones in 'bias'"):
        save_weights(layer, tmp_path / "w.safetensors", {}, half=True)
    assert not (tmp_path / "w.safetensors").exists()


def test_the_suffix_does_not_matter(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "w.safetensors")
    save_weights(model, tmp_path / "w.pth", {"model": "parseq_nano"})
    for name in ("w.safetensors", "w.pth"):
        assert read_weights(tmp_path / name).keys() == model.state_dict().keys()
    assert load_recogniser(tmp_path / "w.pth").semantic_width == TOY["width"]


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(7), np.bool_(True), np.str_("x"),
                                   np.arange(6.0).reshape(2, 3)])
def test_plain_numbers_of_numpy_beside_the_weights_are_no_code(model, tmp_path, value):
    torch.save({"model": model.state_dict(), "beside": value}, tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")


@pytest.mark.parametrize(("content", "kind"), [
    (b"<!DOCTYPE html><html>", "a web page"), (b"version https://git-lfs.github", "a Git LFS"),
    (b"", "an empty file"), (b'{"error": "not found"}', "JSON"), (b"\x1f\x8b\x08", "a compressed"),
    (b"PK\x05\x06" + bytes(18), "a zip archive"), (b"\x89PNG\r\n", "an image"),
])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ""])
def test_what_is_no_weights_is_named(tmp_path, content, kind, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"found {kind}") as caught:
        read_weights(tmp_path / f"w{suffix}")
    assert "run code" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(model, tmp_path, value):
    state = dict(model.state_dict())
    state["head.bias"] = torch.full_like(state["head.bias"], value)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="NaN or infinity in 1 of .*'head.bias'.*diverged"):
        load_weights(model, tmp_path / "w.pt")


def test_sizes_of_one_s_own_come_back_with_the_weights(tmp_path):
    made = {"strides": (2, (2, 1), 2, 1, 1), "hidden": 64, "charset": CHARSETS["digits_first36"]}
    save_weights(create_model("abinet_nano", **made), tmp_path / "w.safetensors",
                 {"model": "abinet_nano"})
    again = load_recogniser(tmp_path / "w.safetensors")
    assert again.charset == made["charset"]
    assert again.sizes == {"hidden": 64, "charset": "digits_first36"}  # the strides are usual


def test_images_of_another_range_are_refused(model):
    size = (1, 3, *model.image_size)
    for images, said in ((torch.full(size, 200.0), "from 200 to 200"),
                         (torch.full(size, -1.0), "from -1 to -1"),
                         (torch.full(size, float("nan")), "from nan")):
        with pytest.raises(ValueError, match=rf"reads images in \[0, 1\], found values {said}"):
            model.read(images)
    assert len(model.read(torch.full(size, 1.2))) == 1  # bicubic interpolation overshoots


@pytest.mark.parametrize("made", [
    lambda value: value.to_sparse(), lambda value: value.to("meta"),
    lambda value: torch.complex(value, value), lambda value: value.to(torch.float8_e4m3fn),
])
def test_tensors_that_do_not_hold_their_numbers_as_they_are_are_refused(model, tmp_path, made):
    torch.save(model.state_dict() | {"head.bias": made(model.head.bias.detach())},
               tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="expected dense .* in 1 of .*, the first head.bias"):
        read_weights(tmp_path / "w.pt")


def test_whole_numbers_in_place_of_weights_are_refused(model, tmp_path):
    torch.save(model.state_dict() | {"head.bias": model.head.bias.detach().to(torch.int8)},
               tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"1 differences: mis-typed head.bias: .*int8"):
        load_weights(model, tmp_path / "w.pt")


def test_what_a_pickle_would_call_is_named(tmp_path):
    torch.save({"hyper_parameters": argparse.Namespace(a=1)}, tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="found argparse.Namespace, which") as caught:
        read_weights(tmp_path / "w.ckpt")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(("sizes", "said"), [
    ({"width": -3}, "parseq_nano: width must not be below 0, found -3"),
    ({"patch": (-4, 4)}, "patch must not be below 0"),
    ({"width": 0}, "parseq_nano cannot be built with .*expected sizes of at least 1"),
    ({"dropout": 1.0}, "dropout must be below 1, found 1.0"),
    ({"orders": 5}, "orders must be 1 or even, since they come in mirrored pairs, found 5"),
    ({"heads": 7}, "7 heads do not share a width of 160"),
    ({"decoder_heads": 0}, "0 heads do not share"),
])
def test_sizes_that_no_model_has_are_refused(sizes, said):
    with pytest.raises(ValueError, match=said):
        create_model("parseq_nano", **sizes)


def test_a_share_that_drops_everything_is_refused():
    with pytest.raises(ValueError, match="context_dropout must be below 1"):
        create_model("dan_nano", context_dropout=1.0)
