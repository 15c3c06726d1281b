"""One source of versions: pyproject.toml names, constraints.txt pins, environment.yml points."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins() -> list[tuple[str, str]]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    return [tuple(line.split("==")) for line in lines if line]


def test_every_constraint_is_one_exact_pin(pins):
    assert all(len(pin) == 2 for pin in pins), [pin for pin in pins if len(pin) != 2]
    names = [normal(name) for name, _ in pins]
    assert len(names) == len(set(names)), "a package is pinned twice"


def test_every_dependency_is_pinned_and_declared_without_a_pin_of_its_own(project, pins):
    pinned = {normal(name) for name, _ in pins}
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(line for extra in extras for line in extra)]
    declared = [line for line in declared if NAME.match(line)[0] != "kdltr"]  # an extra of extras
    missing = {NAME.match(line)[0] for line in declared} - {
        name for line in declared if normal(name := NAME.match(line)[0]) in pinned
    }
    assert not missing, f"add to constraints.txt: {sorted(missing)}"
    assert not [line for line in declared if "==" in line], "exact versions go to constraints.txt"


def test_what_is_installed_is_what_is_pinned(pins):
    wrong = {}
    for name, wanted in pins:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # of another platform; a needed one is caught below
        # 2.13.0+cpu is a build of 2.13.0, and 1.001 another way to write 1.1.
        if Version(Version(found).public) != Version(wanted):
            wrong[name] = f"pinned {wanted}, installed {found}"
    assert not wrong, f"{wrong}; run `make test`, which installs from constraints.txt"


def test_every_dependency_of_every_extra_is_installed():
    for line in requires("kdltr"):
        version(NAME.match(line)[0])  # raises if it is missing


def test_environment_yml_points_to_the_same_sources(project):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    python = [entry for entry in conda if entry.startswith("python=")]
    assert python == ["python=3.11"]
    assert set(conda) - set(python) == {"pip"}, "every other version comes from constraints.txt"
    assert project["requires-python"] == ">=3.11"
    assert sys.version_info >= (3, 11)


def test_ci_and_make_use_the_same_python():
    assert re.search(r"python3\.11", (ROOT / "Makefile").read_text(encoding="utf-8"))
    actions = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step for job in actions["jobs"].values() for step in job["steps"]]
    versions = [
        step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")
    ]
    assert versions == ["3.11"]
    assert any(step.get("run") == ".ci/run" for step in steps)
