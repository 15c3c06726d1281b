"""Training: distilling students, and teachers from rendered words."""

from kdltr.train.config import DistillConfig, PretrainConfig
from kdltr.train.distill import distill
from kdltr.train.models import build_models
from kdltr.train.pretrain import pretrain
from kdltr.train.result import RunResult
from kdltr.train.state import ResumeError
from kdltr.train.watch import NonFiniteLoss

__all__ = [
    "DistillConfig",
    "NonFiniteLoss",
    "PretrainConfig",
    "ResumeError",
    "RunResult",
    "build_models",
    "distill",
    "pretrain",
]
