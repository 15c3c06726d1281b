"""The plain way: what kdltr does, done as simply as possible. The base of every speed ratio.

The published code's ways in our own words: the teacher is asked again at every step
(``DistillConfig(teacher_outputs="recomputed")``), paths are searched word by word with a priority
queue, attention makes its matrix of weights, dropout is PyTorch's, feature maps are (N, C, H, W) in
memory, all passes of MATRN carry a graph, PARSeq decodes one reading order after the other and
reads without keeping keys and values, images stay on the host. The mathematics is the same, and
tests use the search as an independent reference.
"""

from __future__ import annotations

import copy
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from kdltr.charset import END, MAX_LENGTH
from kdltr.data.loader import WordPairs
from kdltr.losses import soft_logits
from kdltr.models import dropout
from kdltr.models.abinet import Backbone
from kdltr.models.matrn import MATRN
from kdltr.models.output import ModelOutput
from kdltr.models.parseq import PARSeq
from kdltr.models.position_attention import PositionAttention
from kdltr.models.ppocr import Stem


def search_word(
    probabilities: Tensor, beam: int = 3, paths: int = 6, expansions: int = 100
) -> tuple[list[tuple[float, tuple[int, ...]]], bool]:
    """The k best paths of one word by a priority queue over partial paths.

    Args:
        probabilities: ``(T, C)``.
        beam: classes to choose from at a step.
        paths: k.
        expansions: after which the published search gives up; `kdltr.losses.paths` is exact.

    Returns:
        [(probability, characters), …] best first, and whether the search completed.
    """
    steps = probabilities.shape[0]
    order = itertools.count()  # ties: first come, first served
    queue, done = [(-1.0, next(order), 1.0, ())], []
    for _ in range(expansions):
        while queue and _ended(queue[0][3], steps):
            _, _, p, characters = heapq.heappop(queue)
            done.append((p, characters))
            if len(done) == paths:
                return done, True
        if not queue:
            return done, True
        _, _, p, characters = heapq.heappop(queue)
        values, classes = probabilities[len(characters)].topk(beam)
        for value, c in zip(values.tolist(), classes.tolist(), strict=True):
            score = p * value / (len(characters) + 1)
            heapq.heappush(queue, (-score, next(order), p * value, (*characters, c)))
    return done, False


def _ended(characters: tuple[int, ...], steps: int) -> bool:
    return bool(characters) and (characters[-1] == END or len(characters) == steps)


def path_distribution(
    probabilities: Tensor, beam: int = 3, paths: int = 6
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``(N, T, C)`` to distribution, best length, best probability and which words completed."""
    n, steps, _ = probabilities.shape
    distribution = torch.zeros_like(probabilities)
    lengths, best, completed = [], [], []
    for i in range(n):
        found, complete = search_word(probabilities[i], beam, paths)
        completed.append(complete)
        found = found or [(1.0, (END,))]  # gave up without a single path
        for p, characters in found:
            padded = (*characters, *[END] * (steps - len(characters)))
            distribution[i, range(steps), padded] += p
        distribution[i] /= sum(p for p, _ in found)
        lengths.append(len(found[0][1]))
        best.append(found[0][0])
    return distribution, torch.tensor(lengths), torch.tensor(best), torch.tensor(completed)


@contextmanager
def per_word_search() -> Iterator[None]:
    """Within it the soft logits loss searches paths word by word; all else of it is as it is."""

    def search(log_probabilities: Tensor, **_: object) -> tuple[Tensor, ...]:
        found = path_distribution(log_probabilities.exp())[:3]
        return tuple(tensor.to(log_probabilities.device) for tensor in found)

    with mock.patch.object(soft_logits, "path_distribution_of_logs", search):
        yield


def form(model: nn.Module) -> nn.Module:
    """A copy whose feature maps and kernels are (N, C, H, W) in memory; kdltr's end with C."""
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    for part in model.modules():
        if isinstance(part, Backbone | PositionAttention | Stem):
            part.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
    return model


def forward(model: nn.Module, images: Tensor, **extra: Tensor) -> ModelOutput:
    """The pass of a teacher or of a student in training, over images (N, 3, H, W)."""
    drops = mock.patch.object(dropout, "dropout_on_cpu", F.dropout)
    with sdpa_kernel(SDPBackend.MATH), drops:
        if isinstance(model, MATRN):
            return _all_passes(model, images)
        if isinstance(model, PARSeq) and extra:
            return _order_by_order(model, images, **extra)
        return model(images, **extra)


def _all_passes(model: MATRN, images: Tensor) -> ModelOutput:
    features, seen = model.vision.look(images)
    logits = seen.logits
    for _ in range(model.config.passes):
        logits, *parts = model.enhance(logits, features, seen.attention)
    return ModelOutput(
        logits, seen.semantic, seen.visual, seen.attention, auxiliary=(seen.logits, *parts)
    )


def _order_by_order(
    model: PARSeq, images: Tensor, targets: Tensor, permutations: Tensor
) -> ModelOutput:
    tokens = model.encode(images)
    found = [model.decode(tokens, targets, order[None]) for order in permutations]
    logits, semantic = (torch.cat([getattr(out, field) for out in found])
                        for field in ("logits", "semantic"))
    return ModelOutput(logits, semantic, tokens, None)


def read(model: nn.Module, images: Tensor) -> ModelOutput:
    """Reading images (N, 3, H, W) by a model in eval mode, best in its plain `form`."""
    with sdpa_kernel(SDPBackend.MATH):
        return _read_anew(model, images) if isinstance(model, PARSeq) else model(images)


def _read_anew(model: PARSeq, images: Tensor) -> ModelOutput:
    """All words to the end of the longest, with all keys and values computed at every step."""
    tokens = model.encode(images)
    n = len(tokens)
    ids = torch.full((n, 1), model.start, device=tokens.device)
    for step in range(MAX_LENGTH + 1):
        query = model.pos_queries[:, step : step + 1].expand(n, 1, -1)[:, None]
        context = model.context(model.embed(ids))
        image = model.layer.cross_attn.key_value(tokens)
        hidden = model.layer(query, context, image, None)
        token = model.head(model.decoder.norm(hidden[:, 0])).argmax(-1)  # (N, 1)
        ids = torch.cat([ids, token], dim=1)
        if (ids == END).any(-1).all():
            break
    hidden = model.refine(ids[:, 1:], model.layer.cross_attn.key_value(tokens))
    return ModelOutput(model.head(hidden), hidden, tokens, None)


@dataclass(frozen=True)
class HostPairs(WordPairs):
    """Word pairs whose images stay on the host: a batch is converted there, then copied.

    On a CPU that is what kdltr does too, and the ratio shows nothing of it.
    """

    device: str = "cpu"

    def sharp(self, indices: Tensor) -> Tensor:
        """As `WordPairs`, on ``device``."""
        return super().sharp(indices).to(self.device)

    def blurred(self, indices: Tensor) -> Tensor:
        """As `WordPairs`, on ``device``."""
        return super().blurred(indices).to(self.device)
