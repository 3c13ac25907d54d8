"""What the replays measured, as figures and plain text."""
from __future__ import annotations

import statistics

from .figures import MEBIBYTE, busy
from .replay import SAMPLE, SIZES
from .table import Column, decimals, page

MEANINGS = (
    "ns: CPU time of a malloc, realloc or free, replaying it included; "
    "best and median of all replays but the first of each process. ×: the median over rounds of "
    "the paired ratios to the first arm. instructions: the same without what replaying costs. "
    "MiB, means and greatest over moments evenly apart in calls: asked: bytes that the live blocks "
    "were asked for; floor: pages that hold a live block; held: anonymous memory resident, "
    "metadata included; at peak: held/asked at the moment at which most was asked for. purged: "
    "pages given back; refaults: pages of these taken again."
)
MEAN = "mean"


def nanoseconds(trace: dict, arm: dict) -> list[list[float]]:
    """Return for each round the times of its counted replays, in ns a call."""
    return [[time / trace["calls"] for time in times[1:]] for times in arm["cpu_nanoseconds"]]


def mean_bytes(arm: dict, name: str) -> float:
    """Return the mean over all samples of one of SAMPLE."""
    place = SAMPLE.index(name)
    return statistics.fmean(sample[place] for sample in arm["samples"])


def ratio_at_peak(arm: dict) -> float | None:
    """Return what is held against what is asked for, in the sample in which most is asked for."""
    asked, held = (SAMPLE.index(name) for name in ("live", "resident"))
    most = max(arm["samples"], key=lambda sample: sample[asked])
    return most[held] / most[asked] if most[asked] else None


def figures_of(trace: dict, arm: dict, first: dict) -> dict[str, float | None]:
    """Return the figures of an arm on a trace: ns, instructions a call, MiB, ratios, counts."""
    rounds = nanoseconds(trace, arm)
    times = [time for times in rounds for time in times]
    ratios = [min(own) / min(others)
              for own, others in zip(rounds, nanoseconds(trace, first), strict=True)]
    asked, floor, held = (mean_bytes(arm, name) / MEBIBYTE for name in SAMPLE[:3])
    instructions = arm["instructions"]
    return {
        "best": min(times), "median": statistics.median(times),
        "ratio": statistics.median(ratios),
        "instructions": None if instructions is None else instructions / trace["calls"],
        "asked": asked, "floor": floor, "held": held,
        "peak": max(sample[SAMPLE.index("resident")] for sample in arm["samples"]) / MEBIBYTE,
        "held / floor": held / floor if floor else None,
        "held / asked": held / asked if asked else None,
        "at peak": ratio_at_peak(arm),
        "purged": arm["purged_pages"], "refaults": arm["refaults"],
    }


# Of each figure: heading, decimals, rank for narrow terminals, whether its mean means something.
COLUMNS = {
    "best": ("ns", 1, 1, True), "median": ("median", 1, 3, True), "ratio": ("×", 2, 0, True),
    "instructions": ("instructions", 1, 1, True), "asked": ("asked", 1, 5, False),
    "floor": ("floor", 1, 1, False), "held": ("held", 1, 0, False), "peak": ("peak", 1, 2, False),
    "held / floor": ("held/floor", 3, 0, True), "held / asked": ("held/asked", 3, 0, True),
    "at peak": ("at peak", 3, 1, True),
    "purged": ("purged", 0, 2, False), "refaults": ("refaults", 0, 2, False),
}


def geometric_means(rows: list[dict]) -> dict[str, float | None]:
    """Return the geometric mean of each figure that has one, None for the others."""
    means = {}
    for key, (_, _, _, has_mean) in COLUMNS.items():
        values = [row[key] for row in rows]
        sound = has_mean and all(value is not None and value > 0 for value in values)
        means[key] = statistics.geometric_mean(values) if sound else None
    return means


def rows_of(report: dict) -> list[tuple[str, str, dict]]:
    """Return trace, arm and figures, one row a trace and arm; then the means of each arm."""
    rows = [(trace["name"], arm["name"], figures_of(trace, arm, trace["arms"][0]))
            for trace in report["traces"] for arm in trace["arms"]]
    if len(report["traces"]) > 1:
        rows += [(MEAN, arm["name"], geometric_means([figures for _, name, figures in rows
                                                      if name == arm["name"]]))
                 for arm in report["arms"]]
    return rows


def columns_of(report: dict) -> list[Column]:
    """Return the table's columns."""
    rows = rows_of(report)
    names = ["" if number and rows[number - 1][0] == name else name
             for number, (name, _, _) in enumerate(rows)]
    columns = [Column("trace", tuple(names), 0, True),
               Column("arm", tuple(arm for _, arm, _ in rows), 0, True)]
    for key, (heading, places, rank, _) in COLUMNS.items():
        if any(figures[key] is not None for _, _, figures in rows):
            cells = tuple(decimals(figures[key], places) for _, _, figures in rows)
            columns.append(Column(heading, cells, rank))
    return columns


def text(report: dict, width: int) -> str:
    """Return everything that the terminal shows of a document."""
    calls = ", ".join(f"{trace['name']} {trace['calls'] / 1e6:.1f}" for trace in report["traces"])
    least, most = SIZES[report["parameters"]["sizes"]]
    return page(width, columns_of(report),
                f"Million calls replayed, of {least} to {most} bytes: {calls}. {MEANINGS}",
                busy(report))
