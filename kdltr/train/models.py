"""Who teaches and who learns: building the two models, checking them, and the trained module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kdltr.evaluation.evaluate import UpsampleBicubic
from kdltr.losses import DistillationCriterion
from kdltr.losses.baselines import BaselineCriterion
from kdltr.losses.weighted import WeightedSum
from kdltr.models import ModelOutput, Recogniser, create_model
from kdltr.train.config import DistillConfig

RANDOM = "random"  # in place of a file of the teacher's weights


class Distillation(nn.Module):
    """Student and criterion (whose projector is trained too): one DDP wrapper, one checkpoint.

    Args:
        student: what is trained.
        criterion: what it is trained by.
        compile: "no", or the mode of `torch.compile` for the student's pass in training. Reading is
            left alone, and so are the names of the weights.
    """

    def __init__(
        self, student: nn.Module, criterion: WeightedSum, compile: str = "no"
    ) -> None:
        super().__init__()
        self.student, self.criterion = student, criterion
        self.compiled = None  # or a function; as a module its weights would be listed twice
        if compile != "no":
            self.compiled = torch.compile(student.forward, mode=compile)
        for name in student.without_gradient:  # DistributedDataParallel would wait for theirs
            if not (criterion.part_logits and name.endswith("vision.cls")):
                student.get_submodule(name).requires_grad_(False)

    def forward(
        self,
        images: Tensor,
        extra: dict[str, Any],
        teacher: ModelOutput | None,
        labels: Tensor,
        lengths: Tensor,
    ) -> dict[str, Tensor]:
        """Loss terms of images (N, 3, H, W) with labels (N, T) and lengths (N,)."""
        learn = self.compiled or self.student
        return self.criterion(learn(images, **extra), teacher, labels, lengths)


def build_models(config: DistillConfig) -> tuple[Recogniser, Recogniser]:
    """The teacher, and the student that starts from it, or as the settings say.

    Raises:
        ValueError: no weights for the teacher, which would teach noise, unless `RANDOM` are asked
            for by this name.
    """
    weights = config.teacher_weights
    if weights is None:
        raise ValueError("teacher_weights: expected the weights of a trained teacher, found none, "
                         "so that it would teach noise; give their file, or write "
                         f"{RANDOM!r} if noise is what you want")
    teacher = create_model(config.teacher, None if weights == RANDOM else weights, **config.model)
    upsampled = config.student_input == "upsampled"
    name, own = config.teacher if upsampled else config.student, config.student_weights
    sizes = config.model | ({} if upsampled else config.student_model)
    student = create_model(name, own, **sizes)
    if not own and config.start != "random":
        if upsampled:  # the same network: all of it
            student.load_state_dict(teacher.state_dict())
        else:
            student.init_from_teacher(teacher)
    if upsampled:
        small = create_model(config.student, **config.model | config.student_model).image_size
        student = UpsampleBicubic(student, small)
    return teacher, student


def network_of(student: Recogniser) -> Recogniser:
    """What is saved of a student: of one that enlarges its images the network that reads them."""
    return student.teacher if isinstance(student, UpsampleBicubic) else student


def build_criterion(config: DistillConfig, student: nn.Module) -> WeightedSum:
    """The criterion of the settings' method, for this student."""
    if config.method == "kd-ltr":
        return DistillationCriterion.for_model(
            student, path_score=config.path_score, ctc_targets=config.ctc_targets,
            **config.losses, **config.weights,
        )
    return BaselineCriterion(config.method, config.weights, student.decoding)


def check_no_start(config: DistillConfig) -> None:
    """Raise if settings say how a student is made, where it is given instead."""
    given = [name for name in ("student_weights", "student_input")
             if getattr(config, name) != getattr(DistillConfig, name)]
    given += ["start='random'"] if config.start == "random" else []
    if given:
        raise ValueError(f"{given[0]} says how a student is made, found models of your own beside "
                         "it; load or wrap them yourself, and leave it out")


def check_models(config: DistillConfig, teacher: nn.Module, student: nn.Module) -> None:
    """Raise unless both say what they are, read one charset, and can do what is asked."""
    for role, model in (("teacher", teacher), ("student", student)):
        lacks = [name for name in ("name", "charset", "image_size") if not hasattr(model, name)]
        if lacks or not isinstance(model, Recogniser):
            raise TypeError(
                f"the {role} must be derived from kdltr.Recogniser and have name, charset and "
                f"image_size; found {type(model).__name__}"
                + (f", which lacks {', '.join(lacks)}" if lacks else ", which is not derived so")
            )
    if teacher.charset != student.charset:
        raise ValueError(
            f"the teacher reads {teacher.charset.name}, the student {student.charset.name}; a "
            f"student takes a teacher of the same charset"
        )
    if (teacher.decoding, teacher.frames) != (student.decoding, student.frames):
        raise ValueError(
            f"teacher and student must read alike, found decoding {teacher.decoding!r} of "
            f"{teacher.frames} frames and {student.decoding!r} of {student.frames}"
        )
    if student.steps and student.longest >= student.steps:
        raise ValueError(f"{student.name} learns words of {student.longest} characters (longest) "
                         f"in {student.steps} steps, of which one is the end; give it a longest of "
                         f"at most {student.steps - 1}")
    if student.decoding == "ctc":
        if student.frames is None:
            raise ValueError(f"{student.name} reads by CTC: give it an attribute frames, the T of "
                             "its logits, so that words that do not fit are left out")
        if config.labels == "published":
            raise ValueError("labels='published' has end tokens inside words, which CTC does not "
                             "know; use 'filtered'")
    if not any(value.requires_grad for value in student.parameters()):
        raise ValueError(f"expected a student that can learn, found all parameters of "
                         f"{student.name} frozen, as those of a model that taught are; call its "
                         "requires_grad_(True)")
    if config.start == "fitted" and not hasattr(student, "fit_start"):
        raise ValueError(f"start='fitted' cannot be: {student.name} has no fit_start")
