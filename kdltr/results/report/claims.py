"""What the paper states, as a list, and how each statement is found among the results.

Published figures come from `data/paper/*.csv`; none is typed here. A statement that a profile did
not measure stays in the list, with what it would take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdltr.results import AVERAGE, published
from kdltr.results.tables import RECOGNISERS

NO_SR = "needs {} on the same words; kdltr has no super-resolution network"
PAPERS_COUNT = "multiply-adds, the paper's way"  # metric of rows that count as the paper does
BLUR = 2.0  # standard deviation, pixels: where the paper's curves are furthest apart


@dataclass(frozen=True)
class RowOf:
    """The rows that measure a statement: `Row`'s fields; the recogniser is the statement's."""

    table: str
    metric: str
    method: str = "distilled"
    subset: str = AVERAGE


@dataclass(frozen=True)
class PaperClaim:
    """A statement of the paper.

    Attributes:
        text: in words.
        published: the figure, in `unit`.
        unit: "%", "points", or "count".
        source: the file in data/paper/.
        recogniser: the paper's name.
        beside: what belongs to the figure.
        asks: pattern of the text of a measured claim (`kdltr.evaluation.compare`) that asks the
            same.
        rows: else the rows that measure it.
        minus: published figure of another method, taken off the measured row; this says something
            only where words and recogniser are the paper's.
        within: of the published figure a measured count counts as the same: half of its last digit.
        needs: what it would take to measure it, where it is not.
    """

    text: str
    published: float
    unit: str
    source: str
    recogniser: str
    beside: str = ""
    asks: str = ""
    rows: tuple[RowOf, ...] = ()
    minus: float = 0.0
    within: float = 0.0
    needs: str = "no run of this profile measures it"


def paper_claims() -> list[PaperClaim]:
    """All of them: TextZoom by recogniser, cost, robustness, then the supplement's."""
    recognisers = list(RECOGNISERS.values())
    accuracies = [claim for name in recognisers for claim in _accuracy(name)]
    costs = [claim for name in recognisers for claim in _cost(name)]
    return [*accuracies, *costs, *_robustness(), *_supplement()]


def _accuracy(recogniser: str) -> Iterator[PaperClaim]:
    frame, best = _textzoom(recogniser), _best_two_stage(recogniser)
    ours, bicubic, other = frame.loc[["Ours", "Bicubic", best], "average"]
    same = {"source": "textzoom.csv", "recogniser": recogniser}
    rows = (RowOf("textzoom", "accuracy"),)
    yield PaperClaim(f"{recogniser}, distilled: words of TextZoom read right", ours, "%", rows=rows,
                     **same)  # fmt: skip
    yield PaperClaim(
        f"{recogniser}: distilled reads more words than bicubic", ours - bicubic, "points",
        asks=rf"{recogniser.lower()}\w*: distilled reads more words than bicubic", **same,
    )  # fmt: skip
    yield PaperClaim(
        f"{recogniser}: distilled reads more words than {best}, the best two-stage method",
        ours - other, "points", rows=rows, minus=other, needs=NO_SR.format(best), **same,
    )  # fmt: skip


def _cost(recogniser: str) -> Iterator[PaperClaim]:
    frame, best = _textzoom(recogniser), _best_two_stage(recogniser)
    ours, other = frame.loc["Ours"], frame.loc[best]
    same = {"unit": "count", "source": "textzoom.csv", "recogniser": recogniser}
    yield PaperClaim(
        f"{recogniser}, distilled: parameters", 1e6 * ours["mparams"], within=0.005e6,
        beside=f"after {best}: {other['mparams']:.2f} M",
        rows=(RowOf("costs", "parameters", "student", "one word"),
              RowOf("size", "parameters", subset="one word")), **same,
    )  # fmt: skip
    yield PaperClaim(
        f"{recogniser}, distilled: multiply-adds a word, counted as the paper does",
        1e9 * ours["gflops"], within=0.005e9, beside=f"after {best}: {other['gflops']:.2f} G",
        rows=(RowOf("costs", PAPERS_COUNT, "student", "one word"),),
        needs="the main table holds kdltr's count, which leaves nothing out", **same,
    )  # fmt: skip


def _robustness() -> Iterator[PaperClaim]:
    frame = published("robustness").set_index(["corruption", "level"])
    blurred = frame.loc[("gaussian_blur", BLUR)]
    yield PaperClaim(
        f"words blurred with σ {BLUR:g}: distilled reads more of them than C3-STISR",
        blurred["Ours"] - blurred["C3-STISR"], "points", "robustness.csv", "",
        beside="read off a figure, ± 0.5 each; data and recogniser not stated",
        needs=NO_SR.format("C3-STISR"),
    )  # fmt: skip


def _supplement() -> Iterator[PaperClaim]:
    distillers = published("kd_baselines").set_index("method")["average"]
    best = distillers.drop("Ours").idxmax()
    yield PaperClaim(
        f"ABINet: distilled reads more words than by {best}, the best other distillation",
        distillers["Ours"] - distillers[best], "points", "kd_baselines.csv", "ABINet",
        needs=f"needs a training with {best}; kdltr has none",
    )  # fmt: skip
    weights = published("loss_weights")["average"].sort_values(ascending=False)
    yield PaperClaim(
        "ABINet: the published loss weights are the best of five", weights.iloc[0]
        - weights.iloc[1], "points", "loss_weights.csv", "ABINet",
        needs="needs five trainings that differ in their loss weights",
    )  # fmt: skip
    written = published("handwriting").set_index("method")["wer"]
    yield PaperClaim(
        "DAN, handwriting (IAM): fewer words wrong than bicubic",
        written["Ours"] - written["Bicubic"], "points", "handwriting.csv", "DAN",
        needs="needs DAN and IAM; kdltr reads words, not lines",
    )  # fmt: skip


def _textzoom(recogniser: str):
    frame = published("textzoom")
    return frame[frame["recogniser"] == recogniser].set_index("method")


def _best_two_stage(recogniser: str) -> str:
    """The super-resolution method that this recogniser reads best after."""
    frame = _textzoom(recogniser)
    return frame.loc[frame["type"] == "SR", "average"].idxmax()
