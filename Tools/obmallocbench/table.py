"""The figures as aligned plain text, no wider than the terminal."""
from __future__ import annotations

import dataclasses
import textwrap
from typing import Sequence

from . import figures
from .scenarios import SCENARIOS

GAP = "  "
MEANINGS = {"pairs": "pairs: the least and the greatest of them",
            "bests": "bests: the least against the least"}
NOTHING = "–"


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: its heading, its cells, and its rank. The highest rank is dropped first when
    the terminal is too narrow; rank 0 always stays."""

    heading: str
    cells: tuple[str, ...]
    rank: int = 0
    left: bool = False

    @property
    def width(self) -> int:
        """Characters that the widest cell or the heading takes."""
        return max(map(len, (self.heading, *self.cells)))


def columns_from(layout: Sequence[tuple[str, int, bool]], rows: Sequence[Sequence[str]]
                 ) -> list[Column]:
    """Return the columns of rows of cells. layout: heading, rank and left of each."""
    return [Column(heading, tuple(cells), rank, left)
            for (heading, rank, left), cells in zip(layout, zip(*rows))]


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that fit in width characters, the least important left out."""
    kept = list(columns)
    while sum(column.width + len(GAP) for column in kept) - len(GAP) > width:
        dispensable = max(kept, key=lambda column: column.rank)
        if dispensable.rank == 0:
            break
        kept.remove(dispensable)
    return kept


def render(columns: Sequence[Column]) -> str:
    """Return the columns as lines of text, numbers aligned on the right."""
    rows = zip(*((column.heading, *column.cells) for column in columns))
    lines = [GAP.join(cell.ljust(column.width) if column.left else cell.rjust(column.width)
                      for column, cell in zip(columns, row)).rstrip() for row in rows]
    return "\n".join(lines)


def page(width: int, *parts: str | Sequence[Column] | Sequence[str]) -> str:
    """Return parts as the terminal shows them, an empty line between: text is filled, columns
    are a table of those that fit, and of a list of sentences each begins a line."""
    shown = []
    for part in parts:
        if isinstance(part, str):
            shown.append(textwrap.fill(part, width))
        elif part and isinstance(part[0], Column):
            shown.append(render(fitting(part, width)))
        else:
            shown.append("\n".join(textwrap.fill(line, width, subsequent_indent="  ")
                                   for line in part))
    return "\n\n".join(shown)


def decimals(value: float | None, places: int) -> str:
    """Return a number with so many places, or a dash for None."""
    return NOTHING if value is None else f"{value:.{places}f}"


def columns_of(document: dict) -> list[Column]:
    """Return the table's columns: one row a metric and arm."""
    summaries = figures.summaries(document)
    first = document["arms"][0]["name"]
    rows = []
    for metric in figures.metrics_of(SCENARIOS[document["scenario"]]):
        places = 3 if metric.unit == "s" else 1
        for name, summary in summaries[metric.key].items():
            label = f"{metric.label}, {metric.unit}" if name == first else ""
            row = [label, name, decimals(summary.median, places), decimals(summary.best, places)]
            if name == first:
                row += ["", "", ""]
            else:
                ends = (f"{min(summary.ratios):.2f}–{max(summary.ratios):.2f}"
                        if summary.ratios else NOTHING)
                row += [decimals(summary.ratio, 3), ends, decimals(summary.best_ratio, 3)]
            rows.append(row)
    layout = (("", 0, True), ("arm", 0, True), ("median", 0, False), ("best", 2, False),
              (f"× {first}", 0, False), ("pairs", 3, False), ("bests", 1, False))
    return columns_from(layout, rows)


def whole_numbers(parameters: dict[str, int]) -> str:
    """Return parameters in words, thousands apart: ``1 000 000 objects``."""
    return ", ".join(f"{value:,} {name}".replace(",", " ") for name, value in parameters.items())


def text(document: dict, width: int) -> str:
    """Return everything that the terminal shows of a document: heading, table, remarks."""
    scenario = SCENARIOS[document["scenario"]]
    runs, first = document["runs"], document["arms"][0]["name"]
    heading = (f"{scenario.title}: {whole_numbers(document['parameters'])}; {runs['counted']} runs "
               f"counted of each arm, arms in turn, {runs['discarded']} discarded before.")
    columns = fitting(columns_of(document), width)
    meanings = [f"× {first}: the median of the paired ratios",
                *(MEANINGS[column.heading] for column in columns if column.heading in MEANINGS)]
    legend = (f"{'; '.join(meanings)}. RSS: the resident set at the end of each phase, "
              "right after each free; idle: asleep, which is in no time.")
    return page(width, heading, columns, legend, figures.remarks(document))
