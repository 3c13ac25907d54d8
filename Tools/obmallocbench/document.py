"""The reports' forms: what each must hold, and reading it."""
from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path

from shared.forms import problems

from . import experiment, instructions, memory, replay
from .errors import BenchmarkError
from .scenarios import MEMORY_SCENARIOS, SCENARIOS

NUMBER = (int, float)
OPTIONAL_TEXT = (str, type(None))

# As shared.forms has them.
PHASE = {"phase": str, "wall_seconds": NUMBER, "user_seconds": NUMBER, "system_seconds": NUMBER,
         "rss_bytes": int}
RUN = {"round": int, "counted": bool, "real_seconds": NUMBER, "user_seconds": NUMBER,
       "system_seconds": NUMBER, "peak_rss_bytes": int, "rusage_peak_rss_bytes": int,
       "phases": [PHASE]}
CURVE = {"sample_seconds": NUMBER, "end_seconds": NUMBER, "samples": [[NUMBER]],
         "marks": [{"phase": str, "seconds": NUMBER, "rss_bytes": int}]}
INTERPRETER = {"path": str, "version": str, "compiler": str, "configured_with": str,
               "sha256": str, "is_script": bool}
CIRCUMSTANCES = {
    "format": str, "date": str, "runner": str,
    "machine": {"cpu_model": OPTIONAL_TEXT, "cores": int, "memory_bytes": (int, type(None)),
                "page_bytes": int, "kernel": str, "transparent_huge_pages": OPTIONAL_TEXT},
    "repository": {"commit": OPTIONAL_TEXT, "dirty": (bool, type(None))},
    "load_average": {"before": [NUMBER], "after": [NUMBER]},
    "interpreters": {"stock": INTERPRETER, "patched": INTERPRETER},
}
FORM = {
    **CIRCUMSTANCES, "scenario": str, "parameters": dict,
    "runs": {"made": int, "discarded": int, "counted": int},
    "arms": [{"name": str, "interpreter": str, "environment": dict, "runs": [RUN],
              "curve": CURVE}],
}
MEMORY_FORM = {
    **CIRCUMSTANCES, "skipped": list,
    "cases": [{"scenario": str, "case": str, "parameters": dict,
               "arms": [{"name": str, "interpreter": str, "environment": dict,
                         "runs": [{**RUN, "figures": dict}]}]}],
}
PROFILE = {"total": int, "allocator": int, "functions": dict, "files": dict}
PROGRAM_ARM = {**PROFILE, "peak_rss_bytes": [int]}
INSTRUCTIONS_FORM = {
    **CIRCUMSTANCES, "valgrind": str, "parameters": {"size": int, "peak_size": int},
    "start_up": [{"workload": str, "arms": {"stock": PROFILE, "patched": PROFILE}}],
    "idle_rss_bytes": {"stock": [int], "patched": [int]},
    "programs": [{"name": str, "arms": {"stock": PROGRAM_ARM, "patched": PROGRAM_ARM}}],
}
REPLAY_FORM = {
    **{key: form for key, form in CIRCUMSTANCES.items() if key != "interpreters"},
    "compiler": str, "valgrind": OPTIONAL_TEXT,
    "parameters": {"rounds": int, "samples": int, "sizes": str},
    "arms": [{"name": str, "kind": str, "tree": str, "macros": list, "settings": str, "library": str}],
    "traces": [{"name": str, "calls": int, "calls_of_program": int, "slots": int, "threads": int,
                "arms": [{"name": str, "cpu_nanoseconds": [[int]],
                          "instructions": (int, type(None)), "samples": [[int]],
                          "purge_calls": int, "purged_pages": int, "refaults": int,
                          "arenas_peak": int}]}],
}
KEPT_BY = {"anonymous_bytes": (int, type(None)), "mallinfo": (dict, type(None)),
           "allocator": (dict, type(None)), "pymalloc_arena_bytes": (int, type(None))}
SERVICE_FORMAT = "obmallocbench service 4"     # here, since what measures it reads documents too
TOLD = {**KEPT_BY, "remembered_bytes": int}
SERVICE_FORM = {
    **CIRCUMSTANCES, "interpreters": {"stock": INTERPRETER}, "skipped": list,
    "parameters": {"workers": int, "threads": int, "connections": int, "load": int, "idle": int, "health": int},
    "arms": [{"name": str, "environment": dict, "library": str, "version": str}],
    "services": [{"key": str, "title": str, "packages": dict, "arms": [
        {"name": str, "runs": [{"base_bytes": int, "base_seconds": NUMBER, "peak_bytes": int,
                                "base_kept_by": TOLD, "end_kept_by": TOLD,
                                "requests_per_second": NUMBER, "p99_seconds": NUMBER,
                                "phases": [{"phase": str, "seconds": NUMBER, "bytes": int}],
                                "samples": [[NUMBER]]}]}]}],
}
COMPARISON_FORMAT = "obmallocbench all 1"      # here, since what measures it reads documents too
COMPARISON_FORM = {
    **CIRCUMSTANCES, "idle": [str], "runs": {"made": int, "discarded": int, "counted": int},
    "arms": [{"name": str, "meaning": str, "interpreter": str, "environment": dict,
              "library": str, "library_sha256": str, "version": str}],
    "skipped": list,
    "scenarios": [{"key": str, "title": str, "parameters": dict, "resident": str, "packages": dict,
                   "arms": [{"name": str, "runs": [{**RUN, "date": str,
                                                    "load_average": NUMBER}]}]}],
}
FIELD_FORMAT = "obmallocbench field 1"
FIELD_FORM = {
    **{key: form for key, form in COMPARISON_FORM.items() if key != "idle"},
    "interpreters": {"stock": INTERPRETER},
    "parameters": {"sleep": NUMBER, "light": int},
}
FORMS = {experiment.FORMAT: FORM, memory.FORMAT: MEMORY_FORM,
         instructions.FORMAT: INSTRUCTIONS_FORM, replay.FORMAT: REPLAY_FORM,
         COMPARISON_FORMAT: COMPARISON_FORM, SERVICE_FORMAT: SERVICE_FORM,
         FIELD_FORMAT: FIELD_FORM}


def unknown_names(document: dict) -> list[str]:
    """Return a sentence for each scenario of a sound document that is not one of ours."""
    if document["format"] == experiment.FORMAT:
        named, known = [document["scenario"]], SCENARIOS
    else:
        named, known = [case["scenario"] for case in document.get("cases", [])], MEMORY_SCENARIOS
    return [f"it knows no scenario {name!r}" for name in named if name not in known]


def read(path: Path) -> dict:
    """Return the document in a file; BenchmarkError when it is not one."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):       # a device might never end
            raise BenchmarkError(f"cannot read {path}: it is not a file")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error
    found = problems(document, {"format": str})
    if not found and document["format"] not in FORMS:
        found = [f"its format is {document['format']!r}, none of {', '.join(FORMS)}"]
    found = found or problems(document, FORMS[document["format"]]) or unknown_names(document)
    if found:
        raise BenchmarkError(f"{path} is not a report of obmallocbench: {found[0]}")
    return document


@contextlib.contextmanager
def only_sense(path: Path):
    """Figures that lead nowhere are no error of ours: a file may hold anything at all."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError,
            ValueError) as error:
        raise BenchmarkError(f"{path} is not a report of obmallocbench: its figures make no "
                             "sense") from error


@contextlib.contextmanager
def report_folder(path: Path):
    """Make the folder if need be and prove that files can be put there, before any run.

    A folder made here is removed again when what follows fails and left it empty.
    """
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BenchmarkError(f"cannot write in {path}: {error.strerror}") from error
    try:
        yield path
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
