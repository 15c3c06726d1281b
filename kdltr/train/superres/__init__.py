"""Training super-resolution networks for text, the first of two stages.

    result = train_upscaler(UpscaleConfig("runs/tsrn", network="tsrn"))
    upscaler, generator = load_upscaler(result.weights)
"""

from kdltr.train.superres.config import UpscaleConfig
from kdltr.train.superres.loop import train_upscaler
from kdltr.train.superres.terms import TERMS, WEIGHTS

__all__ = ["TERMS", "WEIGHTS", "UpscaleConfig", "train_upscaler"]
