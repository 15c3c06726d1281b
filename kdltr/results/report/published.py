"""Lines of published figures below the measured ones of a table, in the paper's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kdltr.data.corruptions import KINDS
from kdltr.results import AVERAGE, Row, published
from kdltr.results.quality import TABLE as QUALITY
from kdltr.results.quality import UNITS, published_name
from kdltr.results.report.cells import GAP, Cell, Line, number
from kdltr.results.tables import SUBSETS

MAIN = "textzoom"  # the table of rows that stands beside the paper's main table
BENCHMARKS = "Benchmarks", "Benchmarks, other variants"  # 05_benchmarks: as they are, not degraded
HANDWRITING = "handwriting"  # 13_handwriting: error rates of lines


def published_lines(table: str, name: str, subsets: Sequence[str]) -> Iterator[Line]:
    """What is published for the table of rows `table`, the recogniser `name`, these subsets.

    Of TextZoom the paper's main table, with costs; of benchmarks that are not degraded what the
    teachers' READMEs state at full resolution, for the same variants: their names end with the
    number of words.
    """
    if table == MAIN:
        frame = published("textzoom").set_index("method")
        for method, paper in frame[frame["recogniser"] == name].iterrows():
            costs = paper["mparams"] * 1e6, paper["gflops"] * 1e9
            yield _line(name, f"{method}, published", paper[[*SUBSETS]], subsets, costs)
    elif table in BENCHMARKS:
        frame = published("teachers_hr")
        frame = frame[frame["recogniser"] == name]
        variants = frame["benchmark"] + " " + frame["samples"].astype(str)
        figures = dict(zip(variants, frame["accuracy"], strict=True))
        if figures.keys() & {*subsets}:
            yield _line(name, "teacher on HR, its README", figures, subsets)


def published_quality(rows: Sequence[Row]) -> Iterator[Line]:
    """PSNR and SSIM that papers state for what enlarges in these rows: averages of TextZoom."""
    frame = published("image_quality").set_index("method")
    for name in dict.fromkeys(published_name(row.recogniser, row.method) for row in rows):
        figures = map(number, frame.loc[name], UNITS.values())
        yield Line.of(name, "published, full size", AVERAGE, Cell(GAP), *figures, muted=True)


def published_handwriting(rows: Sequence[Row]) -> Iterator[Line]:
    """What the paper's supplement states of DAN on IAM's lines, for the metrics of these rows."""
    for paper in published("handwriting").to_dict("records"):
        names = f"{paper['model']}, {paper['dataset']}", f"{paper['method']}, published"
        figures = [number(paper.get(metric.lower()), "%")
                   for metric in dict.fromkeys(row.metric for row in rows)]
        yield Line.of(*names, Cell(GAP), Cell(GAP), *figures, muted=True)


# What stands below a table of rows that is laid out by default, by its name.
BELOW = {QUALITY: published_quality, HANDWRITING: published_handwriting}


def published_curves(table: str, subsets: Sequence[str]) -> Iterator[Line]:
    """The paper's curves of a degradation; their data and recogniser are not stated.

    Rows name a degradation by its title, the paper's file by its key in `KINDS`.
    """
    frame = published("robustness")
    titles = frame["corruption"].map({kind: found.title for kind, found in KINDS.items()})
    frame = frame[titles == table].drop(columns="corruption").set_index("level")
    frame.index = [f"{level:g}" for level in frame.index]
    for method in frame if len(frame) else ():
        yield _line("not stated", f"{method}, published", frame[method], subsets)


def _line(
    recogniser: str, method: str, figures: Mapping[str, float], subsets: Sequence[str],
    costs: Sequence[float] = (),
) -> Line:  # fmt: skip
    numbers = [number(figures.get(subset), "%") for subset in subsets]
    return Line.of(recogniser, method, *numbers, *costs, muted=True)
