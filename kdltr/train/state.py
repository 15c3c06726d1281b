"""The state of a run on disk: all that a resumed run needs to end with the same bits."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import nn

from kdltr.checkpoint import read_state, save_state
from kdltr.files import weights_file, write_json
from kdltr.models.devices import cpu_model

log = logging.getLogger(__name__)

# Settings that do not change what a run computes, and so may differ when it is resumed.
_FREE = ("output_dir", "resume", "allow_other_threads", "threads", "minutes", "workers",
         "log_every", "checkpoint_every", "checkpoint_minutes", "device", "teacher_budget")
# How many there are is compared, and what lies there: "sets" has the data's hashes, "source" what
# shards are made from.
_PLACES = ("data", "words", "generated", "corpus", "shards")
_FILES = ("teacher_weights", "student_weights", "start_from", "generator_weights",
          "reader_weights", "judge_weights", "similarity")  # by their own hash


class ResumeError(RuntimeError):
    """An interrupted run cannot go on under these settings."""


def will_resume(run: Path, settings: dict[str, Any]) -> bool:
    """Whether a run of these settings goes on from a state in its directory."""
    return settings["resume"] and (run / "state.pt").is_file()


def write_settings(run: Path, names: Collection[str], settings: dict[str, Any]) -> None:
    """Write settings of these names as config.json, for `kdltr distill`, the rest as data.json.

    Args:
        run: the run's directory.
        names: of the configuration's fields.
        settings: of the run, among them what its words were.
    """
    write_json(run / "config.json", {name: settings[name] for name in names})
    write_json(run / "data.json", {n: said for n, said in settings.items() if n not in names})


class RunState:
    """Saves and restores step, weights, optimiser and random state in ``<run>/state.pt``.

    Args:
        run: the run's directory.
        settings: of the run, ``to_dict()`` of its configuration.
        module: what is trained (unwrapped).
        optimiser: its optimiser.
        processes: how many take part.
    """

    def __init__(
        self,
        run: Path,
        settings: dict[str, Any],
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        processes: int = 1,
    ) -> None:
        self.path = run / "state.pt"
        self.settings, self.module, self.optimiser = settings, module, optimiser
        self.files = {name: _content(settings[name]) for name in _FILES if settings.get(name)}
        self.machine = {
            "threads": torch.get_num_threads(),
            "processes": processes,
            "torch": str(torch.__version__),
            "cpu": cpu_model(),
        }

    def save(self, step: int, best: dict[str, Any], main: bool = True) -> None:
        """Save after ``step``; every process must call it, the main one writes."""
        random = gather_object([_random_state()])
        if main:
            save_state(self.path, {
                "step": step,
                "best": best,
                "module": self.module.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "random": random,
                "settings": self.settings,
                "files": self.files,
                "machine": self.machine,
            })

    def load(self, rank: int = 0) -> tuple[int, dict[str, Any]]:
        """Restore the last saved state → its step and best; (0, {}) if there is none.

        Raises:
            ResumeError: it was saved by a run of other settings, processes or threads, or the
                processes do not all see it. Every process must call this.
            kdltr.checkpoint.CheckpointError: the file is damaged.
        """
        saved = read_state(self.path) if will_resume(self.path.parent, self.settings) else None
        steps = gather_object([saved["step"] if saved else 0])
        if len(set(steps)) > 1:
            raise ResumeError(
                f"the processes would go on at steps {steps}: they see different files at "
                f"{self.path}. output_dir must be a folder that all machines share"
            )
        if saved is None:
            if rank == 0:  # whoever starts over does not go on with what was there before
                for name in (self.path.name, "best.safetensors", "last.safetensors"):
                    self.path.with_name(name).unlink(missing_ok=True)
            return 0, {}
        self._check(saved)
        self.module.load_state_dict(saved["module"])
        self.optimiser.load_state_dict(saved["optimiser"])
        _restore_random_state(saved["random"][rank])
        log.info("resumed %s at step %d", self.path, saved["step"])
        return saved["step"], saved["best"]

    def _check(self, saved: dict[str, Any]) -> None:
        differences = []
        for key, value in self.settings.items():
            was, content = saved["settings"].get(key), self.files.get(key)
            same = _plain(was, key) == _plain(value, key)
            if content:  # a file may be moved, but not be another
                same = content == saved["files"].get(key)
            if key not in _FREE and not same:
                other = ", a file that has changed" if was == value else ""
                differences.append(f"{key} was {was!r}, is {value!r}{other}")
        if differences:
            raise ResumeError(
                f"{self.path} belongs to a run of other settings: {'; '.join(differences)}. Use "
                f"another output_dir, delete this one, or set resume=False to start over"
            )
        machine = saved["machine"]
        if machine["processes"] != self.machine["processes"]:
            raise ResumeError(
                f"{self.path} was saved by {machine['processes']} process(es), found "
                f"{self.machine['processes']}; launch as many, or set resume=False"
            )
        if machine["threads"] != self.machine["threads"] and not self.settings.get(
            "allow_other_threads"
        ):
            raise ResumeError(
                f"{self.path} was saved with {machine['threads']} CPU thread(s), found "
                f"{self.machine['threads']}: the weights would differ in their last bits. Set "
                f"threads={machine['threads']}, or allow_other_threads=True"
            )
        if machine != self.machine:
            log.warning("%s was saved on %s, this is %s: last bits may differ", self.path, machine,
                        self.machine)


def _plain(value: Any, name: str) -> Any:
    """A setting as it is compared: of the data what they hold, in their order, and not where."""
    if name in _PLACES:
        return len(value) if isinstance(value, list | tuple) else bool(value)
    if name == "sets":
        return list((value or {}).values())
    if name == "source":
        return value and value | {"sets": _plain(value.get("sets"), "sets")}
    if name == "selection_data":
        return [Path(path).name for path in value or ()]
    return list(value) if isinstance(value, tuple) else value


def _content(file: str) -> str | None:
    """The hash of a file; None where there is none, as of a wheel's, or random ones."""
    path = weights_file(file)
    if not path.is_file():
        return None
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _random_state() -> dict[str, Any]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
