"""The workflow on a tiny profile: content decides what runs, and kills lose nothing."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
import psutil
import pytest

from kdltr.apps.command import main
from kdltr.files import PACKAGE
from kdltr.workflow import engine, keys, tidy
from kdltr.workflow.plan import load_plan
from kdltr.workflow.processes import (
    JobRecord,
    WorkflowError,
    describe,
    end_recorded,
)

STEPS = 12
STARTED: list[subprocess.Popen] = []  # ended with the test, should it fail
PLAN = """
report: false
runs:
  count:
    outputs: ["results/{profile}/count.txt"]
  total:
    needs: [count]
"""
# Counts with a checkpoint, as a training does; each step signs the log with its process. The
# first life slows down after some steps, so that even a busy machine can kill it in the middle.
COUNT = """
import json, os, time
from pathlib import Path
folder = Path(output_dir) / run
folder.mkdir(parents=True, exist_ok=True)
state = folder / "state.json"
step = json.loads(state.read_text())["step"] if state.exists() else 0
resumed = step > 0
while step < steps:
    time.sleep(0.02 if resumed or step < 4 else pause)
    with open(folder / "log.txt", "a") as log:
        log.write(f"{os.getpid()} {step}\\n")
    step += 1
    (folder / "state.tmp").write_text(json.dumps({"step": step}))
    os.replace(folder / "state.tmp", state)
Path(output_dir, f"{run}.txt").write_text(str(step))
Path(output_dir, f"{run}.json").write_text(json.dumps({"step": step}))
"""
TOTAL = """
import json
from pathlib import Path
step = json.loads(Path(output_dir, "count.json").read_text())["step"]
Path(output_dir, f"{run}.json").write_text(json.dumps({"total": step}))
"""


def write_notebook(path: Path, parameters: str, *cells: str) -> None:
    """A notebook with one `parameters` cell and some code cells."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    book.metadata["kernelspec"] = {
        "name": "python3",
        "language": "python",
        "display_name": "Python 3",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, path)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A repository root with the profile `tiny` of two notebooks."""
    common = 'output_dir: str = "results/tiny"\nrun: str = "count"\n'
    write_notebook(
        tmp_path / "notebooks/count.ipynb", f"{common}steps: int = 2\npause: float = 0.0", COUNT
    )
    write_notebook(tmp_path / "notebooks/total.ipynb", common, TOTAL)
    params = tmp_path / "params/tiny"
    params.mkdir(parents=True)
    (params / "workflow.yaml").write_text(PLAN)
    (params / "count.yaml").write_text(f"steps: {STEPS}\npause: 4.0\n")
    (params / "total.yaml").write_text("{}\n")
    yield tmp_path
    for process in STARTED:
        process.kill()
    STARTED.clear()
    end_recorded(tmp_path / "results/tiny/.workflow/jobs")


def start(project: Path, cores: int = 1) -> subprocess.Popen:
    """`kdltr run tiny` in a session of its own."""
    command = [sys.executable, "-m", "kdltr", "run", "tiny", "--cores", str(cores)]
    environment = os.environ | {"KDLTR_ROOT": str(project)}
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def finish(process: subprocess.Popen, status: int = 0) -> str:
    """Wait for the end, check the exit status, return what was said."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == status, said
    return said


def wait_for_steps(project: Path, count: int) -> list[str]:
    """The log of `count.ipynb` once it has at least `count` lines."""
    log = project / "results/tiny/count/log.txt"
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.05)
    raise AssertionError(f"expected {count} steps in {log} within 240 s, found {lines}")


def check_complete(project: Path) -> list[str]:
    """Every step once, in order, with no line of an earlier writer after one of a later."""
    lines = wait_for_steps(project, STEPS)
    writers = [line.split()[0] for line in lines]
    assert [int(line.split()[1]) for line in lines] == list(range(STEPS))
    changes = [b for a, b in itertools.pairwise(writers) if a != b]
    assert len(changes) == len(set(writers)) - 1, "a writer came back: two ran at once"
    assert json.loads((project / "results/tiny/total.json").read_text()) == {"total": STEPS}
    assert not list((project / "results/tiny/.workflow/jobs").glob("*.json"))
    return list(dict.fromkeys(writers))


def kernel_of(project: Path) -> psutil.Process:
    """The kernel that counts."""
    return psutil.Process(int(wait_for_steps(project, 3)[-1].split()[0]))


def test_a_run_does_without_optional_inputs_but_counts_those_that_are_there(project):
    plan = PLAN.replace("  count:\n", "  count:\n    optional: [data/a, data/b]\n")
    (project / "params/tiny/workflow.yaml").write_text(plan)
    runs = [load_plan("tiny", project).runs]
    for content in ("1", "2"):
        (project / "data").mkdir(exist_ok=True)
        (project / "data/b").write_text(content)
        runs.append(load_plan("tiny", project).runs)
    assert [run[0].inputs for run in runs] == [(), ("data/b",), ("data/b",)]
    assert len({run[0].key for run in runs}) == len({run[1].key for run in runs}) == 3


def test_runs_that_take_the_gpu_go_one_by_one_on_two_cores_the_first_written_first(project):
    common = 'output_dir: str = "results/tiny"\nrun: str = "a"\n'
    body = (
        "import json, time\nfrom pathlib import Path\nstarted = time.time()\ntime.sleep(2.0)\n"
        'Path(output_dir, f"{run}.json").write_text(json.dumps([started, time.time()]))'
    )
    write_notebook(project / "notebooks/nap.ipynb", common, body)
    plan = "".join(f"  {name}:\n    notebook: nap\n    gpu: 1\n" for name in "cab")
    (project / "params/tiny/workflow.yaml").write_text(f"report: false\nruns:\n{plan}")
    for name in "cab":
        (project / f"params/tiny/{name}.yaml").write_text("{}\n")
    finish(start(project, cores=2))
    files = {name: project / f"results/tiny/{name}.json" for name in "cab"}
    times = {name: json.loads(file.read_text()) for name, file in files.items()}
    assert list(times) == sorted(times, key=times.get)
    assert all(first[1] <= then[0] for first, then in itertools.pairwise(times.values()))


@pytest.mark.timeout(1200)  # a busy machine can be ten times slower
def test_sigkill_of_snakemake_and_its_parent_leaves_an_orphan_that_the_next_run_ends(project):
    first = start(project)
    kernel = kernel_of(project)
    record = json.loads((project / "results/tiny/.workflow/jobs/snakemake.json").read_text())
    os.kill(first.pid, signal.SIGKILL)
    os.kill(record["processes"][0]["pid"], signal.SIGKILL)
    first.wait()
    first.stderr.close()
    seen = len(wait_for_steps(project, 3))
    wait_for_steps(project, seen + 1)  # the orphan goes on writing
    assert kernel.is_running()
    said = finish(start(project))
    assert "ending what is left of" in said
    assert not kernel.is_running()
    assert len(check_complete(project)) == 2


@pytest.mark.timeout(1200)  # a busy machine can be ten times slower
def test_sigkill_of_the_kernel_fails_the_run_and_the_next_goes_on(project):
    first = start(project)
    kernel = kernel_of(project)
    second = start(project)  # while the first holds the profile
    assert "is being written by process" in finish(second, 2)
    kernel.send_signal(signal.SIGKILL)
    said = finish(first, 1)
    assert "the kernel died" in said
    assert "run the same command to go on" in said
    assert (project / "results/tiny/notebooks/count.failed.ipynb").exists()
    assert not (project / "results/tiny/count.json").exists()
    finish(start(project))
    assert len(check_complete(project)) == 2
    assert not (project / "results/tiny/notebooks/count.failed.ipynb").exists()
    check_idle_then_changed(project)


def check_idle_then_changed(project: Path) -> None:
    """After a complete run: new file times run nothing, new content does."""
    for path in (*project.glob("notebooks/*"), *project.glob("params/tiny/*")):
        os.utime(path)
    assert "started" not in finish(start(project))
    (project / "params/tiny/count.yaml").write_text(f"steps: {STEPS - 4}\npause: 0.0\n")
    said = finish(start(project))
    assert "count (1/2): started" in said and "total (2/2): finished" in said
    assert json.loads((project / "results/tiny/total.json").read_text()) == {"total": STEPS - 4}
    assert (project / "results/tiny/count.superseded/state.json").exists()
    published = tidy.publish("tiny", project)
    names = sorted(str(p.relative_to(published)) for p in published.rglob("*") if p.is_file())
    assert names == ["count.json", "total.json"]
    elsewhere = project / "scratch"
    elsewhere.mkdir()
    (project / "data/generated").mkdir(parents=True, exist_ok=True)
    (project / "data/generated/tiny").symlink_to(elsewhere)
    tidy.clean("tiny", project)
    assert not (project / "results/tiny").exists() and published.exists()
    assert not (project / "data/generated/tiny").is_symlink() and elsewhere.is_dir()


def choose(project, steps):
    """What the workflow does of its first run's state, where that has so many steps."""
    (project / "params/tiny/count.yaml").write_text(f"steps: {steps}\n")
    plan = load_plan("tiny", project)
    engine._choose_state(plan.runs[0], plan, project)


def test_killed_while_states_are_moved_it_goes_on_from_none_of_another_key(project, monkeypatch):
    state = project / "results/tiny/count"

    for steps in (1, 2):
        choose(project, steps)
        state.mkdir(parents=True)
        (state / "of").write_text(str(steps))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(engine, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        choose(project, 3)
    choose(project, 1)
    assert not (state / "of").exists()
    state.mkdir(parents=True, exist_ok=True)
    choose(project, 2)
    assert not (state / "of").exists()


def test_one_earlier_state_is_kept_and_comes_back_with_its_parameters(project):
    state = project / "results/tiny/count"
    aside = state.with_name("count.superseded")

    for steps in (1, 2):
        choose(project, steps)
        assert not state.exists()
        state.mkdir(parents=True)
        (state / "of").write_text(str(steps))
    for steps, other in ((1, "2"), (2, "1")):
        choose(project, steps)
        assert (state / "of").read_text() == str(steps) and (aside / "of").read_text() == other
    choose(project, 3)
    assert not state.exists() and (aside / "of").read_text() == "2"
    assert {path.name for path in state.parent.glob("count*")} == {"count.superseded"}
    choose(project, 4)  # nothing was made with 3: what lies aside is still of 2
    choose(project, 3)
    assert not state.exists()
    choose(project, 2)
    assert (state / "of").read_text() == "2" and not aside.exists()


def test_a_snakemake_that_works_here_keeps_its_locks(project):
    lock = project / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "snakemake"],
                          cwd=project) as other:
        STARTED.append(other)
        engine._unlock(project)
        assert lock.exists()
        other.kill()
    engine._unlock(project)
    assert not lock.exists()


def test_the_plan_orders_runs_and_its_keys_follow_content(project):
    plan = load_plan("tiny", project)
    assert [run.name for run in plan.runs] == ["count", "total"]
    assert plan.runs[1].needed == ("results/tiny/count.json", "results/tiny/count.txt")
    results = ("results/tiny/count.json", "results/tiny/total.json")
    assert plan.targets == results  # one that is removed is made again, where there is a report too
    assert replace(plan, report="report.html").targets == (*results, "report.html")
    (project / "params/tiny/count.yaml").write_text("steps: 3\n")
    changed = load_plan("tiny", project)
    assert [a.key != b.key for a, b in zip(plan.runs, changed.runs, strict=True)] == [True, True]


def test_a_profile_can_build_on_another(project):
    (project / "params/small").mkdir()
    (project / "params/small/workflow.yaml").write_text("base: tiny\nruns: {count: {threads: 2}}\n")
    (project / "params/small/count.yaml").write_text("steps: 1\n")
    run = load_plan("small", project).runs[0]
    assert run.parameter_files == ("params/tiny/count.yaml", "params/small/count.yaml")
    assert run.outputs[:2] == ("results/small/count.json", "results/small/count.txt")
    assert run.threads == 2


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("runs: {count: {note: x}}", "'count': unknown setting 'note'; did you mean 'notebook'"),
        ("rums: {}", "unknown setting 'rums'; did you mean 'runs'"),
        ("runs: {count: {needs: [absent]}}", "unknown run"),
        ("runs: {count: {inputs: [data/absent.pt]}}", "missing: data/absent.pt"),
        ("runs: {count: {threads: '2'}}", "run 'count': threads must be a whole number"),
        ("runs: {count: {needs: total}}", "run 'count': needs must be a list, found 'total'"),
        ("runs: {count: {outputs: ['a{b}']}}", "braces and stars are syntax"),
        ("runs: [count]", "runs must be `name: value` lines"),
        ("base: tiny", "`base` goes in a circle: tiny of tiny"),
        ("runs: [", "expected YAML"),
        ("runs: {absent: {}}", "notebooks/absent.ipynb, params/tiny/absent.yaml"),
    ],
)
def test_a_bad_plan_is_a_clear_error(project, plan, message):
    (project / "params/tiny/workflow.yaml").write_text(plan)
    with pytest.raises(WorkflowError, match=message):
        load_plan("tiny", project)


def test_an_unknown_profile_suggests_the_nearest(project):
    with pytest.raises(WorkflowError, match="did you mean 'tiny'"):
        load_plan("tinny", project)


def test_keys_see_code_but_neither_comments_nor_docstrings(tmp_path):
    package = tmp_path / "kdltr"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models/__init__.py").write_text("from kdltr.models import crnn\n")
    (package / "evaluation").mkdir()
    (package / "evaluation/efficiency.py").write_text("width = 1\n")
    module = package / "models/crnn.py"
    module.write_text('"""One."""\nfrom ..evaluation.efficiency import width\nsize = 3\n')

    def both() -> tuple[str, str]:
        source = "import kdltr.models"
        return (
            keys.library_digest(source, package),
            keys.library_digest(source, package, keys.LEAVES),
        )

    first = both()
    module.write_text('"""Two."""\nfrom ..evaluation.efficiency import width\nsize = 3  # three\n')
    assert both() == first
    (package / "evaluation/efficiency.py").write_text("width = 2\n")
    assert both()[0] != first[0] and both()[1] == first[1]
    module.write_text('"""One."""\nfrom ..evaluation.efficiency import width\nsize = 4\n')
    assert both()[1] != first[1]


@pytest.mark.parametrize("notebook", ["01_data", "02_teacher", "03_distill"])
def test_what_is_trained_is_not_out_of_date_by_what_it_does_not_import(notebook, tmp_path):
    package = tmp_path / "kdltr"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    code = keys.notebook_code(PACKAGE.parent / f"notebooks/{notebook}.ipynb")
    before = keys.library_digest(code, package, keys.LEAVES)
    for changed in (*package.glob("superres/*.py"), *package.glob("train/superres/*.py")):
        changed.write_text(changed.read_text() + "\nchanged = True\n")
    assert keys.library_digest(code, package, keys.LEAVES) == before
    listed = package / "data/words_of_tests.csv"  # which says what is left out of training
    if notebook != "01_data":
        content = listed.read_text()
        listed.write_text(content + "x,1\n")
        assert keys.library_digest(code, package, keys.LEAVES) != before
        listed.write_text(content)
    words = package / "data/records.py"  # which every one of them reads
    words.write_text(words.read_text() + "\nchanged = True\n")
    assert keys.library_digest(code, package, keys.LEAVES) != before


@pytest.mark.parametrize(("options", "given"), [
    ("-n", True), ("-np", True), ("-pn", True), ("--dry-run", True), ("-j 4", False),
    ("-econdor", False), ("--executor=n", False), ("-n=1", True), ("n", False),
])
def test_options_of_snakemake_are_known_however_they_are_written(options, given):
    assert engine._given(tuple(options.split()), "-n", "--dry-run") == given
    assert engine._given(("-c1",), "-c") and engine._given(("--cores=1",), "-c", "--cores")


def test_large_files_are_keyed_by_size_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "WHOLE", 10)
    monkeypatch.setattr(keys, "END", 2)
    path = tmp_path / "data.mdb"
    digests = set()
    for content in (b"0123456789ab", b"0123456789aX", b"X123456789ab", b"0123456789aab"):
        path.write_bytes(content)
        digests.add(keys.file_digest(path))
    assert len(digests) == 4


def test_a_record_never_ends_a_stranger_with_a_reused_id(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        entry = describe(psutil.Process(stranger.pid))
        entry["created"] -= 100  # the recorded process started earlier and has ended
        record = {"host": os.uname().nodename, "processes": [entry | {"session": True}]}
        (tmp_path / "job.json").write_text(json.dumps(record))
        assert end_recorded(tmp_path) == 0
        assert stranger.poll() is None
        JobRecord(tmp_path / "job.json", psutil.Process(stranger.pid))
        assert end_recorded(tmp_path) == 1
        assert stranger.wait(10) == -signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_a_job_of_another_machine_that_shows_life_stops_the_run(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"host": "node17", "processes": []}))
    with pytest.raises(WorkflowError, match="still running on node17"):
        end_recorded(tmp_path)
    os.utime(path, (time.time() - 1000,) * 2)
    assert end_recorded(tmp_path) == 0 and not path.exists()


def test_large_readings_stay_behind_and_the_result_names_none(project, monkeypatch):
    folder = project / "results/tiny"
    folder.mkdir(parents=True)
    files = {"predictions": {"name": "x", "sha256": "y"}, "rows": {"name": "z"}}
    for run in ("count", "total"):
        document = {"run": run, "files": files, "rows": []}
        (folder / f"{run}.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "report.html").write_text("")
    (folder / "total.predictions.csv.gz").write_bytes(b"12345")
    (folder / "count.predictions.csv.gz").write_bytes(b"1234")
    monkeypatch.setattr(tidy, "LARGEST", 4)
    published = tidy.publish("tiny", project)
    assert {path.name for path in published.glob("*.gz")} == {"count.predictions.csv.gz"}
    read = {run: json.loads((published / f"{run}.json").read_text()) for run in ("count", "total")}
    assert read["count"]["files"] == files and read["total"]["files"] == {"rows": {"name": "z"}}
    assert (published / "count.json").read_text() == (folder / "count.json").read_text()
    monkeypatch.setattr(tidy, "READ_AGAIN", ("count",))  # a notebook's name
    assert not [*tidy.publish("tiny", project).glob("*.gz")]


def test_tables_the_report_and_what_readme_shows_are_published(project):
    folder = project / "results/tiny"
    files = {
        "count.json": f'{{"read": "{project}/data/x"}}', "total.csv": "1",
        "total.json": '{"extra": {"parts": ["part-1"]}}', "part-1.json": "{}", "part-1.csv": "1",
        "report.html": '<a href="notebooks/count.ipynb">', "figures/count-a.png": "a",
        "figures/count-b.png": "b", "notebooks/count.ipynb": "{}", "count/state.json": "{}",
        "count.safetensors": "0", ".hidden.json": "{}",
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for run in ("total", "part-1"):
        (folder / f"{run}.predictions.csv.gz").write_bytes(b"\x1f\x8b\x00")
    readme = project / "README.md"
    readme.write_text("![a](results/reference/tiny/figures/count-a.png)")
    published = tidy.publish("tiny", project)
    kept = {str(p.relative_to(published)): p for p in published.rglob("*") if p.is_file()}
    assert sorted(kept) == ["count.json", "figures/count-a.png", "report.html", "total.json",
                            "total.predictions.csv.gz"]  # fmt: skip
    assert kept["count.json"].read_text() == '{"read": "data/x"}'
    assert kept["report.html"].read_text() == '<a href="../../../notebooks/count.ipynb">'
    assert kept["total.predictions.csv.gz"].read_bytes() == b"\x1f\x8b\x00"
    readme.write_text("![c](results/reference/tiny/figures/count-c.png)")
    with pytest.raises(WorkflowError, match=r"tiny/figures/count-c\.png missing \(README"):
        tidy.publish("tiny", project)
    (folder / "total.json").unlink()
    with pytest.raises(WorkflowError, match=r"tiny/total\.json missing; run `make tiny` first"):
        tidy.publish("tiny", project)
    assert all(path.exists() for path in kept.values())  # the committed copy is as it was


def test_of_a_profile_that_says_so_some_runs_are_published(project, monkeypatch):
    folder, plan = project / "results/tiny", project / "params/tiny/workflow.yaml"
    folder.mkdir(parents=True)
    for name in ("count.json", "total.json", "report.html"):
        (folder / name).write_text("{}")
    (folder / "count.predictions.csv.gz").write_bytes(b"12")
    monkeypatch.setattr(tidy, "LARGEST", 1)
    text = plan.read_text()
    plan.write_text(f"publish: [total]\n{text}")
    assert [path.name for path in tidy.publish("tiny", project).iterdir()] == ["total.json"]
    plan.write_text(f"publish: [totl]\n{text}")
    with pytest.raises(WorkflowError, match="`publish` names a run .*did you mean 'total'"):
        tidy.publish("tiny", project)


def test_the_committed_copy_cannot_be_cleaned(tmp_path):
    with pytest.raises(WorkflowError, match="is no profile"):
        tidy.clean("reference", tmp_path)


def test_all_missing_data_is_reported_before_anything_runs(project):
    text = (project / "params/tiny/workflow.yaml").read_text()
    (project / "params/tiny/workflow.yaml").write_text("verify: [absent-1, absent-2]\n" + text)
    with pytest.raises(WorkflowError, match=r"(?s)not all data is in place.*absent-1.*absent-2"):
        engine.run("tiny", project)
    assert not (project / ".snakemake").exists()


@pytest.mark.parametrize(
    "name", ["kdltr/results/report/templates/report.css", "data/paper/textzoom.csv"]
)
def test_the_report_is_out_of_date_when_its_template_or_a_published_figure_changes(
    project, monkeypatch, tmp_path, name
):
    for folder in ("kdltr", "data/paper"):
        shutil.copytree(PACKAGE.parent / folder, tmp_path / "copy" / folder,
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    monkeypatch.setattr("kdltr.workflow.plan.PACKAGE", tmp_path / "copy/kdltr")
    monkeypatch.setattr("kdltr.workflow.plan.shipped", lambda name: tmp_path / "copy/data" / name)
    before = load_plan("tiny", project)
    file = tmp_path / "copy" / name
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    after = load_plan("tiny", project)
    assert after.report_key != before.report_key and after.runs == before.runs


@pytest.mark.parametrize("name", ["my words", "it's", "a&b", "$HOME", "{x}", "a/b", "..", ""])
def test_a_name_that_is_syntax_is_refused(project, name, monkeypatch, capsys):
    """Before anything starts."""
    monkeypatch.setenv("KDLTR_ROOT", str(project))
    assert main(["run", name]) == 2
    assert "name of a profile, of letters" in capsys.readouterr().err
    assert not (project / "results").exists()
    (project / "params/tiny/workflow.yaml").write_text(
        f"runs: {{{json.dumps(name)}: {{notebook: count}}}}")
    with pytest.raises(WorkflowError, match="name of a run, of letters"):
        load_plan("tiny", project)


def test_a_profile_may_be_called_by_a_number(project):
    """Which Snakemake's --config would take for one."""
    (project / "params/tiny").rename(project / "params/007")
    (project / "params/007/workflow.yaml").write_text("report: false\nruns: {total: {}}\n")
    plan = load_plan("007", project)
    command = engine._command(plan, project, 1, ())
    assert plan.folder == Path("results/007") and "profile=params/007" in command


def test_what_snakemake_says_is_said(project):
    """Of its own errors all, of its progress and of a notebook that failed nothing."""
    command = [sys.executable, "-m", "kdltr", "run", "tiny", "--cores", "1", "--", "no/such/target"]
    done = subprocess.run(command, cwd=project, env=os.environ | {"KDLTR_ROOT": str(project)},
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "No rule to produce no/such/target" in done.stderr
    assert "Traceback" not in done.stderr and "Building DAG" not in done.stderr
    log = project / "log"
    log.write_text("Building DAG of jobs...\nRuleException:\nx\nWorkflowError:\n"
                   "At least one job did not complete successfully.\n")
    assert engine._said(log) == [] == engine._said(project / "absent")
