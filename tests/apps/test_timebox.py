"""`kdltr run gpu --minutes`: all parts on a CPU, stopped at any moment, and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from safetensors.torch import load_file

from kdltr.apps import rendering, timebox, training
from kdltr.apps.command import main
from kdltr.apps.timebox_plan import TimeboxError, read_plan
from kdltr.results import Row, write_result

ROOT = Path(__file__).parents[2]
PLANS = sorted((ROOT / "params/gpu/timebox").glob("*.yaml"))
TOY = ROOT / "params/gpu/timebox/toy.yaml"
pytestmark = pytest.mark.timeout(1800)  # a dozen processes start, beside whatever else runs
STUDENT = "training/student/best.safetensors"


def plan(folder, **changes):
    """The toy plan with changes, in ``folder``."""
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(TOY.read_text()) | changes, sort_keys=False))
    return file


def trainings_alone(folder, **of_the_student):
    """Without tests and measurements, which start slowly."""
    found = yaml.safe_load(TOY.read_text())["trainings"]
    found["student"]["distill"] |= of_the_student
    return plan(folder, tests={}, bench={}, trainings=found)


def arguments(file, out, minutes=60):
    return ["run", "gpu", "--plan", str(file), "--minutes", str(minutes), "--out", str(out)]


def summary(out):
    return json.loads((out / "summary.json").read_text())


def same_weights(one, other):
    here, there = (load_file(out / STUDENT) for out in (one, other))
    return here.keys() == there.keys() and all(here[name].equal(there[name]) for name in here)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A time box that had enough time."""
    folder = tmp_path_factory.mktemp("whole")
    found = yaml.safe_load(TOY.read_text())
    file = plan(folder, **{part: found[part] | {"seconds": 900} for part in ("tests", "bench")})
    assert main(arguments(file, folder / "box")) == 0
    return folder / "box"


def test_every_part_says_how_it_ended(whole):
    found = summary(whole)
    assert found["tests"]["SKIPPED"] > 20 and "FAILED" not in found["tests"]
    assert found["bench"]["rows"] == len(json.loads((whole / "bench.json").read_text())["rows"]) > 0
    for part in ("tests", "bench"):
        assert found[part]["status"] == 0 and not found[part]["at its limit"]
    for name in ("teacher", "student"):
        one = found["trainings"][name]
        assert (one["status"], one["finished"], one["step"]) == (0, True, 12)
    assert not [*whole.rglob("processes/*/*.json")]
    assert max(file.stat().st_size for file in (whole / "pieces").iterdir()) < 16 << 20


def test_what_is_done_is_not_done_again(whole, capsys):
    before = {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.is_file()}
    assert main(arguments(whole.parent / "plan.yaml", whole)) == 0
    assert capsys.readouterr().out == f"{whole}/summary.json\n"
    after = {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.is_file()}
    changed = {file.relative_to(whole) for file in after if after[file] != before.get(file)}
    assert {str(file) for file in changed} <= {"summary.json", ".lock"}


MOMENTS = (
    lambda out: any((out / "shards/student").glob("*.safetensors")),
    lambda out: (out / "training/teacher/state.pt").is_file(),
    lambda out: "student/state.pt" in _listed(out),
)


def _listed(out):
    file = out / "pieces/pieces.json"
    return json.loads(file.read_text())["files"] if file.is_file() else {}


def killed(file, out, moment):
    """Start a time box and kill it, and nothing of what it has started."""
    process = subprocess.Popen([sys.executable, "-m", "kdltr", *arguments(file, out)],
                               cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not moment(out):
        assert process.poll() is None, (out / "student.log").read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_at_several_moments_it_goes_on_here_and_elsewhere_to_the_same_weights(
    whole, tmp_path
):
    """While it renders, with a teacher's state, and with a student's; elsewhere from the pieces."""
    file, out = trainings_alone(tmp_path, checkpoint_every=1), tmp_path / "box"
    for moment in MOMENTS:
        killed(file, out, moment)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(out / "pieces", elsewhere / "pieces")
    for box in (out, elsewhere):
        assert main(arguments(file, box)) == 0
        assert summary(box)["trainings"]["student"]["finished"]
        assert same_weights(box, whole)
        assert not [*box.rglob("processes/*/*.json")]  # nothing was left to run on
    assert "resumed training/student/state.pt at step" in (elsewhere / "student.log").read_text()
    assert not (elsewhere / "teacher.log").exists()  # it was finished


def test_a_training_stops_when_its_time_is_over_and_goes_on(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole / "training/teacher", tmp_path / "training/teacher")
    shutil.copytree(whole / "shards", tmp_path / "shards")
    found = read_plan(TOY)
    for step, until in ((1, 0.0), (2, 0.0), (12, time.time() + 600)):
        training.train(found, "student", until)
        result = json.loads(Path("training/student/result.json").read_text())
        assert (result["step"], result["finished"]) == (step, step == 12)
        assert result["card"] is None
    same = load_file("training/student/last.safetensors")
    other = load_file(whole / "training/student/last.safetensors")
    assert all(same[name].equal(other[name]) for name in other)


@pytest.fixture
def asleep(tmp_path):
    """A file of tests, of which the second sleeps; and one with its process id, once it does."""
    tests, mark = tmp_path / "test_slow.py", tmp_path / "asleep"
    tests.write_text(f"""
import os, pathlib, time, pytest
pytestmark = pytest.mark.gpu

def test_quick():
    pass

def test_slow():
    pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))
    time.sleep(600)
""")
    file = plan(tmp_path, bench={}, trainings={}, tests={"seconds": 600, "arguments": [str(tests)]})
    return file, mark


def is_gone(mark):
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_part_that_takes_too_long_is_ended_and_what_it_has_is_counted(
    asleep, tmp_path, monkeypatch
):
    (file, mark), limits = asleep, []

    class Started(timebox.Limited):
        """Its time begins when the test is asleep: how long a start takes is not known."""

        def wait(self, until, look=None):
            limits.append(until - time.monotonic())
            while not mark.is_file() and self.status is None:
                time.sleep(0.05)
            return super().wait(time.monotonic() + 0.5)

    monkeypatch.setattr(timebox, "Limited", Started)
    assert main(arguments(file, tmp_path / "box")) == 0
    assert len(limits) == 1 and 590 < limits[0] <= 600
    found = summary(tmp_path / "box")["tests"]
    assert (found["status"], found["at its limit"], found["PASSED"]) == (None, True, 1)
    is_gone(mark)


def test_a_part_that_the_end_of_the_box_cuts_short_is_run_again(
    asleep, tmp_path, caplog
):
    file, out = asleep[0], tmp_path / "box"
    assert main(arguments(file, out, minutes=0.01)) == 0
    found = summary(out)["tests"]
    assert found["status"] is None and not found["at its limit"]
    assert main(arguments(file, out, minutes=0.01)) == 0
    assert caplog.text.count("s left: status None") == 2


def test_asked_to_end_it_ends_what_it_has_started(asleep, tmp_path):
    file, mark = asleep
    process = subprocess.Popen([sys.executable, "-m", "kdltr", *arguments(file, tmp_path / "box")],
                               cwd=ROOT, stderr=subprocess.DEVNULL)
    while not mark.is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    is_gone(mark)


def test_a_part_that_fails_is_said_and_the_others_run(tmp_path, caplog):
    file = plan(tmp_path, tests={"seconds": 600, "arguments": ["no/such/test.py"]}, trainings={},
                bench={"seconds": 600, "arguments": ["--repeats", "many"]})  # fmt: skip
    out = tmp_path / "box"
    assert main(arguments(file, out)) == 1
    assert summary(out)["tests"]["status"] == 4 and summary(out)["bench"]["status"] == 2
    assert "bench failed: kdltr bench: argument --repeats: invalid int value" in caplog.text
    assert main(arguments(file, out)) == 1  # it is tried again


@pytest.mark.parametrize("render", [None, {"n": 4, "seed": 1, "split": "train3"}])
def test_a_training_that_cannot_be_fails(tmp_path, caplog, render):
    """Its data are missing; or they cannot be rendered."""
    found = yaml.safe_load(TOY.read_text())["trainings"]["student"] | {"render": render}
    found["distill"] |= {"teacher_weights": "random"}
    file = plan(tmp_path, tests={}, bench={}, trainings={"student": found})
    out = tmp_path / "box"
    assert main(arguments(file, out)) == 1
    log = out / ("render.log" if render else "student.log")
    said = log.read_text().splitlines()[-1]
    assert ("split" if render else "shards/student") in said and said in caplog.text


def test_processes_that_render_load_no_pytorch():
    """Sixteen of them take seconds and gigabytes from the training otherwise."""
    check = "import sys, kdltr.apps.rendering; print({'torch', 'pandas'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_a_plan_may_say_how_many_processes_render(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"n": 4, "seed": 1, "workers": 1}
    rendering.render(SimpleNamespace(processes=2, trainings={"t": {"render": given}}), ["t"])
    assert json.loads(Path("shards/t.json").read_text()) == given


def test_damaged_pieces_and_a_second_writer_are_one_line(whole, tmp_path, capsys):
    out = tmp_path / "box"
    shutil.copytree(whole / "pieces", out / "pieces")
    piece = next((out / "pieces").glob("*.piece"))
    piece.write_bytes(piece.read_bytes()[:-1])
    assert main(arguments(TOY, out)) == 2
    error = capsys.readouterr().err
    assert f"{piece.name}: expected a piece" in error and len(error.splitlines()) == 1
    assert not (out / "training").exists()
    with timebox.only_writer(out / ".lock"):
        assert main(arguments(TOY, out)) == 2
    assert "is being written by process" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "said"), [
    (None, "expected a plan, found: no such file"),
    ("trainings: [", "expected a plan as those in params/gpu/timebox"),
    ("minutes: 3", "unknown setting 'minutes'"),
    ("trainings: {one: {}}", "expected either distill or pretrain in the training one"),
    ("- a", "expected a plan as those in"),
])
def test_a_plan_that_is_none_is_one_line(text, said, tmp_path, capsys):
    file = tmp_path / "plan.yaml"
    if text:
        file.write_text(text)
    assert main(arguments(file, tmp_path / "box")) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_options_that_lack_and_packages_that_lack_are_named(tmp_path, capsys, monkeypatch):
    for given in (["--minutes", "3"], ["--out", str(tmp_path)]):
        assert main(["run", "gpu", *given]) == 2
        assert "go together" in capsys.readouterr().err
    assert main(arguments(TOY, tmp_path / "box", minutes=0)) == 2
    assert "--minutes must be above 0" in capsys.readouterr().err
    monkeypatch.setattr(timebox, "NEEDED", ("torch", "torchx"))
    assert main(arguments(TOY, tmp_path / "box")) == 2
    assert "found no torchx; pip install them, or" in capsys.readouterr().err
    monkeypatch.setattr(timebox, "NEEDED", ("torch",))
    monkeypatch.setattr(timebox, "TO_RENDER", ("wordfreqs",))
    assert main(arguments(TOY, tmp_path / "box")) == 2
    assert "found no wordfreqs; pip install them, or" in capsys.readouterr().err


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_the_plans_have_settings_that_there_are_and_read_what_is_made(file):
    found, made = read_plan(file), set()
    for name, entry in found.trainings.items():
        config = training.settings(found, name)
        if "render" in entry:
            made.add(f"shards/{name}")
        paths = [path for path in _texts(entry) if path.startswith(("shards/", "training/"))]
        assert {path.removesuffix("/best.safetensors") for path in paths} <= made
        assert config.checkpoint_minutes == 1
        made.add(f"training/{name}")
    assert {path for path in _texts(found.trainings) if path.startswith("data/checkpoints")} == {
        *found.weights}


def _texts(value):
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


def test_figures_of_a_gpu_are_published_and_others_are_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KDLTR_ROOT", str(tmp_path))
    (tmp_path / "params/gpu").mkdir(parents=True)
    (tmp_path / "params/gpu/workflow.yaml").touch()
    box, target = tmp_path / "box", tmp_path / "results/reference/gpu"
    assert main(["publish", "gpi", "--box", str(box)]) == 2
    assert "no profile 'gpi'; did you mean 'gpu'" in capsys.readouterr().err
    publish = ["publish", "gpu", "--box", str(box)]
    said = iter(["bench.json, found none", "found those of a CPU"])
    for card in ("none yet", None, "a card"):
        if card != "none yet":
            machine = {"cpu": "x", "cores": 1, "threads": 1, "memory": 1, "gpu": card}
            monkeypatch.setattr("kdltr.results.environment.hardware", lambda found=machine: found)
            rows = [Row("bench", "parseq", "kdltr", "a", "b", 1.0, "ms")]
            write_result(box / "bench.json", rows, {})
            (box / "summary.json").write_text("{}\n")
        if card == "a card":
            assert main(publish) == 0
        else:
            assert main(publish) == 2 and next(said) in capsys.readouterr().err
            assert not target.exists()
    assert json.loads((target / "bench.json").read_text())["hardware"]["gpu"] == "a card"
    assert (target / "timebox.json").read_text() == "{}\n"


@pytest.mark.parametrize(("content", "said"), [
    (b"\xff\xfe", "expected a plan"),
    (b"[]", "must be `name: value` lines"),
    (b"tranings: {}", "did you mean 'trainings'"),
    (b"trainings: {a: 3}", "trainings.a must be"),
    (b"trainings: {a: {distill: 4}}", "trainings.a.distill must be"),
    (b"trainings: {1: {pretrain: {}}}", "a name must be text"),
    (b"{trainings: {}, tests: 5}", "tests must be"),
    (b"{trainings: {}, bench: {seconds: x}}", "bench.seconds must be a number"),
    (b"{trainings: {}, tests: {arguments: x}}", "tests.arguments must be a list"),
    (b"{trainings: {}, weights: [a]}", "weights must be"),
    (b"{trainings: {}, carry: {packages: torch}}", "carry.packages must be a list"),
    (b"{trainings: {}, workers: x}", "workers must be"),
])
def test_a_plan_of_another_kind_is_said_before_anything_runs(tmp_path, content, said):
    file = tmp_path / "plan.yaml"
    file.write_bytes(content)
    with pytest.raises(TimeboxError, match=said):
        read_plan(file)
