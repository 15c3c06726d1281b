"""Publishing the results that README quotes, and removing what the workflow made."""

import json
import logging
import re
import shutil
from pathlib import Path

from kdltr.files import atomic_path
from kdltr.messages import nearest
from kdltr.workflow.engine import lock_of
from kdltr.workflow.plan import load_plan
from kdltr.workflow.processes import WorkflowError, end_recorded
from kdltr.workflow.written import profiles

logger = logging.getLogger(__name__)
PUBLISHED = (".json", ".gz", ".html")  # a result's CSV holds rows that its JSON has
READINGS = ".predictions.csv.gz"
LARGEST = 2_000_000  # bytes of readings that are committed; of a result with more, the rows alone
READ_AGAIN = ("02_teacher", "11_superresolution")  # what they read, tables read again


def publish(profile: str, root: Path) -> Path:
    """Replace `results/reference/<profile>` by the tables and the report of a complete run.

    The report holds the figures; those that README shows lie beside it, too. Weights, checkpoints,
    logs and executed notebooks stay behind: the report's links lead to the committed notebooks. So
    do runs that the profile's ``publish`` does not name, if it names some, results that another one
    names as its ``extra["parts"]``, and readings of over `LARGEST` bytes or by a notebook of
    `READ_AGAIN`, which the published result then does not name. Text files lose the path of this
    checkout, which means nothing to others.

    Returns:
        The folder of the committed copy.

    Raises:
        WorkflowError: the profile has not been run to its end, or README shows a figure that it
            has not drawn.
    """
    with lock_of(profile, root):
        plan, target = load_plan(profile, root), root / "results" / "reference" / profile
        figures = [f"{plan.folder}/{name}" for name in _shown(root / "README.md", profile)]
        for made, hint in ((plan.targets, ""), (figures, " (README.md shows it)")):
            if missing := [path for path in made if not (root / path).is_file()]:
                raise WorkflowError(f"nothing published: {', '.join(missing)} missing{hint}; run "
                                    f"`make {profile}` first")
        lost = {f"{root}/": ""}
        lost |= {f'href="notebooks/{Path(run.executed).name}"': f'href="../../../{run.notebook}"'
                 for run in plan.runs}  # fmt: skip
        parts = _parts(root / plan.folder)
        behind = {run.name for run in plan.runs
                  if (read := root / plan.folder / f"{run.name}{READINGS}").is_file() and (
                      Path(run.notebook).stem in READ_AGAIN or read.stat().st_size > LARGEST)}
        with atomic_path(target) as temporary:
            temporary.mkdir(parents=True)
            for path in sorted((root / plan.folder).iterdir()):
                run = path.name.removesuffix(READINGS).removesuffix(path.suffix)
                wanted = path.suffix in PUBLISHED and path.name[0] != "." and run not in parts
                wanted &= not plan.published or run in plan.published
                wanted &= run not in behind or not path.name.endswith(READINGS)
                if path.is_file() and wanted:
                    _copy(path, temporary / path.name, lost)
                    if run in behind and path.suffix == ".json":
                        _forget_readings(temporary / path.name)
            for path in figures:
                _copy(root / path, temporary / "figures" / Path(path).name, {})
    logger.info("published %s as %s", plan.folder, target.relative_to(root))
    return target


def _parts(folder: Path) -> set[str]:
    """The runs of a folder whose results are parts of another."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json"))
    return {part for document in found for part in document.get("extra", {}).get("parts", ())}


def _copy(path: Path, target: Path, replaced: dict[str, str]) -> None:
    target.parent.mkdir(exist_ok=True)
    if path.suffix in (".png", ".gz"):
        shutil.copyfile(path, target)
        return
    text = path.read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old, new)
    target.write_text(text, encoding="utf-8")


def _forget_readings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'\n    "predictions": \{[^}]*\},?', "", text, count=1)
    path.write_text(text, encoding="utf-8")


def _shown(readme: Path, profile: str) -> list[str]:
    """The figures of the committed copy that README shows, as "figures/NAME.png"."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    return re.findall(rf"\(results/reference/{profile}/(figures/[^)/]+\.png)\)", text)


def clean(profile: str, root: Path) -> None:
    """Remove `results/<profile>` and `data/generated/<profile>`; never the committed copy.

    Raises:
        WorkflowError: no such profile, and nothing made by one that there was.
    """
    if profile == "reference" or not profile or "/" in profile or profile.startswith("."):
        raise WorkflowError(f"{profile!r} is no profile; results/reference is committed, kept")
    made = [root / folder / name for folder in ("results", "data/generated")
            for name in (profile, f"{profile}.superseded")]
    if profile not in (known := profiles(root)) and not any(path.exists() for path in made):
        raise WorkflowError(f"no profile {profile!r}, and no results of one; nothing removed"
                            f"{nearest(profile, known)}")
    with lock_of(profile, root):
        end_recorded(root / "results" / profile / ".workflow" / "jobs")
        for path in made:
            if path.is_symlink():  # to another disk; what lies there is of its owner
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
    logger.info("removed the results and generated data of profile %s", profile)
