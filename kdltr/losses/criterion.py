"""The paper's loss as one equation: the weighted sum of its four terms, the criterion."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdltr.charset import DECODINGS
from kdltr.losses.ctc import CTC_TARGETS, ctc_loss, frame_divergence
from kdltr.losses.paths import PATH_SCORES
from kdltr.losses.semantic import SemanticContrastiveLoss
from kdltr.losses.soft_logits import soft_logits_loss
from kdltr.losses.visual import visual_focus_loss
from kdltr.models import create_model
from kdltr.models.output import ModelOutput

Terms = dict[str, Callable[[], Tensor]]

WEIGHTS = {"visual": 4.0, "semantic": 2.0, "cross_entropy": 0.025, "soft_logits": 20.0}

PUBLISHED_WIDTH = 384  # the least E of the published recognisers
PROJECTOR_HIDDEN = 256


def cross_entropy_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Mean cross-entropy over all steps of all words, each to its end token.

    Args:
        logits: ``(N, T, C)``, or ``(K, N, T, C)``: every permutation has the same targets.
        labels: ``(N, T)`` class ids; steps beyond T are ignored.
        lengths: ``(N,)`` steps of each word, end token included.
    """
    steps, classes = logits.shape[-2:]
    labels = labels[:, :steps]
    labels = F.pad(labels, (0, steps - labels.shape[1]))
    read = torch.arange(steps, device=labels.device) < lengths[:, None]  # (N, T)
    targets = labels.masked_fill(~read, -100).expand(logits.shape[:-1])  # -100 is ignored
    return F.cross_entropy(logits.reshape(-1, classes), targets.reshape(-1), ignore_index=-100)


class DistillationCriterion(nn.Module):
    """Compares a student's `ModelOutput` with the teacher's and with the labels.

    Trainable: the projector of the semantic term, which belongs in the optimiser (it exists only
    where that term has a weight).

    Args:
        width: E, width of the character vectors; only the semantic term needs it.
        weights: of the terms "visual", "semantic", "cross_entropy", "soft_logits"; those left
            out keep the published weight. A term of weight 0 is not computed and reported as 0.
        hidden: LSTM width a side of the projector. None: 256 as published, or half of ``width``
            for a narrower recogniser, whose projector would otherwise dwarf it.
        path_score: "published" or "log_normalised", see `kdltr.losses.path_distribution`.
        decoding: how the recogniser reads. For "ctc" all frames count in the semantic term,
            "cross_entropy" is the CTC loss and "soft_logits" the divergence of the frames.
        ctc_targets: of the latter: "frames" or "collapsed_paths", see
            `kdltr.losses.frame_divergence`.

    Raises:
        ValueError: unknown term, negative or non-finite weight, unknown ``path_score``,
            ``decoding`` or ``ctc_targets``, or no width where the semantic term needs one.
    """

    def __init__(
        self,
        width: int | None = None,
        weights: dict[str, float] | None = None,
        hidden: int | None = None,
        path_score: str = "published",
        decoding: str = "attention",
        ctc_targets: str = "frames",
    ):
        super().__init__()
        self.weights = WEIGHTS | (weights or {})
        if unknown := set(self.weights) - set(WEIGHTS):
            raise ValueError(f"unknown loss terms {sorted(unknown)}; the terms are {list(WEIGHTS)}")
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of {name} must be finite and >= 0, found {weight}")
        for option, value, known in (
            ("path_score", path_score, PATH_SCORES),
            ("decoding", decoding, DECODINGS),
            ("ctc_targets", ctc_targets, CTC_TARGETS),
        ):
            if value not in known:
                raise ValueError(f"{option} must be one of {known}; found {value!r}")
        self.path_score, self.decoding, self.ctc_targets = path_score, decoding, ctc_targets
        self.semantic_loss = None
        if self.weights["semantic"]:
            if width is None:
                raise ValueError(
                    "the semantic term needs the width of the character vectors: pass width=, or "
                    "give the model an attribute semantic_width, or set the term's weight to 0"
                )
            published = width >= PUBLISHED_WIDTH
            hidden = hidden or (PROJECTOR_HIDDEN if published else max(width // 2, 1))
            self.semantic_loss = SemanticContrastiveLoss(width, hidden)

    @classmethod
    def for_model(
        cls,
        model: str | nn.Module,
        width: int | None = None,
        hidden: int | None = None,
        path_score: str = "published",
        ctc_targets: str = "frames",
        **weights: float,
    ) -> DistillationCriterion:
        """The criterion that fits a recogniser.

        Args:
            model: a registered name ("abinet_ltr"), or a model whose ``semantic_width`` says E
                and whose ``decoding`` says how it reads.
            width: overrides the model's, for one of other sizes than its name's.
            hidden: as for the class.
            path_score: as for the class.
            ctc_targets: as for the class.
            **weights: of the terms, e.g. ``semantic=0``.

        Raises:
            ValueError: an unknown name, or as the class.
        """
        if isinstance(model, str):
            with torch.device("meta"):  # to ask it; nothing is computed
                model = create_model(model)
        weights = {name: float(weight) for name, weight in weights.items()}
        width = width or getattr(model, "semantic_width", None)
        decoding = getattr(model, "decoding", "attention")
        return cls(width, weights, hidden, path_score, decoding, ctc_targets)

    def forward(
        self,
        student: ModelOutput,
        teacher: ModelOutput | None,
        labels: Tensor,
        lengths: Tensor,
    ) -> dict[str, Tensor]:
        """Unweighted terms by name, and "total", their weighted sum.

        Computed in float32 at least, also under autocast. PARSeq's leading K (permutations) in
        logits and semantic is averaged over.

        Args:
            student: see `ModelOutput` for the shapes.
            teacher: equal shapes, treated as constant; None if only cross-entropy has a weight.
            labels: ``(N, T)`` class ids, end token 0.
            lengths: ``(N,)`` steps of each word, end token included.

        Raises:
            ValueError: a missing teacher or output, or shapes that do not fit; names the term.
        """
        compute = self._frames if self.decoding == "ctc" else self._steps
        compute = compute(student, teacher, labels, lengths)
        # Half precision would leave the similarities ÷ 0.1 and products over steps few digits.
        with torch.autocast(student.logits.device.type, enabled=False):
            zero = student.logits.new_zeros((), dtype=torch.float32)
            terms = {name: compute[name]() if self.weights[name] else zero for name in WEIGHTS}
            total = sum((self.weights[name] * term for name, term in terms.items()), zero)
        return terms | {"total": total}

    def _steps(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """The terms of decoding steps up to an end token."""
        return self._shared(student, teacher, lengths) | {
            "cross_entropy": lambda: cross_entropy_loss(_full(student.logits), labels, lengths),
            "soft_logits": lambda: soft_logits_loss(
                *_pair("logits", student, teacher), path_score=self.path_score
            ),
        }

    def _frames(
        self, student: ModelOutput, teacher: ModelOutput | None, labels: Tensor, lengths: Tensor
    ) -> Terms:
        """The terms of frames, all of which count."""
        all_frames = torch.full_like(lengths, student.logits.shape[1])
        return self._shared(student, teacher, all_frames) | {
            "cross_entropy": lambda: ctc_loss(_full(student.logits), labels, lengths),
            "soft_logits": lambda: frame_divergence(
                *_pair("logits", student, teacher), targets=self.ctc_targets
            ),
        }

    def _shared(
        self, student: ModelOutput, teacher: ModelOutput | None, counted: Tensor
    ) -> Terms:
        """The terms of maps and vectors; of the vectors the first ``counted`` (N,) count."""
        attention = _full(getattr(teacher, "attention", None))
        return {
            "visual": lambda: visual_focus_loss(
                *_pair("visual", student, teacher), attention, counted
            ),
            "semantic": lambda: self.semantic_loss(*_pair("semantic", student, teacher), counted),
        }


def _pair(field: str, student: ModelOutput, teacher: ModelOutput | None) -> tuple[Tensor, Tensor]:
    """``field`` of the student and, detached, of the teacher, at least in float32."""
    pair = getattr(student, field), getattr(teacher, field, None)
    for who, tensor in zip(("student", "teacher"), pair, strict=True):
        if tensor is None:
            term = "soft_logits" if field == "logits" else field
            raise ValueError(
                f"the {term} term compares {field} of student and teacher, but the {who} gave "
                f"none; return it in ModelOutput, or set the weight of {term} to 0"
            )
    return _full(pair[0]), _full(pair[1]).detach()


def _full(tensor: Tensor | None) -> Tensor | None:
    half = tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.float() if half else tensor
