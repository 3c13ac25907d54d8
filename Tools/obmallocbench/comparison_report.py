"""What all allocators did in all scenarios, as figures, plain text and Markdown.

A ratio of times is only said to differ from 1 when there are some pairs, all lie on the same side,
and their median differs by more than the noise: the most by which the second run of stock in a
round differed from the first.
"""
from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Callable, Sequence

from .allocators import AGAIN, MEDIUM_OFF, OURS, PATCHED, STOCK
from .figures import (MEBIBYTE, busy, counted_runs, cpu_seconds, machine_of, mark_of, paired_ratios,
                      stock_of, unlike)
from .table import NOTHING, Column, decimals, fitting, page, render

IDLE = "idle "
LEAST_PAIRS = 3                     # fewer show nothing
EXTRA = ("live", "floor", "free")   # columns about patched, before those of the arms
WITHIN = "~"                        # after a ratio that is not shown to differ from 1
# The columns of arms that a narrow terminal does without, first those that stand last here; the
# first three stay.
IMPORTANT = (STOCK, PATCHED, OURS, "jemalloc-tuned", "malloc_trim", "jemalloc", "mimalloc3-purge",
             "malloc", "thresholds", "arena-max=1", "mimalloc3", "tcmalloc", "jemalloc+thread",
             "jemalloc-beside", "mimalloc2", "mimalloc2-purge", "own-mimalloc", "arena-max=2",
             f"{OURS},{MEDIUM_OFF}", MEDIUM_OFF, "obmalloc+jemalloc", "patched+jemalloc", "background=1", "obmalloc,background=1",
             "retain=all", AGAIN)
MEANINGS = (
    "MiB: medians of the runs. released: after the work, when what is not needed was dropped. "
    "live: bytes in blocks of at most 512; floor: what the patched interpreter would hold if of "
    "its arenas only pages with a live block were resident (both by its own count); free: what the "
    "C library's malloc keeps there of larger blocks, most of it resident. prefork: PSS "
    "of all processes. Times: the work alone, medians of the ratios to stock in the same round; "
    f"{WITHIN}: not shown to differ from 1, since stock differs as much from itself, the pairs lie "
    f"on both sides, or they are fewer than {LEAST_PAIRS}.")

LEAST = "the least, other settings of obmalloc aside."


def released(run: dict) -> dict:
    """Return the mark (dictionary) at the end of a run's work."""
    return [mark for mark in run["phases"] if not mark["phase"].startswith(IDLE)][-1]


def cpu(run: dict) -> float:
    """Return the CPU seconds of the work."""
    return cpu_seconds(released(run)) - cpu_seconds(run["phases"][0])


def wall(run: dict) -> float:
    """Return the seconds that the work took, without reading the memory in between."""
    last, first = released(run), run["phases"][0]
    before = run["phases"][:run["phases"].index(last)]
    return (last["wall_seconds"] - first["wall_seconds"]
            - sum(mark.get("measuring_seconds", 0.0) for mark in before))


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a run. value: from a run to MiB, or to seconds if it is a time, which is shown
    as its ratio to the arm called base."""

    key: str
    title: str
    value: Callable[[dict], float]
    is_time: bool = False
    base: str = STOCK


def measures_of(document: dict) -> list[Measure]:
    """Return the measures in the order of their tables."""
    def mebibytes(mark: dict) -> float:
        return mark["rss_bytes"] / MEBIBYTE
    return [
        Measure("released", "RSS after release, MiB", lambda run: mebibytes(released(run))),
        *(Measure(IDLE + seconds, f"RSS after {seconds} idle seconds, MiB",
                  lambda run, seconds=seconds: mebibytes(mark_of(run, IDLE + seconds)))
          for seconds in document["idle"]),
        Measure("peak", "Peak RSS, MiB", lambda run: run["peak_rss_bytes"] / MEBIBYTE),
        Measure("cpu", "CPU time, × stock", cpu, True),
        Measure("wall", "Wall time, × stock", wall, True),
    ]


def arm_of(scenario: dict, name: str) -> dict:
    """Return a scenario's arm (dictionary) called name."""
    return next(arm for arm in scenario["arms"] if arm["name"] == name)


def values_of(scenario: dict, measure: Measure, name: str) -> list[float]:
    """Return what the counted runs of an arm measured, in order."""
    return [measure.value(run) for run in counted_runs(arm_of(scenario, name))]


def ratios_of(scenario: dict, measure: Measure, name: str) -> tuple[float, ...]:
    """Return an arm's paired ratios to the measure's base."""
    return paired_ratios(values_of(scenario, measure, name),
                         values_of(scenario, measure, measure.base))


def deviation(ratios: Sequence[float]) -> float:
    """Return the most by which ratios differ from 1, up or down, as a factor minus 1."""
    return max((math.exp(abs(math.log(ratio))) for ratio in ratios if ratio > 0), default=1.0) - 1


def noise_of(scenario: dict, measure: Measure) -> float:
    """Return the noise of a time in a scenario: how far stock is from itself; 0 if it ran only
    once a round."""
    if all(arm["name"] != AGAIN for arm in scenario["arms"]):
        return 0.0
    return deviation(paired_ratios(values_of(scenario, measure, AGAIN),
                                   values_of(scenario, measure, STOCK)))


def mean_ratios(document: dict, measure: Measure, name: str) -> list[float]:
    """Return for each counted round the geometric mean over the scenarios of an arm's ratios."""
    rounds = zip(*(ratios_of(scenario, measure, name) for scenario in document["scenarios"]))
    return [statistics.geometric_mean(ratios) for ratios in rounds if all(ratios)]


def floor_mebibytes(scenario: dict) -> float | None:
    """Return the least that an allocator could hold after the release that moves nothing, in MiB:
    what patched holds, less what of its arenas is resident without a live block. None when it is
    not known."""
    found = []
    for run in counted_runs(arm_of(scenario, PATCHED)):
        mark = released(run)
        said = mark.get("allocator")
        if scenario["resident"] != "RSS" or not said:
            return None
        spare = (said["resident_pages"] - said["floor_pages"]) * said["page_size"]
        found.append((mark["rss_bytes"] - spare) / MEBIBYTE)
    return statistics.median(found)


def live_mebibytes(scenario: dict) -> float | None:
    """Return the bytes in live blocks after the release in MiB, None when they are not known."""
    marks = [released(run) for run in counted_runs(arm_of(scenario, PATCHED))]
    if scenario["resident"] != "RSS" or not all(mark.get("allocator") for mark in marks):
        return None
    return statistics.median(mark["allocator"]["live_bytes"] for mark in marks) / MEBIBYTE


def malloc_free_mebibytes(scenario: dict) -> float | None:
    """Return what the C library's malloc keeps free after the release under patched, in MiB; None
    when it is not known."""
    infos = [released(run).get("mallinfo") for run in counted_runs(arm_of(scenario, PATCHED))]
    if not all(infos):
        return None
    return statistics.median(info["fordblks"] for info in infos) / MEBIBYTE


def has_patched(document: dict) -> bool:
    """Return whether the patched interpreter with default settings is among the arms."""
    return any(arm["name"] == PATCHED for arm in document["arms"])


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell: its text, and whether it is the least of its row's arms, our other settings aside."""

    text: str
    least: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table. head: the columns' headings. rows: lists of cells."""

    title: str
    head: list[str]
    rows: list[list[Cell]]


def medians_of(document: dict, scenario: dict, measure: Measure) -> dict[str, float]:
    """Return for each arm's name its median, to the decimal that is shown."""
    return {arm["name"]: round(statistics.median(values_of(scenario, measure, arm["name"])), 1)
            for arm in document["arms"]}


def rivals(document: dict) -> list[str]:
    """Return the names of the arms of which one holds least: obmalloc competes as it is by
    default."""
    return [arm["name"] for arm in document["arms"]
            if (arm["interpreter"] == STOCK or arm["name"] == PATCHED) and arm["name"] != AGAIN]


def memory_row(document: dict, scenario: dict, measure: Measure) -> list[Cell]:
    """Return a row's cells, one an arm, that of the least memory marked."""
    medians, names = medians_of(document, scenario, measure), rivals(document)
    least = min(medians[name] for name in names)
    return [Cell(decimals(value, 1), value == least and name in names)
            for name, value in medians.items()]


def memory_finding(document: dict, measure: Measure) -> str:
    """Return in how many scenarios the patched interpreter holds least, and by how much not in
    the others."""
    count, beaten = len(document["scenarios"]), []
    for scenario in document["scenarios"]:
        medians = medians_of(document, scenario, measure)
        best = min(rivals(document), key=medians.__getitem__)
        if medians[best] < medians[PATCHED]:
            beaten.append(f"{scenario['title']}: {best} {medians[best]:.1f}, {PATCHED} "
                          f"{medians[PATCHED]:.1f} MiB")
    return (f"{measure.title.removesuffix(', MiB')}: {PATCHED} holds least in "
            f"{count - len(beaten)} of {count} scenarios"
            + (f" (not in {'; '.join(beaten)})" if beaten else "") + ".")


def is_shown(ratios: Sequence[float], noise: float) -> bool:
    """Return whether ratios show that what they compare differs."""
    return (len(ratios) >= LEAST_PAIRS and deviation([statistics.median(ratios)]) > noise
            and (max(ratios) < 1 or min(ratios) > 1))


def ratio_cell(ratios: Sequence[float], noise: float) -> Cell:
    """Return the median of ratios, marked when they do not show a difference."""
    if not ratios:
        return Cell(NOTHING)
    return Cell(f"{statistics.median(ratios):.2f}" + WITHIN * (not is_shown(ratios, noise)))


def time_cells(document: dict, measure: Measure, noise: float,
               ratios: Callable[[str], Sequence[float]]) -> list[Cell]:
    """Return a row's cells of a time, one an arm. ratios: from its name to its ratios to the base."""
    return [Cell("1") if arm["name"] == measure.base else ratio_cell(ratios(arm["name"]), noise)
            for arm in document["arms"]]


def table_of(document: dict, measure: Measure, heading: str = "scenario") -> Table:
    """Return the table of a measure: one column an arm, after the scenario and what is extra, and of
    a time the means last. heading: of the scenarios."""
    arms = [arm["name"] for arm in document["arms"]]
    extra = measure.key == "released" and has_patched(document)
    rows = []
    for scenario in document["scenarios"]:
        row = [Cell(scenario["title"])]
        if extra:
            row += [Cell(decimals(value, 1))
                    for value in (live_mebibytes(scenario), floor_mebibytes(scenario),
                                  malloc_free_mebibytes(scenario))]
        row += (time_cells(document, measure, noise_of(scenario, measure),
                           lambda name: ratios_of(scenario, measure, name)) if measure.is_time
                else memory_row(document, scenario, measure))
        rows.append(row)
    if measure.is_time and len(rows) > 1:
        noise = deviation(mean_ratios(document, measure, AGAIN)) if AGAIN in arms else 0.0
        rows.append([Cell("geometric mean"), *time_cells(
            document, measure, noise, lambda name: mean_ratios(document, measure, name))])
    return Table(measure.title, [heading, *(EXTRA if extra else []), *arms], rows)


def least_other(document: dict, scenario: dict, measure: Measure) -> str:
    """Return the least that an allocator held that is neither stock nor ours, and its name."""
    medians = medians_of(document, scenario, measure)
    others = [name for name in rivals(document) if name not in (STOCK, PATCHED)]
    if not others:
        return NOTHING
    best = min(others, key=medians.__getitem__)
    return f"{decimals(medians[best], 1)} {best}"


def summary(document: dict) -> Table:
    """Return the table for readers in a hurry: stock, patched, and the best of all others."""
    measures = {measure.key: measure for measure in measures_of(document)}
    last = document["idle"][-1]
    times = table_of(document, measures["cpu"])
    place = times.head.index(PATCHED)
    rows = []
    for scenario, time_row in zip(document["scenarios"], times.rows):
        row = [Cell(scenario["title"]),
               Cell(decimals(medians_of(document, scenario, measures["peak"])[STOCK], 1))]
        for key in ("released", IDLE + last):
            medians = medians_of(document, scenario, measures[key])
            row += [Cell(decimals(medians[STOCK], 1)),
                    Cell(decimals(medians[PATCHED], 1),
                         medians[PATCHED] == min(medians[name] for name in rivals(document))),
                    Cell(least_other(document, scenario, measures[key]))]
        rows.append([*row, time_row[place]])
    return Table("Stock, obmalloc, and the best of the other allocators, MiB",
                 ["scenario", "peak", "released: stock", "patched", "best other",
                  f"after {last} s: stock", "patched", "best other", "CPU patched / stock"], rows)


def findings(document: dict) -> list[str]:
    """Return what was found about the patched interpreter, one sentence each."""
    if not has_patched(document):
        return []
    said = [memory_finding(document, measure) for measure in measures_of(document)
            if not measure.is_time and measure.key != "peak"]
    for measure in measures_of(document):
        if measure.is_time:
            ratios = mean_ratios(document, measure, PATCHED)
            if not ratios:
                continue
            noise = deviation(mean_ratios(document, measure, AGAIN))
            words = f"{statistics.median(ratios):.2f} of stock's"
            if not is_shown(ratios, noise):
                words += ", which does not show that it differs"
            said.append(f"{measure.title.partition(',')[0]}, geometric mean over the scenarios: "
                        f"{words} ({min(ratios):.2f} to {max(ratios):.2f} by round; stock against "
                        f"itself up to {1 + noise:.2f}).")
    return said


def loads(document: dict) -> str:
    """Return a sentence about the load average as the counted runs began."""
    found = [run["load_average"] for scenario in document["scenarios"]
             for arm in scenario["arms"] for run in counted_runs(arm)]
    return (f"Load average as the runs began: median {statistics.median(found):.2f}, greatest "
            f"{max(found):.2f}; this command alone makes about 1.")


def circumstances(document: dict) -> list[str]:
    """Return where, when and with what it was measured, one sentence each."""
    facts, runs = document["machine"], document["runs"]
    said = [f"{machine_of(document)}, {facts.get('c_library')}, transparent huge pages "
            f"{facts['transparent_huge_pages'] or 'unknown'}.", stock_of(document),
            f"{runs['counted']} runs of each arm counted, arms in turn, {runs['discarded']} "
            "discarded before.", loads(document)]
    versions = dict.fromkeys(arm["version"] for arm in document["arms"] if arm["version"])
    found = {name: version for scenario in document["scenarios"]
             for name, version in scenario["packages"].items()}
    if versions or found:
        said.append("Versions: " + ", ".join(
            (*versions, *(f"{name} {version}" for name, version in found.items()))) + ".")
    said += [f"Skipped: {one['name']}: {one['reason'].rstrip('.')}." for one in document["skipped"]]
    return said + unlike(document) + busy(document)[:-1]


def columns_of(table: Table) -> list[Column]:
    """Return a table's columns for the terminal; the least figures bear a star."""
    columns = []
    for number, cells in enumerate(zip(*table.rows)):
        heading = table.head[number]
        rank = IMPORTANT.index(heading) if heading in IMPORTANT[3:] else 0
        columns.append(Column(heading, tuple(cell.text + "*" * cell.least for cell in cells),
                              rank, number == 0))
    return columns


def text_of(tables: Sequence[tuple[str, list[Column]]], width: int,
            *parts: str | Sequence[str]) -> str:
    """Return tables under their titles, what of them the terminal is too narrow for, and parts as
    table.page() has them."""
    shown = [(title, fitting(columns, width)) for title, columns in tables]
    left_out = dict.fromkeys(column.heading for (_, columns), (_, kept) in zip(tables, shown)
                             for column in columns if column not in kept)
    narrow = ([f"Not shown, since the terminal is narrow: {', '.join(left_out)}."] if left_out
              else [])
    return "\n\n".join((*(f"{title}\n{render(kept)}" for title, kept in shown),
                        page(width, *narrow, *parts)))


def text(document: dict, width: int) -> str:
    """Return everything that the terminal shows of a document."""
    tables = [table_of(document, measure) for measure in measures_of(document)]
    return text_of([(table.title, columns_of(table)) for table in tables], width,
                   f"{MEANINGS} *: {LEAST}", [*findings(document), *circumstances(document)])


def markdown_table(table: Table) -> str:
    """Return a table in Markdown, the least figures bold."""
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"
    body = [[f"**{cell.text}**" if cell.least else cell.text for cell in row]
            for row in table.rows]
    return "\n".join([line(table.head), "|---" + "|---:" * (len(table.head) - 1) + "|",
                      *map(line, body)])


def markdown_tables(tables: Sequence[Table]) -> list[str]:
    """Return tables in Markdown under their titles."""
    return [f"**{table.title}**\n\n{markdown_table(table)}" for table in tables]


def markdown_list(sentences: Sequence[str]) -> str:
    """Return sentences as a list in Markdown."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def markdown_arms(document: dict) -> str:
    """Return the list of the arms in Markdown."""
    return markdown_list([f"`{arm['name']}`: {arm['meaning']}"
                          + (f" ({arm['version']})" if arm["version"] else "")
                          for arm in document["arms"]])


def markdown(document: dict) -> str:
    """Return the summary in Markdown."""
    first = ([markdown_table(summary(document)), markdown_list(findings(document))]
             if has_patched(document) else [])
    tables = markdown_tables([table_of(document, measure) for measure in measures_of(document)])
    return "\n\n".join((*first, f"{MEANINGS} Bold: {LEAST}", " ".join(circumstances(document)),
                        "<details><summary>All allocators</summary>", *tables,
                        markdown_arms(document), "</details>")) + "\n"
