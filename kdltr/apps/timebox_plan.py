"""What a time box is for: a YAML file with tests, measurements and trainings, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from kdltr.machine import cores

DEFAULT = "timebox/plan.yaml"  # of a profile
KINDS = ("distill", "pretrain")
NEEDED = ("accelerate", "jsonschema", "lmdb", "numpy", "pandas", "PIL", "pydantic", "pytest",
          "rapidfuzz", "safetensors", "torch")
TO_RENDER = ("better_profanity", "cv2", "ftfy", "langcodes", "msgpack", "regex", "wordfreq")


class TimeboxError(Exception):
    """A time box cannot run; the message says what to do."""


class Part(TypedDict, total=False):
    """What is started with arguments, and how long it has."""

    seconds: float
    arguments: tuple[str, ...]


class Carried(TypedDict, total=False):
    """What a bundle takes along."""

    images: dict[str, int]
    packages: tuple[str, ...]
    leave_out: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The content of such a file; params/gpu/timebox has some.

    Attributes:
        trainings: by name and in order: ``distill`` or ``pretrain``, its settings, where paths are
            relative to the folder of the time box, in which ``data`` leads to the repository's; and
            ``render``, arguments of `kdltr.generator.render_shards.write_shards`: words that are
            rendered into ``shards/<name>`` while the trainings before it run.
        tests, bench: ``seconds`` they have, ``arguments`` of pytest and of `kdltr bench`.
        device: "cuda"; "cpu" to try it.
        workers: processes that render; None: all cores but two.
        weights: files that are made where they are missing, of which ``model`` and ``checkpoint``.
        carry: what a bundle takes along (`kdltr.apps.bundle`): ``images`` of at most that height
            and in that quality, ``packages``, and patterns of their files to ``leave_out``.
    """

    trainings: dict[str, dict[str, dict[str, Any] | None]]
    tests: Part = field(default_factory=dict)
    bench: Part = field(default_factory=dict)
    device: str = "cuda"
    workers: int | None = None
    weights: dict[str, dict[str, str]] = field(default_factory=dict)
    carry: Carried = field(default_factory=dict)

    @property
    def processes(self) -> int:
        """How many render."""
        return self.workers or max(1, cores() - 2)


def check_packages(needed: tuple[str, ...]) -> None:
    """Raise TimeboxError unless all of these are installed."""
    if lacking := [name for name in needed if not find_spec(name)]:
        raise TimeboxError(f"expected the packages {', '.join(needed)}, found no "
                           f"{', '.join(lacking)}; pip install them, or name them under carry in "
                           "the plan and make the bundle anew")


def read_plan(file: Path) -> Plan:
    """The plan in a YAML file.

    Raises:
        TimeboxError: no such file, or one of something else.
    """
    from kdltr.settings import check, parse_yaml  # pydantic, which `timebox.run` looks for first

    try:
        content = parse_yaml(file.read_text(encoding="utf-8"), str(file))
        check(Plan, content)
        plan = Plan(**content)
        kinds = {name: [kind for kind in KINDS if kind in entry]
                 for name, entry in plan.trainings.items()}
    except OSError as error:
        raise TimeboxError(f"{file}: expected a plan, found: {error.strerror.lower()}; "
                           "params/gpu/timebox has some") from error
    except (ValueError, TypeError) as error:
        raise TimeboxError(f"{file}: expected a plan as those in params/gpu/timebox: "
                           f"{' '.join(str(error).split())}") from error
    if wrong := [name for name, found in kinds.items() if len(found) != 1]:
        raise TimeboxError(f"{file}: expected either distill or pretrain in the training "
                           f"{wrong[0]}, found {', '.join(plan.trainings[wrong[0]]) or 'nothing'}")
    return plan
