"""The paper's loss: its four terms, and the criterion that weighs and sums them.

Those of other works are in `kdltr.losses.baselines`.
"""

from kdltr.losses.criterion import WEIGHTS, DistillationCriterion
from kdltr.losses.cross_entropy import cross_entropy_loss
from kdltr.losses.ctc import CTC_TARGETS, ctc_loss, frame_divergence
from kdltr.losses.paths import PATH_SCORES, path_distribution
from kdltr.losses.semantic import SemanticContrastiveLoss
from kdltr.losses.settings import LossSettings
from kdltr.losses.soft_logits import soft_logits_loss
from kdltr.losses.visual import visual_focus_loss

__all__ = [
    "CTC_TARGETS",
    "PATH_SCORES",
    "WEIGHTS",
    "DistillationCriterion",
    "LossSettings",
    "SemanticContrastiveLoss",
    "cross_entropy_loss",
    "ctc_loss",
    "frame_divergence",
    "path_distribution",
    "soft_logits_loss",
    "visual_focus_loss",
]
