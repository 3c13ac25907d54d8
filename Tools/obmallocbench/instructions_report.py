"""What the allocation-heavy programs took, as ratios, bars and plain text."""
from __future__ import annotations

import collections
import statistics
from typing import Callable, Sequence

from .allocators import STOCK
from .bars import ARM, Bar
from .figures import MEBIBYTE
from .scenarios import LARGER_NAMES, MIXED, PROGRAM_NAMES
from .table import NOTHING, Column, columns_from, decimals, page

ALLOCATOR_LIMIT = 0.45      # of the ten, geometric mean
MIXED_LIMIT = 0.6           # of the program of tuples, strings, floats and dicts
WHOLE_LIMIT, WHOLE_WORST = 0.90, 0.98
LIBRARY_LIMIT = 1.00        # of whole programs, where that is all that is compared
LARGER_LIMIT, LARGER_WORST = 0.98, 1.01     # of whole programs that allocate above 512 bytes
PEAK_LIMIT, PEAK_WORST = 1.00, 1.02
IDLE_LIMIT = 0.5            # MiB above stock
TOP = 12                    # functions shown
ABOUT_WHOLE = "Instructions under callgrind, start-up subtracted. whole: patched against stock."
ABOUT_ALLOCATOR = (
    "share: the allocator's part of stock's instructions. allocator: malloc, free and what they "
    "call, patched against stock, by source file, inlined lines too; not told of the programs that "
    "allocate above 512 bytes, since stock's malloc for these is in other files."
)
ABOUT_PEAK = (
    "peak: the largest RSS, measured natively with more objects, medians. The kernel's work is in "
    "none of them."
)

Measure = Callable[[dict], float]


def total(arm: dict) -> float:
    """Return an arm's instructions."""
    return arm["total"]


def allocator(arm: dict) -> float:
    """Return an arm's instructions in malloc, free and what they call."""
    return arm["allocator"]


def peak(arm: dict) -> float:
    """Return the median of an arm's largest resident sets, in bytes."""
    return statistics.median(arm["peak_rss_bytes"])


def ratio(program: dict, measure: Measure) -> float | None:
    """Return patched against stock, None when stock has nothing."""
    base = measure(program["arms"][STOCK])
    return measure(program["arms"][ARM]) / base if base else None


def is_whole(document: dict) -> bool:
    """Return whether a document tells nothing of the allocator's part."""
    return bool(document["parameters"].get("whole"))


def programs_of(document: dict, names: Sequence[str] = PROGRAM_NAMES) -> list[dict]:
    """Return the programs of these names, by default the ten, as many as the document has."""
    return [program for program in document["programs"] if program["name"] in names]


def mean(document: dict, measure: Measure, names: Sequence[str] = PROGRAM_NAMES) -> float | None:
    """Return the geometric mean of the ratios of the ten, or of others, None when one is
    missing."""
    ratios = [ratio(program, measure) for program in programs_of(document, names)]
    return statistics.geometric_mean(ratios) if ratios and all(ratios) else None


def worst(document: dict, measure: Measure, names: Sequence[str] = PROGRAM_NAMES
          ) -> tuple[str, float | None]:
    """Return name and ratio of the program of the ten, or of others, with the highest ratio."""
    ratios = {program["name"]: ratio(program, measure)
              for program in programs_of(document, names)}
    if not ratios or None in ratios.values():
        return NOTHING, None
    name = max(ratios, key=ratios.get)
    return name, ratios[name]


def idle_growth(document: dict) -> float:
    """Return the RSS of ``python -c pass`` above stock's, medians, in MiB."""
    medians = {name: statistics.median(values)
               for name, values in document["idle_rss_bytes"].items()}
    return (medians[ARM] - medians[STOCK]) / MEBIBYTE


def check(document: dict) -> list[Bar]:
    """Return the bars of a document, those whose programs it has."""
    if is_whole(document):
        whole = programs_of(document) and [
            Bar("whole program, geometric mean", mean(document, total), LIBRARY_LIMIT, "")]
        return [*whole, *larger_bars(document)]
    bars = []
    if programs_of(document):
        slowest, whole = worst(document, total)
        largest, most = worst(document, peak)
        bars += [
            Bar("allocator, geometric mean", mean(document, allocator), ALLOCATOR_LIMIT, ""),
            Bar("whole program, geometric mean", mean(document, total), WHOLE_LIMIT, ""),
            Bar(f"whole program, the worst, {slowest}", whole, WHOLE_WORST, ""),
            Bar("peak RSS, geometric mean", mean(document, peak), PEAK_LIMIT, ""),
            Bar(f"peak RSS, the worst, {largest}", most, PEAK_WORST, ""),
        ]
    bars += [Bar("allocator, tuples with strings, floats and dicts", ratio(program, allocator),
                 MIXED_LIMIT, "")
             for program in document["programs"] if program["name"] == MIXED]
    return [*bars, *larger_bars(document), Bar("python -c pass, RSS above stock's", idle_growth(document), IDLE_LIMIT,
                       "MiB")]


def larger_bars(document: dict) -> list[Bar]:
    """Return the bars of the programs that allocate above 512 bytes, none without any of them."""
    if not programs_of(document, LARGER_NAMES):
        return []
    slowest, whole = worst(document, total, LARGER_NAMES)
    return [Bar("above 512 bytes, whole program, geometric mean",
                mean(document, total, LARGER_NAMES), LARGER_LIMIT, ""),
            Bar(f"above 512 bytes, whole program, the worst, {slowest}", whole, LARGER_WORST, "")]


def millions(count: float) -> str:
    """Return a count in millions with one decimal."""
    return f"{count / 1e6:.1f}"


def program_columns(document: dict) -> list[Column]:
    """Return the table of the programs, the means last."""
    rows = []
    for program in document["programs"]:
        stock, patched = program["arms"][STOCK], program["arms"][ARM]
        share = allocator(stock) / total(stock) if total(stock) else None
        if program["name"] in LARGER_NAMES:
            own = (NOTHING,) * 4
        else:
            own = (decimals(share, 3), millions(allocator(stock)), millions(allocator(patched)),
                   decimals(ratio(program, allocator), 3))
        rows.append((program["name"], millions(total(stock)), millions(total(patched)),
                     decimals(ratio(program, total), 3), *own,
                     decimals(ratio(program, peak), 3)))
    if programs_of(document):
        rows.append(("the ten", "", "", decimals(mean(document, total), 3), "", "", "",
                     decimals(mean(document, allocator), 3), decimals(mean(document, peak), 3)))
    if programs_of(document, LARGER_NAMES):
        rows.append(("above 512 bytes", "", "", decimals(mean(document, total, LARGER_NAMES), 3),
                     *("",) * 4, decimals(mean(document, peak, LARGER_NAMES), 3)))
    layout = (("program", 0, True), ("stock, M", 2, False), ("patched, M", 2, False),
              ("whole", 0, False), ("share", 1, False), ("stock, M", 3, False),
              ("patched, M", 3, False), ("allocator", 0, False), ("peak", 0, False))
    columns = columns_from(layout, rows)
    return columns[:4] + columns[-1:] if is_whole(document) else columns


def spent(document: dict, arm: str, key: str) -> collections.Counter:
    """Return the allocator's instructions of an arm over all programs, by functions or files."""
    result: collections.Counter = collections.Counter()
    for program in document["programs"]:
        result.update(program["arms"][arm][key])
    return result


def shares(counts: collections.Counter, least: int) -> str:
    """Return the greatest counts as parts of all: ``PyObject_Free 38 %, ...``."""
    everything = sum(counts.values()) or 1
    return ", ".join(f"{name} {count / everything:.1%}"
                     for name, count in counts.most_common(least))


def meanings(document: dict) -> str:
    """Return what the columns of a document mean."""
    parts = [ABOUT_WHOLE, *([] if is_whole(document) else [ABOUT_ALLOCATOR]), ABOUT_PEAK]
    return " ".join(parts)


def text(document: dict, width: int) -> str:
    """Return everything that the terminal shows of a document but the bars."""
    spending = [(arm, key, spent(document, arm, key)) for arm in (STOCK, ARM)
                for key in ("functions", "files")]
    return page(width, program_columns(document), meanings(document),
                *(f"{arm}, the allocator's {key}: {shares(counts, TOP)}."
                  for arm, key, counts in spending if counts))
