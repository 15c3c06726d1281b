"""What the paper states, as a list, and which rows or tests measure each statement.

Published figures come from `data/paper/*.csv`; none is typed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdltr.evaluation.compare import against
from kdltr.results import AVERAGE, published
from kdltr.results.tables import RECOGNISERS

BLUR = 2.0  # standard deviation, pixels: where the paper's curves are furthest apart
WORD = "one word"  # the subset of rows that count what reading one takes


@dataclass(frozen=True)
class Finding:
    """A statement, and what was measured of it, if anything.

    Attributes:
        text: in words.
        published: the paper's figure, in `unit`: "%", "points", or "count".
        source: the file in data/paper/ that holds it; beside: what belongs to it.
        run: the run that measured it; on: the recogniser, and the words if not the paper's.
    """

    text: str
    published: float | None
    unit: str
    source: str = ""
    beside: str = ""
    verdict: str = ""
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int | None = None
    here: str = ""
    run: str = ""
    on: str = ""


@dataclass(frozen=True)
class PaperClaim(Finding):
    """A statement of the paper, and how to find what was measured of it.

    Attributes:
        recogniser: the paper's name.
        asks: pattern of the text of a measured claim (`kdltr.evaluation.compare`) that asks the
            same; its group "other" is what was compared with, where that can be another.
        rows: table, metric, method and subset of the rows that measure it.
        minus: published figure of another method, taken off the measured row where no claim asks
            the same; this says something only where words and recogniser are the paper's.
    """

    recogniser: str = ""
    asks: str = ""
    rows: tuple[tuple[str, str, str, str], ...] = ()
    minus: float = 0.0


def paper_claims() -> list[PaperClaim]:
    """All of them: TextZoom by recogniser, cost, robustness, then the supplement's."""
    found = [claim for name in RECOGNISERS.values() for claim in _accuracy(name)]
    found += [claim for name in RECOGNISERS.values() for claim in _cost(name)]
    return [*found, *_elsewhere()]


def _accuracy(name: str) -> Iterator[PaperClaim]:
    frame, best = _textzoom(name)
    ours, bicubic, other = frame.loc[["Ours", "Bicubic", best], "average"]
    rows = (("textzoom", "accuracy", "distilled", AVERAGE),)
    same = {"source": "textzoom.csv", "recogniser": name}
    yield PaperClaim(f"{name}, distilled: words of TextZoom read right", ours, "%", rows=rows,
                     **same)  # fmt: skip
    gain = "distilled reads more words than"
    yield PaperClaim(f"{name}: {gain} bicubic", ours - bicubic, "points", **same,
                     asks=rf"{name.lower()}\w*: {gain} bicubic")  # fmt: skip
    yield PaperClaim(f"{name}: {gain} {against(best)}", ours - other, "points", **same,
                     asks=rf"{name.lower()}\w*: {gain} {against('(?P<other>.+)')}", rows=rows,
                     minus=other)  # fmt: skip


def _cost(name: str) -> Iterator[PaperClaim]:
    frame, best = _textzoom(name)
    ours, other = frame.loc["Ours"], frame.loc[best]
    same = {"unit": "count", "source": "textzoom.csv", "recogniser": name}
    yield PaperClaim(
        f"{name}, distilled: parameters", 1e6 * ours["mparams"], **same,
        beside=f"after {best}: {other['mparams']:.2f} M",
        rows=(("costs", "parameters", "student", WORD), ("size", "parameters", "distilled", WORD)),
    )  # fmt: skip
    yield PaperClaim(
        f"{name}, distilled: multiply-adds a word, counted as the paper does", 1e9 * ours["gflops"],
        **same, beside=f"after {best}: {other['gflops']:.2f} G",
        rows=(("costs", "multiply-adds, the paper's way", "student", WORD),),
    )  # fmt: skip


def _elsewhere() -> Iterator[PaperClaim]:
    """Robustness, other distillations, loss weights, handwriting."""
    blurred = published("robustness").set_index(["corruption", "level"]).loc["gaussian_blur", BLUR]
    yield PaperClaim(
        f"words blurred with σ {BLUR:g}: distilled reads more of them than C3-STISR",
        blurred["Ours"] - blurred["C3-STISR"], "points", "robustness.csv",
        beside="read off a figure, ± 0.5 each; data and recogniser not stated",
    )  # fmt: skip
    distillers = published("kd_baselines").set_index("method")["average"]
    best = distillers.drop("Ours").idxmax()
    yield PaperClaim(f"ABINet: distilled reads more words than by {best}, the best other "
                     "distillation", distillers["Ours"] - distillers[best], "points",
                     "kd_baselines.csv",
                     asks=rf"abinet\w*: default reads more words than {best}")  # fmt: skip
    first, second = published("loss_weights")["average"].nlargest(2)
    yield PaperClaim("ABINet: the published loss weights are the best of five", first - second,
                     "points", "loss_weights.csv")  # fmt: skip
    written = published("handwriting").set_index("method")
    for rate, what in (("wer", "word"), ("cer", "character")):
        fewer = f"distilled makes fewer {what} errors than bicubic"
        gap = written.loc["Bicubic", rate] - written.loc["Ours", rate]
        yield PaperClaim(f"DAN, lines of handwriting (IAM): {fewer}", gap, "points",
                         "handwriting.csv", asks=rf"dan\w*: {fewer}")  # fmt: skip


def _textzoom(name: str):
    """The paper's main table of a recogniser, and the two-stage method it reads best after."""
    frame = published("textzoom")
    frame = frame[frame["recogniser"] == name].set_index("method")
    return frame, frame.loc[frame["type"] == "SR", "average"].idxmax()
