"""The training loop: a run, resuming, several processes, and what stops it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdltr.checkpoint import save_weights
from kdltr.data import DataError
from kdltr.data.lmdb import PairedWords, write_pairs
from kdltr.losses import WEIGHTS, DistillationCriterion
from kdltr.models import create_model
from kdltr.train import DistillConfig, NonFiniteLoss, ResumeError, distill
from kdltr.train.distill import adam, rate_factor
from kdltr.train.material import gather
from kdltr.train.models import build_models
from kdltr.train.selection import Selector
from kdltr.train.state import RunState
from tests.train.conftest import SIZES, WORDS

ROOT = Path(__file__).parents[2]


def config(toy, path, **changes):
    return DistillConfig(output_dir=str(path), **{**toy.settings, **changes})


def weights(run):
    return load_file(Path(run) / "last.safetensors")


def same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert (value - other[name]).abs().max() <= tolerance, name


def rows(run, name="metrics.csv"):
    with (Path(run) / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_and_what_it_leaves(toy, tmp_path):
    seen = []
    result = distill(config(toy, tmp_path), on_log=seen.append)
    assert result.steps == 27 and result.pairs == 108  # 36 words in 9 batches, 3 epochs
    assert result.labels["kept"] == 40
    found = rows(tmp_path)
    assert [int(row["step"]) for row in found] == [row["step"] for row in seen]
    assert found[-1]["step"] == "27"
    last = {name: float(value) for name, value in found[-1].items()}
    total = sum(last[f"weighted_{n}"] for n in ("visual", "semantic", "cross_entropy",
                                                "soft_logits"))
    assert last["total"] == pytest.approx(total, rel=1e-5)
    assert last["weighted_visual"] == pytest.approx(4 * last["visual"], rel=1e-5)
    assert [row["step"] for row in rows(tmp_path, "validation.csv")] == ["5", "10", "15", "20",
                                                                        "25", "27"]
    assert result.weights.name == "best.safetensors" and result.weights.is_file()
    assert list((tmp_path / "tensorboard").iterdir())
    recorded = json.loads((tmp_path / "config.json").read_text())
    assert DistillConfig.from_dict(recorded) == replace(config(toy, tmp_path), precision="no")
    assert [*json.loads((tmp_path / "data.json").read_text())["sets"]] == [*toy.settings["data"]]
    before = weights(tmp_path)
    again = distill(config(toy, tmp_path))  # finished: nothing is done, nothing changes
    assert again.steps == 27 and again.best_step == result.best_step
    same(before, weights(tmp_path))
    assert rows(tmp_path) == found


def test_fine_tuning_needs_no_teacher_pass(toy, tmp_path):
    """Cross-entropy alone: the teacher only gives the starting weights."""
    only = {"visual": 0.0, "semantic": 0.0, "soft_logits": 0.0, "cross_entropy": 1.0}
    settings = config(toy, tmp_path, weights=only, epochs=1)
    teacher, student = build_models(settings)
    teacher.register_forward_pre_hook(lambda *_: pytest.fail("the teacher was run"))
    result = distill(settings, (teacher, student))
    last = {name: float(value) for name, value in rows(tmp_path)[-1].items()}
    assert result.steps == 9
    assert last["total"] == pytest.approx(last["cross_entropy"])


def test_killed_in_mid_epoch_and_resumed_gives_the_same_bits(toy, tmp_path):
    sizes = {**toy.settings["model"], "dropout": 0.1}  # the random state must come back too
    settings = config(toy, tmp_path / "killed", model=sizes, epochs=4)
    script = (
        "import json, sys, time\n"
        "from kdltr.train import DistillConfig, distill\n"
        "def slow(row):\n"
        "    print(row['step'], flush=True)\n"
        "    time.sleep(0.1)\n"
        "distill(DistillConfig.from_dict(json.loads(sys.argv[1])), on_log=slow)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(settings.to_dict())],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )
    for line in process.stdout:
        if int(line) >= 14:  # in the second of 4 epochs of 9 steps, between two checkpoints
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "last.safetensors").exists()
    resumed = distill(settings)
    distill(config(toy, tmp_path / "whole", model=sizes, epochs=4))
    assert resumed.steps == 36
    same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    kept = [{k: v for k, v in row.items() if k != "pairs_per_second"}
            for row in rows(tmp_path / "killed")]
    whole = [{k: v for k, v in row.items() if k != "pairs_per_second"}
             for row in rows(tmp_path / "whole")]
    assert kept == whole


def test_stopped_by_the_clock_and_resumed_gives_the_same_bits(toy, tmp_path):
    sizes = {**toy.settings["model"], "dropout": 0.1}
    stopped = config(toy, tmp_path / "parts", model=sizes, minutes=1e-6)
    found = [distill(stopped), distill(stopped)]
    assert [(one.steps, one.finished, one.weights.is_file()) for one in found] == [
        (1, False, True), (2, False, True)]
    result = distill(config(toy, tmp_path / "parts", model=sizes))
    assert (result.steps, result.finished) == (27, True)
    distill(config(toy, tmp_path / "whole", model=sizes))
    same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    # A stop is no occasion to choose.
    assert rows(tmp_path / "parts", "validation.csv") == rows(tmp_path / "whole", "validation.csv")


def test_what_a_state_has_seen_is_in_the_table_too(toy, tmp_path, monkeypatch):
    def killed(self, step, *rest):
        save(self, step, *rest)
        raise KeyboardInterrupt

    save = RunState.save
    monkeypatch.setattr(RunState, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        distill(config(toy, tmp_path))
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4"]  # saved at 4


def test_the_clock_saves_between_the_steps_that_are_to_save(toy, tmp_path, monkeypatch):
    saved, save = [], RunState.save

    def saving(self, step, *rest):
        saved.append(step)
        save(self, step, *rest)

    monkeypatch.setattr(RunState, "save", saving)
    far = {"checkpoint_every": 100, "validate_every": 100, "epochs": 1}
    distill(config(toy, tmp_path / "often", checkpoint_minutes=1e-9, **far))
    assert saved == [*range(1, 10)]
    saved.clear()
    distill(config(toy, tmp_path / "seldom", checkpoint_minutes=60, **far))
    assert saved == [9]
    same(weights(tmp_path / "often"), weights(tmp_path / "seldom"))


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"checkpoint_minutes": -1}])
def test_minutes_out_of_range_are_named(toy, tmp_path, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be above 0, or None"):
        config(toy, tmp_path, **wrong)


def test_a_run_goes_on_after_it_and_its_data_were_moved(toy, tmp_path):
    """What lies there counts, not where; other data or another teacher at the same place do not."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    shutil.copytree(toy.data, here / "train")
    shutil.copy(toy.settings["teacher_weights"], here / "teacher.safetensors")

    def at(root, **changes):
        return config(toy, root / "run", epochs=1, data=(str(root / "train"),),
                      teacher_weights=str(root / "teacher.safetensors"), **changes)

    distill(at(here))
    teacher = (here / "teacher.safetensors").read_bytes()
    torch.manual_seed(1)
    save_weights(create_model("parseq_nano", **toy.settings["model"]),
                 here / "teacher.safetensors", {})
    with pytest.raises(ResumeError, match=r"teacher_weights was .*, a file that has changed"):
        distill(at(here))
    (here / "teacher.safetensors").write_bytes(teacher)
    here.rename(there)
    assert distill(at(there)).steps == 9
    with pytest.raises(ResumeError, match="batch_size was 4, is 5"):
        distill(at(there, batch_size=5))
    with pytest.raises(ResumeError, match="generated was"):
        distill(at(there, generated=(str(there / "train"),)))
    torch.manual_seed(1)
    save_weights(create_model("parseq_nano", **toy.settings["model"]),
                 there / "teacher.safetensors", {})
    shutil.move(there / "teacher.safetensors", there / "other.safetensors")
    with pytest.raises(ResumeError, match="teacher_weights was"):
        distill(config(toy, there / "run", epochs=1, data=(str(there / "train"),),
                       teacher_weights=str(there / "other.safetensors")))
    pairs = [PairedWords(there / "train")[i] for i in range(39)]
    write_pairs(there / "train", pairs)
    with pytest.raises(ResumeError, match="sets was"):
        distill(config(toy, there / "run", epochs=1, data=(str(there / "train"),)))


def test_resuming_under_other_settings_is_refused(toy, tmp_path):
    distill(config(toy, tmp_path, epochs=1))
    with pytest.raises(ResumeError, match=r"learning_rate was 0.001, is 0.01"):
        distill(config(toy, tmp_path, epochs=1, learning_rate=0.01))
    with pytest.raises(ResumeError, match=r"saved with 1 CPU thread"):
        distill(config(toy, tmp_path, epochs=1, threads=2))
    distill(config(toy, tmp_path, epochs=1, threads=2, allow_other_threads=True))
    assert distill(config(toy, tmp_path, epochs=1, resume=False)).steps == 9


def test_a_run_in_bfloat16(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("kdltr.train.engine.multiplies_bf16", lambda device: True)
    sizes = {**toy.settings["model"], "dropout": 0.1}
    result = distill(config(toy, tmp_path, model=sizes, precision="auto",
                            teacher_outputs="bf16", epochs=1))
    assert result.steps == 9 and result.config["precision"] == "bf16"
    assert float(rows(tmp_path)[-1]["total"]) > 0
    kept = weights(tmp_path)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in kept.values())


def test_batches_by_length(toy, tmp_path):
    """Another grouping of the same words: the losses differ, and a resumed run ends the same."""
    settings = config(toy, tmp_path / "whole", batches="by_length", epochs=2)
    distill(settings)
    shuffled = distill(config(toy, tmp_path / "shuffled", epochs=2))
    assert shuffled.steps == 18
    one, other = rows(tmp_path / "whole"), rows(tmp_path / "shuffled")
    assert [row["total"] for row in one] != [row["total"] for row in other]
    stopped = config(toy, tmp_path / "stopped", batches="by_length", epochs=2)
    stop_after(stopped, 10)
    distill(stopped)
    same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def stop_after(settings, step):
    """Run until a row of ``step`` is logged; the last checkpoint stays."""

    class Stop(Exception):
        pass

    def look(row):
        if row["step"] >= step:
            raise Stop

    with pytest.raises(Stop):
        distill(settings, on_log=look)


@pytest.mark.slow  # the compiler takes minutes
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_learns_the_same_and_resumes_bit_for_bit(toy, tmp_path):
    sizes = {**toy.settings["model"], "dropout": 0.1}
    common = {"compile": "default", "epochs": 2}
    distill(config(toy, tmp_path / "eager", epochs=2))
    distill(config(toy, tmp_path / "compiled", **common))
    same(weights(tmp_path / "eager"), weights(tmp_path / "compiled"), 1e-4)  # no dropout
    distill(config(toy, tmp_path / "whole", model=sizes, **common))
    stopped = config(toy, tmp_path / "stopped", model=sizes, **common)
    stop_after(stopped, 10)
    distill(stopped)
    same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


# Beside the run each process leaves a file with the size of what it keeps of the teacher.
WATCHED = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from kdltr.train import DistillConfig, distill, teacher

class Watched(teacher.TeacherOutputs):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        Path(sys.argv[2], os.environ.get("RANK", "0")).write_text(str(self.bytes))

teacher.TeacherOutputs = Watched
"""
TORCHRUN = WATCHED + """
result = distill(DistillConfig.from_dict(json.loads(sys.argv[1])))
Path(sys.argv[2], "result" + os.environ["RANK"]).write_text(
    f"{result.weights} {result.best_step} {result.best_score}")
"""
NOTEBOOK = WATCHED + """
import socket
from accelerate import notebook_launcher
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
settings = DistillConfig.from_dict(json.loads(sys.argv[1]))
notebook_launcher(distill, (settings,), num_processes=2, use_port=port)
"""


@pytest.mark.parametrize("launcher", ["torchrun", "notebook_launcher"])
def test_two_processes_match_accumulation(toy, tmp_path, launcher):
    """Losses are per process: two of batch B do what one does that accumulates two of batch B.

    Each keeps half of the teacher's outputs.
    """
    common = {"epochs": 1, "steps_per_epoch": 3, "log_every": 1}
    settings = config(toy, tmp_path / "two", **common)
    script = tmp_path / "run.py"
    script.write_text(TORCHRUN if launcher == "torchrun" else NOTEBOOK)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [sys.executable, *(torchrun if launcher == "torchrun" else []), str(script),
         json.dumps(settings.to_dict()), str(tmp_path)],
        check=True, cwd=ROOT, timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    one = distill(config(toy, tmp_path / "one", accumulate=2, **common))
    assert one.steps == 3
    for mine, theirs in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for name in ("visual", "semantic", "cross_entropy", "soft_logits", "total"):
            assert float(mine[name]) == pytest.approx(float(theirs[name]), abs=1e-5)
    same(weights(tmp_path / "one"), weights(tmp_path / "two"), 1e-5)
    kept = [int((tmp_path / str(rank)).read_text()) for rank in (0, 1)]
    assert kept == [18 * 32 * 16 * 4] * 2  # of 36 words the image tokens, (32, 16) in float32
    if launcher == "torchrun":  # every process names the weights that the main one chose
        first, second = ((tmp_path / f"result{rank}").read_text() for rank in (0, 1))
        assert first == second and "best.safetensors 3 " in first


def test_a_non_finite_loss_names_term_step_and_words(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("kdltr.losses.criterion.visual_focus_loss",
                        lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(NonFiniteLoss, match=r"step 1: .*visual.*total") as caught:
        distill(config(toy, tmp_path))
    assert any(repr(word) in str(caught.value) for word in WORDS)
    assert not (tmp_path / "state.pt").exists()


def test_the_last_good_checkpoint_is_kept(toy, tmp_path, monkeypatch):
    from kdltr.losses import criterion as module

    good, calls = module.visual_focus_loss, []

    def breaks_late(*arguments):
        calls.append(1)
        value = good(*arguments)
        return value * float("nan") if len(calls) > 6 else value

    monkeypatch.setattr(module, "visual_focus_loss", breaks_late)
    with pytest.raises(NonFiniteLoss, match="step 7"):
        distill(config(toy, tmp_path, epochs=2))
    monkeypatch.undo()
    assert distill(config(toy, tmp_path, epochs=2)).steps == 18  # goes on from step 4
    assert all(value.isfinite().all() for value in weights(tmp_path).values())


def test_a_batch_that_is_too_large_is_said_before_the_start_is_fitted(toy, tmp_path, monkeypatch):
    kind = type(create_model("parseq_nano_ltr", **SIZES))
    monkeypatch.setattr(kind, "fit_start", lambda *_: pytest.fail("that takes minutes"))
    with pytest.raises(DataError, match="batch of 100"):
        distill(config(toy, tmp_path, batch_size=100, start="fitted"))


def test_bad_settings_and_data(toy, tmp_path):
    with pytest.raises(ValueError, match="unknown setting 'learning_rat'.*'learning_rate'"):
        DistillConfig.from_dict({"output_dir": "x", "learning_rat": 1})
    with pytest.raises(ValueError, match="did you mean 'parseq_ltr'"):
        DistillConfig(output_dir="x", student="parseq_lr")
    with pytest.raises(ValueError, match="did you mean 'one_cycle'"):
        config(toy, tmp_path, schedule="onecycle")
    with pytest.raises(ValueError, match="batch_size must be at least 1, found 0"):
        config(toy, tmp_path, batch_size=0)
    with pytest.raises(ValueError, match="clip must be above 0, found 0"):
        config(toy, tmp_path, clip=0.0)
    with pytest.raises(ValueError, match="weights must have a term above 0"):
        config(toy, tmp_path, weights=dict.fromkeys(WEIGHTS, 0.0))
    with pytest.raises(ValueError, match="logits_alpha must be a number, found '0.2'"):
        config(toy, tmp_path, losses={"logits_alpha": "0.2"})
    with pytest.raises(ValueError, match="selection_data"):
        config(toy, tmp_path, selection="published")
    with pytest.raises(ValueError, match="path_score is a setting of the paper's soft logits"):
        config(toy, tmp_path, method="dld", path_score="log_normalised")
    with pytest.raises(ValueError, match="'fitted' says how a student without weights"):
        config(toy, tmp_path, start="fitted", student_weights="some.safetensors")
    with pytest.raises(ValueError, match="ctc_targets=.* has no meaning for one that reads by att"):
        distill(config(toy, tmp_path, ctc_targets="collapsed_paths"))


def test_what_chooses_is_looked_at_before_the_first_step(toy, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        distill(config(toy, tmp_path, selection="published", selection_data=("nowhere",)))
    assert not (tmp_path / "state.pt").exists() and not (tmp_path / "metrics.csv").exists()


def test_what_chooses_is_read_as_what_is_learned_from(tmp_path):
    """Lines on a canvas, not stretched over it."""
    lines = [(np.full((20, 30, 3), 80, np.uint8), np.full((10, 15, 3), 80, np.uint8), "a|b")] * 4
    write_pairs(tmp_path / "lines", lines)
    settings = DistillConfig(
        output_dir=str(tmp_path), data=str(tmp_path / "lines"), teacher="dan_nano",
        teacher_weights="random", student="dan_nano_ltr", validation=0.0, selection="published",
        selection_data=str(tmp_path / "lines"))
    teacher, student = build_models(settings)
    learned = gather(settings, teacher, student).pairs
    sizes = tuple(teacher.image_size), tuple(student.image_size)
    selector = Selector(settings, tmp_path, sizes, True, learned, 0, {})
    (judged,) = selector._sets
    assert torch.equal(judged.lr, learned.lr) and torch.equal(judged.hr, learned.hr)


def test_a_state_is_saved_with_every_choice(toy, tmp_path, monkeypatch):
    """So that the best weights are never of a run that a killed one does not go on with."""
    saved, save = [], RunState.save
    monkeypatch.setattr(RunState, "save", lambda self, step, best, *rest: (
        saved.append((step, best.get("step"))), save(self, step, best, *rest)))
    distill(config(toy, tmp_path, epochs=1, validate_every=2, checkpoint_every=5))
    looked = {int(row["step"]) for row in rows(tmp_path, "validation.csv")}
    assert looked and looked <= {step for step, _ in saved}


def test_who_starts_over_leaves_no_weights_of_the_run_before(toy, tmp_path):
    distill(config(toy, tmp_path, epochs=1))
    assert (tmp_path / "best.safetensors").is_file()
    again = config(toy, tmp_path, epochs=1, seed=3, selection="last", resume=False)
    assert distill(again).weights.name == "last.safetensors"
    assert not (tmp_path / "best.safetensors").exists()


def test_of_an_upsampled_student_only_the_image_is_set_apart():
    given = {"output_dir": "x", "student_input": "upsampled", "student": "parseq_nano_ltr"}
    with pytest.raises(ValueError, match="only the image counts; leave out dropout"):
        DistillConfig(**given, student_model={"dropout": 0.5})


def test_published_selection_sums_rounded_accuracies(toy, tmp_path):
    path = str(toy.data)
    result = distill(config(toy, tmp_path, epochs=1, selection="published",
                            selection_data=(path, path)))
    assert rows(tmp_path, "validation.csv")[-1]["n"] == "80"
    assert result.best_score == max(float(row["score"])
                                       for row in rows(tmp_path, "validation.csv"))


def test_rates():
    published = DistillConfig(output_dir="x")
    assert [rate_factor(published, 0, epoch, 100) for epoch in (0, 24, 25, 50)] == pytest.approx(
        [1, 1, 0.1, 0.01])
    cycle = DistillConfig(output_dir="x", schedule="one_cycle")
    factors = [rate_factor(cycle, step, 0, 100) for step in range(100)]
    assert factors.index(max(factors)) == 9 and factors[0] == pytest.approx(0.1)
    assert factors[-1] < 0.01


def test_the_published_optimiser():
    student = create_model("parseq_nano_ltr")
    criterion = DistillationCriterion.for_model(student)
    optimiser = adam(DistillConfig(output_dir="x"), student, criterion)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    proj = student.encoder.patch_embed.proj
    assert rates[id(proj.weight)] == 1e-4 and rates[id(proj.bias)] == 5e-5
    assert all(rates[id(p)] == 1e-4 for p in criterion.parameters())
    assert len(rates) == len([*student.parameters(), *criterion.parameters()])
    assert optimiser.defaults["betas"] == (0.5, 0.999)


def test_machines_that_see_different_states_are_told_to_share(toy, tmp_path, monkeypatch):
    distill(config(toy, tmp_path, epochs=1))
    gathered = "kdltr.train.state.gather_object"
    monkeypatch.setattr(gathered, lambda steps: [*steps, 0])  # another one found nothing
    with pytest.raises(ResumeError, match=r"at steps \[9, 0\].*output_dir must be a folder that"):
        distill(config(toy, tmp_path, epochs=1))


def test_a_finished_run_does_not_ask_the_teacher_and_its_budget_is_free(toy, tmp_path):
    distill(config(toy, tmp_path, epochs=1))
    settings = config(toy, tmp_path, epochs=1, teacher_budget=1e-9)
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[distill.__module__], "start_teaching", lambda *_: calls.append(1))
        assert distill(settings).steps == 9
    assert not calls


def test_a_start_is_fitted_once_on_at_most_so_many_images(toy, tmp_path, monkeypatch):
    given = []
    kind = type(create_model("parseq_nano_ltr"))
    monkeypatch.setattr(kind, "fit_start", lambda _, teacher, images: given.append(len(images)))
    monkeypatch.setattr(sys.modules[distill.__module__], "FITTED_ON", 20)  # of 36
    settings = config(toy, tmp_path, epochs=1, start="fitted")
    distill(settings)
    distill(settings)  # the state has the start in it
    assert given == [20]


def test_the_logged_norm_is_that_of_the_step(toy, tmp_path, monkeypatch):
    clip, norms = torch.nn.utils.clip_grad_norm_, []

    def watched(*arguments):
        norms.append(clip(*arguments))
        return norms[-1]

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watched)
    distill(config(toy, tmp_path, epochs=1, accumulate=3, log_every=1))
    logged = [float(row["grad_norm"]) for row in rows(tmp_path)]
    assert logged == pytest.approx([norm.item() for norm in norms], rel=1e-5)


def test_published_selection_adds_accuracies_of_four_digits(monkeypatch):
    found = iter([SimpleNamespace(n=3, correct=1, accuracy=1 / 3),
                  SimpleNamespace(n=7, correct=1, accuracy=1 / 7)])
    module = sys.modules[Selector.__module__]
    monkeypatch.setattr(module, "evaluate", lambda student, pairs: next(found))
    selector = object.__new__(Selector)
    selector._sets = ["one", "other"]
    judged = selector.judge(SimpleNamespace(lines=False), 1)
    assert judged == {"n": 10, "correct": 2, "score": pytest.approx(0.3333 + 0.1429, abs=1e-9)}
