"""Recording: a stock interpreter runs a script with the recorder preloaded.

A trace NAME.trace has beside it NAME.json, which says what it was recorded from; it is recorded
again when the script has another text or the interpreter another version.
"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Sequence

from shared import files, processes
from shared.forms import problems

from . import machine, native
from .errors import BenchmarkError

FORMAT = "obmallocbench trace 2"
FACTS = {"format": str, "script_sha256": str, "python": str}


def find_recorder(folder: Path) -> Path:
    """Return the path of the recorder, a library for LD_PRELOAD, compiled if need be."""
    if not sys.platform.startswith("linux"):
        raise BenchmarkError("traces are recorded on Linux only")
    return native.build("recorder", ["recorder.c"], ["-shared", "-fPIC"], [], folder)


def facts_of(script: Path, interpreter: dict) -> dict:
    """Return what a trace of a script, run by a described interpreter, is recorded from."""
    try:
        content = script.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"cannot read {script}: {error.strerror}") from error
    return {"format": FORMAT, "script_sha256": files.sha256(content), "python": interpreter["version"]}


def read_facts(trace: Path) -> dict | None:
    """Return what a trace was recorded from; None when it, or that, is not there."""
    if not trace.exists():
        return None
    facts = files.read_json(trace.with_suffix(".json"), {})
    return None if problems(facts, FACTS) else facts


def record(recorder: Path, interpreter: dict, words: Sequence[str], trace: Path,
           limit: float) -> None:
    """Run an interpreter with words (script and arguments) and leave the trace, whole; when that
    fails, the one that was there. interpreter: as machine.describe_interpreter returns. limit:
    seconds."""
    new = trace.with_name(f"{trace.name}.new")
    part = new.with_name(f"{new.name}.part")
    for leftover in (part, new):
        leftover.unlink(missing_ok=True)
    environment = machine.clean_environment({"LD_PRELOAD": str(recorder.resolve()),
                                             "OBMALLOC_TRACE": str(new.resolve())})
    command = [*machine.interpreter_command(interpreter["path"]), *words]
    name = f"{interpreter['path']} {words[0]}"
    try:
        processes.output_of(command, name, limit, environment)
        if part.exists():
            raise BenchmarkError(f"{name} was not recorded to its end: it did not end by exit()")
        if not new.exists():
            raise BenchmarkError(f"{name} was not recorded: the interpreter exports no "
                                 "PyMem_SetAllocator()")
        trace.with_suffix(".json").unlink(missing_ok=True)
        new.replace(trace)
    finally:
        for leftover in (part, new):
            leftover.unlink(missing_ok=True)


def record_program(recorder: Path, interpreter: dict, script: Path, trace: Path, limit: float,
                   again: bool) -> bool:
    """Record a script unless its trace is there, or in any case if again. Return whether it was."""
    facts = facts_of(script, interpreter)
    if read_facts(trace) == facts and not again:
        return False
    record(recorder, interpreter, [str(script)], trace, limit)
    files.write_json(trace.with_suffix(".json"), facts)
    return True
