"""MATRN, teacher and low-resolution student (Na et al., ECCV 2022; paper §3.2).

Symbols: N images, T steps, C classes, E width, (H, W) the feature map, P = H·W its places.
Parameter names are those of the released checkpoints, which load strictly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdltr.models.abinet import STEPS, ABINetConfig, ABINetVision, language_model
from kdltr.models.base import Recogniser
from kdltr.models.folding import folded
from kdltr.models.language import predicted_lengths
from kdltr.models.output import ModelOutput
from kdltr.models.position_attention import PositionAttention
from kdltr.models.transformer import EncoderLayer, Layers, PositionalEncoding

MASKED_PLACES = 10  # the most attended places of one character, each masked by chance


@dataclass(frozen=True)
class MATRNConfig(ABINetConfig):
    """Sizes of a MATRN; the defaults are the released teacher's."""

    fusion_layers: int = 2  # that mix visual and semantic tokens
    passes: int = 3  # of language model and fusion
    masking: float = 0.9  # chance of a word, then of each place, to be masked in training


class SemanticVisual(nn.Module):
    """Visual and semantic tokens enhance each other, then are fused."""

    def __init__(self, config: MATRNConfig) -> None:
        super().__init__()
        width, classes = config.width, config.charset.size
        height, across = config.map_size
        self.masking = config.masking
        self.v_token = nn.Parameter(torch.empty(1, width).uniform_(-1e-3, 1e-3))
        self.v_token.requires_grad_(config.masking > 0)  # no part of the pass otherwise
        self.pos_encoder_tfm = PositionalEncoding(height * across, width)
        self.model1 = Layers([
            EncoderLayer(width, config.heads, config.hidden, config.dropout)
            for _ in range(config.fusion_layers)
        ])
        self.model2_vis = PositionAttention(width, config.key_channels, STEPS)
        self.cls_vis = nn.Linear(width, classes)
        self.cls_sem = nn.Linear(width, classes)
        self.w_att = nn.Linear(2 * width, width)
        self.cls = nn.Linear(width, classes)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, spelled: Tensor, features: Tensor, attention: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse the language model's vectors with the vision model's features.

        Args:
            spelled: (N, T, E).
            features: (N, E, H, W).
            attention: (N, T, H, W), the vision model's.
            lengths: (N,) steps the language model predicts, for the masking in training.

        Returns:
            Fused logits (N, T, C), then those of the visual and of the semantic part alone.
        """
        places = features.flatten(2).transpose(1, 2)  # (N, P, E)
        attention = attention.detach().flatten(2)  # (N, T, P)
        if self.training and self.masking:
            hidden = masked_places(attention, lengths, self.masking)
            places = torch.where(hidden[..., None], self.v_token, places)
        spelled = spelled + attention @ self.pos_encoder_tfm.positions  # (N, T, E)
        mixed = self.model1(torch.cat([places, spelled], dim=1))  # (N, P + T, E)
        places, semantic = mixed.split([places.shape[1], spelled.shape[1]], dim=1)
        visual, _ = self.model2_vis(places.transpose(1, 2).reshape(features.shape))  # (N, T, E)
        gate = self.w_att(torch.cat([visual, semantic], dim=-1)).sigmoid()
        fused = self.cls(gate * visual + (1 - gate) * semantic)
        return fused, self.cls_vis(visual), self.cls_sem(semantic)


class MATRN(Recogniser):
    """ABINet's vision and language models and a fusion of both, in several passes."""

    resolution_dependent = ABINetVision.resolution_dependent
    without_gradient = (
        "vision.cls", "language.cls", "semantic_visual.cls_vis", "semantic_visual.cls_sem"
    )

    def __init__(self, name: str, config: MATRNConfig) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.charset, self.image_size = config.charset, tuple(config.image_size)
        self.semantic_width, self.steps = config.width, STEPS
        self.vision = ABINetVision(name, config)
        self.language = language_model(config)
        self.semantic_visual = SemanticVisual(config)

    def for_reading(self) -> Recogniser:
        """A copy with batch norm folded into the convolutions."""
        return folded(self)

    def forward(self, images: Tensor) -> ModelOutput:
        """Read images (N, 3, ·, ·), RGB in [0, 1].

        Returns:
            Fused logits (N, T, C) of the last pass; semantic, visual and attention as
            `ABINetVision`; auxiliary: the logits of vision, and of language, visual and semantic
            part in the last pass.
        """
        features, seen = self.vision.look(images)
        logits = seen.logits
        # A pass reaches the next only through a reading without gradient (LanguageModel), so that
        # all but the last can do without a graph; results and gradients are the same.
        with torch.no_grad():
            for _ in range(self.config.passes - 1):
                logits = self.enhance(logits, features, seen.attention)[0]
        logits, *parts = self.enhance(logits, features, seen.attention)
        return ModelOutput(
            logits, seen.semantic, seen.visual, seen.attention, auxiliary=(seen.logits, *parts)
        )

    def fit_start(self, teacher: MATRN, images: Tensor) -> None:
        """As `ABINetVision.fit_start`."""
        self.vision.fit_start(teacher.vision, images)

    def enhance(self, logits: Tensor, features: Tensor, attention: Tensor) -> tuple[Tensor, ...]:
        """One pass: logits (N, T, C) → new ones, and those of language, visual, semantic part."""
        spelled = self.language(logits)
        by_language = self.language.cls(spelled)
        lengths = predicted_lengths(by_language).clamp(min=2)
        fused, by_visual, by_semantic = self.semantic_visual(spelled, features, attention, lengths)
        return fused, by_language, by_visual, by_semantic


def masked_places(attention: Tensor, lengths: Tensor, chance: float) -> Tensor:
    """Which places a training pass hides (MATRN, §3.3): those that show one character.

    Each word with probability ``chance`` has one of its first ``lengths`` steps drawn; each of the
    ten places most attended at that step is hidden with probability ``chance``. No loop over words
    and nothing read back from the device.

    Args:
        attention: (N, T, P).
        lengths: (N,) steps to draw from, at most T.
        chance: of words and of places.

    Returns:
        (N, P) boolean.
    """
    n, _, p = attention.shape
    device = attention.device
    step = (torch.rand(n, device=device) * lengths).long()  # (N,)
    attended = attention[torch.arange(n, device=device), step]  # (N, P)
    places = attended.topk(min(MASKED_PLACES, p)).indices  # (N, 10)
    hide = torch.rand(n, 1, device=device) < chance
    hide = hide & (torch.rand(places.shape, device=device) < chance)
    return torch.zeros(n, p, dtype=torch.bool, device=device).scatter(1, places, hide)
