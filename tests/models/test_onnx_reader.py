"""Reading with an ONNX file: as the model does, from the shell too; in 8 bits nearly so."""

import numpy as np
import onnx
import pytest
import torch

from kdltr import create_model
from kdltr.apps.command import main
from kdltr.checkpoint import CheckpointError, save_weights
from kdltr.data.images import encode_png
from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.generator.synthetic import arrays, write_textzoom_like
from kdltr.models.onnx import export
from kdltr.models.onnx_reader import OnnxReader, quantise
from kdltr.models.weights import load_recogniser

CTC = "crnn_nano_ltr"


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student that reads by CTC, with random weights, and its file."""
    torch.manual_seed(0)
    model = create_model(CTC).eval()
    path = tmp_path_factory.mktemp("onnx") / "word.onnx"
    export(model, path)
    return model, path


@pytest.fixture(scope="module")
def images():
    """Words in LR (20, 3, 16, 64) uint8."""
    return torch.from_numpy(arrays("train1", 20, 3)[1]).permute(0, 3, 1, 2).contiguous()


def test_a_file_reads_as_its_model_does(student, images):
    model, path = student
    reader = load_recogniser(path)
    assert isinstance(reader, OnnxReader) and not reader.training
    assert (reader.name, reader.decoding, reader.image_size) == (CTC, "ctc", (16, 64))
    own, read = model.charset, reader.charset
    assert (read.characters, read.lower) == (own.characters, own.lower) and own.lower
    expected, found = model.read(images / 255), reader.read(images / 255)
    assert [word.text for word in found] == [word.text for word in expected]
    assert np.allclose([word.confidence for word in found],
                       [word.confidence for word in expected], rtol=1e-4)
    assert UpsampleBicubic(reader).image_size == (8, 32)  # whatever it is good for
    with pytest.raises(ValueError, match="expected cpu for an ONNX file"):
        load_recogniser(path, device="cuda")


def test_eight_bits_are_smaller_and_near(student, images, tmp_path):
    model, path = student
    target = tmp_path / "int8.onnx"
    quantise(path, target, images)
    assert [file.name for file in tmp_path.iterdir()] == ["int8.onnx"]
    assert target.stat().st_size < 0.7 * path.stat().st_size
    reader = OnnxReader(target, threads=1)
    own, found = (one(images / 255).logits for one in (model, reader))
    assert 0 < (own - found).abs().max() < 0.2 * own.abs().max()
    nodes = onnx.load(target).graph.node
    assert "DequantizeLinear" in {node.op_type for node in nodes}
    first = next(node for node in nodes if node.op_type == "Conv")
    assert first.input[1] == "model.cnn.conv0.weight"  # in float32: no node rounds it


@pytest.mark.parametrize("content", [b"", b"no ONNX", None])
def test_another_file_is_refused(content, tmp_path):
    path = tmp_path / "other.onnx"
    if content is None:  # ONNX, but nothing that kdltr wrote
        value = onnx.helper.make_tensor_value_info("x", 1, [1])
        node = onnx.helper.make_node("Identity", ["x"], ["y"])
        made = onnx.helper.make_tensor_value_info("y", 1, [1])
        graph = onnx.helper.make_graph([node], "other", [value], [made])
        onnx.save(onnx.helper.make_model(
            graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 18)]), path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.onnx: expected an ONNX file that kdltr wr"):
        OnnxReader(path)


@pytest.mark.parametrize("changed", ["image_size", "charset", "name", "batch"])
def test_a_file_that_does_not_do_what_its_metadata_say_is_refused(student, changed, tmp_path):
    content = onnx.load(student[1])
    facts = {entry.key: entry.value for entry in content.metadata_props}
    if changed == "name":
        content.graph.input[0].name = content.graph.node[0].input[0] = "pictures"
    elif changed == "batch":
        content.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    else:
        facts |= {"image_size": "[16, 1000000000]"} if changed == "image_size" else {"charset": "a"}
        onnx.helper.set_model_props(content, facts)
    onnx.save(content, tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match=r"other\.onnx: expected an ONNX file that kdltr wr"):
        OnnxReader(tmp_path / "other.onnx")


def test_an_onnx_file_is_not_exported_again(student, tmp_path, capsys):
    assert main(["export", str(student[1]), str(tmp_path / "again.onnx")]) == 2
    assert "is an ONNX file already" in capsys.readouterr().err


def test_the_model_of_a_file_may_be_named(student):
    assert load_recogniser(student[1], CTC).name == CTC
    with pytest.raises(CheckpointError, match=f"expected parseq_nano, found an ONNX file of {CTC}"):
        load_recogniser(student[1], "parseq_nano")


def test_from_the_shell(student, tmp_path, capsys):
    save_weights(student[0], tmp_path / "word.safetensors", {"model": CTC})
    words = write_textzoom_like(tmp_path, {"train1": 12}, 1)["train1"]
    weights, target = str(tmp_path / "word.safetensors"), str(tmp_path / "int8.onnx")
    assert main(["export", weights, target, "--int8", str(words)]) == 0
    said = capsys.readouterr().out
    assert CTC in said and "of 12 words as PyTorch does" in said
    assert main(["evaluate", target, str(words)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "12"
    picture = tmp_path / "word.png"
    picture.write_bytes(encode_png(arrays("train1", 1, 1)[1][0]))
    assert main(["read", "--weights", target, str(picture)]) == 0
    assert capsys.readouterr().out.split("\t")[0] == str(picture)
