"""TSRN, the text super-resolution network (Wang et al., ECCV 2020): the trunk with GRUs."""

from __future__ import annotations

from torch import nn

from kdltr.superres.trunk import RecurrentBlock, Upscaler


class TSRN(Upscaler):
    """Its blocks read columns and rows; it takes no clue."""

    def make_block(self) -> nn.Module:
        """See `Upscaler.make_block`."""
        return RecurrentBlock(self.config.width)
