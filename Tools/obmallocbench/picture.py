"""The picture of a document: resident set over time, its phases, and every run's CPU time.

The modern form of the two graphs in the message of 2005. Three panels, one colour an arm:
the resident set sampled over one run; below it, on the same axis of time, what that run was doing;
and the CPU time of each counted run, all of them, since a median alone hides the noise.

Matplotlib is imported only when a picture is drawn.
"""
from __future__ import annotations

import importlib.util
import io
import os
import statistics
import subprocess
import sys
from pathlib import Path

from shared import files
from shared.processes import last_line

from . import document as reports
from . import field_report, figures, service_report, table
from .errors import BenchmarkError
from .panel import COLOURS, INK, bare, spread_out, write_words
from .scenarios import SCENARIOS

SYSTEM_PYTHON = "/usr/bin/python3"      # the one that Debian's Matplotlib belongs to
INSTALL = ("no picture: Matplotlib is missing; install it (apt-get install python3-matplotlib, or "
           "python3 -m pip install matplotlib)")
SERVICE, FIELD = "service", "field"     # what their pictures are called
STEMS = {reports.SERVICE_FORMAT: SERVICE, reports.FIELD_FORMAT: FIELD}
FIGURES = {reports.SERVICE_FORMAT: service_report.figure_of,
           reports.FIELD_FORMAT: field_report.figure_of}
SIZE_INCHES = (10.5, 7.6)
PNG_DOTS_PER_INCH = 150
FORMATS = {"svg": {"metadata": {"Date": None}}, "png": {"dpi": PNG_DOTS_PER_INCH}}
LABEL_HEIGHT = 0.13                     # of the panel, between two labels at its right
CHARACTER_WIDTH = 0.0085                # of the panel, of one letter in a phase's bar


def paths(folder: Path, name: str) -> list[Path]:
    """Return the files that a picture of the scenario called name consists of."""
    return [folder / f"{name}.{suffix}" for suffix in FORMATS]


def title_of(document: dict) -> str:
    """Return the finding in measured figures, two lines."""
    scenario = SCENARIOS[document["scenario"]]
    stock, patched = document["arms"][:2]
    kept = [statistics.median(figures.kept_mebibytes(run, scenario)
                              for run in figures.counted_runs(arm)) for arm in (stock, patched)]
    cpu = figures.summaries(document)["cpu"][patched["name"]]
    return (f"{scenario.title}, {table.whole_numbers(document['parameters'])}: after the free, "
            f"{kept[1]:.1f} MiB remain above the start with {patched['name']}, "
            f"{kept[0]:.1f} with {stock['name']}\n"
            f"CPU time: {patched['name']} takes {table.decimals(cpu.ratio, 2)} of {stock['name']}'s "
            f"(median of {len(cpu.ratios)} pairs; best against best "
            f"{table.decimals(cpu.best_ratio, 2)})")


def caution_of(document: dict) -> str:
    """Return one more line for the footnote when the CPU times deserve less trust, else nothing."""
    ratios = figures.summaries(document)["cpu"][document["arms"][1]["name"]].ratios
    said = []
    if figures.same_file(document):
        said.append("Stock and patched are the same file: this shows the machine, not a patch.")
    if (figures.spread(ratios) or 0) > figures.NOISY_SPREAD:
        said.append(f"Noisy: the paired CPU ratios of {document['arms'][1]['name']} range from "
                    f"{min(ratios):.2f} to {max(ratios):.2f}.")
    return "\n" + " ".join(said) if said else ""


def footnote_of(document: dict) -> str:
    """Return where the figures come from: machine, kernel, interpreters, commit, runs, date."""
    facts = document["machine"]
    stock, patched = document["interpreters"]["stock"], document["interpreters"]["patched"]
    versions = [interpreter["version"].split()[0] for interpreter in (stock, patched)]
    runs = document["runs"]
    return (f"{figures.machine_of(document)}; pages of {facts['page_bytes'] // 1024} KiB, "
            f"transparent huge pages {facts['transparent_huge_pages'] or 'unknown'}\n"
            f"CPython {' and '.join(sorted(set(versions)))}, {stock['compiler']}; "
            f"{figures.commit_of(document)}; {document['date'][:10]}\n"
            f"CPU time: n = {runs['counted']} timed runs an arm, arms in turn, {runs['discarded']} "
            f"discarded. Curves: one untimed run an arm, sampled every "
            f"{document['arms'][0]['curve']['sample_seconds'] * 1000:g} ms from outside."
            + caution_of(document))


def draw_curves(axes, document: dict, end: float) -> None:
    """Draw the resident set of every arm over time, its marks, and its label at the right."""
    arms = document["arms"]
    for arm, colour in zip(arms, COLOURS):
        curve = arm["curve"]
        seconds = [sample[0] for sample in curve["samples"]]
        resident = [sample[1] / figures.MEBIBYTE for sample in curve["samples"]]
        axes.plot(seconds, resident, color=colour, linewidth=1.8, solid_joinstyle="round")
        marks = [(mark["seconds"], mark["rss_bytes"] / figures.MEBIBYTE)
                 for mark in curve["marks"]]
        axes.plot(*zip(*marks), "o", color=colour, markersize=5.5, markeredgecolor="white",
                  markeredgewidth=1, zorder=4)
    top = axes.get_ylim()[1]
    axes.set(ylim=(0, top), ylabel="resident set (MiB)")
    bare(axes, ("bottom",), "y")
    label_curves(axes, arms, SCENARIOS[document["scenario"]].freed, end, top)


def label_curves(axes, arms: list[dict], freed: str, end: float, top: float) -> None:
    """Write each arm's name and its level after the free beside the panel, and lead a line there
    from where its curve ends.

    freed: the mark of the free. end: seconds at the panel's right. top: MiB at its top.
    Labels stand in the order of the curves' last levels; of those that end about level the one
    that ends first stands lowest, so that its line passes below the others.
    """
    ends = [(arm["curve"]["samples"][-1][0],
             arm["curve"]["samples"][-1][1] / figures.MEBIBYTE) for arm in arms]
    half = LABEL_HEIGHT * (len(arms) - 1) / 2
    wanted = [max(round(last / top, 1) - half, 0.05) * top + seconds / end * 1e-6 * top
              for seconds, last in ends]
    places = spread_out(wanted, LABEL_HEIGHT * top, top)
    for arm, colour, (seconds, last), place in zip(arms, COLOURS, ends, places):
        level = next(mark["rss_bytes"] / figures.MEBIBYTE for mark in arm["curve"]["marks"]
                     if mark["phase"] == freed)
        axes.plot([seconds, end * 1.03], [last, place], color=colour,
                  linewidth=0.8, linestyle=(0, (1, 1.5)), clip_on=False)
        axes.text(end * 1.036, place, f"{arm['name']}\n{level:.1f} MiB after the free",
                  color=colour, va="center", fontsize=9.5, linespacing=1.15, clip_on=False)


def draw_phases(axes, document: dict, end: float) -> None:
    """Draw for every arm what its watched run did when: one bar a phase, named where it fits."""
    scenario = SCENARIOS[document["scenario"]]
    arms = document["arms"]
    for row, (arm, colour) in enumerate(zip(arms, COLOURS)):
        since = 0.0
        for number, (mark, activity) in enumerate(zip(arm["curve"]["marks"], scenario.activities)):
            width = mark["seconds"] - since
            axes.barh(row, width, left=since, height=0.74, color=colour,
                      alpha=(0.16, 0.34)[number % 2], edgecolor="white", linewidth=1.2)
            words = (f"{activity} {width:.2f} s", activity)
            fitting = [text for text in words if len(text) * CHARACTER_WIDTH < width / end]
            if fitting:
                axes.text(since + width / 2, row, fitting[0], ha="center", va="center",
                          fontsize=8, color=INK)
            since = mark["seconds"]
    axes.set(ylim=(len(arms) - 0.5, -0.5), xlim=(0, end),
             xlabel="seconds since the process was started")
    bare(axes, ("bottom",))
    name_rows(axes, arms)


def name_rows(axes, arms: list[dict]) -> None:
    """Write the arms' names at the left of a panel that has one row an arm."""
    axes.set_yticks(range(len(arms)), [arm["name"] for arm in arms])
    axes.tick_params(axis="y", length=0)
    for label, colour in zip(axes.get_yticklabels(), COLOURS):
        label.set_color(colour)


def draw_times(axes, document: dict) -> None:
    """Draw the CPU time of each counted run as a dot, the median as a stroke, and say both."""
    arms = document["arms"]
    summaries = figures.summaries(document)["cpu"]
    for row, (arm, colour) in enumerate(zip(arms, COLOURS)):
        values = [figures.cpu_seconds(run) for run in figures.counted_runs(arm)]
        summary = summaries[arm["name"]]
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.45, markersize=6,
                  markeredgewidth=0)
        axes.plot([summary.median] * 2, [row - 0.34, row + 0.34], color=colour, linewidth=2.2)
        words = f"median {summary.median:.3f} s"
        if row:
            words += f", × {table.decimals(summary.ratio, 2)}"
        axes.text(1.036, row, words, color=colour, va="center", fontsize=9.5, linespacing=1.15,
                  transform=axes.get_yaxis_transform(), clip_on=False)
    axes.set(ylim=(len(arms) - 0.45, -0.55),
             xlabel="user and system seconds, one dot a run, the stroke at the median")
    axes.margins(x=0.06)
    bare(axes, ("bottom",), "x")
    name_rows(axes, arms)


def figure_of(document: dict):
    """Return the Matplotlib figure of a document."""
    from matplotlib.figure import Figure

    arms = document["arms"]
    figure = Figure(figsize=SIZE_INCHES)
    heights = (5.2, 0.34 * len(arms), 0.45, 0.4 * len(arms))        # the third is a gap
    grid = figure.add_gridspec(4, 1, height_ratios=heights, hspace=0.08,
                               left=0.09, right=0.8, top=0.895, bottom=0.155)
    curves = figure.add_subplot(grid[0])
    phases = figure.add_subplot(grid[1], sharex=curves)
    times = figure.add_subplot(grid[3])
    end = max(arm["curve"]["end_seconds"] for arm in arms)
    draw_curves(curves, document, end)
    draw_phases(phases, document, end)
    draw_times(times, document)
    curves.tick_params(labelbottom=False)
    write_words(figure, title_of(document), footnote_of(document), 0.025, 0.015)
    return figure


def draw(document: dict, folder: Path) -> list[Path]:
    """Write the picture's files with the Matplotlib of this interpreter; return their paths."""
    import matplotlib

    written = paths(folder, STEMS.get(document["format"]) or document["scenario"])
    with matplotlib.rc_context({"font.size": 9.5, "svg.hashsalt": "obmallocbench",
                                "text.color": INK, "axes.labelcolor": INK}):
        figure = FIGURES.get(document["format"], figure_of)(document)
        contents = []
        for suffix, options in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, **options)
            contents.append(buffer.getvalue())
    for path, content in zip(written, contents):
        files.write(path, content)
    return written


def draw_elsewhere(report: Path) -> list[Path]:
    """Have Debian's own Python draw the picture of a report; BenchmarkError without Matplotlib."""
    package = Path(__file__).resolve().parent
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [SYSTEM_PYTHON, "-m", package.name, "draw", str(report)]
    try:
        probe = subprocess.run([SYSTEM_PYTHON, "-c", "import matplotlib"], capture_output=True)
        if probe.returncode:
            raise BenchmarkError(INSTALL)
        answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    except OSError as error:
        raise BenchmarkError(INSTALL) from error
    if answer.returncode:
        last = last_line(answer.stderr).removeprefix("obmallocbench: ")
        raise BenchmarkError(f"no picture: {last}")
    return paths(report.parent, report.stem)


def picture_of(report: Path) -> list[Path]:
    """Draw the picture of a report (a JSON file) beside it, and return the files written.

    Without Matplotlib in this interpreter the system's is asked; BenchmarkError when neither can.
    """
    if importlib.util.find_spec("matplotlib"):
        return draw(reports.read(report), report.parent)
    if os.path.realpath(sys.executable) == os.path.realpath(SYSTEM_PYTHON):
        raise BenchmarkError(INSTALL)
    return draw_elsewhere(report)
