"""Training on a GPU: bfloat16, resumed, without waiting, compiled with and without CUDA graphs."""

import csv
import sys

import pytest
import torch
from torch._dynamo.utils import counters

from kdltr.data.shards import write_shard
from kdltr.losses import DistillationCriterion
from kdltr.models import create_model
from kdltr.train import DistillConfig, PretrainConfig, distill, pretrain
from kdltr.train.feed import Pictures
from kdltr.train.models import Distillation
from kdltr.train.watch import LossWatch
from tests.gpu.on_gpu import DEVICE, TOYS, on_gpu, pair
from tests.train.conftest import ABINET_SIZES, SIZES, toy  # noqa: F401 (a fixture)

pytestmark = on_gpu
WORDS = ["word", "a", "seven", "of"]


class Steps:
    """A teacher, a student, four words, and a training step over them."""

    def __init__(self, name: str, sizes: dict, compile: str = "no") -> None:
        torch.manual_seed(0)
        self.teacher, self.student = (
            create_model(model, **sizes).to(DEVICE) for model in pair(name))
        self.teacher.eval()
        criterion = DistillationCriterion.for_model(self.student)
        self.distillation = Distillation(self.student, criterion, compile).to(DEVICE).train()
        self.optimiser = torch.optim.Adam(self.distillation.parameters(), 1e-3, fused=True)
        self.hr, self.lr = (torch.rand(4, 3, *model.image_size).to(DEVICE)
                            for model in (self.teacher, self.student))
        labels, lengths = self.student.charset.encode(WORDS, self.student.steps)
        self.labels, self.lengths = labels.to(DEVICE), lengths.to(DEVICE)

    def __call__(self, half: bool = False) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Terms and gradient norm."""
        extra = self.student.prepare(self.labels, torch.Generator().manual_seed(1))
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=half):
            with torch.no_grad():
                taught = self.teacher(self.hr, **extra)
            terms = self.distillation(self.lr, extra, taught, self.labels, self.lengths)
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1e9)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return terms, norm


@pytest.mark.parametrize("name", TOYS)
def test_a_step_in_bfloat16_is_near_float32s(name):
    """The nano sizes, without what is left to chance; all terms to a fiftieth, like the norm."""
    sizes = {"masking": 0.0} if name == "matrn" else {}
    (single, norm), (half, half_norm) = Steps(name, sizes)(), Steps(name, sizes)(half=True)
    for term, value in single.items():
        assert half[term].dtype == torch.float32
        torch.testing.assert_close(half[term], value, rtol=0.02, atol=1e-3, msg=term)
    torch.testing.assert_close(half_norm, norm, rtol=0.05, atol=0)


def config(toy, path, **changes):  # noqa: F811
    return DistillConfig(**toy.settings | {"output_dir": str(path), "device": None} | changes)


def totals(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["total"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_stopped_and_resumed_ends_where_an_uninterrupted_run_does(toy, tmp_path, precision):  # noqa: F811
    """In every logged loss, to a two-hundredth, not bit for bit.

    Some of the GPU's sums come in another order each time, and Adam makes steps of the full rate
    of gradients that are nothing but rounding. With dropout, without whose random state a resumed
    run's losses are off by six hundredths.
    """
    class Stop(Exception):
        pass

    def stop(row):
        if row["step"] >= 14:
            raise Stop

    common = {"model": {**SIZES, "dropout": 0.1}, "precision": precision}
    with pytest.raises(Stop):
        distill(config(toy, tmp_path / "stopped", **common), on_log=stop)
    distill(config(toy, tmp_path / "stopped", **common))
    distill(config(toy, tmp_path / "whole", **common))
    assert totals(tmp_path / "stopped") == pytest.approx(totals(tmp_path / "whole"), rel=0.005)


@pytest.fixture
def no_waiting(monkeypatch):
    """From each step's end to the next look at the loss the host must not wait for the GPU.

    The list of the steps that were taken so, but for the last of each.
    """
    add, look, taken = LossWatch.add, LossWatch.look, []

    def adding(self, step, *reported):
        if torch.cuda.get_sync_debug_mode():
            taken.append(step)
        add(self, step, *reported)
        torch.cuda.set_sync_debug_mode("error")

    def looking(self):
        torch.cuda.set_sync_debug_mode("default")
        return look(self)

    monkeypatch.setattr(LossWatch, "add", adding)
    monkeypatch.setattr(LossWatch, "look", looking)
    yield taken
    torch.cuda.set_sync_debug_mode("default")


def test_waiting_is_noticed(no_waiting):
    torch.cuda.set_sync_debug_mode("error")
    for wait in (lambda: torch.ones(1, device=DEVICE).item(), lambda: torch.ones(1).to(DEVICE),
                 lambda: torch.ones(3, device=DEVICE).nonzero()):  # fmt: skip
        with pytest.raises(RuntimeError, match="synchroniz"):
            wait()


@pytest.mark.parametrize("kept", ["fp32", "bf16", "recomputed", "in a file"])
@pytest.mark.parametrize("name", TOYS)
def test_no_step_of_a_distillation_waits(toy, tmp_path, no_waiting, name, kept):  # noqa: F811
    sizes = {"parseq": SIZES, "abinet": ABINET_SIZES, "matrn": ABINET_SIZES}.get(name)
    sizes = {**sizes, "dropout": 0.1} if sizes else TOYS[name]
    teacher, student = pair(name)
    far = {"log_every": 6, "validate_every": 100, "checkpoint_every": 100}
    how = {"teacher_outputs": kept} if kept != "in a file" else {"teacher_budget": 1e-9}
    settings = config(
        toy, tmp_path, teacher=teacher, student=student, teacher_weights="random",
        model=sizes, epochs=2, precision="bf16", accumulate=2, **how, **far,
    )
    assert distill(settings).steps == 8
    assert {2, 3, 4, 5, 6} <= {*no_waiting}


def test_no_step_waits_for_the_camera(toy, tmp_path, no_waiting):  # noqa: F811
    far = {"log_every": 6, "validate_every": 100, "checkpoint_every": 100, "epochs": 2}
    settings = config(toy, tmp_path, camera={"data": 0.5}, mix={"data": 1.0}, steps_per_epoch=4,
                      **far)
    assert distill(settings).steps == 8
    assert {2, 3, 4, 5, 6} <= {*no_waiting}


def test_no_step_of_a_training_by_labels_waits(toy, tmp_path, no_waiting, monkeypatch):  # noqa: F811
    """From shards of noise: rendering words takes packages that a GPU need not have beside it."""
    rng = torch.Generator().manual_seed(0)
    hr, lr = (torch.randint(256, (12, *size, 3), generator=rng, dtype=torch.uint8).numpy()
              for size in ((32, 128), (16, 64)))
    made = {"split": "train1", "seed": 0, "generator_version": 1, "start": 0, "pairs": 12}
    write_shard(tmp_path / "shards" / "00000.safetensors", hr, lr, 3 * WORDS, made)
    monkeypatch.setattr(Pictures, "held_out", lambda _: None)
    module = sys.modules[pretrain.__module__]
    monkeypatch.setattr(module, "_validate", lambda model, held_out, step, best, *_: best)
    result = pretrain(PretrainConfig(
        str(tmp_path / "run"), "parseq_nano", {**SIZES, "dropout": 0.1}, steps=9, batch_size=4,
        shards=str(tmp_path / "shards"), augment=1.0, log_every=8, precision="bf16",
    ))
    assert result.steps == 9
    assert {*range(2, 9)} <= {*no_waiting}


# Last: compiling takes longer than all before it, and the time on a GPU may be short.
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("name", ["parseq", "abinet", "ppocr"])
def test_a_compiled_student_learns_the_same(name, mode):
    """Six steps: CUDA graphs are recorded in the second and replayed with other weights after."""
    torch._dynamo.reset()
    counters.clear()
    eager, compiled = Steps(name, TOYS[name]), Steps(name, TOYS[name], mode)
    for step in range(6):
        expected, found = eager()[0], compiled()[0]
        for term, value in expected.items():
            torch.testing.assert_close(found[term], value, rtol=5e-3, atol=1e-4,
                                       msg=lambda said, at=(step, term): f"{at}: {said}")
    assert counters["stats"]["unique_graphs"] > 0
    assert counters["inductor"]["cudagraph_skips"] == 0
