"""kdltr: low-resolution text recognition by knowledge distillation (Guo et al., ACM MM 2023)."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ALNUM36",
    "ASCII94",
    "Charset",
    "ModelOutput",
    "Reading",
    "Recogniser",
    "create_model",
    "list_models",
    "load_recogniser",
]


def __getattr__(name: str) -> Any:
    """Import models at first use: the workflow starts many processes that need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kdltr import charset, models
    from kdltr.models import weights

    return next(getattr(one, name) for one in (models, charset, weights) if hasattr(one, name))
