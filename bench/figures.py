"""A figure: what was measured, its goal, and the reference of the same run; as text, as Markdown, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

_COLUMNS = ("part", "figure", "measured", "unit", "goal", "met", "reference of the same run", "ratio")
_RIGHT = {"measured", "goal", "ratio"}


@dataclass(frozen=True)
class Figure:
    """One measured value in `unit`.

    goal: the value to reach, or None; `better` says whether more or less is better.
    reference: what `reference_value`, in the same unit, is of; None where nothing is compared.
    note: what a reader must know to read the value: sizes, what was left out, where it was short.
    """

    part: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    better: Literal["more", "less"] = "more"
    reference: str | None = None
    reference_value: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "more" else self.value <= self.goal

    @property
    def ratio(self) -> float | None:
        """This value over the reference's; None without a reference."""
        return self.value / self.reference_value if self.reference_value else None

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self) | {"met": self.met, "ratio": self.ratio}
        # What numpy computed is nothing that JSON knows.
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()}

    def cells(self) -> tuple[str, ...]:
        """What the table shows, in the order of its columns."""
        sign = "≥" if self.better == "more" else "≤"
        return (
            self.part,
            self.name,
            shown(self.value),
            self.unit,
            "" if self.goal is None else f"{sign} {shown(self.goal)}",
            {None: "", True: "yes", False: "no"}[self.met],
            "" if self.reference_value is None else f"{self.reference}: {shown(self.reference_value)}",
            "" if self.ratio is None else f"{shown(self.ratio)} ×",
        )


def shown(value: float) -> str:
    """Three digits that count, thousands separated: 0.0421, 4.21, 421, 42,100.

    >>> [shown(v) for v in (0.04214, 4.2, 421.4, 42_149, 0)]
    ['0.0421', '4.2', '421', '42,149', '0']
    """
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def as_text(figures: Sequence[Figure]) -> str:
    """A table for a terminal; notes follow it."""
    rows = [_COLUMNS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for cell, width, name in zip(row, widths, _COLUMNS, strict=True)
        ).rstrip()
        for row in rows
    ]
    notes = [f"{figure.part}, {figure.name}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", *notes]) + "\n"


def as_markdown(figures: Sequence[Figure]) -> str:
    """A table for docs/performance.md; notes follow it."""
    head = f"| {' | '.join(_COLUMNS)} |\n|{'|'.join('---:' if c in _RIGHT else '---' for c in _COLUMNS)}|\n"
    body = "".join(f"| {' | '.join(cell.replace('|', '/') for cell in figure.cells())} |\n" for figure in figures)
    notes = "".join(f"- {figure.part}, {figure.name}: {figure.note}\n" for figure in figures if figure.note)
    return head + body + (f"\n{notes}" if notes else "")
