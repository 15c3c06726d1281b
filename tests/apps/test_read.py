"""`kdltr read`: readings in order, errors said, exit status."""

import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from kdltr.apps.command import main
from kdltr.apps.read import read_files
from kdltr.charset import Reading
from kdltr.checkpoint import save_weights
from kdltr.data.images import read_image, resize
from kdltr.data.lines import placed
from kdltr.models import create_model
from kdltr.models.weights import load_recogniser

CONFIG = {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "patch": [16, 4]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = create_model("parseq_nano_ltr", **CONFIG | {"patch": (16, 4)})
    file = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    save_weights(model, file, {"model": "parseq_nano_ltr", "config": CONFIG})
    return file


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for i, size in enumerate(((20, 60), (9, 31), (48, 200))):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(files[-1])
    return files


def run(capsys, *arguments):
    status = main(["read", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_text_and_confidence_in_the_order_given(capsys, checkpoint, images):
    order = [images[2], images[0], images[1], images[0]]
    status, lines, err = run(capsys, *order, "--weights", checkpoint, "--json")
    assert status == 0 and err == ""
    model = load_recogniser(checkpoint)
    said = [json.loads(line) for line in lines]
    assert [entry["path"] for entry in said] == [str(path) for path in order]
    for path, entry in zip(order, said, strict=True):
        array = resize(read_image(path), (16, 64))
        alone = model.read(torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255)[0]
        assert entry["text"] == alone.text and set(entry) == {"path", "text", "confidence"}
        assert entry["confidence"] == pytest.approx(alone.confidence, rel=1e-4)
    status, lines, _ = run(capsys, images[0], "--weights", checkpoint)
    path, text, confidence = lines[0].split("\t")
    assert (path, text) == (str(images[0]), said[1]["text"])
    assert confidence == f"{said[1]['confidence']:.3f}"


def test_a_model_without_weights_has_the_shipped_ones_of_its_name(capsys, images):
    by_model, by_weights = (run(capsys, images[0], option, "parseq_nano_ltr")
                            for option in ("--model", "--weights"))
    assert by_model == by_weights and by_model[0] == 0


def test_lines_are_placed_and_words_resized(images):
    toy = {"widths": (16,) * 5, "blocks": (1,) * 5, "row_width": 16, "image_size": (48, 128)}
    for lines, fit in ((True, placed), (False, resize)):
        model = create_model("dan_nano", **toy).eval()
        model.lines, seen = lines, []
        model.read = lambda batch, seen=seen: seen.extend(batch) or [Reading("", 1.0)] * len(batch)
        list(read_files(model, images))
        for file, image in zip(images, seen, strict=True):
            expected = torch.from_numpy(fit(read_image(file), (48, 128)).copy()) / 255
            assert torch.equal(image.permute(1, 2, 0), expected)


def test_bad_images_are_said_and_the_others_read(capsys, checkpoint, images, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    order = [tmp_path / "none.png", images[0], tmp_path / "text.png", tmp_path / "dot.png",
             images[1], tmp_path]
    status, lines, err = run(capsys, *order, "--weights", checkpoint)
    assert status == 1 and len(lines) == 2 and lines[1].startswith(f"{images[1]}\t")
    errors = err.splitlines()
    assert len(errors) == 4 and all("expected" in line for line in errors)
    assert "none.png" in errors[0] and "check the path" in errors[0]
    assert "found 1×1" in errors[2]
    status, lines, err = run(capsys, *order, "--weights", checkpoint, "--json")
    said = [json.loads(line) for line in lines]
    assert status == 1 and err == "" and len(said) == 6
    assert [set(entry) for entry in said[:2]] == [{"path", "error"}, {"path", "text", "confidence"}]
    status, lines, _ = run(capsys, tmp_path / "dot.png", "--weights", checkpoint)
    assert status == 1 and not lines


def test_images_go_in_batches(checkpoint, images):
    model = load_recogniser(checkpoint)
    sizes = []
    model.register_forward_hook(lambda module, args, out: sizes.append(len(args[0])))
    found = list(read_files(model, images[:2] + ["none.png"] + images, batch_size=4))
    assert sizes == [3, 2] and [isinstance(r, Reading) for _, r in found] == [1, 1, 0, 1, 1, 1]
    assert found[0] == (str(images[0]), found[0][1])
    for (_, a), (_, b) in ((found[0], found[3]), (found[1], found[4])):
        assert a.text == b.text


@pytest.mark.parametrize("arguments, said", [
    (("--model", "parsec_nano"), "did you mean 'parseq_nano'?"),
    (("--weights", "none.safetensors"), "none.safetensors"),
    (("--device", "warp"), "a device of this machine, found 'warp'"),
])
def test_wrong_options_are_said_in_one_line(capsys, images, arguments, said):
    status, lines, err = run(capsys, images[0], *arguments)
    assert status == 2 and not lines and said in err and len(err.splitlines()) == 1


def test_it_runs_from_another_directory_on_names_that_are_no_text(checkpoint, images, tmp_path):
    odd = tmp_path / "odd \udcff.png"  # a file name that is no text
    odd.write_bytes(images[0].read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "kdltr", "read", images[0], odd, "none.png", "--weights",
         checkpoint], cwd=tmp_path, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 1, done.stderr
    assert len(done.stdout.splitlines()) == 2 and b"none.png" in done.stderr


def test_grey_and_transparent_images_are_read(capsys, checkpoint, tmp_path):
    for mode in ("L", "RGBA", "I;16", "P"):
        image = Image.new(mode, (40, 12))
        if mode == "RGBA":
            image.paste("black", (5, 3, 30, 9))
        image.save(tmp_path / f"{mode[0]}.png")
    done, lines, _ = run(capsys, *sorted(tmp_path.glob("*.png")), "--weights", checkpoint)
    assert done == 0 and len(lines) == 4


def test_the_default_is_shipped_and_other_weights_have_a_name(capsys, images):
    assert run(capsys, images[0])[0] == 0
    assert run(capsys, images[0], "--weights", "parseq_nano_ltr")[0] == 0
    status, _, err = run(capsys, images[0], "--weights", "parseq_ltr")
    assert status == 2 and "found no parseq_ltr" in err


def test_a_reader_that_goes_away_ends_it_quietly(checkpoint, images):
    """As `kdltr read … | head -1` does, with more lines than a pipe holds."""
    command = [sys.executable, "-m", "kdltr", "read", *images * 400, "--weights", checkpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        assert process.stdout.readline().startswith(os.fsencode(images[0]))
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(120) == 141


def test_a_name_with_tabs_and_line_breaks_stays_in_its_column(capsys, checkpoint, images, tmp_path):
    odd, missing = tmp_path / "a\tb\nc.png", tmp_path / "no\nsuch.png"
    odd.write_bytes(images[0].read_bytes())
    status, lines, err = run(capsys, odd, missing, "--weights", checkpoint)
    assert status == 1 and len(lines) == 1 and err.count("\n") == 1
    assert lines[0].split("\t")[0] == f"{tmp_path}/a\\tb\\nc.png" and "no\\nsuch.png" in err
    _, (said,), _ = run(capsys, odd, "--weights", checkpoint, "--json")
    assert json.loads(said)["path"] == str(odd)


def test_an_empty_name_of_weights_is_not_the_default(capsys, images):
    status, lines, err = run(capsys, images[0], "--weights", "")
    assert status == 2 and not lines and "expected a file of weights" in err


def test_bytes_are_read_as_their_file_is(checkpoint, images, capsys, monkeypatch):
    model, content = load_recogniser(checkpoint), images[0].read_bytes()
    (_, there), = read_files(model, images[0])
    assert [*read_files(model, content)] == [(content, there)]
    assert [one for _, one in read_files(model, [images[1], content])][1].text == there.text
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    status, lines, err = run(capsys, "-", "--weights", checkpoint)
    assert (status, err) == (0, "") and lines == [f"-\t{there.text}\t{there.confidence:.3f}"]
