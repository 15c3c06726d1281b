"""A wheel of the checkout in an empty environment, used from another folder (slow; .ci/run).

The plain install reads, trains and evaluates; what else there is says which extra it takes.
"""

import contextlib
import os
import resource
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from PIL import Image

from kdltr.generator.synthetic import generate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTRAS = {  # a module of each, which the plain install must not bring
    "generate": "cv2 skimage wordfreq better_profanity font_roboto matplotlib",
    "notebooks": "jupyterlab papermill snakemake nbconvert ipykernel jsonschema tensorboard",
    "export": "onnx onnxruntime onnxscript",
    "peers": "rapidocr",
}
WORD = "Twist"
STARTS = 1.7  # times what importing PyTorch takes of a processor, for `kdltr read one.png`
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class Installed:
    """An environment that holds a wheel of kdltr and what it takes, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.wheel, self.work = self._build(folder / "wheel"), folder / "elsewhere"
        self.work.mkdir()
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv/bin"
        self.pip(str(self.wheel))

    @staticmethod
    def _build(folder: Path) -> Path:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("kdltr-*.whl")
        return wheel

    def pip(self, *what: str) -> None:
        """Install, with the versions of constraints.txt."""
        self.run("pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), *what)

    def run(self, program: str, *arguments: str, status: int = 0) -> str:
        """What a program of the environment says, on both streams."""
        foreign = ("PYTHONPATH", "KDLTR_ROOT", "VIRTUAL_ENV")
        clean = {name: value for name, value in os.environ.items() if name not in foreign}
        done = subprocess.run(
            [self.bin / program, *arguments], cwd=self.work, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=clean | {"OMP_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"},
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def measured(self, *command: str) -> tuple[float, str]:
        """Seconds of a processor that a program takes, and what it says."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = self.run(*command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said

    def python(self, code: str, status: int = 0) -> str:
        """What Python code says."""
        return self.run("python", "-c", code, status=status)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """The plain install, and the image of a word where it is used."""
    found = Installed(tmp_path_factory.mktemp("package"))
    hr, _, word = next(generate("test/easy", 1, seed=5))
    assert word == WORD
    Image.fromarray(hr).save(found.work / "word.png")
    return found


def test_plain_is_complete_and_brings_none_of_the_extras(installed):
    installed.run("pip", "check")
    names = " ".join(EXTRAS.values()).split()
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert installed.python(code).strip() == "[]"
    assert all(map(find_spec, names))  # they are no misspelt names: here all are installed


def test_it_reads_from_anywhere_with_its_own_weights_and_starts_soon(installed):
    reads, imports = [], []
    for _ in range(3):
        used, said = installed.measured("kdltr", "read", "word.png")
        path, text, confidence = said.split("\t")
        assert (path, text) == ("word.png", WORD) and float(confidence) > 0.5
        reads.append(used)
        imports.append(installed.measured("python", "-c", "import torch")[0])
    assert min(reads) < STARTS * min(imports), (reads, imports)
    assert "site-packages" in installed.python("import kdltr; print(kdltr.__file__)")
    installed.python("import kdltr, sys; assert 'torch' not in sys.modules")


def test_shipped_files_are_those_of_the_checkout(installed):
    code = """
from kdltr.files import shipped
for file in sorted(shipped("").rglob("*")):
    if file.is_file(): print(file.relative_to(shipped("")), file.stat().st_size)"""
    found = dict(line.rsplit(" ", 1) for line in installed.python(code).splitlines())
    expected = [*(ROOT / "data/paper").iterdir(), *(ROOT / "data/weights").iterdir(),
                ROOT / "data/manifest.yaml"]
    assert found == {str(file.relative_to(ROOT / "data")): str(file.stat().st_size)
                     for file in expected}
    said = installed.run("kdltr", "data", "verify", "weights")
    assert said.count("present") == len(list((ROOT / "data/weights").glob("*.safetensors")))
    installed.python("from kdltr.results import published; assert len(published('textzoom')) > 9")
    templates = "importlib.resources.files('kdltr.results') / 'report/templates/report.html.j2'"
    installed.python(f"import importlib.resources; assert ({templates}).is_file()")


def test_the_toy_of_readme_trains_and_is_counted(installed):
    """A recogniser of one's own, as README has it, on noise."""
    section = README.split("\n## A recogniser of your own\n")[1]
    code = section.split("```python\n")[1].split("```")[0]
    before, after = code.split("\nload_weights(", 1)
    (installed.work / "toy.py").write_text(f"""
import numpy, torch
from kdltr.data.lmdb import write_pairs
images = numpy.random.default_rng(0).integers(0, 256, (80, 32, 128, 3), numpy.uint8)
write_pairs("my/lmdb", ((image, image[::2, ::2], "word") for image in images))
{before}
torch.save(teacher.state_dict(), "my/teacher.pt")
load_weights({after}
""", encoding="utf-8")
    installed.run("python", "toy.py")
    assert (installed.work / "runs/mine/last.safetensors").is_file()
    said = installed.run("kdltr", "evaluate", "parseq_nano_ltr", "my/lmdb")
    assert said.splitlines()[1].split()[:2] == ["my/lmdb", "80"]


def test_a_registered_student_trains_from_the_shell(installed):
    (installed.work / "mine.yaml").write_text(f"""
output_dir: runs/shell
data: [my/lmdb]
teacher: parseq_nano
teacher_weights: {installed.bin.parent}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/\
site-packages/kdltr/shipped/weights/parseq_nano.safetensors
student: parseq_nano_ltr
epochs: 1
steps_per_epoch: 2
batch_size: 4
threads: 1
""")
    said = installed.run("kdltr", "distill", "mine.yaml").splitlines()
    assert any("step 2/2" in line for line in said)
    assert said[-1] == "runs/shell/best.safetensors"
    installed.run("kdltr", "read", "word.png", "--weights", said[-1])


@pytest.mark.parametrize(("extra", "code"), [
    ("generate", "from kdltr.generator.synthetic import generate; next(generate('train1', 1, 0))"),
    ("generate", "import numpy; from kdltr.data.corruptions import average_blur; "
                 "average_blur(numpy.zeros((4, 4, 3), 'uint8'), 2)"),
    ("notebooks", "from kdltr.results.figures import plots"),
    ("notebooks", "from kdltr.apps import lab; lab.reader(None, None, {})"),
    ("notebooks", "from kdltr.results import write_result; write_result('x.json', [], {})"),
    ("notebooks", "from kdltr.workflow import notebook; notebook.run_notebook('x', 'y', {})"),
    ("peers", "from kdltr.evaluation.peers import load_peer; load_peer('rapidocr')"),
    ("export", "from kdltr.models.onnx import session; session('x.onnx')"),
])
def test_without_an_extra_the_error_names_it(installed, extra, code):
    said = installed.python(code, status=1).splitlines()
    assert "MissingExtra" in said[-1] and f"pip install 'kdltr[{extra}]'" in said[-1], said


@pytest.mark.parametrize(("extra", "arguments"), [
    ("export", ["export", "parseq_nano_ltr", "word.onnx"]),
    ("ppocr", ["read", "--detect", "word.png"]),
    ("generate", ["data", "generate", "words", "train1=1", "--workers", "1"]),
])
def test_a_command_without_its_extra_says_so_in_one_line(installed, extra, arguments):
    (said,) = installed.run("kdltr", *arguments, status=2).splitlines()
    assert said.startswith("kdltr ") and said.endswith(f"run: pip install 'kdltr[{extra}]'")


def test_the_extra_export_writes_onnx(installed):  # last: it adds to what is installed
    installed.pip(f"{installed.wheel}[export]")
    assert "agree to" in installed.run("kdltr", "export", "parseq_nano_ltr", "word.onnx")
    code = """
import onnxruntime
print(onnxruntime.InferenceSession("word.onnx").get_modelmeta().custom_metadata_map["model"])"""
    assert installed.python(code).strip() == "parseq_nano_ltr"


def test_what_is_pinned_takes_every_python_that_kdltr_does():
    """Also 3.11.2, which Debian has, wherever this runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = project["requires-python"].removeprefix(">=") + ".0"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    asked = {}
    for pin in pins:
        with contextlib.suppress(PackageNotFoundError):  # of another system
            asked[pin] = metadata(pin.partition("==")[0])["Requires-Python"] or ""
    assert len(asked) > 100
    assert not {pin: python for pin, python in asked.items() if least not in SpecifierSet(python)}
