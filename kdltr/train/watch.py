"""Loss terms on their way from the device to the log, and the alarm when one is not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor


class NonFiniteLoss(RuntimeError):
    """A loss term or the gradient became NaN or infinite; says which, when, and on what words."""


class LossWatch:
    """Collects what each step reports without waiting for the device; looks at it when asked.

    Args:
        accelerator: of the run; every process must call `look` at the same steps.
        weights: of the loss terms, for the weighted columns.
        words_of: from a batch's indices to its words, for the error message.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        weights: dict[str, float],
        words_of: Callable[[Tensor], Sequence[str]],
    ) -> None:
        self.accelerator, self.weights, self.words_of = accelerator, weights, words_of
        self.pending: list[tuple[int, Tensor, Tensor]] = []  # step, terms, indices

    def add(self, step: int, terms: dict[str, Tensor], norm: Tensor, indices: Tensor) -> None:
        """Remember a step's terms (scalars), its gradient norm and its words (indices (B,))."""
        self.names = [*terms, "grad_norm"]
        values = torch.stack([value.detach().float() for value in [*terms.values(), norm]])
        self.pending.append((step, values, indices))

    def look(self) -> dict[str, float]:
        """Mean of what was added since the last look, over all processes: raw and weighted.

        Raises:
            NonFiniteLoss: in every process, if any of them saw one.
        """
        mine = torch.stack([values for _, values, _ in self.pending])  # (S, terms)
        everyone = self.accelerator.gather(mine[None]).cpu()  # (processes, S, terms)
        if not everyone.isfinite().all():
            self._raise(everyone)
        self.pending.clear()
        means = dict(zip(self.names, everyone.mean((0, 1)).tolist(), strict=True))
        weighted = {f"weighted_{name}": w * means[name] for name, w in self.weights.items()}
        return means | weighted

    def _raise(self, everyone: Tensor) -> None:
        first = int((~everyone.isfinite()).any(-1).any(0).nonzero()[0])  # first bad step
        step, _, indices = self.pending[first]
        words = gather_object([list(self.words_of(indices))])
        for process, values in enumerate(everyone[:, first]):
            bad = [name for name, value in zip(self.names, values, strict=True)
                   if not value.isfinite()]
            if bad:
                raise NonFiniteLoss(
                    f"step {step}: {', '.join(bad)} not finite, on the words {words[process]}; "
                    f"the last checkpoint is kept. Look at these images, lower learning_rate, or "
                    f"set the weight of a term to 0"
                )
