"""kdltr: low-resolution text recognition by knowledge distillation (Guo et al., ACM MM 2023)."""

from kdltr.charset import ALNUM36, ASCII94, Charset, Reading
from kdltr.models import ModelOutput, Recogniser, create_model, list_models

__all__ = [
    "ALNUM36",
    "ASCII94",
    "Charset",
    "ModelOutput",
    "Reading",
    "Recogniser",
    "create_model",
    "list_models",
]
