"""C3-STISR: super-resolution with clues of recognition and language (Zhao et al., IJCAI 2022).

"C3-STISR: Scene Text Image Super-resolution with Triple Clues"; this is the authors' release,
which has no visual clue. Symbols as in `kdltr.superres.clues`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdltr.models.language import LanguageModel
from kdltr.superres.clues import CLUE, DSTA, GatedFusion, PriorMap, VisualClue, gate
from kdltr.superres.constants import sinusoids
from kdltr.superres.prior import CLASSES, FRAMES, frames, text_prior
from kdltr.superres.trunk import RecurrentBlock, Upscaler, UpscalerConfig

CLUES = ("fused", "recognition")


@dataclass(frozen=True)
class C3STISRConfig(UpscalerConfig):
    """Settings of C3-STISR."""

    clue: str = "fused"  # or "recognition", as released: see C3STISR
    map_widths: tuple[int, int, int] = (512, 128, 64)
    language_width: int = 512
    language_heads: int = 8
    language_hidden: int = 2048
    language_layers: int = 4
    dropout: float = 0.1  # of the language model

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("clue", CLUES)


class FrameSpeller(LanguageModel):
    """ABINet's language model, which here spells the frames of a CTC reading anew.

    Its classes are in the order of the text prior: the blank, digits, letters.
    """

    def __init__(self, classes: int, steps: int, width: int, *sizes: Any) -> None:
        super().__init__(classes, steps, width, *sizes)
        for encoder in (self.token_encoder, self.pos_encoder):  # exact: training magnifies digits
            encoder.pe.copy_(sinusoids(steps, width)[:, None])

    def forward(self, prior: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Probabilities of frames (N, T, K), which get no gradient → logits (N, T, K).

        Args:
            prior: probabilities.
            lengths: (N,) frames of each that are looked at; all if None.
        """
        if lengths is None:
            lengths = prior.new_full(prior.shape[:1], prior.shape[1])
        return self.cls(self.spell(prior.detach(), lengths))


class C3STISR(Upscaler):
    """Its recurrent blocks get one clue, fused from what was recognised and how that is spelt.

    Published, in the paper, with ``clue="fused"``. The released network computes the fused clue and
    does not use it: its blocks get the map of the text prior, and the language model learns beside
    it. That is ``clue="recognition"``, which released checkpoints need.

    In training the first quarter of a batch gets a zero prior and a zero spelling, as released.
    """

    takes_prior = True
    teaches_generator = True

    def __init__(self, name: str, config: C3STISRConfig) -> None:
        super().__init__(name, config)
        self.infoGen = PriorMap(config.map_widths)
        self.lm = self._speller()
        if config.clue == "fused":
            for part, module in self._fusion().items():
                self.add_module(part, module)
        else:
            self.in_training = (*self.in_training, "lm")

    def make_block(self) -> nn.Module:
        """See `Upscaler.make_block`."""
        return RecurrentBlock(self.config.width, CLUE)

    def clues(
        self, first: Tensor, prior: Tensor | None, language_logits: Tensor | None = None,
        language_prior: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """One map (N, D, h, w).

        Args:
            first: (N, E, h, w), the first features of the image.
            prior: (N, K, 1, T).
            language_logits: (N, T, K), what the language model answered, if it was asked before.
            language_prior: (N, K, 1, T), what it reads, if not the prior.
        """
        recognised = self.infoGen(self.withhold(prior))
        if self.config.clue == "recognition":
            return (recognised,)
        if language_logits is None:
            language_logits = self.lm(frames(prior if language_prior is None else language_prior))
        spelt = self.infoGen_ling(self.withhold(text_prior(language_logits)))
        centre = self.down_conv(first)
        return (self.gated(centre, self.dsta_rec(recognised), self.dsta_ling(spelt)),)

    def withhold(self, clue: Tensor) -> Tensor:
        """A clue (N, K, 1, T), in training with zeros for the first quarter of the images."""
        if not self.training:
            return clue
        first, rest = clue.tensor_split([len(clue) // 4])
        return torch.cat([torch.zeros_like(first), rest])

    def dead_weight(self) -> dict[str, nn.Module]:
        """Another language model, the visual clue, a third gate; as released, the fusion too."""
        dead = {"correction_model": self._speller(), "gated.gated3": gate(),
                **dict(VisualClue(self.config.map_widths).named_children())}
        return dead if self.config.clue == "fused" else dead | self._fusion()

    def _speller(self) -> FrameSpeller:
        config = self.config
        return FrameSpeller(
            CLASSES, FRAMES, config.language_width, config.language_heads, config.language_hidden,
            config.language_layers, config.dropout,
        )

    def _fusion(self) -> dict[str, nn.Module]:
        return {
            "infoGen_ling": PriorMap(self.config.map_widths),
            "dsta_rec": DSTA(),
            "dsta_ling": DSTA(),
            "down_conv": nn.Conv2d(self.config.width, CLUE, 1),
            "gated": GatedFusion(),
        }
