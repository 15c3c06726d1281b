"""What of the paper's terms can be changed, one setting an ablation; the defaults are published."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from kdltr.losses.ctc import CTC_TARGETS
from kdltr.losses.paths import PATH_SCORES
from kdltr.losses.semantic import LEAST_TEMPERATURE, PROJECTORS, SEMANTIC_LOSSES
from kdltr.losses.soft_logits import LEVELS
from kdltr.losses.visual import DISTANCES
from kdltr.settings import check_fields, check_names


@dataclass(frozen=True)
class LossSettings:
    """Settings of the paper's terms.

    Raises:
        ValueError: a value that a setting cannot have, or of another type than it.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "visual_mask": ("attention", "none"),
        "visual_normalisation": ("channels", "none"),
        "visual_distance": DISTANCES,
        "semantic_loss": SEMANTIC_LOSSES,
        "semantic_projector": PROJECTORS,
        "semantic_positions": ("read", "all"),
        "logits_level": LEVELS,
        "logits_of": ("fused", "vision"),
        "path_score": PATH_SCORES,
        "ctc_targets": CTC_TARGETS,
    }

    visual_mask: str = "attention"  # or "none": all places count alike
    visual_normalisation: str = "channels"  # or "none": maps as they are
    visual_distance: str = "cosine"  # or "l1", "l2": mean over all elements
    semantic_loss: str = "contrastive"  # or "l1", "l2" of the projected vectors
    semantic_projector: str = "bilstm"  # or "perceptron" (two layers, ReLU), "none"
    semantic_positions: str = "read"  # or "all": padding behind a word too
    semantic_temperature: float = 0.1
    logits_level: str = "sequence"  # or "step": no paths, all steps, summed over them
    logits_of: str = "fused"  # or "vision": before the language model
    logits_paths: int = 6  # K
    logits_beam: int = 3
    logits_alpha: float = 0.2
    logits_threshold: float = 0.1
    logits_temperature: float = 4.0
    path_score: str = "published"  # or "log_normalised" (`kdltr.losses.path_distribution`)
    ctc_targets: str = "frames"  # or "collapsed_paths" (`kdltr.losses.frame_divergence`)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("logits_paths", "logits_beam"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("logits_alpha", "logits_threshold"):
            self._require(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        self._require("semantic_temperature", self.semantic_temperature >= LEAST_TEMPERATURE,
                      f"at least {LEAST_TEMPERATURE}")
        self._require("logits_temperature", self.logits_temperature > 0, "above 0")

    def _require(self, setting: str, valid: bool, expected: str) -> None:
        if not valid:
            raise ValueError(f"{setting} must be {expected}, found {getattr(self, setting)!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from those that differ from the published.

        Raises:
            ValueError: an unknown name; the nearest known one is named.
        """
        known = [field.name for field in fields(cls)]
        check_names(known, values, "losses: unknown setting")
        return cls(**values)
