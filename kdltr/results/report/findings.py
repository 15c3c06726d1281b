"""The paper's claims beside what a profile measured of them, and what else it asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kdltr.evaluation.scores import REPRODUCED_WITHIN
from kdltr.results import PROTOCOL, Result, beside_published, is_published_size
from kdltr.results.report.cells import GAP, Cell, Line, Table, between, quantity
from kdltr.results.report.claims import Finding, PaperClaim, paper_claims
from kdltr.results.report.tables import verdict_cell, words_of
from kdltr.results.tables import family

JUDGED = ("reproduced", "not reproduced")
VERDICTS = {
    "reproduced": f"within {REPRODUCED_WITHIN:g} points of the published figure on the paper's "
                  "words, with its recogniser; counts: equal in all published digits",
    "not reproduced": "further from it than that, on the same words",
    "different data": "measured on other words: the figure is neither confirmed nor contradicted",
    "different model": "measured with a recogniser of another size",
}  # fmt: skip


def findings(results: Sequence[Result]) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """(the paper's claims that were measured, those that were not, what was asked beyond them)."""
    asked = [finding for result in results for finding in _once(_asked(result))]
    measured, alone = [], []
    for claim in paper_claims():
        same = [f for f in asked if claim.asks and re.fullmatch(claim.asks, f.text)]
        asked = [finding for finding in asked if finding not in same]
        answers = [replace(f, text=claim.text, source=claim.source, on=_on(claim, f)) for f in same]
        if not (claim.minus and answers):
            answers += [f for result in results for f in _rows_of(claim, result)]
        judged = [f for f in answers if f.verdict in JUDGED]  # a smaller model has no say beside it
        measured += judged or answers
        alone += [] if answers else [claim]
    measured += [finding for finding in asked if finding.published is not None]
    return measured, alone, [finding for finding in asked if finding.published is None]


def _on(claim: PaperClaim, asked: Finding) -> str:
    """The recogniser of a claim that a notebook tested, what it was compared with, the words."""
    other = re.fullmatch(claim.asks, asked.text).groupdict().get("other")
    name = re.match(r"\w+", asked.text)[0]
    return _listed(name, f"against {other}" if other else "", asked.on)


def _once(asked: Iterable[Finding]) -> list[Finding]:
    """One finding for each two methods that a run compared both ways: that with a figure."""
    asked = list(asked)
    stated = {finding.text for finding in asked if finding.published is not None}
    return [finding for finding in asked
            if finding.published is not None or _other_way(finding.text) not in stated]  # fmt: skip


def _other_way(text: str) -> str:
    """The claim that the same two methods stand the other way round."""
    return re.sub(r"^(.*: )(.+)( reads more words than )(.+)$", r"\1\4\3\2", text)


def _asked(result: Result) -> Iterator[Finding]:
    """The claims that a notebook tested (`kdltr.evaluation.compare.claim`)."""
    for claim in result.document.get("extra", {}).get("claims", ()):
        same = {name: claim[name] for name in
                ("published", "verdict", "measured", "low", "high", "p", "n", "here")}
        yield Finding(claim["claim"], unit="points", run=result.document["run"],
                      on=words_of(result), **same)  # fmt: skip


def _rows_of(claim: PaperClaim, result: Result) -> Iterator[Finding]:
    """A claim with what the rows of a result measure of it."""
    run = result.document["run"]
    rows = [row for row in result.rows
            if (row.table, row.metric, row.method, row.subset) in claim.rows
            and family(row.recogniser) == claim.recogniser]  # fmt: skip
    if claim.unit == "count":
        for row in rows:
            equal = quantity(row.value, "count") == quantity(claim.published, "count")
            verdict = JUDGED[not equal] if is_published_size(row.recogniser) else "different model"
            yield replace(claim, verdict=verdict, measured=row.value, run=run, on=row.recogniser)
        return
    same_data = result.document.get("extra", {}).get("same_data", False)
    for line in beside_published(rows, same_data).itertuples():
        if claim.minus and line.verdict not in JUDGED:
            continue  # a published figure says nothing about other words
        yield replace(
            claim, verdict=line.verdict, measured=line.measured - claim.minus,
            low=line.low - claim.minus, high=line.high - claim.minus, n=line.n, run=run,
            on=_listed(line.recogniser, words_of(result)),
        )  # fmt: skip


def _listed(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def findings_table(
    title: str, found: Sequence[Finding], links: Mapping[str, str], note: str = ""
) -> Table:
    """Findings as a table, on a phone a card for each; folded if none was measured.

    Args:
        links: the notebook of each run, where there is one.
    """
    columns = ("claim", "published", "measured", "in these data", "verdict", "measured by")
    lines = tuple(Line.of(
        Cell(f.text, small=f.beside), _figure(f.published, f, small=f.source),
        _figure(f.measured, f, small=_interval(f)), Cell(f.here or GAP, small=_chance(f)),
        verdict_cell(f.verdict), Cell(f.run or GAP, small=f.on, link=links.get(f.run)),
    ) for f in found)  # fmt: skip
    measured = any(f.run for f in found)
    words = any(f.p is not None or f.unit == "%" for f in found if f.run)  # read right, or not
    table = Table(title, columns, lines, note, PROTOCOL if words else "", folded=not measured,
                  cards=True)  # fmt: skip
    return table.without_empty_columns()


def _figure(value: float | None, finding: Finding, small: str) -> Cell:
    """A figure with its unit; differences carry their sign."""
    if value is None:
        return Cell(GAP)
    unit = "" if finding.unit == "count" else f" {finding.unit}"
    sign = finding.unit == "points"
    return Cell(f"{quantity(value, finding.unit, sign)}{unit}", float(value), small)


def _interval(finding: Finding) -> str:
    """The 95 % interval and the images behind it."""
    if finding.low is None:
        return ""
    ends = between(finding.low, finding.high, finding.unit, sign=finding.unit == "points")
    return "; ".join(map(_together, (ends, f"n = {quantity(finding.n, 'count')}")))


def _chance(finding: Finding) -> str:
    """McNemar's p."""
    if finding.p is None:
        return ""
    return _together("p < 0.001" if finding.p < 0.001 else f"p = {finding.p:.2g}")


def _together(text: str) -> str:
    """Never broken over two lines."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
