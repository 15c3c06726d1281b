"""The paper's loss as one equation: the weighted sum of its four terms, the criterion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from kdltr.charset import DECODINGS
from kdltr.losses.cross_entropy import cross_entropy_loss
from kdltr.losses.ctc import ctc_loss, frame_divergence
from kdltr.losses.semantic import SemanticContrastiveLoss
from kdltr.losses.settings import LossSettings
from kdltr.losses.soft_logits import soft_logits_loss
from kdltr.losses.visual import enlarged, visual_focus_loss
from kdltr.losses.weighted import Terms, WeightedSum, full, pair
from kdltr.models import create_model
from kdltr.models.output import ModelOutput

WEIGHTS = {"visual": 4.0, "semantic": 2.0, "cross_entropy": 0.025, "soft_logits": 20.0}

PUBLISHED_WIDTH = 256  # the least E of the published recognisers, DAN's of lines
PROJECTOR_HIDDEN = 256


class DistillationCriterion(WeightedSum):
    """Compares a student's `ModelOutput` with the teacher's and with the labels.

    Trainable: the projector of the semantic term, which belongs in the optimiser (it exists only
    where that term has a weight).

    Args:
        width: E, width of the character vectors; only the semantic term needs it.
        weights: of the terms "visual", "semantic", "cross_entropy", "soft_logits"; those left
            out keep the published weight. A term of weight 0 is not computed and reported as 0;
            its settings may stay, as in a recipe that fine-tuning shares with distillation.
        hidden: LSTM width a side of the projector. None: 256 as published, or half of ``width``
            for a narrower recogniser, whose projector would otherwise dwarf it.
        decoding: how the recogniser reads. For "ctc" all frames count in the semantic term,
            "cross_entropy" is the CTC loss and "soft_logits" the divergence of the frames.
        **settings: of `kdltr.losses.LossSettings`, where they differ from the published.

    Raises:
        ValueError: unknown term, negative or non-finite weight, unknown ``decoding`` or setting, a
            setting without meaning for it, or no width where the semantic term needs one.
    """

    def __init__(
        self,
        width: int | None = None,
        weights: dict[str, float] | None = None,
        hidden: int | None = None,
        decoding: str = "attention",
        **settings: Any,
    ):
        super().__init__(WEIGHTS, weights)
        if decoding not in DECODINGS:
            raise ValueError(f"decoding must be one of {DECODINGS}; found {decoding!r}")
        self.decoding, self.settings = decoding, LossSettings.from_dict(settings)
        for name, reason in self._idle():
            if settings.get(name, getattr(LossSettings, name)) != getattr(LossSettings, name):
                raise ValueError(f"{name}={settings[name]!r} has no meaning {reason}; leave it out")
        self.part_logits = self.settings.logits_of == "vision" and self.weights["soft_logits"] > 0
        self.semantic_loss = None
        if self.weights["semantic"]:
            if width is None:
                raise ValueError(
                    "the semantic term needs the width of the character vectors: pass width=, or "
                    "give the model an attribute semantic_width, or set the term's weight to 0"
                )
            published = width >= PUBLISHED_WIDTH
            hidden = hidden or (PROJECTOR_HIDDEN if published else max(width // 2, 1))
            self.semantic_loss = SemanticContrastiveLoss(
                width,
                hidden,
                temperature=self.settings.semantic_temperature,
                projector=self.settings.semantic_projector,
                loss=self.settings.semantic_loss,
            )

    @classmethod
    def for_model(
        cls,
        model: str | nn.Module,
        width: int | None = None,
        hidden: int | None = None,
        **options: Any,
    ) -> DistillationCriterion:
        """The criterion that fits a recogniser.

        Args:
            model: a registered name ("abinet_ltr"), or a model whose ``semantic_width`` says E
                and whose ``decoding`` says how it reads.
            width: overrides the model's, for one of other sizes than its name's.
            hidden: as for the class.
            **options: weights of the terms, e.g. ``semantic=0``, and settings as for the class.

        Raises:
            ValueError: an unknown name, or as the class.
        """
        if isinstance(model, str):
            with torch.device("meta"):  # to ask it; nothing is computed
                model = create_model(model)
        weights = {name: float(options.pop(name)) for name in WEIGHTS if name in options}
        width = width or getattr(model, "semantic_width", None)
        decoding = getattr(model, "decoding", "attention")
        return cls(width, weights, hidden, decoding, **options)

    def terms(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """The four, each to be computed when asked for."""
        compute = self._frames if self.decoding == "ctc" else self._steps
        return compute(student, teacher, labels, lengths)

    def _steps(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """The terms of decoding steps up to an end token."""
        return self._shared(student, teacher, lengths) | {
            "cross_entropy": lambda: cross_entropy_loss(full(student.logits), labels, lengths),
            "soft_logits": lambda: soft_logits_loss(
                *self._logits(student, teacher),
                path_score=self.settings.path_score,
                level=self.settings.logits_level,
                **self._softening(),
            ),
        }

    def _frames(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """The terms of frames, all of which count."""
        all_frames = torch.full_like(lengths, student.logits.shape[1])
        return self._shared(student, teacher, all_frames) | {
            "cross_entropy": lambda: ctc_loss(full(student.logits), labels, lengths),
            "soft_logits": lambda: frame_divergence(
                *self._logits(student, teacher),
                targets=self.settings.ctc_targets,
                **self._softening(),
            ),
        }

    def _idle(self) -> Iterator[tuple[str, str]]:
        """Settings without meaning beside the others, and why."""
        if self.settings.semantic_loss != "contrastive":
            yield "semantic_temperature", f"where semantic_loss={self.settings.semantic_loss!r}"
        paths = ("logits_paths", "logits_beam", "logits_alpha", "logits_threshold")
        if self.decoding == "ctc":
            reason = "for a recogniser that reads by CTC"
            for name in ("logits_level", "logits_of", "path_score", "semantic_positions"):
                yield name, f"{reason}; ctc_targets chooses what its frames learn from"
            if self.settings.ctc_targets == "frames":
                yield from ((name, f"{reason} where ctc_targets='frames'") for name in paths)
        else:
            yield "ctc_targets", f"for one that reads by {self.decoding}"
            if self.settings.logits_level == "step":
                for name in (*paths, "path_score"):
                    yield name, "where logits_level='step', which has no paths"

    def _softening(self) -> dict[str, float]:
        names = ("temperature", "alpha", "threshold", "paths", "beam")
        return {name: getattr(self.settings, f"logits_{name}") for name in names}

    def _logits(self, student: ModelOutput, teacher: ModelOutput | None) -> tuple[Tensor, Tensor]:
        """The whole's logits, or those of the vision model."""
        if self.part_logits:
            for who, out in (("student", student), ("teacher", teacher)):
                if out is not None and not out.auxiliary:
                    raise ValueError(
                        f"logits_of='vision' takes the first of ModelOutput.auxiliary, but the "
                        f"{who} gave none; use 'fused'"
                    )
            student, teacher = (out and ModelOutput(out.auxiliary[0]) for out in (student, teacher))
        return pair("logits", student, teacher, "soft_logits")

    def _shared(
        self, student: ModelOutput, teacher: ModelOutput | None, counted: Tensor
    ) -> Terms:
        """The terms of maps and vectors; of the vectors the first ``counted`` (N,) count."""
        settings = self.settings
        positions = counted
        if settings.semantic_positions == "all" and student.semantic is not None:
            positions = torch.full_like(counted, student.semantic.shape[-2])

        def visual() -> Tensor:
            maps = pair("visual", student, teacher, "visual")
            attention = full(teacher.attention) if settings.visual_mask == "attention" else None
            return visual_focus_loss(
                *maps, enlarged(attention, maps[1]), counted,
                settings.visual_normalisation == "channels", settings.visual_distance,
            )

        return {
            "visual": visual,
            "semantic": lambda: self.semantic_loss(
                *pair("semantic", student, teacher, "semantic"), positions
            ),
        }
