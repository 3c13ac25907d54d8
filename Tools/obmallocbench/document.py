"""The report's form: what obj.json must hold, reading it, and writing files whole or not at all."""
from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from .errors import BenchmarkError
from .experiment import FORMAT
from .scenarios import SCENARIOS

NUMBER = (int, float)
OPTIONAL_TEXT = (str, type(None))

# A dictionary stands for one with at least these keys, a list of one form for a list of such.
PHASE = {"phase": str, "wall_seconds": NUMBER, "user_seconds": NUMBER, "system_seconds": NUMBER,
         "rss_bytes": int}
RUN = {"round": int, "counted": bool, "real_seconds": NUMBER, "user_seconds": NUMBER,
       "system_seconds": NUMBER, "peak_rss_bytes": int, "rusage_peak_rss_bytes": int,
       "phases": [PHASE]}
CURVE = {"sample_seconds": NUMBER, "end_seconds": NUMBER, "samples": [[NUMBER]],
         "marks": [{"phase": str, "seconds": NUMBER, "rss_bytes": int}]}
INTERPRETER = {"path": str, "version": str, "compiler": str, "configured_with": str,
               "sha256": str, "is_script": bool}
FORM = {
    "format": str, "scenario": str, "parameters": dict, "date": str, "runner": str,
    "runs": {"made": int, "discarded": int, "counted": int},
    "machine": {"cpu_model": OPTIONAL_TEXT, "cores": int, "memory_bytes": (int, type(None)),
                "page_bytes": int, "kernel": str, "transparent_huge_pages": OPTIONAL_TEXT},
    "repository": {"commit": OPTIONAL_TEXT, "dirty": (bool, type(None))},
    "load_average": {"before": [NUMBER], "after": [NUMBER]},
    "interpreters": {"stock": INTERPRETER, "patched": INTERPRETER},
    "arms": [{"name": str, "interpreter": str, "environment": dict, "runs": [RUN],
              "curve": CURVE}],
}


def problems(value, form=FORM, place: str = "report") -> list[str]:
    """Return where value departs from form, one sentence each; an empty list when nowhere."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return [f"{place} is no object"]
        return [problem for key, part in form.items() for problem in (
            problems(value[key], part, f"{place}.{key}") if key in value
            else [f"{place}.{key} is missing"])]
    if isinstance(form, list):
        if not isinstance(value, list) or not value:
            return [f"{place} is no list, or empty"]
        return [problem for index, item in enumerate(value)
                for problem in problems(item, form[0], f"{place}[{index}]")]
    if not isinstance(value, form):
        return [f"{place} has the wrong type {type(value).__name__}"]
    return []


def read(path: Path) -> dict:
    """Return the document in a file; BenchmarkError when it is not one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error
    found = problems(document)
    if not found and document["format"] != FORMAT:
        found = [f"its format is {document['format']!r}, not {FORMAT!r}"]
    if not found and document["scenario"] not in SCENARIOS:
        found = [f"it knows no scenario {document['scenario']!r}"]
    if found:
        raise BenchmarkError(f"{path} is not a report of obmallocbench: {found[0]}")
    return document


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error


def write(path: Path, document: dict) -> None:
    """Write the document as JSON, keys in the order in which they were put in."""
    write_whole(path, (json.dumps(document, indent=1) + "\n").encode("utf-8"))


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
