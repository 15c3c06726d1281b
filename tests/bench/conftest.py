"""Toy recognisers: it matters what is measured and how it hangs together, not its value."""

import pytest

from kdltr.bench import Settings

SIZES = {
    "parseq_nano": {"width": 16, "depth": 1, "heads": 2, "decoder_heads": 2, "dropout": 0.0},
    "abinet_nano": {
        "widths": (16, 16, 16, 16, 32), "blocks": (1, 1, 1, 1, 1), "heads": 2, "hidden": 32,
        "encoder_layers": 1, "language_layers": 1, "key_channels": 16,
    },
}  # fmt: skip
NAMES = list(SIZES)


@pytest.fixture
def toy():
    """Settings by the recogniser's name."""
    def settings(name, **changes):
        given = {"batch_size": 2, "pairs": 4, "repeats": 2, "warmup": 1, "sizes": SIZES[name]}
        return Settings(**given | changes)

    return settings
