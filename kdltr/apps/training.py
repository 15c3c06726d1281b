"""A training of a time box, in a process of its own.

    python -m kdltr.apps.training PLAN.yaml NAME UNTIL
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from kdltr.apps.timebox_plan import Plan, read_plan
from kdltr.checkpoint import save_weights
from kdltr.files import write_json
from kdltr.generator import checked_effects
from kdltr.generator.render_shards import write_shards
from kdltr.models import create_model
from kdltr.results import environment
from kdltr.settings import check
from kdltr.train import DistillConfig, PretrainConfig, distill, pretrain

SAVED_EVERY = 1.0  # minutes


def settings(plan: Plan, name: str, minutes: float | None = None) -> DistillConfig | PretrainConfig:
    """The configuration of a training of the plan.

    Raises:
        ValueError: a setting that there is not, or a bad value.
    """
    entry = plan.trainings[name]
    if entry.get("render"):
        check(write_shards, {"workers": plan.processes} | entry["render"], f"{name}.render")
        checked_effects(entry["render"].get("effects", ()))
    common = {"output_dir": f"training/{name}", "checkpoint_minutes": SAVED_EVERY,
              "device": plan.device, "minutes": minutes}
    if "distill" in entry:
        return DistillConfig.from_dict(common | entry["distill"])
    return PretrainConfig.from_dict(common | {"workers": plan.processes} | entry["pretrain"])


def make_weights(plan: Plan, root: Path = Path()) -> None:
    """Write the files of ``plan.weights`` that are not below ``root``, from what they name."""
    for path, source in plan.weights.items():
        if not (root / path).is_file():
            model = create_model(source["model"], checkpoint=source["checkpoint"])
            save_weights(model, root / path, source)


def train(plan: Plan, name: str, until: float) -> None:
    """Train until it is done or it is ``until`` (`time.time`); result.json says how far it came."""
    make_weights(plan)
    minutes = max(1e-6, (until - time.time()) / 60)
    config = settings(plan, name, minutes)
    ended = Path(config.output_dir) / "result.json"
    ended.unlink(missing_ok=True)
    result = (distill if isinstance(config, DistillConfig) else pretrain)(config)
    write_json(ended, {
        "of": plan.trainings[name], "finished": result.finished,
        "step": result.steps, "pairs": result.pairs,
        "pairs_per_second": result.pairs_per_second, "best_step": result.best_step,
        "best_score": result.best_score, "weights": result.weights.name,
        "card": environment.hardware()["gpu"],
    })  # fmt: skip


if __name__ == "__main__":
    logging.basicConfig(format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("kdltr").setLevel(logging.INFO)
    file, name, until = sys.argv[1:]
    train(read_plan(Path(file)), name, float(until))
