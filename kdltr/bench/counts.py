"""What each recogniser costs by count, beside what the paper states. No clock, no machine."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from kdltr.bench.lengths import words_of_length
from kdltr.evaluation.efficiency import (
    PUBLISHED_STEPS,
    multiply_adds,
    parameters,
    published_multiply_adds,
)
from kdltr.models import create_model
from kdltr.results import Row, is_published_size, published, to_frame
from kdltr.results.tables import family

TABLE = "costs"
IN_FULL, AS_PUBLISHED = "multiply-adds", "multiply-adds, the paper's way"
WORD = PUBLISHED_STEPS - 1  # characters of the word that is read


def costs(recogniser: str, **sizes) -> list[Row]:
    """Parameters and multiply-adds of teacher and student to read a word of two characters.

    The length is the one behind the paper's figure of PARSeq; others do as much for every word.
    """
    rows = []
    for method, name in (("teacher", recogniser), ("student", f"{recogniser}_ltr")):
        model = create_model(name, **sizes)
        image = torch.zeros(1, 3, *model.image_size)
        with words_of_length(model, [WORD]):
            in_full = multiply_adds(model, image)
        counted = {"parameters": parameters(model), IN_FULL: in_full,
                   AS_PUBLISHED: published_multiply_adds(model)}
        rows += [Row(TABLE, recogniser, method, "one word", metric, float(value), "count")
                 for metric, value in counted.items()]
    return rows


def costs_beside_published(rows: Sequence[Row]) -> pd.DataFrame:
    """Millions of parameters, billions of multiply-adds; the paper's for students of its sizes."""
    frame = to_frame([row for row in rows if row.table == TABLE])
    wide = frame.pivot_table("value", ["recogniser", "method"], "metric", sort=False)
    paper = published("textzoom").set_index(["recogniser", "method"])
    lines = []
    for (recogniser, method), line in wide.iterrows():
        known = method == "student" and is_published_size(recogniser)
        stated = paper.loc[family(recogniser), "Ours"] if known else {}
        lines.append({
            "recogniser": recogniser, "of": method,
            "parameters, M": line["parameters"] / 1e6, "paper's, M": stated.get("mparams"),
            "in full, G": line[IN_FULL] / 1e9, "the paper's way, G": line[AS_PUBLISHED] / 1e9,
            "paper's, G": stated.get("gflops"),
        })
    return pd.DataFrame(lines).set_index(["recogniser", "of"]).astype(float)
