"""A small document to test with: three arms, figures that can be reckoned in the head."""
from __future__ import annotations

import copy

MEBIBYTE = 1 << 20
PHASES = ("start", "allocated", "freed", "allocated again", "freed again", "idle")


def run(number: int, cpu: float, freed: int) -> dict:
    """Return one run: cpu seconds of user time, and so many MiB resident after the free."""
    resident = dict(zip(PHASES, (10, 90, freed, 90, freed, freed)))
    phases = [{"phase": phase, "wall_seconds": index * 0.1, "user_seconds": 0.0,
               "system_seconds": 0.0, "rss_bytes": resident[phase] * MEBIBYTE}
              for index, phase in enumerate(PHASES)]
    return {"round": number, "counted": number > 0, "real_seconds": cpu, "user_seconds": cpu,
            "system_seconds": 0.0, "peak_rss_bytes": 90 * MEBIBYTE,
            "rusage_peak_rss_bytes": 90 * MEBIBYTE, "phases": phases}


def arm(name: str, times: list[float], freed: int) -> dict:
    """Return an arm of one discarded run and one of each of the times, in seconds."""
    marks = [{"phase": phase, "seconds": 0.1 + index * 0.1, "rss_bytes": 10 * MEBIBYTE}
             for index, phase in enumerate(PHASES)]
    return {"name": name, "interpreter": "stock" if name == "stock" else "patched",
            "environment": {}, "runs": [run(number, cpu, freed)
                                        for number, cpu in enumerate([99.0, *times])],
            "curve": {"sample_seconds": 0.002, "end_seconds": 0.6, "marks": marks,
                      "samples": [[0.01, 5 * MEBIBYTE], [0.55, 12 * MEBIBYTE]]}}


def document() -> dict:
    """Return the whole document, a new one each time."""
    interpreter = {"path": "/p", "version": "3.13.5 (main)", "compiler": "GCC", "sha256": "a",
                   "configured_with": "", "is_script": False}
    return {
        "format": "obmallocbench 1", "scenario": "obj", "parameters": {"objects": 1000},
        "date": "2005-01-23T00:00:00+00:00", "runner": "3.11",
        "runs": {"made": 4, "discarded": 1, "counted": 3},
        "machine": {"cpu_model": "Abacus", "cores": 2, "memory_bytes": 1 << 30,
                    "page_bytes": 4096, "kernel": "Linux 6", "transparent_huge_pages": "never"},
        "repository": {"commit": None, "dirty": True},
        "load_average": {"before": [0.1, 0.1, 0.1], "after": [0.5, 0.1, 0.1]},
        "interpreters": {"stock": interpreter, "patched": {**copy.copy(interpreter), "sha256": "b"}},
        "arms": [arm("stock", [1.0, 2.0, 4.0], 20), arm("patched", [0.5, 1.0, 1.0], 12),
                 arm("retain=all", [0.5, 1.0, 2.0], 85)],
    }
