"""Profile `paper`: it is the published recipe, stops where a file is missing, and runs.

TextZoom and the released checkpoints cannot be had here. What is known of them is made anew: the
counts and odd labels, and names and layouts of the files. Images are noise, weights random.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from kdltr.data.images import encode_png
from kdltr.data.lmdb import PairedWords, write_pairs, write_words
from kdltr.data.manifest import read_manifest
from kdltr.models import create_model
from kdltr.results import beside_published, read_result, recompute
from kdltr.train import DistillConfig, distill
from kdltr.train.distill import rate_factor
from kdltr.workflow.parameters import check_parameters, read_parameters
from kdltr.workflow.plan import load_plan
from kdltr.workflow.written import names_to_verify
from tests.golden.fill import fill_state_dict

ROOT = Path(__file__).parents[1]
ENTRIES = read_manifest(ROOT / "data/manifest.yaml")
NAMES = ("abinet", "matrn", "parseq")
TEACHERS = {name: f"data/{ENTRIES[name].path}" for name in NAMES}
TESTS = {"easy": 1619, "medium": 1411, "hard": 1343}  # images, as published
TRAINING = 14573 + 2794
BENCHMARK = "CUTE80"  # the one that is there
SPLITS = ("train1", "train2", *(f"test/{name}" for name in TESTS))
WORDS = ("the", "HOTEL", "Main", "42", "don't", "50%", "street", "A", "-", "restaurant", "2023")
ODD = {  # labels that TextZoom holds (data/README.md)
    "train2": [""] * 4,
    "test/easy": [""] * 2,
    "test/medium": ["pneumonoultramicroscopicsilicovolcanoconiosis"],
}
CROSS_ENTROPY = {"visual": 0, "semantic": 0, "cross_entropy": 1, "soft_logits": 0}


def noise(rng: np.random.Generator, height: int, width: int) -> bytes:
    """An image file of noise."""
    return encode_png(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def write_benchmark(data: Path, name: str) -> None:
    """`data`/benchmarks/<name>: as many words of noise as published."""
    image = noise(np.random.default_rng(7), 8, 24)
    labels = itertools.islice(itertools.cycle(WORDS), ENTRIES[name].samples)
    write_words(data / ENTRIES[name].path, ((image, label) for label in labels))


def write_textzoom(data: Path, split: str, missing: int = 0) -> None:
    """`data`/textzoom/<split>: as many pairs of noise as published, but for `missing`."""
    rng = np.random.default_rng(7)
    images = [(noise(rng, 8, 24), noise(rng, 4, 12)) for _ in range(13)]
    count = ENTRIES[f"textzoom/{split}"].samples - missing
    labels = itertools.islice(itertools.chain(ODD.get(split, []), itertools.cycle(WORDS)), count)
    pairs = ((*images[i % 13], label) for i, label in enumerate(labels))
    write_pairs(data / "textzoom" / split, pairs)


def save_teacher(path: Path, name: str, state: dict[str, torch.Tensor]) -> None:
    """A checkpoint in the layout in which that of `name` is released."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state if name == "parseq" else {"model": state}, path)


@pytest.fixture(scope="module")
def textzoom(tmp_path_factory) -> Path:
    """All of TextZoom: counts and labels, no photographs."""
    data = tmp_path_factory.mktemp("data")
    for split in SPLITS:
        write_textzoom(data, split)
    return data / "textzoom"


def make_root(folder: Path) -> Path:
    """A repository root with nothing downloaded."""
    for name in ("notebooks", "params/paper", "data/paper", "data/manifest.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def complete(tmp_path, textzoom) -> Path:
    """A repository root with everything in place; small teachers under the released names.

    Of the benchmarks one alone is there.
    """
    root = make_root(tmp_path)
    shutil.copytree(textzoom, root / "data/textzoom")
    write_benchmark(root / "data", BENCHMARK)
    for name, path in TEACHERS.items():
        torch.manual_seed(0)
        save_teacher(root / path, name, create_model(f"{name}_nano").state_dict())
    manifest = yaml.safe_load((ROOT / "data/manifest.yaml").read_text())
    del manifest["entries"]["parseq"]["sha256_prefix"]  # only the released file has it
    (root / "data/manifest.yaml").unlink()
    (root / "data/manifest.yaml").write_text(yaml.safe_dump(manifest))
    return root


def workflow(root: Path, profile: str = "paper") -> tuple[int, str]:
    """Exit status and messages of `kdltr run`."""
    command = [sys.executable, "-m", "kdltr", "run", profile, "--cores", "1"]
    done = subprocess.run(command, cwd=root, env=os.environ | {"KDLTR_ROOT": str(root)}, text=True,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, check=False)
    return done.returncode, done.stderr


def stopped(root: Path) -> list[str]:
    """The complaints of a workflow that did not start, a line each."""
    status, said = workflow(root)
    assert status == 2 and "not all data is in place" in said, said
    assert not (root / ".snakemake").exists()
    assert [path.name for path in (root / "results/paper").iterdir()] == [".workflow"]
    return said[said.index("not all data is in place"):].splitlines()[1:]


def parameters_of(run, root: Path) -> dict:
    """All parameters the workflow gives to `run`."""
    return read_parameters([str(root / path) for path in run.parameter_files], [])


def config_of(run, root: Path) -> DistillConfig:
    """The settings of a training as its notebook makes them: its own cells, executed."""
    cells = json.loads((root / run.notebook).read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    defaults, making = sources[0], next(s for s in sources if "DistillConfig.from_dict" in s)
    names = {"DistillConfig": DistillConfig, "Path": Path, "pd": pd}
    exec(defaults, names)
    names |= parameters_of(run, root) | {"run": run.name}
    exec(making, names)
    return names["config"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A repository root where every file that profile paper reads exists, if nothing more."""
    root = make_root(tmp_path_factory.mktemp("root"))
    content = yaml.safe_load((ROOT / "params/paper/workflow.yaml").read_text())
    for path in {path for run in content["runs"].values() for path in run["inputs"]}:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


@pytest.fixture(scope="module")
def plan(root):
    """The plan of profile paper."""
    return load_plan("paper", root)


def test_every_run_has_its_parameters_and_reads_only_what_is_verified(plan, root):
    kinds = [f"{kind}_{name}" for kind in ("teacher", "distill", "finetune") for name in NAMES]
    tables = ["04_textzoom", "05_benchmarks", "06_robustness", "07_efficiency", "08_examples"]
    assert sorted(run.name for run in plan.runs) == sorted(["01_data", *kinds, *tables])
    for run in plan.runs:
        check_parameters(root / run.notebook, parameters_of(run, root))
    names = names_to_verify("paper", root)
    assert set(names) == {f"textzoom/{split}" for split in SPLITS} | set(NAMES)
    read = {path for run in plan.runs for path in run.inputs}
    published = {path for path in read if path.startswith("data/paper/")}
    assert read - published == {f"data/{ENTRIES[name].path}" for name in names}


def test_the_recipe_is_the_published_one(plan, root):
    runs = {run.name: run for run in plan.runs}
    published = {
        "data": ("data/textzoom/train1", "data/textzoom/train2"), "model": {},
        "weights": {"visual": 4, "semantic": 2, "cross_entropy": 0.025, "soft_logits": 20},
        "learning_rate": 5e-5, "new_learning_rate": 1e-4, "schedule": "step", "decay_every": 25,
        "clip": 0.25, "batch_size": 64, "accumulate": 1, "epochs": 75, "steps_per_epoch": None,
        "seed": 42, "labels": "published", "start": "published", "path_score": "published",
        "selection": "validation", "validation": 0.05,
    }  # fmt: skip
    for name in NAMES:
        config = config_of(runs[f"distill_{name}"], root)
        models = {"teacher": name, "teacher_weights": TEACHERS[name], "student": f"{name}_ltr"}
        found = config.to_dict()
        assert {key: found[key] for key in published | models} == published | models
        tuned = config_of(runs[f"finetune_{name}"], root).to_dict()
        changed = {key: value for key, value in tuned.items() if value != found[key]}
        assert changed.pop("output_dir") and changed == {"weights": CROSS_ENTROPY}
    rates = [rate_factor(config, 0, epoch, 1) for epoch in (0, 24, 25, 50, 74)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("name", ["04_textzoom", "05_benchmarks", "06_robustness"])
def test_a_table_reads_the_teachers_and_students_of_the_other_runs(name, plan, root):
    runs = {run.name: run for run in plan.runs}
    reading = runs[name]
    table = parameters_of(reading, root)
    assert table.get("same_data", True) is True and list(table["recognisers"]) == list(NAMES)
    for name, entry in table["recognisers"].items():
        used = parameters_of(runs[f"distill_{name}"], root)
        evaluated = parameters_of(runs[f"teacher_{name}"], root)
        assert used["teacher"] == evaluated["teacher"] == name
        assert used["teacher_weights"] == evaluated["teacher_weights"] == entry["weights"]
        assert used["student"] == entry["student"]
        made = [runs[f"{kind}_{name}"].outputs[1] for kind in ("distill", "finetune")]
        assert entry["students"] == dict(zip(("distilled", "fine-tuned"), made, strict=True))
        assert set(made) <= set(reading.needed)


def test_benchmarks_that_are_not_there_stop_nothing_and_the_average_has_one_variant_of_each(
    plan, root, tmp_path
):
    run = next(run for run in plan.runs if run.name == "05_benchmarks")
    given = parameters_of(run, root)
    words = {name for name, entry in ENTRIES.items() if entry.kind == "words" and entry.test}
    assert {*given["benchmarks"], *given["variants"]} == words
    kinds = [name.split("_")[0] for name in given["benchmarks"]]
    assert kinds == ["IC13", "IC15", "SVT", "SVTP", "CUTE80"]
    assert not [path for path in run.inputs if "benchmarks" in path]
    write_benchmark(root / "data", "SVT")  # and one that comes later makes the run anew
    later = next(run for run in load_plan("paper", root).runs if run.name == "05_benchmarks")
    shutil.rmtree(root / "data/benchmarks")
    assert set(later.inputs) - set(run.inputs) == {"data/benchmarks/SVT"} and later.key != run.key
    content = yaml.safe_load((ROOT / "params/paper/workflow.yaml").read_text())
    optional = content["runs"]["05_benchmarks"]["optional"]
    assert set(optional) == {f"data/{ENTRIES[name].path}" for name in words}


def test_what_the_tables_of_two_stages_read_is_made_by_runs_of_theirs_and_of_paper():
    made, waited = {}, {}
    for profile in ("paper", "superres"):
        runs = yaml.safe_load((ROOT / f"params/{profile}/workflow.yaml").read_text())["runs"]
        made[profile] = {out.format(profile=profile): name for name, run in runs.items()
                         for out in run.get("outputs", ())}
        waited[profile] = runs["04_textzoom"]
    table = read_parameters([str(ROOT / "params/superres/recognisers.yaml")], [])["recognisers"]
    alone = read_parameters([str(ROOT / "params/paper/recognisers.yaml")], [])["recognisers"]
    for name, entry in table.items():
        networks = entry.pop("two_stage").values()
        assert {made["superres"][path] for path in networks} == {*waited["superres"]["needs"]}
        assert entry == alone[name] and {*entry["students"].values()} <= {*made["paper"]}
        assert {*entry["students"].values(), entry["weights"]} <= {*waited["superres"]["inputs"]}


def test_with_nothing_downloaded_it_says_what_is_missing_whence_and_where_to(tmp_path):
    root = make_root(tmp_path)
    complaints = stopped(root)
    names = names_to_verify("paper", root)
    for name, complaint in zip(names, complaints, strict=True):
        assert complaint.strip().startswith(f"{name}: ")
        assert f"get it from {ENTRIES[name].source}" in complaint
        assert f"put it at {root / 'data' / ENTRIES[name].path}" in complaint


def test_one_missing_checkpoint_or_a_wrong_count_stops_it(complete):
    saved = (complete / TEACHERS["matrn"]).rename(complete / "elsewhere")
    (complaint,) = stopped(complete)
    assert complaint.strip().startswith("matrn: ") and TEACHERS["matrn"] in complaint
    saved.rename(complete / TEACHERS["matrn"])
    write_textzoom(complete / "data", "test/medium", missing=1)
    (complaint,) = stopped(complete)
    assert "textzoom/test/medium: expected 1411 samples" in complaint
    assert "found 1410" in complaint and "get it from https://" in complaint


def write_small_profile(root: Path) -> None:
    """Profile `paper_small`: two steps, small models; all else is profile `paper`'s."""
    folder = root / "params/paper_small"
    folder.mkdir()

    def write(name: str, content: dict) -> None:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    write("workflow", {"base": "paper"})
    recipe = read_parameters([str(ROOT / "params/paper/distill.yaml")], [])["recipe"]
    few = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "threads": 1, "precision": "no"}
    write("distill", {"recipe": recipe | few})
    table = read_parameters([str(ROOT / "params/paper/recognisers.yaml")], [])["recognisers"]
    small = {}
    for name, entry in table.items():
        write(f"teacher_{name}", {"teacher": f"{name}_nano"})
        write(f"distill_{name}", {"student": f"{name}_nano_ltr"})
        students = {method: path.replace("/paper/", "/paper_small/")
                    for method, path in entry["students"].items()}  # fmt: skip
        small[f"{name}_nano"] = entry | {"student": f"{name}_nano_ltr", "students": students}
    write("recognisers", {"recognisers": small})
    few = {"curves": {"gaussian_blur": [0, 2]}, "one_by_one": {"median_blur": [3]}, "words": 10}
    write("06_robustness", few | {"claimed": {"gaussian_blur": 2}})
    defaults = read_parameters([str(ROOT / "params/paper/07_efficiency.yaml")], [])
    toy = {"parseq_nano": {"width": 32, "depth": 2, "heads": 2, "decoder_heads": 2}}
    write("07_efficiency", {
        "counted": ["parseq_nano"], "recognisers": toy, "gpu_of": [], "memory_of": [],
        "onnx_of": [], "bfloat16_of": [*toy],
        "settings": defaults["settings"] | {"batch_size": 4, "pairs": 8},
        "scaled": {name: {"pairs": [4, 8], "batches": [2, 4]} for name in toy},
    })
    write("08_examples", {"result": "results/paper_small/04_textzoom.json"})


@pytest.mark.slow
@pytest.mark.timeout(7200)  # 12 kernels, and some 80 000 words read, on a busy machine
def test_the_whole_profile_runs_from_data_and_checkpoints_to_the_report(complete):
    write_small_profile(complete)
    status, said = workflow(complete, "paper_small")
    assert status == 0, said
    results = complete / "results/paper_small"
    plan = load_plan("paper_small", complete)
    documents = {run.name: read_result(complete / run.outputs[0]) for run in plan.runs}
    assert (results / "report.html").stat().st_size > 0

    training = [PairedWords(complete / "data/textzoom" / split) for split in SPLITS[:2]]
    words = [pairs.label(i) for pairs in training for i in range(len(pairs))]
    assert len(words) == TRAINING
    punctuated = sum(not word.isalnum() for word in words if word)
    for run in plan.runs:
        if run.notebook == "notebooks/03_distill.ipynb":
            assert documents[run.name].document["extra"]["labels"] == {
                "total": TRAINING, "kept": TRAINING, "empty": 4, "too_long": 0,
                "outside_charset": 0 if run.name.endswith("parseq") else punctuated,
            }  # fmt: skip

    table = documents["04_textzoom"]
    rows = [row for row in table.rows if row.table == "textzoom" and row.metric == "accuracy"]
    methods = ("teacher on HR", "bicubic", "distilled", "fine-tuned")
    counts = TESTS | {"average": 4373}
    assert {(row.recogniser, row.method, row.subset): row.n for row in rows} == {
        (f"{name}_nano", method, subset): n
        for name in NAMES for method in methods for subset, n in counts.items()
    }  # fmt: skip
    verdicts = [claim["verdict"] for claim in table.document["extra"]["claims"]]
    verdicts += list(beside_published(rows, same_data=True)["verdict"])
    assert "different model" in verdicts and "reproduced" not in verdicts

    benchmarks = documents["05_benchmarks"]
    states = {row["name"]: row["state"] for row in benchmarks.document["extra"]["benchmarks"]}
    assert states.pop(BENCHMARK) == "present" and set(states.values()) == {"missing"}
    assert {(row.table, row.subset, row.n) for row in benchmarks.rows} == {
        (table, "CUTE80 288", 288) for table in ("Benchmarks", "Benchmarks, degraded")
    }  # fmt: skip
    tables = [documents[name] for name in ("05_benchmarks", "06_robustness")]
    for found in tables:  # without a model
        again = recompute(found.predictions(), averaged=["Benchmarks"])
        assert again == found.rows

    before = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    status, said = workflow(complete, "paper_small")
    assert status == 0 and "started" not in said
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()
               if path.suffix in (".json", ".safetensors", ".ipynb", ".html"))  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_two_steps_at_published_size_from_a_checkpoint_of_the_released_layout(
    name, plan, root, tmp_path
):
    listed = json.loads((ROOT / f"tests/golden/{name}.keys.json").read_text())["state_dict"]
    counters = "num_batches_tracked"
    state = {key: torch.zeros(shape, dtype=torch.int64 if key.endswith(counters) else torch.float32)
             for key, shape in listed.items()}  # fmt: skip
    save_teacher(tmp_path / "teacher.pth", name, fill_state_dict(state))
    write_textzoom(tmp_path, "test/hard")
    run = next(run for run in plan.runs if run.name == f"distill_{name}")
    settings = config_of(run, root).to_dict() | {
        "output_dir": str(tmp_path / "run"), "data": tmp_path / "textzoom/test/hard",
        "teacher_weights": str(tmp_path / "teacher.pth"), "batch_size": 2, "epochs": 1,
        "steps_per_epoch": 2, "threads": 1, "device": "cpu",
    }  # fmt: skip
    result = distill(DistillConfig.from_dict(settings))
    assert (result.steps, result.labels["kept"]) == (2, TESTS["hard"])
    create_model(f"{name}_ltr", result.weights)
    shutil.rmtree(tmp_path / "run")  # pytest keeps temporary folders; this one is large
