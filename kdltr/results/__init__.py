"""Results: rows and predictions, their files, and tables that put them beside the paper's.

    scores = {"distilled": {"easy": evaluate(student, easy), "hard": evaluate(student, hard)}}
    predictions = collect(scores, "parseq_nano")
    rows = recompute(predictions)
    write_result("results/quick/04_textzoom.json", rows, parameters, predictions=predictions)
    print(to_markdown(beside_published(rows, same_data=False), caption=PROTOCOL))
"""

from kdltr.data.hashes import data_hash, data_hashes
from kdltr.evaluation.scores import PROTOCOL
from kdltr.results.environment import git_state, hardware, versions
from kdltr.results.record import Result, ResultError, read_result, write_result
from kdltr.results.rows import (
    AVERAGE,
    Row,
    accuracies,
    collect,
    collect_tables,
    read_predictions,
    recompute,
    separate,
    to_frame,
    write_predictions,
)
from kdltr.results.tables import (
    benchmark_figure,
    beside_published,
    is_published_size,
    published,
    published_accuracy,
    published_counts,
    published_wide,
    to_markdown,
    wide,
)

__all__ = [
    "AVERAGE",
    "PROTOCOL",
    "Result",
    "ResultError",
    "Row",
    "accuracies",
    "benchmark_figure",
    "beside_published",
    "collect",
    "collect_tables",
    "data_hash",
    "data_hashes",
    "git_state",
    "hardware",
    "is_published_size",
    "published",
    "published_accuracy",
    "published_counts",
    "published_wide",
    "read_predictions",
    "read_result",
    "recompute",
    "separate",
    "to_frame",
    "to_markdown",
    "versions",
    "wide",
    "write_predictions",
    "write_result",
]
