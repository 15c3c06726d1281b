"""Counting the words a recogniser reads right: `kdltr evaluate`."""

from __future__ import annotations

import sys
from argparse import Namespace

import pandas as pd

from kdltr.evaluation.evaluate import (
    Scores,
    UpsampleBicubic,
    combine,
    evaluate,
    load_for,
)
from kdltr.evaluation.lines import error_rates
from kdltr.files import atomic_path
from kdltr.models.devices import checked_device
from kdltr.models.weights import load_recogniser
from kdltr.superres import load_two_stage
from kdltr.superres.trunk import LR_SIZE


def command(options: Namespace) -> int:
    """A line for each data set, and one for all of them together."""
    model = load_recogniser(options.weights, options.model, checked_device(options.device))
    reader, scores = model, {}
    if options.upscaler:
        if tuple(model.image_size) == LR_SIZE:
            raise ValueError(f"--upscaler enlarges LR images for a teacher; {model.name} reads "
                             "them as they are, leave it out")
        reader = load_two_stage(options.upscaler, model).to(model.device)
    for path in options.data:
        pairs = load_for(model, path, options.image)
        if options.bicubic and pairs.lr.shape[2:] == model.image_size:
            raise ValueError(f"--bicubic enlarges LR images for a teacher; {model.name} reads them "
                             "as they are, leave it out")
        if options.bicubic:
            reader = UpsampleBicubic(model, pairs.lr.shape[2:])
        scores[path] = evaluate(reader, pairs)
    whole = combine(scores)
    total = {"average": whole} if len(scores) > 1 else {}
    lines = pd.DataFrame(map(_line, (*scores.values(), *total.values())), [*scores, *total])
    sys.stdout.write(f"{lines.to_string()}\n\n{whole.protocol}\n")
    read = whole.predictions
    if options.predictions:
        with atomic_path(options.predictions) as temporary:
            read.to_csv(temporary, index=False)
    if model.lines:
        sys.stdout.write(f"\n{error_rates(read['label'], read['reading'])}, in percent: case "
                         "matters, punctuation is a word, the separator a character\n")
    return 0


def _line(scores: Scores) -> dict[str, str]:
    low, high = (100 * end for end in scores.interval)
    return {
        "words": str(scores.n), "right": str(scores.correct),
        "accuracy": f"{100 * scores.accuracy:.2f} %",
        "95 % interval": f"{low:.2f} to {high:.2f}",
        "1 − NED": f"{100 * scores.ned:.2f}", "confidence": f"{100 * scores.confidence:.2f}",
    }  # fmt: skip
