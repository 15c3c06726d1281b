"""The teacher's outputs are computed once, and training does not notice."""

import contextlib
import errno
import logging
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from kdltr import ModelOutput, Recogniser
from kdltr.data.loader import load_pairs
from kdltr.models import create_model
from kdltr.train import DistillConfig, distill
from kdltr.train.teacher import start_teaching
from tests.train.conftest import ABINET_SIZES, SIZES

TOY = {"parseq_nano": SIZES, "abinet_nano": ABINET_SIZES, "matrn_nano": ABINET_SIZES}


@pytest.fixture
def taught(toy, tmp_path):
    """A function: what the teacher says of the toy words, as (chosen, extra) → ModelOutput."""

    def start(name, **settings):
        torch.manual_seed(0)
        teacher = create_model(name, **TOY[name]).eval()
        with torch.no_grad():
            for end in ("head", "cls", "vision.cls"):  # words end at different steps
                if hasattr(teacher, end.split(".")[0]):
                    teacher.get_submodule(end).bias[0] += 0.3
        pairs = load_pairs(toy.data)
        words = [teacher.charset.filter(word) for word in pairs.words]
        labels, lengths = teacher.charset.encode(words, teacher.steps)
        config = DistillConfig(output_dir=str(tmp_path), **settings)
        teaching = start_teaching(teacher, pairs, lengths, config, tmp_path,
                                  contextlib.nullcontext())  # fmt: skip
        chosen = torch.tensor([7, 3, 39, 0])
        extra = teacher.prepare(labels[chosen], torch.Generator().manual_seed(1))
        with torch.no_grad():
            return teaching(chosen, extra), lengths[chosen]

    return start


@pytest.mark.parametrize("name", TOY)
def test_kept_outputs_are_the_recomputed_ones(taught, name):
    kept, lengths = taught(name)
    anew, _ = taught(name, teacher_outputs="recomputed")
    for field in ("logits", "semantic", "visual"):
        torch.testing.assert_close(getattr(kept, field), getattr(anew, field))
    if anew.attention is not None:  # the mask alone is kept
        for mask, attention, length in zip(kept.attention, anew.attention, lengths, strict=True):
            torch.testing.assert_close(mask[0], attention[:length].amax(0))


@pytest.mark.parametrize("name", TOY)
def test_outputs_over_the_budget_are_in_a_nameless_file(taught, name, tmp_path):
    kept, _ = taught(name)
    spilled, _ = taught(name, teacher_budget=1e-9)
    assert torch.equal(kept.logits, spilled.logits) and torch.equal(kept.visual, spilled.visual)
    assert not list(tmp_path.iterdir())


def test_half_as_large_in_bf16(taught):
    kept, _ = taught("abinet_nano")
    half, _ = taught("abinet_nano", teacher_outputs="bf16")
    assert half.visual.dtype == torch.float32
    assert half.visual.equal(kept.visual.bfloat16().float())


def test_the_teacher_runs_once_over_the_pairs_and_the_losses_are_the_same(toy, tmp_path):
    models = {"teacher": "abinet_nano", "student": "abinet_nano_ltr", "model": ABINET_SIZES}
    settings = toy.settings | models | {"epochs": 2}
    totals = {}
    for mode in ("fp32", "recomputed"):
        torch.manual_seed(0)
        teacher = create_model("abinet_nano", **ABINET_SIZES).requires_grad_(False).eval()
        student = create_model("abinet_nano_ltr", **ABINET_SIZES).init_from_teacher(teacher)
        images = []
        teacher.register_forward_pre_hook(lambda _, given, n=images: n.append(len(given[0])))
        config = DistillConfig(output_dir=str(tmp_path / mode), **settings, teacher_outputs=mode)
        seen = []
        result = distill(config, (teacher, student), seen.append)
        totals[mode] = torch.tensor([row["total"] for row in seen])
        assert sum(images) == (36 if mode == "fp32" else result.pairs)
    torch.testing.assert_close(totals["fp32"], totals["recomputed"], rtol=1e-4, atol=0)


class Ordered(Recogniser):
    """Its output depends on what `prepare` drew, and it does not say what can be kept."""

    name = "ordered"

    def prepare(self, labels, generator):
        return {"order": torch.rand(len(labels), 1, 1, generator=generator)}

    def forward(self, images, order=0.0):
        logits = images.mean((1, 2, 3))[:, None, None].expand(-1, 5, 7) + order
        return ModelOutput(logits, logits)


def test_a_teacher_that_needs_what_is_prepared_is_asked_anew(toy, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    pairs, chosen = load_pairs(toy.data), torch.tensor([3, 1])
    teaching = start_teaching(Ordered(), pairs, torch.ones(40, dtype=torch.long),
                              DistillConfig(output_dir=str(tmp_path)), tmp_path,
                              contextlib.nullcontext())  # fmt: skip
    extra = {"order": torch.tensor([2.0, 5.0])[:, None, None]}
    expected = Ordered()(pairs.sharp(chosen), **extra).logits
    assert torch.equal(teaching(chosen, extra).logits, expected)
    assert "ordered has prepare() but not remember() and recall()" in caplog.text


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve room")
def test_a_full_disk_is_said_before_anything_is_computed(taught, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left.*teacher_budget.*teacher_outputs to 'bf16'"):
        taught("abinet_nano", teacher_budget=1e-9)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("asked", "free", "budget"), [(8.0, 80e9, 8e9), (30.0, 24e9, 12e9)])
def test_of_a_gpu_at_most_half_of_the_free_memory_is_taken(
    asked, free, budget, tmp_path, monkeypatch
):
    module = sys.modules[start_teaching.__module__]
    monkeypatch.setattr(module, "TeacherOutputs", lambda *given: given[4])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - 3e9, 80e9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5e9)  # 3 GB of it unused
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2e9)
    on_gpu = SimpleNamespace(hr=SimpleNamespace(device=torch.device("cuda")))
    config = DistillConfig(str(tmp_path), teacher_budget=asked)
    assert start_teaching(Recogniser(), on_gpu, None, config, tmp_path, None) == budget
