"""The services' figures: tables, and the picture of their memory over time."""
from __future__ import annotations

import statistics
import textwrap

from . import figures, kept
from .allocators import OURS
from .field_report import OURS_COLOUR, PARTS, PARTS_MEANINGS
from .panel import COLOURS, bare, spread_out, write_words
from .service import HEALTH, IDLE, LOAD, PHASES
from .table import Column, decimals, fitting, render

FOOTNOTE = ("MiB: Pss of all processes of a service together, medians of {runs} run{s} an arm, arms in "
            "turn; base: warmed by some requests, before the load; load, idle, health: at the end of "
            "each; above base: of the last, who keeps it; malloc, free has in it the pages that a "
            "worker shared with its parent at the base and has written to since. remembered: the "
            "objects that the service is there to remember, by sys.getsizeof(), above the base; × that: "
            "what the allocator of small objects holds above the base, for each MiB of them. req/s, "
            "p99: what wrk says, or the client of Celery; × stock: medians of the paired ratios, the "
            "least and the greatest in parentheses.")
PANEL_INCHES = 2.4
LEAST_LABELLED = 0.1        # of the time axis: a phase with its words


def held(run: dict, phase: str) -> int:
    """Return the bytes held at the end of a phase of a run."""
    return figures.mark_of(run, phase)["bytes"]


def kept_at_the_end(run: dict) -> kept.Kept:
    """Return who keeps what at the end of a run, more than at its base."""
    return kept.kept_since(
        {"rss_bytes": run["base_bytes"], "kept_by": run["base_kept_by"]},
        {"rss_bytes": held(run, HEALTH), "kept_by": run["end_kept_by"]})


def median(runs: list[dict], value) -> float | None:
    """Return the median of a figure over runs, None if it is not known of one."""
    values = [value(run) for run in runs]
    return None if None in values else statistics.median(values)


def ratios_of(service: dict, arm: dict, key: str) -> str:
    """Return an arm's paired ratios to the first arm in a figure: median (least–greatest)."""
    first = service["arms"][0]
    if arm is first:
        return ""
    ratios = figures.paired_ratios([run[key] for run in arm["runs"]],
                                   [run[key] for run in first["runs"]])
    return (f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
            if ratios else "–")


def columns_of(service: dict) -> list[Column]:
    """Return the columns of a service's table, a row an arm."""
    arms = service["arms"]

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
        result.append(Column("× stock", tuple(ratios_of(service, arm, key) for arm in arms), 2))
    return result


def remembered(run: dict) -> float:
    """Return the MiB that are remembered at the end of a run, more than at its base."""
    return kept.difference(*(run[mark]["remembered_bytes"]
                             for mark in ("base_kept_by", "end_kept_by")))


def small_each(run: dict) -> float | None:
    """Return the MiB for small objects at the end of a run above its base, for each MiB that it
    remembers, None if these are not apart from the rest or nothing is remembered."""
    small, rows = kept_at_the_end(run).small, remembered(run)
    return small / rows if small > 0 and rows > 0 else None


def parts_columns(service: dict) -> list[Column]:
    """Return the columns of who keeps what at the end above the base, a row an arm."""
    arms = service["arms"]
    headings = {**PARTS, "total": "above base"}
    columns = [Column("", tuple(arm["name"] for arm in arms), left=True)]
    for rank, (heading, value) in enumerate((
            *((heading, lambda run, part=part: getattr(kept_at_the_end(run), part))
              for part, heading in headings.items()), ("remembered", remembered), ("× that", small_each))):
        columns.append(Column(heading, tuple(decimals(median(arm["runs"], value), 1) for arm in arms),
                              rank % len(headings)))
    return columns


def text(document: dict, width: int) -> str:
    """Return tables and footnotes, no wider than so many characters."""
    paragraphs = []
    for service in document["services"]:
        paragraphs.append(f"{service['title']}\n{render(fitting(columns_of(service), width))}")
        paragraphs.append(render(fitting(parts_columns(service), width)))
    runs = len(document["services"][0]["arms"][0]["runs"])
    lines = [FOOTNOTE.format(runs=runs, s="" if runs == 1 else "s"), PARTS_MEANINGS,
             *(f"Skipped: {one['name']}: {one['reason'].rstrip('.')}." for one in document["skipped"]),
             *figures.busy(document)]
    paragraphs.append("\n".join(textwrap.fill(line, width) for line in lines))
    return "\n\n".join(paragraphs)


def title_of(document: dict) -> str:
    """Return the finding in measured figures."""
    version = document["interpreters"]["stock"]["version"].split()[0]
    parameters = document["parameters"]
    first = document["arms"][0]["name"]
    names = [first] + [OURS] * any(arm["name"] == OURS for arm in document["arms"][1:])
    words = ", ".join(f"{service['key']} " + " → ".join(
        f"{median(arm['runs'], lambda run: kept_at_the_end(run).total):.0f}"
        for name in names for arm in service["arms"] if arm["name"] == name)
        for service in document["services"])
    return (f"Services (Python {version}) under load for {parameters[LOAD]} s, then idle for "
            f"{parameters[IDLE]} s, then looked at\n"
            f"MiB that remain above the warm base, {' → '.join(names)}: {words}")


def footnote_of(document: dict) -> str:
    """Return where the figures come from."""
    versions = ", ".join(dict.fromkeys(
        f"{name} {version}" for service in document["services"]
        for name, version in service["packages"].items()
        if name.lower() in ("flask", "gunicorn", "celery")))
    libraries = ", ".join(dict.fromkeys(arm["version"] for arm in document["arms"]
                                        if arm["version"]))
    runs = len(document["services"][0]["arms"][0]["runs"])
    workers, threads = (document["parameters"][name] for name in ("workers", "threads"))
    return (f"{figures.machine_of(document)}; {versions}{'; ' if libraries else ''}{libraries}; "
            f"{figures.commit_of(document)}; {document['date'][:10]}\n"
            f"workers: {workers}, threads of each: {threads}; Pss of all processes of the service; "
            f"a curve a run, {runs} an arm, arms in turn")


def colours_of(document: dict) -> dict[str, str]:
    """Return a colour for each arm's name; obmalloc's is always the same."""
    others = iter([colour for colour in COLOURS if colour != OURS_COLOUR] * len(document["arms"]))
    return {arm["name"]: OURS_COLOUR if arm["name"] == OURS else next(others)
            for arm in document["arms"]}


def figure_of(document: dict):
    """Return the Matplotlib figure, a panel a service."""
    from matplotlib.figure import Figure

    services = document["services"]
    tall = 1.5 + PANEL_INCHES * len(services)
    figure = Figure(figsize=(10.5, tall))
    panels = figure.subplots(len(services), 1, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.075, right=0.79, top=1 - 0.9 / tall, bottom=0.95 / tall,
                           hspace=0.28)
    named = colours_of(document)
    for axes, service in zip(panels, services):
        draw_service(axes, service, named)
    panels[-1].set_xlabel("seconds since the load began")
    write_words(figure, title_of(document), footnote_of(document), 0.12 / tall, 0.1 / tall)
    return figure


def draw_service(axes, service: dict, colours: dict[str, str]) -> None:
    """Draw the memory of a service over time, a curve a run, and the phases of the first run."""
    end = 0.0
    for arm in service["arms"]:
        for run in arm["runs"]:
            seconds = [moment - run["base_seconds"] for moment, _ in run["samples"]]
            axes.plot(seconds, [size / figures.MEBIBYTE for _, size in run["samples"]],
                      color=colours[arm["name"]], linewidth=1.5, alpha=0.85)
            end = max(end, *seconds)
    top = axes.get_ylim()[1] * 1.12
    first = service["arms"][0]["runs"][0]
    since = 0.0
    for mark, words in zip(first["phases"], (service["title"], "no requests", "health checks")):
        until = mark["seconds"] - first["base_seconds"]
        axes.axvline(until, color="#dddddd", linewidth=1, zorder=0)
        if until - since >= LEAST_LABELLED * end:
            axes.text((since + until) / 2, top * 0.97, words, ha="center", va="top", fontsize=8.5,
                      color="#666666")
        since = until
    label_ends(axes, service, colours, end, top)
    axes.set(xlim=(0, end), ylim=(0, top), ylabel="MiB")
    bare(axes, ("bottom",), "y")


def label_ends(axes, service: dict, colours: dict[str, str], end: float, top: float) -> None:
    """Write each arm's name beside the end of its curves, apart from one another."""
    levels = {arm["name"]: median(arm["runs"], lambda run: held(run, HEALTH)) / figures.MEBIBYTE
              for arm in service["arms"]}
    places = spread_out(list(levels.values()), 0.095 * top, top)
    for (name, level), place in zip(levels.items(), places):
        axes.text(end * 1.015, place, f"{name}: {level:.0f} MiB", color=colours[name], va="center",
                  fontsize=9, clip_on=False)
