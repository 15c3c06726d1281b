"""Publishing the results that README quotes, and removing what the workflow made."""

import json
import logging
import shutil
from pathlib import Path

from kdltr.files import atomic_path
from kdltr.workflow.engine import lock_of
from kdltr.workflow.plan import load_plan
from kdltr.workflow.processes import WorkflowError, end_recorded

logger = logging.getLogger(__name__)
PUBLISHED = (".json", ".csv", ".gz", ".png", ".html", ".md", ".ipynb")
LARGEST_NOTEBOOK = 10**6  # bytes; larger ones are published without their images


def publish(profile: str, root: Path) -> Path:
    """Replace `results/reference/<profile>` by the tables, figures and report of a complete run.

    Weights, checkpoints and logs stay behind. Notebooks over 1 MB lose their images, which lie
    beside them as figures. Text files lose the path of this checkout, which means nothing to
    others.

    Returns:
        The folder of the committed copy.

    Raises:
        WorkflowError: the profile has not been run to its end, or a notebook is over 1 MB even
            without images: the report links all of them, so none may stay behind.
    """
    with lock_of(profile, root):
        plan = load_plan(profile, root)
        missing = [path for path in (*plan.results, *plan.targets) if not (root / path).is_file()]
        if missing:
            raise WorkflowError(
                f"nothing published: {', '.join(missing)} missing; run `make {profile}` first"
            )
        source, target = root / plan.folder, root / "results" / "reference" / profile
        states = [root / path for run in plan.runs for path in run.state]
        with atomic_path(target) as temporary:
            temporary.mkdir(parents=True)
            for path in sorted(source.rglob("*")):
                if _is_published(path, source, states):
                    _copy(path, temporary / path.relative_to(source), root)
    logger.info("published %s as %s", plan.folder, target.relative_to(root))
    return target


def _is_published(path: Path, source: Path, states: list[Path]) -> bool:
    relative = path.relative_to(source)
    hidden = any(part.startswith(".") or part.endswith(".superseded") for part in relative.parts)
    inside_state = any(state in path.parents for state in states)
    unfinished = path.name.endswith((".failed.ipynb", ".partial.ipynb"))
    left = hidden or inside_state or unfinished or not path.is_file()
    return path.suffix in PUBLISHED and not left


def _copy(path: Path, target: Path, root: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".gz"):
        shutil.copyfile(path, target)
        return
    text = path.read_text(encoding="utf-8").replace(f"{root}/", "")
    if path.suffix == ".ipynb" and len(text.encode()) > LARGEST_NOTEBOOK:
        text = _without_images(text)
        if (size := len(text.encode())) > LARGEST_NOTEBOOK:
            raise WorkflowError(
                f"nothing published: {path.relative_to(root)}: expected at most "
                f"{LARGEST_NOTEBOOK} bytes without images, found {size}; print less in it and run "
                "the profile again"
            )
    target.write_text(text, encoding="utf-8")


def _without_images(notebook: str) -> str:
    """An executed notebook with the text of its outputs alone."""
    document = json.loads(notebook)
    for cell in document["cells"]:
        for output in cell.get("outputs", ()):
            for kind in [kind for kind in output.get("data", ()) if kind.startswith("image/")]:
                del output["data"][kind]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def clean(profile: str, root: Path) -> None:
    """Remove `results/<profile>` and `data/generated/<profile>`; never the committed copy."""
    if profile == "reference" or not profile or "/" in profile or profile.startswith("."):
        raise WorkflowError(f"{profile!r} is no profile; results/reference is committed, kept")
    with lock_of(profile, root):
        end_recorded(root / "results" / profile / ".workflow" / "jobs")
        for folder in ("results", "data/generated"):
            for name in (profile, f"{profile}.superseded"):
                shutil.rmtree(root / folder / name, ignore_errors=True)
    logger.info("removed the results and generated data of profile %s", profile)
