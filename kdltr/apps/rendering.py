"""The words that trainings of a time box read, rendered in a process of its own.

    python -m kdltr.apps.rendering PLAN.yaml NAME…

Each of its workers imports what this module does: no PyTorch, which takes seconds and memory.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from kdltr.apps.timebox_plan import Plan, read_plan
from kdltr.files import write_json
from kdltr.generator.render_shards import write_shards


def render(plan: Plan, names: list[str]) -> None:
    """Render the shards of these trainings, one after another; a record says each is complete."""
    for name in names:
        given = plan.trainings[name]["render"]
        write_shards(f"shards/{name}", **({"workers": plan.processes} | given))
        write_json(f"shards/{name}.json", given)


if __name__ == "__main__":
    logging.basicConfig(format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("kdltr").setLevel(logging.INFO)
    file, *names = sys.argv[1:]
    render(read_plan(Path(file)), names)
