"""What stands in the tables of the page: cells, lines, and numbers as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from kdltr.results import Row

GAP = "–"
THIN = "\N{NARROW NO-BREAK SPACE}"
# Digits after the point by unit; other units get three significant digits.
DIGITS = {"%": 2, "points": 2, "×": 2, "dB": 2}


@dataclass(frozen=True)
class Cell:
    """What stands in a table.

    Attributes:
        text: as shown.
        value: what it is sorted by if it is a number; numbers stand to the right.
        small: below it, in small letters; for instance an interval.
        link: where the text leads.
        kind: a class for its looks.
    """

    text: str
    value: float | None = None
    small: str = ""
    link: str | None = None
    kind: str = ""

    @property
    def gap(self) -> bool:
        """Whether nothing was measured; sorted last, whichever way."""
        return self.text == GAP


@dataclass(frozen=True)
class Line:
    """A row of a table; `muted` if it is there for comparison only."""

    cells: tuple[Cell, ...]
    muted: bool = False

    @classmethod
    def of(cls, *values: Any, muted: bool = False) -> Line:
        """A line of cells, rows (measured), texts, counts and None (a gap)."""
        return cls(tuple(map(_cell, values)), muted)


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        protocol: how its accuracies were measured; printed below it.
        words: what its words are, if they are not the paper's; printed above it.
        folded: shown when asked for; print shows it anyway.
        cards: on a phone every line becomes a card.
    """

    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    note: str = ""
    protocol: str = ""
    words: str = ""
    folded: bool = False
    cards: bool = False

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column whether numbers stand in it."""
        columns = zip(*(line.cells for line in self.lines), strict=True)
        return tuple(any(cell.value is not None for cell in column) for column in columns)

    def without_empty_columns(self) -> Table:
        """The same, without the columns that hold nothing but gaps and "-"."""
        return self.without_columns(*(
            name for i, name in enumerate(self.columns)
            if not {line.cells[i].text for line in self.lines} - {"-", GAP}
        ))

    def without_columns(self, *names: str) -> Table:
        """The same, without these columns."""
        keep = [i for i, name in enumerate(self.columns) if name not in names]
        lines = tuple(replace(line, cells=tuple(line.cells[i] for i in keep))
                      for line in self.lines)  # fmt: skip
        return replace(self, columns=tuple(self.columns[i] for i in keep), lines=lines)


def quantity(value: float, unit: str = "", sign: bool = False) -> str:
    """A number with the digits that its unit calls for, without the unit; a true minus.

    Counts are whole, from a million on in millions (M) or thousands of them (G); percentages,
    points, decibels and ratios have two digits; anything else three significant ones.
    """
    plus = "+" if sign else ""
    if unit == "count":
        scale, letter = next(((size, letter) for size, letter in ((1e9, "G"), (1e6, "M"))
                              if abs(value) >= size), (1, ""))  # fmt: skip
        text = f"{value / scale:{plus},.{2 if letter else 0}f}{letter and THIN + letter}"
    else:
        size = math.floor(math.log10(abs(value))) if value else 0
        if unit not in DIGITS and value and not -4 <= size < 6:
            text = f"{value:.2e}"
        else:
            digits = DIGITS.get(unit, max(0, 2 - size))
            text = f"{value:{plus},.{digits}f}"
    text = text.replace(",", THIN if abs(value) >= 1e4 else "")  # 1500, but 15 000
    return text.replace("-", "−")


def number(value: float | None, unit: str = "", sign: bool = False, small: str = "") -> Cell:
    """A cell of `quantity`; a gap for None and NaN."""
    if value is None or value != value:
        return Cell(GAP)
    return Cell(quantity(value, unit, sign), float(value), small)


def _cell(value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, str):
        return Cell(value or GAP)
    return measured(value) if isinstance(value, Row) else number(value, "count")


def measured(row: Row, with_unit: bool = False) -> Cell:
    """The value of a row, its 95 % interval below."""
    interval = ""
    if None not in (row.low, row.high):
        interval = between(row.low, row.high, row.unit, digits=1 if row.unit == "%" else None)
    cell = number(row.value, row.unit, small=interval)
    if with_unit and row.unit not in ("count", "1", ""):
        cell = Cell(f"{cell.text}{THIN}{row.unit}", cell.value, cell.small)
    return cell


def between(low: float, high: float, unit: str, sign: bool = False, digits: int | None = None):
    """An interval as text: "62.6–67.4", and with signs "+1.54 to +5.66"."""
    if digits is not None:
        return f"{low:.{digits}f}–{high:.{digits}f}".replace("-", "−")
    ends = quantity(low, unit, sign), quantity(high, unit, sign)
    return " to ".join(ends) if sign or low < 0 else "–".join(ends)
