"""What the memory scenarios measured, as figures, bars and plain text."""
from __future__ import annotations

import dataclasses
import statistics
from typing import Callable, Iterator

from .allocators import STOCK
from .bars import ARM, Bar
from .figures import MEBIBYTE, busy, cpu_seconds, mark_of, paired_ratios, rss_at
from .scenarios import MEDIUM_OFF, MEMORY_SCENARIOS, RETAIN_ALL, Demand, MemoryScenario
from .table import NOTHING, Column, columns_from, decimals, page

PASS, FAIL = "PASS", "FAIL"
MEANINGS = (
    "kept: RSS above that before (base). floor: the pages that hold a live block of what survives, "
    "from the objects' addresses. apart: less what the system's malloc holds more than before, "
    "used and free (its live blocks are not in the floor either). Of several runs the greatest "
    "counts; CPU / retain=all: the best of each arm, against the best of patched with retain=all. "
    "peak: the most that was ever resident. resident: the whole process. /: for peak and CPU of "
    "the programs above 512 bytes, the median of the ratios of the same round to stock, or to "
    "patched with medium=0, which leaves these requests to the system's malloc."
)


def malloc_held(mark: dict) -> int | None:
    """Return the bytes that the system's malloc has from the system, used and free, at a mark."""
    info = mark.get("mallinfo")
    return info and info["uordblks"] + info["fordblks"] + info["hblkhd"]


def malloc_growth(run: dict, before: str, phase: str) -> int | None:
    """Return by how many bytes malloc's holdings grew between two marks."""
    ends = [malloc_held(mark_of(run, name)) for name in (before, phase)]
    return None if None in ends else ends[1] - ends[0]


def kept(run: dict, before: str, phase: str) -> float:
    """Return the resident set at a mark above that at the mark before, in MiB."""
    return rss_at(run, phase) - rss_at(run, before)


def floor(run: dict) -> float | None:
    """Return the page floor of what survived a run, in MiB; None where it is not known."""
    found = run["figures"].get("floor_bytes")
    return found / MEBIBYTE if found else None


def kept_over_floor(run: dict, before: str, phase: str) -> float | None:
    """Return what was kept as a multiple of the floor."""
    least = floor(run)
    return least and kept(run, before, phase) / least


def kept_apart_over_floor(run: dict, before: str, phase: str) -> float | None:
    """Return what was kept, without what malloc holds, as a multiple of the floor."""
    least, growth = floor(run), malloc_growth(run, before, phase)
    if least is None or growth is None:
        return None
    return (kept(run, before, phase) - growth / MEBIBYTE) / least


def resident(run: dict, before: str, phase: str) -> float:
    """Return the resident set at a mark, in MiB."""
    return rss_at(run, phase)


def peak(run: dict, before: str, phase: str) -> float:
    """Return the most that was resident at any time, in MiB."""
    return run["peak_rss_bytes"] / MEBIBYTE


def cpu_between(run: dict, before: str, phase: str) -> float:
    """Return the CPU seconds between two marks."""
    first, last = (cpu_seconds(mark_of(run, name)) for name in (before, phase))
    return last - first


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure that a demand names. value: from run, mark before and mark to a number or None.
    against: the arm that it is divided by, None for the greatest value itself. paired: by the
    run of the same round, and the median counts; else the best by the best."""

    label: str
    unit: str
    places: int
    value: Callable[[dict, str, str], float | None]
    against: str | None = None
    paired: bool = False


FIGURES = {
    "kept": Figure("kept", "MiB", 1, kept),
    "kept / floor": Figure("kept / floor", "", 3, kept_over_floor),
    "kept apart / floor": Figure("kept apart / floor", "", 3, kept_apart_over_floor),
    "cpu": Figure("CPU / retain=all", "", 3, cpu_between, RETAIN_ALL),
    "resident": Figure("resident", "MiB", 1, resident),
    "peak": Figure("peak", "MiB", 1, peak),
    "peak / stock": Figure("peak / stock", "", 3, peak, STOCK, True),
    "CPU / stock": Figure("CPU / stock", "", 3, cpu_between, STOCK, True),
    "CPU / medium=0": Figure("CPU / medium=0", "", 3, cpu_between, MEDIUM_OFF, True),
}


def runs_of(case: dict, name: str) -> list[dict]:
    """Return the runs of the arm called name in a document's case, none if it has no such arm."""
    return next((arm["runs"] for arm in case["arms"] if arm["name"] == name), [])


def measured(case: dict, demand: Demand, name: str) -> float | None:
    """Return what an arm measured of a demand, None when any of its runs could not, or what it is
    divided by is not there."""
    scenario, figure = MEMORY_SCENARIOS[case["scenario"]], FIGURES[demand.figure]

    def values(arm: str) -> list[float | None]:
        return [figure.value(run, scenario.before, demand.phase) for run in runs_of(case, arm)]
    own = values(name)
    if None in own:
        return None
    if figure.against is None:
        return max(own)
    base = values(figure.against)
    if figure.paired:
        ratios = paired_ratios(own, base) if len(base) == len(own) else ()
        return statistics.median(ratios) if ratios else None
    least = min(base, default=None)
    return min(own) / least if least else None


def demands_of(document: dict) -> Iterator[tuple[str, dict, Demand]]:
    """Yield for each demand on a document its title, the document's case, and the demand."""
    for case in document["cases"]:
        scenario: MemoryScenario = MEMORY_SCENARIOS[case["scenario"]]
        for known in scenario.cases:
            if known.label == case["case"]:
                title = f"{scenario.title} {known.label}".rstrip()
                for demand in known.demands:
                    yield f"{title}, {demand.phase}".removesuffix(", "), case, demand


def check(document: dict) -> list[Bar]:
    """Return the bars of a document."""
    return [Bar(f"{title}: {FIGURES[demand.figure].label}", measured(case, demand, ARM),
                demand.limit, FIGURES[demand.figure].unit)
            for title, case, demand in demands_of(document)]


def verdict_columns(document: dict) -> list[Column]:
    """Return the first table: one row a bar."""
    rows = []
    for (title, case, demand), bar in zip(demands_of(document), check(document), strict=True):
        figure = FIGURES[demand.figure]
        label = f"{figure.label}, {figure.unit}".rstrip(", ")
        rows.append((title, label, decimals(measured(case, demand, STOCK), figure.places),
                     decimals(bar.measured, figure.places), f"<= {bar.limit:g}",
                     PASS if bar.cleared else FAIL))
    layout = (("scenario", 0, True), ("figure", 0, True), ("stock", 0, False),
              ("patched", 0, False), ("bar", 0, False), ("", 0, True))
    return columns_from(layout, rows)


def mebibytes(count: int | None) -> str:
    """Return a number of bytes in MiB with one decimal, or a dash for None."""
    return NOTHING if count is None else decimals(count / MEBIBYTE, 1)


def memory_columns(document: dict) -> list[Column]:
    """Return the second table: one row a case and arm, the first run of each."""
    rows = []
    for case in document["cases"]:
        scenario = MEMORY_SCENARIOS[case["scenario"]]
        for arm in case["arms"]:
            run = arm["runs"][0]
            last = run["phases"][-1]["phase"]
            first = arm is case["arms"][0]
            rows.append((
                f"{scenario.title} {case['case']}".rstrip() if first else "", arm["name"],
                *(mebibytes(mark_of(run, phase)["rss_bytes"] if phase else run["peak_rss_bytes"])
                  for phase in (scenario.before, scenario.peak, last)),
                mebibytes(run["figures"].get("floor_bytes")),
                mebibytes(run["figures"].get("live_bytes")),
                mebibytes(malloc_growth(run, scenario.before, last)),
                decimals(cpu_between(run, scenario.before, last), 2)))
    layout = (("RSS in MiB", 0, True), ("arm", 0, True), ("base", 0, False), ("peak", 0, False),
              ("end", 0, False), ("floor", 0, False), ("live", 2, False), ("malloc", 1, False),
              ("CPU s", 3, False))
    return columns_from(layout, rows)


def text(document: dict, width: int) -> str:
    """Return everything that the terminal shows of a document."""
    skipped = [f"left out: {arm['name']}: {arm['reason']}" for arm in document["skipped"]]
    return page(width, verdict_columns(document), memory_columns(document), MEANINGS,
                [*skipped, *busy(document)])
