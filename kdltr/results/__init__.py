"""Results: their files, and all that is made of them: tables, README's too, figures, reports.

    scores = {"distilled": {"easy": evaluate(student, easy), "hard": evaluate(student, hard)}}
    predictions = collect(scores, "parseq_nano")
    rows = recompute(predictions)
    write_result("results/quick/04_textzoom.json", rows, parameters, predictions=predictions)
    beside_published(rows, same_data=False)
"""

from kdltr.data.hashes import data_hashes
from kdltr.evaluation.scores import PROTOCOL
from kdltr.results.environment import git_state
from kdltr.results.quality import quality_beside_published, quality_rows
from kdltr.results.record import Result, ResultError, read_result, write_result
from kdltr.results.rows import (
    AVERAGE,
    Row,
    accuracies,
    collect,
    collect_tables,
    recompute,
    separate,
    to_frame,
)
from kdltr.results.tables import (
    ablation_figure,
    benchmark_figure,
    beside_published,
    is_published_size,
    published,
    published_accuracy,
    published_counts,
    published_gain,
    published_order,
    wide,
)

__all__ = [
    "AVERAGE", "PROTOCOL", "Result", "ResultError", "Row", "ablation_figure", "accuracies",
    "benchmark_figure",
    "beside_published", "collect", "collect_tables", "data_hashes", "git_state",
    "is_published_size", "published", "published_accuracy", "published_counts", "published_gain",
    "published_order", "quality_beside_published", "quality_rows", "read_result",
    "recompute", "separate", "to_frame", "wide", "write_result",
]  # fmt: skip
