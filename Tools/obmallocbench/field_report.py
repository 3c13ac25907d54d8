"""The field's figures: tables for the terminal and in Markdown, and its picture."""
from __future__ import annotations

import dataclasses
import statistics
import textwrap
from typing import Sequence

from . import comparison_report, kept
from .allocators import AGAIN, MEDIUM_OFF, OURS, STOCK
from .comparison_report import (LEAST_PAIRS, WITHIN, Cell, Measure, Table, arm_of, circumstances,
                                markdown_arms, markdown_list, markdown_tables, medians_of, text_of)
from .field import LIGHT, REQUEST_SECONDS, SLEPT, START
from .figures import MEBIBYTE, commit_of, counted_runs, cpu_seconds, machine_of, mark_of
from .panel import bare, write_words
from .table import Column, decimals

PARTS = {"total": "together", "floor": "page floor", "retained": "retained",
         "live": "malloc, live", "free": "malloc, free", "files": "files"}
MEANINGS = (
    "MiB: medians of the runs, resident more than at the start. sleep: nothing but time.sleep(); "
    "light work: small requests with short sleeps. CPU: user and system time from the start to "
    "the end of the sleep, so that what a thread gives back meanwhile counts, and in the next table "
    "to the end of the process, when the kernel takes back what is left; medians of the ratios "
    f"to stock in the same round; {WITHIN}: not shown to differ from 1: the pairs lie on both "
    f"sides, or are fewer than {LEAST_PAIRS}.")
PARTS_MEANINGS = (
    "page floor: pages of obmalloc with a live block; retained: what else the allocator of small "
    "objects has, for pymalloc all of its arenas; malloc, live: what is in use by glibc's own count; "
    "malloc, free: all other anonymous memory, stacks too; where another malloc serves, all that it "
    "has; files: mapped files.")
PICTURED = (STOCK, "malloc_trim", "thresholds", "jemalloc-tuned", "mimalloc3-purge", OURS)
OURS_WITHOUT = f"{OURS},{MEDIUM_OFF}"
OURS_COLOUR = "#0072b2"
COLOURS = ("#4d4d4d", "#a0a0a0", "#cc79a7", "#d55e00", "#009e73")     # of the others, in turn
BAR = 0.8                   # of a program's height that its bars take


def above_start(run: dict, phase: str) -> float:
    """Return the MiB that are resident at the end of a phase more than at the start."""
    return (mark_of(run, phase)["rss_bytes"] - mark_of(run, START)["rss_bytes"]) / MEBIBYTE


def cpu(run: dict) -> float:
    """Return the CPU seconds of the work, and of what gives back while the process sleeps."""
    return cpu_seconds(mark_of(run, SLEPT)) - cpu_seconds(mark_of(run, START))


def cpu_to_exit(run: dict) -> float:
    """Return the CPU seconds from the start to the end of the process: what was not given back
    before is then, by the kernel."""
    return cpu_seconds(run) - cpu_seconds(mark_of(run, START))


def measures_of(document: dict) -> list[Measure]:
    """Return the measures in the order of their tables."""
    options = document["parameters"]
    light = options["light"] * REQUEST_SECONDS
    return [
        Measure(SLEPT, f"MiB above the start after {options['sleep']:g} s of sleep",
                lambda run: above_start(run, SLEPT)),
        Measure(LIGHT, f"MiB above the start after {light:g} s of light work",
                lambda run: above_start(run, LIGHT)),
        Measure("peak", "Peak, MiB above the start",
                lambda run: (run["peak_rss_bytes"] - mark_of(run, START)["rss_bytes"]) / MEBIBYTE),
        Measure("start", "Start, MiB", lambda run: mark_of(run, START)["rss_bytes"] / MEBIBYTE),
        Measure("cpu", "CPU time, × stock", cpu, True),
        Measure("cpu to exit", "CPU time to the end of the process, × stock", cpu_to_exit, True),
        *(Measure(f"cpu / {name}", f"CPU time, × {name}", cpu, True, name)
          for name in (OURS_WITHOUT,) if any(arm["name"] == name for arm in document["arms"])),
    ]


def sums_of(document: dict, measure: Measure) -> dict[str, float]:
    """Return for each arm's name the sum of its medians over the programs, in MiB."""
    rows = [medians_of(document, program, measure) for program in document["scenarios"]]
    return {arm["name"]: sum(row[arm["name"]] for row in rows) for arm in document["arms"]}


def share(sums: dict[str, float], name: str) -> str:
    """Return an arm's sum as a part of stock's, in words; stock may have kept nothing."""
    return decimals(sums[name] / sums[STOCK] if sums[STOCK] > 0 else None, 2)


def sum_rows(document: dict, measure: Measure) -> list[list[Cell]]:
    """Return the last rows of a table of memory: the sum, and its part of stock's."""
    sums = sums_of(document, measure)
    least = min(value for name, value in sums.items() if name != AGAIN)
    return [[Cell("sum"), *(Cell(decimals(value, 1), value == least and name != AGAIN)
                            for name, value in sums.items())],
            [Cell("× stock"), *(Cell(share(sums, name)) for name in sums)]]


def table_of(document: dict, measure: Measure) -> Table:
    """Return the table of a measure: a row a program, a column an arm."""
    table = comparison_report.table_of(document, measure, "program")
    if not measure.is_time:
        table.rows.extend(sum_rows(document, measure))
    return table


def parts_of(arm: dict, phase: str) -> dict[str, float | None]:
    """Return the medians over an arm's runs of a program of each part (a name in PARTS) of what it
    keeps."""
    runs = [kept.kept_since(mark_of(run, START), mark_of(run, phase)) for run in counted_runs(arm)]
    values = {name: [getattr(run, name) for run in runs] for name in PARTS}
    return {name: None if None in found else statistics.median(found)
            for name, found in values.items()}


def sum_of_parts(document: dict, name: str, phase: str) -> dict[str, float | None]:
    """Return the parts of what an arm keeps, over all programs."""
    found = [parts_of(arm_of(program, name), phase) for program in document["scenarios"]]
    return {part: None if None in values else sum(values)
            for part, values in ((part, [one[part] for one in found]) for part in PARTS)}


def parts_row(title: str, parts: dict[str, float | None]) -> list[Cell]:
    """Return a row of a table of parts."""
    return [Cell(title), *(Cell(decimals(value, 1)) for value in parts.values())]


def parts_tables(document: dict) -> list[Table]:
    """Return the tables of who keeps what after the sleep: each arm over all programs, and
    obmalloc, if it is there, program by program."""
    head = list(PARTS.values())
    tables = [Table("Who keeps it after the sleep, sums, MiB", ["arm", *head],
                    [parts_row(arm["name"], sum_of_parts(document, arm["name"], SLEPT))
                     for arm in document["arms"]])]
    if any(arm["name"] == OURS for arm in document["arms"]):
        tables.append(Table(f"The same of {OURS}, MiB", ["program", *head],
                            [parts_row(program["title"], parts_of(arm_of(program, OURS), SLEPT))
                             for program in document["scenarios"]]))
    return tables


def tables_of(document: dict) -> list[Table]:
    """Return all tables in order."""
    return [*(table_of(document, measure) for measure in measures_of(document)),
            *parts_tables(document)]


def findings(document: dict) -> list[str]:
    """Return the sums of every arm as parts of stock's, one sentence a measure."""
    said = []
    for measure in measures_of(document)[:2]:
        sums = sums_of(document, measure)
        words = ", ".join(f"{name} {decimals(value, 0)} ({share(sums, name)})"
                          for name, value in sorted(sums.items(), key=lambda pair: pair[1]))
        said.append(f"{measure.title}, sum (× stock): {words}.")
    return said


def columns_of(table: Table) -> list[Column]:
    """Return a table's columns for the terminal; of one of parts the last go first."""
    columns = comparison_report.columns_of(table)
    if table.head[1:] != list(PARTS.values()):
        return columns
    return [dataclasses.replace(column, rank=max(number - 1, 0))
            for number, column in enumerate(columns)]


def text(document: dict, width: int) -> str:
    """Return everything that the terminal shows of a document."""
    return text_of([(table.title, columns_of(table)) for table in tables_of(document)], width,
                   f"{MEANINGS} *: the least.", PARTS_MEANINGS,
                   [*findings(document), *circumstances(document)])


def markdown(document: dict) -> str:
    """Return the tables in Markdown."""
    return "\n\n".join((markdown_list(findings(document)), *markdown_tables(tables_of(document)),
                        f"{MEANINGS} Bold: the least. {PARTS_MEANINGS}", markdown_arms(document),
                        " ".join(circumstances(document)))) + "\n"


# --- The picture -----------------------------------------------------------------------------


def pictured(document: dict) -> dict[str, str]:
    """Return the names of the arms that the picture shows, each with its colour."""
    names = [name for name in PICTURED if any(arm["name"] == name for arm in document["arms"])]
    others = dict(zip((name for name in names if name != OURS), COLOURS))
    return {name: others.get(name, OURS_COLOUR) for name in names}


def title_of(document: dict) -> str:
    """Return the finding in measured figures, two lines."""
    measure = measures_of(document)[0]
    sums = sums_of(document, measure)
    peaks = sums_of(document, measures_of(document)[2])
    version = document["interpreters"]["stock"]["version"].split()[0]
    words = f", {share(sums, OURS)} of that with {OURS}" if OURS in sums else ""
    return (f"{len(document['scenarios'])} programs on libraries that people use (Python {version}) "
            "drop what they made, then sleep\n"
            f"After {document['parameters']['sleep']:g} s, of {peaks[STOCK]:.0f} MiB above the start "
            f"at their peaks {sums[STOCK]:.0f} remain with {STOCK}{words}")


def footnote_of(document: dict) -> str:
    """Return where the figures come from."""
    meanings = "; ".join(f"{arm['name']}: {arm['meaning']}" for arm in document["arms"]
                         if arm["name"] in pictured(document) and arm["name"] != STOCK)
    runs = document["runs"]["counted"]
    return "\n".join((*textwrap.wrap(meanings, 170),
                      f"{machine_of(document)}; medians of {runs} run{'s' * (runs > 1)}; "
                      f"{commit_of(document)}; {document['date'][:10]}"))


def draw_programs(axes, document: dict, programs: Sequence[dict], colours: dict[str, str],
                  end: float) -> None:
    """Draw some programs, each as one bar an arm, its length beside it. end: MiB at the right."""
    measure = measures_of(document)[0]
    height = BAR / len(colours)
    for row, program in enumerate(programs):
        medians = medians_of(document, program, measure)
        for place, (name, colour) in enumerate(colours.items()):
            level = max(medians[name], 0.0)
            y = row + (place - (len(colours) - 1) / 2) * height
            axes.barh(y, level, height=height * 0.92, color=colour)
            axes.text(level + end * 0.01, y, decimals(level, 1 if level < 10 else 0), va="center",
                      fontsize=7, color=colour,
                      fontweight="bold" if name == OURS else "normal")
    axes.set_yticks(range(len(programs)), [program["title"] for program in programs])
    axes.set(xlim=(0, end), ylim=(len(programs) - 0.45, -0.55), xlabel="MiB above the start")
    bare(axes, ("left",), "x")
    axes.tick_params(axis="y", length=0, labelsize=9)


def figure_of(document: dict):
    """Return the Matplotlib figure."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    programs, colours = document["scenarios"], pictured(document)
    measure = measures_of(document)[0]
    end = 1.12 * max(medians_of(document, program, measure)[name]
                     for program in programs for name in colours)
    half = (len(programs) + 1) // 2
    columns = [part for part in (programs[:half], programs[half:]) if part]
    figure = Figure(figsize=(10.5, 2.1 + 0.13 * half * (len(colours) + 1)))
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    tall = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.16, right=0.985, top=1 - 0.88 / tall, bottom=1.05 / tall,
                           wspace=0.44)
    for axes, part in zip(panels, columns):
        draw_programs(axes, document, part, colours, max(end, 1.0))
    sums = sums_of(document, measure)
    figure.legend(handles=[Patch(color=colour, label=f"{name}: {decimals(sums[name], 0)}")
                           for name, colour in colours.items()],
                  loc="upper center", bbox_to_anchor=(0.5, 1 - 0.5 / tall), ncols=len(colours),
                  frameon=False, fontsize=9, columnspacing=1.4, handlelength=1.4)
    write_words(figure, title_of(document), footnote_of(document), 0.1 / tall, 0.06 / tall, (11, 7))
    return figure
