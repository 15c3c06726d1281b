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
]


def __getattr__(name: str) -> Any:
    """Import models at first use: the workflow starts many processes that need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kdltr import charset, models

    return getattr(models if hasattr(models, name) else charset, name)
