"""How near enlarged images are to the HR ones, beside what the networks' papers state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from torch import Tensor

from kdltr.data.loader import WordPairs
from kdltr.evaluation.quality import image_quality
from kdltr.results.rows import AVERAGE, Row, to_frame
from kdltr.results.tables import METHODS, published, upscaler_name

TABLE = "image quality"
UNITS = {"PSNR": "dB", "SSIM": ""}


def quality_rows(
    network: str, method: str, enlarge: Callable[[Tensor], Tensor], data: Mapping[str, WordPairs]
) -> list[Row]:
    """PSNR and SSIM by subset, and their average, weighted by the images, as published.

    Args:
        network: of `kdltr.superres.list_upscalers`.
        method: what enlarges: the network, or "bicubic" beside it.
        enlarge, data: see `kdltr.evaluation.quality.image_quality`; pairs by subset.
    """
    found = {subset: image_quality(enlarge, pairs) for subset, pairs in data.items()}
    counts = {subset: len(pairs) for subset, pairs in data.items()}
    rows, n = [], sum(counts.values())
    for place, (metric, unit) in enumerate(UNITS.items()):
        values = {subset: quality[place] for subset, quality in found.items()}
        if len(values) > 1:
            values[AVERAGE] = sum(values[subset] * counts[subset] for subset in counts) / n
        rows += [Row(TABLE, network, method, subset, metric, value, unit, counts.get(subset, n))
                 for subset, value in values.items()]  # fmt: skip
    return rows


def published_name(network: str, method: str) -> str:
    """What the papers call one that enlarges, of a row of `quality_rows`."""
    return METHODS.get(method) or upscaler_name(network)


def quality_beside_published(rows: Sequence[Row]) -> pd.DataFrame:
    """Averages of `quality_rows`, and published ones: of TextZoom, by networks of full size.

    Returns:
        Index (recogniser, method); columns PSNR and SSIM, then the same, published.
    """
    frame = to_frame(rows)
    frame = frame[(frame["table"] == TABLE) & (frame["subset"] == AVERAGE)]
    measured = frame.pivot_table("value", ["recogniser", "method"], "metric", sort=False)
    names = [published_name(*one) for one in measured.index]
    paper = published("image_quality").set_index("method").loc[names].set_axis(measured.index)
    paper.columns = [f"{metric}, published" for metric in UNITS]
    return measured[[*UNITS]].join(paper).rename_axis(columns=None)
