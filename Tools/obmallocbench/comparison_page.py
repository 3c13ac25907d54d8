"""The page and the summary of a comparison: every run a dot, no network needed.

It looks like the page of `python -m obmalloc report`, whose frame, tables and style it takes from
the file _page.py, which needs nothing else of that package.
"""
from __future__ import annotations

import dataclasses
import html
import importlib.util
import statistics
from pathlib import Path
from typing import Callable, Sequence

from shared import files

from . import comparison_report, document as reports, instructions, instructions_report, machine
from .allocators import PATCHED, STOCK
from .comparison_report import (Table, floor_mebibytes, has_patched, measures_of, noise_of, summary,
                                table_of)
from .errors import BenchmarkError
from .figures import commit_of
from .scenarios import REST_SCENARIOS

# Of the palette by Okabe and Ito, which people with any kind of colour vision can tell apart.
MOMENTS = ("#d55e00", "#56b4e9", "#0072b2", "#009e73", "#cc79a7")    # released, and after idling
PEAK, TIMES, FLOOR = "#999999", "#0072b2", "#009e73"
WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 560, 132, 66, 25, 8, 30       # SVG units
DOT = 3.6
STYLE = """
.pair { display: grid; gap: 0 1.5rem;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)) }
.pair figure svg { outline: none; background: none }
.pair figcaption { font-weight: bold; margin: .4rem 0 0 }
.chart .ours { font-weight: bold } .chart .row { fill: var(--soft); opacity: .6 }
.chart .floor { stroke: #009e73; stroke-width: 1.5; stroke-dasharray: 5 3 }
.chart .one { stroke: var(--ink); stroke-width: .8 }
.chart .noise { fill: var(--faint); opacity: .35 }
td strong { color: var(--link) }
th, td { padding: .25rem .4rem; font-size: .85rem } thead th { white-space: normal }
th:first-child { min-width: 7.5rem }
.words td, .words thead th { text-align: left; white-space: normal }
@media (max-width: 40rem) { .chart text { font-size: 15px } }
"""


def load_frame():
    """Return the module with the frame and the tables of our pages."""
    path = machine.REPOSITORY / "Lib" / "obmalloc" / "_page.py"
    spec = importlib.util.spec_from_file_location("obmalloc_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


frame = load_frame()


@dataclasses.dataclass(frozen=True)
class Dots:
    """One kind of dots of a row. label: for the tooltip. values: one a run. hollow: not filled.
    median: whether a stroke marks it."""

    label: str
    colour: str
    values: Sequence[float]
    hollow: bool = False
    median: bool = False


def ticks(low: float, high: float) -> list[float]:
    """Return three to eight round numbers from low to high."""
    step = 10.0 ** -6
    factors = (2, 2.5, 2)           # 1, 2, 5, 10, ...
    number = 0
    while (high - low) / step > 7:
        step *= factors[number % 3]
        number += 1
    first = -int(-low / step // 1) if low <= 0 else int(low / step) + (low % step > 0)
    return [index * step for index in range(first, int(high / step + 1e-9) + 1)]


def chart(rows: Sequence[tuple[str, Sequence[Dots], str]], low: float, high: float, unit: str,
          title: str, under: Callable[[Callable[[float], float], float], str]) -> str:
    """Return an SVG with a row of dots for each arm.

    rows: name, dots, and the words at the right. low, high: ends of the axis. under: draws what
    lies under the dots, from the axis (a function from value to x) and the height of the rows.
    """
    height = TOP + ROW * len(rows) + BOTTOM
    bottom = TOP + ROW * len(rows)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / ((high - low) or 1)
    parts = [f'<rect class="row" x="0" y="{TOP + ROW * row}" width="{WIDTH}" height="{ROW}"/>'
             for row in range(1, len(rows), 2)]
    for tick in ticks(low, high):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" '
                     f'y2="{bottom}"/><text x="{x(tick):.1f}" y="{bottom + 16}" '
                     f'text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH}" y="{bottom + 16}" text-anchor="end">{unit}</text>')
    parts.append(under(x, bottom))
    for number, (name, kinds, words) in enumerate(rows):
        middle = TOP + ROW * (number + 0.5)
        ours = ' class="ours"' if name == PATCHED else ""
        parts.append(f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end"{ours}>'
                     f'{html.escape(name)}</text>'
                     f'<text x="{WIDTH}" y="{middle + 4:.1f}" text-anchor="end"{ours}>'
                     f'{words}</text>')
        for place, dots in enumerate(kinds):
            # Each kind has a height of its own in the row, so that none hides another.
            y = middle + (place - (len(kinds) - 1) / 2) * (ROW - 8) / max(len(kinds), 3)
            paint = (f'fill="none" stroke="{dots.colour}" stroke-width="1.4"' if dots.hollow
                     else f'fill="{dots.colour}" fill-opacity=".75"')
            parts += [f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="{DOT}" {paint}><title>'
                      f'{html.escape(name)}, {dots.label}: {value:.4g} {unit}</title></circle>'
                      for value in dots.values]
            if dots.median and dots.values:
                at = x(statistics.median(dots.values))
                parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y - 9:.1f}" '
                             f'y2="{y + 9:.1f}" stroke="{dots.colour}" stroke-width="2"/>')
    return (f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>')


def memory_chart(document: dict, scenario: dict) -> str:
    """Return the chart of what an arm holds: at the peak, after the release, after idling."""
    measures = [measure for measure in measures_of(document) if not measure.is_time]
    *moments, peak = measures
    rows, high = [], 0.0
    for arm in document["arms"]:
        values = {measure.key: comparison_report.values_of(scenario, measure, arm["name"])
                  for measure in measures}
        dots = [Dots("peak", PEAK, values["peak"], True)]
        dots += [Dots(measure.key, colour, values[measure.key])
                 for measure, colour in zip(moments, MOMENTS)]
        rows.append((arm["name"], dots, f"{statistics.median(values['released']):.1f}"))
        high = max(high, *map(max, values.values()))
    floor = floor_mebibytes(scenario) if has_patched(document) else None

    def under(x: Callable[[float], float], bottom: float) -> str:
        if floor is None:
            return ""
        return (f'<line class="floor" x1="{x(floor):.1f}" x2="{x(floor):.1f}" y1="{TOP}" '
                f'y2="{bottom}"><title>page floor: {floor:.1f} MiB</title></line>')
    title = f"{scenario['title']}: MiB resident, each run of each arm"
    return (f'<figure><figcaption>{scenario["resident"]} in MiB, at the right after the release'
            f'</figcaption>{chart(rows, 0.0, high * 1.03, "MiB", title, under)}'
            '</figure>')


def times_chart(document: dict, scenario: dict) -> str:
    """Return the chart of the paired ratios of CPU time, and the noise that lies around 1."""
    measure = next(one for one in measures_of(document) if one.key == "cpu")
    noise = noise_of(scenario, measure)
    rows, every = [], [1.0, 1 + noise, 1 / (1 + noise)]
    for arm in document["arms"]:
        ratios = comparison_report.ratios_of(scenario, measure, arm["name"])
        rows.append((arm["name"], [Dots("CPU", TIMES, ratios, median=True)],
                     "1" if arm["name"] == STOCK
                     else comparison_report.ratio_cell(ratios, noise).text))
        every += ratios
    low, high = min(every), max(every)
    margin = max((high - low) * 0.05, 0.02)

    def under(x: Callable[[float], float], bottom: float) -> str:
        left, right = x(1 / (1 + noise)), x(1 + noise)
        return (f'<rect class="noise" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
                f'height="{bottom - TOP}"><title>stock differs from itself by up to {noise:.1%}'
                f'</title></rect><line class="one" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{TOP}" '
                f'y2="{bottom}"/>')
    title = f"{scenario['title']}: CPU time as ratio to stock, each pair of runs"
    return ('<figure><figcaption>CPU time, × stock in the same round</figcaption>'
            f'{chart(rows, low - margin, high + margin, "×", title, under)}'
            '</figure>')


def key_of(document: dict) -> str:
    """Return the list of what the dots mean."""
    items = [(f"border: 2px solid {PEAK}; background: none", "peak"),
             *((f"background: {colour}", words) for colour, words in zip(
                 MOMENTS, ("after the release",
                           *(f"after {seconds} idle seconds" for seconds in document["idle"])))),
             (f"border-top: 3px dashed {FLOOR}; border-left: 0; height: 0; vertical-align: .2rem",
              "page floor, by the patched interpreter's own count"),
             ("background: var(--faint); opacity: .5", "noise: how far stock is from itself")]
    return '<ul class="key">' + "".join(
        f'<li><i style="{style}"></i>{words}</li>' for style, words in items) + "</ul>"


def html_table(table: Table) -> str:
    """Return a table as HTML, the least figures strong."""
    head = [frame.Markup(html.escape(name).replace("+", "+<wbr>").replace("=", "=<wbr>"))
            for name in table.head]
    rows = [[frame.Markup(f"<strong>{html.escape(cell.text)}</strong>") if cell.least
             else cell.text for cell in row] for row in table.rows]
    return f"<h3>{html.escape(table.title)}</h3>" + frame.table([head, *rows], table.title)


def first_paragraph(scenario: dict) -> str:
    """Return what a scenario's workload says of itself, without its name; "" if it is gone."""
    known = REST_SCENARIOS.get(scenario["key"])
    if known is None:
        return ""
    words = known.script.read_text(encoding="utf-8").split('"""')[1].split("\n\n")[0]
    said = " ".join(words.split()).partition(": ")[2]
    return said[:1].upper() + said[1:]


def instructions_part(counted: dict | None) -> str:
    """Return the instructions of programs beside the times. counted: what make bench-instructions
    wrote, None where it did not."""
    if counted is None:
        return ("<p>Not counted: <code>make bench-instructions</code> does, and this page then has "
                "them.</p>")
    columns = instructions_report.program_columns(counted)
    rows = [[column.heading for column in columns], *zip(*(column.cells for column in columns))]
    made_of = f"{commit_of(counted)}, {counted['date'][:10]}."
    return (f"<p>{html.escape(instructions_report.meanings(counted))} {html.escape(made_of)}</p>"
            + frame.table(rows, "instructions"))


def page(document: dict, counted: dict | None = None) -> str:
    """Return the whole page. counted: see instructions_part."""
    title = "What Python programs hold and give back, by allocator"
    found = comparison_report.findings(document)
    circumstances = comparison_report.circumstances(document)
    arms = [["arm", "what it is", "version"],
            *([arm["name"], arm["meaning"], arm["version"]] for arm in document["arms"])]
    parts = ['<ul class="lead">' + "".join(f"<li>{html.escape(line)}</li>" for line in found)
             + "</ul>",
             f'<p class="note">{html.escape(" ".join(circumstances))}</p>',
             html_table(summary(document)) if has_patched(document) else "",
             "<h2>Every run</h2>", key_of(document)]
    for scenario in document["scenarios"]:
        parameters = ", ".join(f"{name.replace('_', ' ')} {value:,}"
                               for name, value in scenario["parameters"].items())
        parts.append(f'<h3>{html.escape(scenario["title"])}</h3><p>'
                     f'{html.escape(first_paragraph(scenario))} <span class="note">('
                     f'{html.escape(parameters)})</span></p><div class="pair">'
                     + memory_chart(document, scenario) + times_chart(document, scenario)
                     + "</div>")
    parts.append("<h2>All allocators</h2>"
                 f"<p>{html.escape(comparison_report.MEANINGS)} Strong: "
                 f"{comparison_report.LEAST}</p>")
    parts += [html_table(table_of(document, measure)) for measure in measures_of(document)]
    parts.append("<h2>Instructions</h2>" + instructions_part(counted))
    parts.append("<h2>The arms</h2><div class=\"words\">" + frame.table(arms, "the arms")
                 + "</div>")
    return frame.document(title, "".join(parts), STYLE)


def counted_in(folder: Path) -> dict | None:
    """Return the report of make bench-instructions in a folder, None without a sound one."""
    path = folder / "instructions.json"
    try:
        found = reports.read(path)
        if found["format"] != instructions.FORMAT:
            return None
        with reports.only_sense(path):
            instructions_report.program_columns(found)
    except BenchmarkError:
        return None
    return found


def write(document: dict, folder: Path) -> list[Path]:
    """Write page and summary of a comparison into a folder and return their paths. Instructions
    that were counted are taken from the same folder."""
    contents = {folder / "all.html": page(document, counted_in(folder)),
                folder / "all.md": comparison_report.markdown(document)}
    for path, text in contents.items():
        files.write(path, text.encode("utf-8"))
    return list(contents)
