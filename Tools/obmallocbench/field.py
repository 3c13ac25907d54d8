"""The field: programs on libraries that people use, under one interpreter with many allocators.

Each does its work, drops it, sleeps for some seconds, and then answers small requests; what is
resident at each of these moments, and who keeps it, it reads itself (field_programs/phases.py).
"""
from __future__ import annotations

from typing import Callable, Sequence

from . import allocators, comparison
from .document import FIELD_FORMAT as FORMAT
from .journal import Journal
from .scenarios import FIELD_OPTIONS, FieldProgram

START, DROPPED, SLEPT, LIGHT = "start", "dropped", "slept", "light"
REQUEST_SECONDS = 0.02      # between two small requests, as in field_programs/phases.py
ARMS = (allocators.STOCK, allocators.OURS, f"{allocators.OURS},{allocators.MEDIUM_OFF}",
        "arena-max=1", "thresholds", "malloc_trim", "jemalloc-beside", "jemalloc-tuned", "mimalloc3-purge")


def run_field(programs: Sequence[FieldProgram], names: Sequence[str], sources: allocators.Sources,
              runs: int, options: dict[str, int], journal: Journal, limit: float, again: bool,
              progress: Callable[[str, bool], None]) -> dict:
    """Run what the journal has not, and return the document.

    names: of the arms. runs: of each arm and program, arms in turn, none discarded. options: as
    FIELD_OPTIONS. again: whether what the journal has is run all the same.
    """
    rest = options["sleep"] + options["light"] * REQUEST_SECONDS
    parts, facts = comparison.run_all(programs, names, sources, options, rest, runs, 0, journal,
                                      limit, again, progress)
    return {"format": FORMAT, **facts,
            "parameters": {name: options[name] for name in FIELD_OPTIONS}, **parts}
