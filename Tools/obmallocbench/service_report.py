"""The web service's figures: the table, and the picture of its memory over time."""
from __future__ import annotations

import statistics
import textwrap

from . import figures
from .service import HEALTH, IDLE, LOAD, PHASES
from .table import Column, decimals, fitting, render

FOOTNOTE = ("MiB: Pss of gunicorn and its workers together, medians of {runs} run{s} an arm, "
            "arms in turn; base: before the load, load, idle, health: at the end of each. req/s, p99: "
            "what wrk says; × stock: medians of the paired ratios, the least and the greatest in "
            "parentheses.")


def held(run: dict, phase: str) -> int:
    """Return the bytes held at the end of a phase of a run."""
    return figures.mark_of(run, phase)["bytes"]


def median(runs: list[dict], value) -> float:
    """Return the median of a figure over runs."""
    return statistics.median(map(value, runs))


def ratios_of(document: dict, arm: dict, key: str) -> str:
    """Return an arm's paired ratios to the first arm in a figure: median (least–greatest)."""
    first = document["arms"][0]
    if arm is first:
        return ""
    ratios = figures.paired_ratios([run[key] for run in arm["runs"]],
                                   [run[key] for run in first["runs"]])
    return (f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
            if ratios else "–")


def columns_of(document: dict) -> list[Column]:
    """Return the table's columns, a row an arm."""
    arms = document["arms"]

    def memory(value) -> tuple[str, ...]:
        return tuple(decimals(median(arm["runs"], value) / figures.MEBIBYTE, 1) for arm in arms)
    result = [Column("", tuple(arm["name"] for arm in arms), left=True),
              Column("base", memory(lambda run: run["base_bytes"]), 1),
              Column("peak", memory(lambda run: run["peak_bytes"]), 1)]
    result += [Column(phase, memory(lambda run, phase=phase: held(run, phase)),
                      0 if phase == HEALTH else 1) for phase in PHASES]
    for heading, key, places, factor in (("req/s", "requests_per_second", 2, 1),
                                         ("p99, ms", "p99_seconds", 0, 1000)):
        result.append(Column(heading, tuple(
            decimals(median(arm["runs"], lambda run: run[key]) * factor, places) for arm in arms)))
        result.append(Column("× stock", tuple(ratios_of(document, arm, key) for arm in arms), 2))
    return result


def text(document: dict, width: int) -> str:
    """Return table and footnotes, no wider than so many characters."""
    runs = len(document["arms"][0]["runs"])
    lines = [render(fitting(columns_of(document), width)), "",
             textwrap.fill(FOOTNOTE.format(runs=runs, s="" if runs == 1 else "s"), width)]
    lines += [textwrap.fill(line, width) for line in figures.busy(document)]
    return "\n".join(lines)


def title_of(document: dict) -> str:
    """Return the finding in measured figures."""
    levels = [median(arm["runs"], lambda run: held(run, HEALTH)) / figures.MEBIBYTE
              for arm in document["arms"]]
    names = ["its own allocator", *(arm["name"] for arm in document["arms"][1:])]
    words = ", ".join(f"{level:.0f} MiB with {name}" for level, name in zip(levels, names))
    version = document["interpreters"]["stock"]["version"].split()[0]
    return (f"A web service (gunicorn, Flask, Python {version}) after "
            f"{document['parameters'][LOAD]} seconds of load:\n{words}")


def footnote_of(document: dict) -> str:
    """Return where the figures come from."""
    versions = ", ".join(f"{name} {version}" for name, version in document["packages"].items()
                         if name.lower() in ("flask", "gunicorn"))
    libraries = ", ".join(arm["version"] for arm in document["arms"] if arm["version"])
    return (f"{figures.machine_of(document)}; {versions}{'; ' if libraries else ''}{libraries}; "
            f"{figures.commit_of(document)}; {document['date'][:10]}\nPss of all processes of the service; a curve a "
            f"run, {len(document['arms'][0]['runs'])} an arm, arms in turn")


def figure_of(document: dict, colours: tuple[str, ...], bare):
    """Return the Matplotlib figure. bare: takes a panel's frame away (picture.py)."""
    from matplotlib.figure import Figure

    parameters = document["parameters"]
    figure = Figure(figsize=(10.5, 5.2))
    figure.subplots_adjust(left=0.075, right=0.84, top=0.86, bottom=0.2)
    axes = figure.add_subplot()
    end = 0.0
    for arm, colour in zip(document["arms"], colours):
        for run in arm["runs"]:
            seconds = [moment - run["base_seconds"] for moment, _ in run["samples"]]
            axes.plot(seconds, [size / figures.MEBIBYTE for _, size in run["samples"]],
                      color=colour, linewidth=1.5, alpha=0.85)
            end = max(end, *seconds)
    top = axes.get_ylim()[1] * 1.08
    since = 0
    for phase, words in ((LOAD, "requests that build and drop reports"), (IDLE, "nobody asks"),
                         (HEALTH, "a health check a second")):
        axes.axvline(since + parameters[phase], color="#dddddd", linewidth=1, zorder=0)
        axes.text(since + parameters[phase] / 2, top * 0.97, words, ha="center", va="top",
                  fontsize=8.5, color="#666666")
        since += parameters[phase]
    label_ends(axes, document, colours, end, top)
    axes.set(xlim=(0, end), ylim=(0, top), ylabel="MiB", xlabel="seconds since the load began")
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    bare(axes, ("bottom",))
    figure.text(0.015, 0.97, title_of(document), fontsize=12, fontweight="bold", va="top",
                linespacing=1.35)
    figure.text(0.015, 0.02, footnote_of(document), fontsize=7.5, color="#666666", va="bottom",
                linespacing=1.4)
    return figure


def label_ends(axes, document: dict, colours: tuple[str, ...], end: float, top: float) -> None:
    """Write each arm's name beside the end of its curves, apart from one another."""
    levels = sorted((median(arm["runs"], lambda run: held(run, HEALTH)) / figures.MEBIBYTE,
                     arm["name"], colour) for arm, colour in zip(document["arms"], colours))
    place = 0.0
    for level, name, colour in levels:
        place = max(level, place + 0.07 * top)
        axes.text(end * 1.015, place, f"{name}: {level:.0f} MiB", color=colour, va="center",
                  fontsize=9.5, clip_on=False)
