"""Two methods on the same images: by how much one is better, whether that can be chance, where."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kdltr.data.loader import WordPairs
from kdltr.evaluation.scores import Z95, Scores, mcnemar, sign_flips, verdict

WRONG, NOTHING = "✗", "(nothing)"  # marks of `reading_table`
CHANCE = "indistinguishable"  # of two methods: which is better may be chance
SURE = 0.05  # two-sided p of McNemar's test above which two methods are indistinguishable

Runs = Scores | Sequence[Scores]  # of one training, or of several seeds


def paired_difference(a: Runs, b: Runs) -> tuple[float, float, float]:
    """Accuracy of `a` minus that of `b` in percentage points, and its 95 % interval.

    The interval is the one for paired proportions by the normal approximation: images that both
    read alike do not widen it. An image that several seeds read counts once, by their mean. It is
    clipped to what is possible, [-100, 100].

    Raises:
        ValueError: the two did not see the same images, or are of other numbers of seeds.
    """
    ahead, seeds = _ahead(a, b)
    n, total = len(ahead), int(ahead.sum())
    half = Z95 * (int((ahead**2).sum()) - total**2 / n) ** 0.5 / (n * seeds)
    difference = total / (n * seeds)
    return (100 * difference, 100 * max(difference - half, -1.0), 100 * min(difference + half, 1.0))


def _ahead(a: Runs, b: Runs) -> tuple[np.ndarray, int]:
    """By how many seeds more `a` reads each image (N,), below 0 by fewer; and how many seeds."""
    runs = [[each] if isinstance(each, Scores) else each for each in (a, b)]
    ahead: np.ndarray = np.zeros(runs[0][0].n, int)
    for one, other in zip(*runs, strict=True):
        mcnemar(one, other), mcnemar(runs[0][0], one)  # refuse other images
        right, also = (each.predictions["correct"].to_numpy(int) for each in (one, other))
        ahead += right - also
    return ahead, len(runs[0])


def claim(
    text: str,
    better: Runs,
    worse: Runs,
    published: float | None = None,
    n_published: int | None = None,
    same_data: bool = True,
    same_model: bool = True,
) -> dict[str, Any]:
    """A claim "`better` reads more words than `worse`" with what was measured, as JSON values.

    Args:
        text: the claim in words.
        better, worse: what was read, of each seed if there are several.
        published: difference in points that the paper states; None if it states none.
        n_published: images behind it.
        same_data: False for other data than the paper's.
        same_model: False for a recogniser of another size than the published one.

    Returns:
        claim, published, measured, low, high (points), p (`kdltr.evaluation.scores.sign_flips`,
        which is McNemar's exact test of one seed), n (images), verdict (about
        the published figure: `kdltr.evaluation.scores.verdict`) and here (whether it holds in
        these data).
    """
    measured, low, high = paired_difference(better, worse)
    ahead, _ = _ahead(better, worse)
    p, n = sign_flips(ahead), len(ahead)
    here = CHANCE if p >= SURE else "holds" if measured > 0 else "the reverse holds"
    judged = "not in the paper"
    if published is not None:
        judged = verdict(published, measured, n_published, n, same_data, same_model)
    return {
        "claim": text, "published": published, "measured": measured, "low": low, "high": high,
        "p": p, "n": n, "verdict": judged, "here": here,
    }  # fmt: skip


def best_of(found: Mapping[str, Scores], methods: Iterable[str]) -> str | None:
    """The one of ``methods`` that reads most of these words; None of none.

    Chosen by the words that it is then compared on: that is in its favour.
    """
    return max(methods, key=lambda method: found[method].accuracy, default=None)


def opponents(
    found: Mapping[str, Scores], others: Iterable[str], two_stage: Iterable[str]
) -> dict[str, str]:
    """What a student is compared with, and how a claim calls it: bicubic and other students.

    Between them, where any was read, the best of the two-stage methods (`best_of`).
    """
    called = {"bicubic": "bicubic"}
    if best := best_of(found, [method for method in two_stage if method in found]):
        called[best] = against(best)
    return called | {other: other for other in others}


def against(best: str) -> str:
    """How a claim calls the best of several two-stage methods."""
    return f"{best}, the best two-stage method"


def claim_table(claims: list[Mapping[str, Any]]) -> pd.DataFrame:
    """Claims as text for people: differences in points, p to two digits."""
    columns = ["claim", "published", "measured", "95 % interval", "McNemar p", "verdict", "here"]
    return pd.DataFrame([
        {
            "claim": c["claim"],
            "published": "–" if c["published"] is None else f"{c['published']:+.2f}",
            "measured": f"{c['measured']:+.2f}",
            "95 % interval": f"{c['low']:+.2f} to {c['high']:+.2f}",
            "McNemar p": "–" if c["p"] is None else "< 0.001" if c["p"] < 0.001
                         else f"{c['p']:.2g}",
            "verdict": c["verdict"],
            "here": c["here"],
        }
        for c in claims
    ], columns=columns)  # fmt: skip


def pick_examples(first: Scores, second: Scores, each: int = 4) -> pd.DataFrame:
    """Which images to show, by rule: evenly spaced ones of each outcome, `each` at most.

    Args:
        first: the method of interest; second: what it is compared with. Both from
            `kdltr.evaluation.evaluate.combine`, on the same images.

    Returns:
        subset, index, label and outcome ("only first", "only second", "neither", "both").
    """
    mcnemar(first, second)  # refuses other images
    frame = first.predictions[["subset", "index", "label"]].copy()
    right = list(zip(first.predictions["correct"], second.predictions["correct"], strict=True))
    names = {(True, False): "only first", (False, True): "only second",
             (False, False): "neither", (True, True): "both"}  # fmt: skip
    frame["outcome"] = [names[bool(a), bool(b)] for a, b in right]
    parts = []
    for outcome in names.values():
        rows = frame[frame["outcome"] == outcome]
        step = max(len(rows) // each, 1)
        parts.append(rows.iloc[::step].head(each))
    return pd.concat(parts, ignore_index=True)


def example_rows(
    chosen: pd.DataFrame,
    data: Mapping[str, WordPairs],
    scores: Mapping[str, Mapping[str, Scores]],
) -> list[dict[str, Any]]:
    """What `kdltr.results.figures.plots.examples` draws.

    Args:
        chosen: from `pick_examples`.
        data: the pairs by subset.
        scores: `scores[method][subset]`.

    Returns:
        For each word lr, hr (uint8, H × W × 3), label, the reading by method, and under
        "confidence" the confidences by method.
    """

    def pixels(image: Any) -> np.ndarray:
        return image.permute(1, 2, 0).cpu().numpy()

    return [
        {"label": word.label, "lr": pixels(data[word.subset].lr[word.index]),
         "hr": pixels(data[word.subset].hr[word.index])}
        | {method: found[word.subset].predictions["reading"][word.index]
           for method, found in scores.items()}
        | {"confidence": {method: found[word.subset].predictions["confidence"][word.index]
                          for method, found in scores.items()}}
        for word in chosen.itertuples()
    ]  # fmt: skip


def reading_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """What each method reads of each word, a row a word: set, label, then a column a method.

    Args:
        predictions: of several methods on the same words, from `kdltr.results.collect`.

    Returns:
        Text; a reading that is wrong by `kdltr.evaluation.scores.PROTOCOL` ends with `WRONG`, and
        `NOTHING` stands for an empty one.
    """
    said = predictions["reading"].where(predictions["reading"] != "", NOTHING)
    said += predictions["correct"].map({True: "", False: f" {WRONG}"})
    names = predictions["recogniser"] + ", " + predictions["method"]
    frame = predictions.assign(said=said, names=names)
    frame = frame.pivot_table(values="said", index=["subset", "index", "label"], columns="names",
                              aggfunc="first", sort=False)
    frame = frame.reset_index().drop(columns="index").rename(columns={"subset": "set"})
    return frame.rename_axis(columns=None)
