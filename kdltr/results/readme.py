"""The tables README.md quotes: made from results/reference/, never typed.

`make publish` writes them between two comments; a test checks that they still agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from kdltr.files import write_text
from kdltr.results.record import Result, read_result
from kdltr.results.rows import AVERAGE, Row
from kdltr.results.tables import is_published_size, published_accuracy

COUNTED = "95 % Wilson intervals; [what counts as read](#what-counts-as-read)."
STUDENT = "student's work of the floor"
# Title of a column of `cost_table` → subset, metric and method of its rows, digits.
_COSTS = {
    "training step": ("training step", "total", "kdltr", 0),
    "plain ÷ kdltr": ("training step", "total", "plain ÷ kdltr", 2),
    "student's work, of the floor": ("training step", STUDENT, "kdltr", 0),
    "peak memory": ("training step", "peak memory", "kdltr", 0),
    "peak, plain ÷ kdltr": ("training step", "peak memory", "plain ÷ kdltr", 2),
    "reading": ("reading", "images a second", "kdltr", 1),
    "reading, plain ÷ kdltr": ("reading", "total", "plain ÷ kdltr", 2),
    "one image": ("reading, batch 1", "total", "kdltr", 0),
}
_STAGES = {"reading, batch 1": "one image", "reading": "a batch", "training step": "training step"}
_BLOCK = re.compile(r"(<!-- table: ([^\s#]+)(#\S+)? -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main_table(result: Result) -> str:
    """Markdown of a `04_textzoom` result: percent of words read right, measured and published."""
    seeds: dict[tuple[str, ...], list[Row]] = {}
    for row in result.rows:
        key = row.recogniser, row.method, row.table, row.subset, row.metric
        seeds.setdefault(key, []).append(row)
    found = {key: _mean(rows) for key, rows in seeds.items()}
    lines = []
    for recogniser, method in dict.fromkeys(key[:2] for key in found):
        own = {key[3]: row for key, row in found.items()
               if key[:3] == (recogniser, method, "textzoom") and key[4] == "accuracy"}
        whole, line = [*own.values()][-1], {"recogniser": recogniser, "method": method}
        line |= {name: f"{row.value:.1f}" for name, row in own.items()}
        line["95 % interval"] = f"{whole.low:.1f} to {whole.high:.1f}"
        for cost in ("parameters", "multiply-adds"):
            row = found.get((recogniser, method, "size", "one word", cost))
            line[cost] = f"{row.value / 1e6:.2f} M" if row else "–"
        paper = published_accuracy(recogniser, method, AVERAGE)
        lines.append(line | {"published, TextZoom": f"{paper:.2f}" if paper else "–"})
    return _markdown(lines, f"{whole.n} test words; {COUNTED}")


def cost_table(result: Result) -> str:
    """Markdown of a `07_efficiency` result: training and reading at the published sizes."""
    found = {(row.recogniser, row.subset, row.metric, row.method): row for row in result.rows
             if row.table == "bench" and not row.extra.get("gpu")}  # fmt: skip
    lines = []
    for recogniser in filter(is_published_size, dict.fromkeys(key[0] for key in found)):
        line = {"recogniser": recogniser}
        for title, (*names, digits) in _COSTS.items():
            row = found[recogniser, *names]
            line[title] = f"{row.value:.{digits}f} {row.unit}"
        lines.append(line)
    machine = result.document["hardware"]
    batch = found[recogniser, "training step", "total", "kdltr"].extra["batch_size"]
    return _markdown(lines, f"{machine['cpu']}, {machine['threads']} threads; float32, batch "
                            f"{batch}; plain ÷ kdltr in the same run.")  # fmt: skip


def stages_table(result: Result) -> str:
    """Markdown of the same: students of published sizes, networks before their teachers."""
    found = {(row.recogniser, row.method, row.subset): row for row in result.rows
             if row.table == "one stage or two" and row.metric == "total"
             and is_published_size(row.recogniser) and not row.extra["gpu"]}  # fmt: skip
    lines = []
    for name, method in dict.fromkeys(key[:2] for key in found if "÷" not in key[1]):
        line = {"recogniser": name,
                "read by": "student" if method == "kdltr" else f"{method}, teacher"}
        for subset, title in _STAGES.items():
            ratio = found.get((name, f"{method} ÷ kdltr", subset))
            line[title] = f"{found[name, method, subset].value:.0f} ms"
            line[f"{title}, ÷ student"] = f"{ratio.value:.2f} ×" if ratio else "–"
        lines.append(line)
    machine = result.document["hardware"]
    batch = found[name, "kdltr", "training step"].extra["batch_size"]
    return _markdown(lines, f"{machine['cpu']}, {machine['threads']} threads; float32, batch "
                            f"{batch}; a network's step trains the network alone.")  # fmt: skip


def gpu_table(result: Result) -> str:
    """Markdown of a benchmark made on a GPU: training steps beside the plain path in float32."""
    found = {(row.recogniser, row.extra["precision"], row.metric, row.method): row
             for row in result.rows
             if row.subset == "training step" and row.table.startswith("bench")}  # fmt: skip
    minutes = next(metric for *_, metric, _ in found if metric.endswith("epochs"))
    lines = []
    for recogniser, precision in dict.fromkeys(key[:2] for key in found):
        def value(metric: str, method: str = "kdltr", of=(recogniser, precision)) -> float:
            return found[*of, metric, method].value

        lines.append({
            "recogniser": recogniser, "precision": {"no": "float32"}.get(precision, precision),
            "training step": f"{value('total'):.0f} ms",
            "plain ÷ kdltr": f"{value('total', 'plain ÷ kdltr'):.1f} ×",
            "pairs a second": f"{value('pairs a second'):.0f}",
            "student's work, of the floor": f"{value(STUDENT):.0f} %",
            minutes: f"{value(minutes):.1f} min",
        })
    step = found[recogniser, precision, "total", "kdltr"].extra
    return _markdown(lines, f"{step['device']}, batch {step['batch_size']}; plain in float32, in "
                            "the same run; TF32 off.")  # fmt: skip


def photographs_table(result: Result) -> str:
    """Markdown of a `10_photographs` result: words read right, and the time for one."""
    times = {(row.recogniser, row.method): row for row in result.rows
             if row.metric == "milliseconds"}  # fmt: skip
    lines = []
    for reader, time in times.items():
        own = {row.subset: row for row in result.rows
               if row.metric == "accuracy" and (row.recogniser, row.method) == reader}  # fmt: skip
        line = dict(zip(("reader", "method"), reader, strict=True))
        line |= {"all" if subset == AVERAGE else subset: f"{row.extra['correct']} of {row.n}"
                 for subset, row in own.items()}  # fmt: skip
        *_, whole = own.values()  # the average, or the only set
        line["95 % interval"] = f"{whole.low:.0f} to {whole.high:.0f} %"
        lines.append(line | {"one word": f"{time.value:.1f} ms"})
    return _markdown(lines, f"{whole.table.capitalize()}; time of one thread; {COUNTED}")


def lines_table(result: Result) -> str:
    """Markdown of a `13_handwriting` result: error rates by method, with intervals."""
    found: dict[str, dict[str, Row]] = {}
    for row in result.rows:
        found.setdefault(row.method, {})[row.metric] = row
    lines = [{"method": method} | {
        metric: f"{row.value:.1f} ({row.low:.1f} to {row.high:.1f})"
        for metric, row in own.items()} for method, own in found.items()]
    row = result.rows[0]
    return _markdown(lines, f"{row.recogniser}, {row.n} lines, percent (95 % intervals from "
                            f"resampling the lines); {row.extra['counted']}.")  # fmt: skip


def ablations_table(result: Result) -> str:
    """Markdown of a `12_ablations` result: words read by each row, and against the first one.

    A row of several seeds is their mean; it is compared on those that the first row has too.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in result.rows:
        if row.metric == "accuracy":
            found.setdefault((row.recogniser, row.method), []).append(row)
    _, first = next(iter(found))
    claims = {claim["claim"]: claim for claim in result.document["extra"]["claims"]}
    lines = []
    for (recogniser, name), own in found.items():
        whole = [row for row in own if row.subset == AVERAGE] or own
        line = {"row": name, "words read, %": f"{fmean(row.value for row in whole):.1f}",
                "seeds": str(len(whole))}
        claim = claims.get(f"{recogniser}: {name} reads more words than {first}")
        if claim:
            line[f"against {first}"] = (f"{_signed(claim['measured'])} ({_signed(claim['low'])} to "
                                        f"{_signed(claim['high'])})")
            line["p"] = "< 0.001" if claim["p"] < 0.001 else f"{claim['p']:.2g}"
        else:
            line |= dict.fromkeys((f"against {first}", "p"), "–")
        lines.append(line)
    several = any(line["seeds"] != "1" for line in lines)
    test = f"McNemar's exact test{', of several seeds by sign flips' if several else ''}"
    return _markdown(lines, f"{recogniser}, {whole[0].n} words; points against {first} on the same "
                            "seeds and words, with 95 % intervals by the normal approximation; "
                            f"p by {test}.")


# By the run that made the result, and which of its tables it is where there are several.
_MAKERS = {"04_textzoom": main_table, "07_efficiency": cost_table,
           "10_photographs": photographs_table, "12_ablations": ablations_table,
           "13_handwriting": lines_table,
           "07_efficiency#two-stages": stages_table, "bench": gpu_table}  # fmt: skip


def refreshed(text: str, root: Path) -> str:
    """``text`` of a README with every marked table made anew.

    A mark is ``<!-- table: PATH -->`` … ``<!-- end of table -->``, PATH of a result from the
    repository root; which table is made of it follows from its name, and from what stands after
    a ``#``.
    """
    def block(match: re.Match) -> str:
        path = root / match[2]
        if not path.is_file():  # which a test finds
            return match[0]
        return match[1] + _MAKERS[path.stem + (match[3] or "")](read_result(path)) + match[4]

    return _BLOCK.sub(block, text)


def refresh(readme: Path) -> None:
    """Rewrite the marked tables of a README beside which results/reference/ lies."""
    write_text(readme, refreshed(readme.read_text(encoding="utf-8"), readme.parent))


def _mean(rows: Sequence[Row]) -> Row:
    """The row of several seeds: their mean, and the widest interval."""
    if len(rows) == 1:
        return rows[0]
    low, high = (widest([getattr(row, end) for row in rows if getattr(row, end) is not None],
                        default=None) for end, widest in (("low", min), ("high", max)))
    return replace(rows[0], value=fmean(row.value for row in rows), low=low, high=high, seed=None)


def _signed(value: float) -> str:
    """With one digit and its sign, of which minus is one."""
    return f"{value:+.1f}".replace("-", "−")


def _markdown(lines: Sequence[Mapping[str, str]], caption: str) -> str:
    """A GitHub table of lines with the same keys, a caption below it."""
    head, *body = [f"| {' | '.join(texts)} |" for texts in (lines[0], *map(dict.values, lines))]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body, "", caption, ""])
