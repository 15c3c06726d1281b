"""What a notebook evaluates: recognisers as its parameters name them, loaded side by side."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, TypedDict

import torch

from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.models import create_model
from kdltr.models.base import Recogniser
from kdltr.parameters import NonEmpty
from kdltr.superres import load_two_stage


class _Trained(TypedDict):
    weights: str  # of the teacher
    student: str  # the name of its model
    # Weights by method; "": as initialised from the teacher.
    students: NonEmpty[dict[str, str | None]]


class Trained(_Trained, total=False):
    """A teacher's weights and those of its students, of which the first is the one of interest."""

    sizes: dict[str, Any]  # of all of them, where they differ from the names'
    # Super-resolution networks before the teacher: by method a file of `kdltr.train.superres`, or
    # for published ones the arguments of `kdltr.superres.load_upscaler`.
    two_stage: dict[str, str | dict[str, Any]]


Recognisers = NonEmpty[dict[str, Trained]]  # by the teacher's name

FIXED = ("teacher on HR", "bicubic")  # the methods that every recogniser has


def load_readers(
    recognisers: Recognisers, device: str | torch.device = "cpu",
    two_stage_of: Container[str] | None = None,
) -> dict[str, dict[str, Recogniser]]:
    """Teacher, teacher after upsampling of every kind, and students of every recogniser.

    Args:
        recognisers: what was trained, and where its weights are.
        device: where they go.
        two_stage_of: the recognisers whose two-stage methods are loaded; all if None.

    Returns:
        `readers[recogniser][method]`: "teacher on HR", "bicubic", two stages, then the students.

    Raises:
        ValueError: weights of several seeds, as `kdltr.evaluation.seeds.of_seeds` takes them, or
            two methods of one name.
        kdltr.checkpoint.CheckpointError: weights that cannot be read or do not fit.
    """
    readers = {}
    for name, entry in recognisers.items():
        if several := [path for path in entry["students"].values() if "{seed}" in str(path)]:
            raise ValueError(f"expected the weights of one training, found {several[0]}; write a "
                             "seed in place of {seed}")
        names = [*FIXED, *entry.get("two_stage", {}), *entry["students"]]
        if twice := sorted({method for method in names if names.count(method) > 1}):
            raise ValueError(f"{name}: expected a name for each method, found {twice[0]!r} twice; "
                             f"name students and networks otherwise, and not {' or '.join(FIXED)}")
        sizes = entry.get("sizes", {})
        teacher = create_model(name, entry["weights"], **sizes).to(device)
        students = {}
        for method, weights in entry["students"].items():
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)  # untrained it is the same at every load
                student = create_model(entry["student"], weights or None, **sizes).to(device)
            students[method] = student if weights else student.init_from_teacher(teacher)
        small = next((student.image_size for student in students.values()), None)
        bicubic = UpsampleBicubic(teacher, small)
        two_stage = {method: load_two_stage(given, teacher).to(device)
                     for method, given in entry.get("two_stage", {}).items()
                     if two_stage_of is None or name in two_stage_of}
        readers[name] = dict(zip(FIXED, (teacher, bicubic), strict=True)) | two_stage | students
    return readers


def input_sizes(methods: Mapping[str, Recogniser]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(H, W) of the sharp and of the small images that a recogniser's methods read.

    Args:
        methods: one recogniser's of `load_readers`.
    """
    return tuple(tuple(methods[name].image_size) for name in FIXED)


def readers_by_size(
    readers: Mapping[str, Mapping[str, Recogniser]],
) -> dict[tuple[tuple[int, int], tuple[int, int]], dict[str, Mapping[str, Recogniser]]]:
    """The recognisers of `load_readers` that read words of the same sizes, by those `input_sizes`.
    """
    alike: dict = {}
    for name, methods in readers.items():
        alike.setdefault(input_sizes(methods), {})[name] = methods
    return alike
