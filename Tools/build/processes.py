"""Other programs: a clean environment, a log, progress, and one-line errors."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from errors import BuildError, say
from places import shown
from shared.command import MOST_JOBS, MOST_SECONDS

PROGRESS_SECONDS = 15.0
# What our make hands down to us, and no child should see.
_OURS = {"VERSION", "PREFIX", "CPYTHON", "TREE", "CPYTHON_TARBALL", "CONFIGURE_ARGS",
         "JOBS", "SUITE", "BENCH_ARGS", "PACKAGES", "SECONDS", "MERGE", "ROUNDS", "STEPS", "URL"}
_MAKES = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MAKEFILES", "GNUMAKEFLAGS"}
# Lines of a log that tell why, best first.
_TELLING = (
    re.compile(r"No space left|Disk quota|[Rr]ead-only file system|Cannot allocate|Killed signal"),
    re.compile(r"(fatal )?error:|^E: |ERROR"),
    re.compile(r"\*\*\* "),
)


def clean_environment() -> dict[str, str]:
    """Our environment without our own variables, make's and Python's.

    CPython's makefile and its tests would take them for their own.
    """
    return {
        name: value for name, value in os.environ.items()
        if name not in _OURS and name not in _MAKES and not name.startswith("PYTHON")
    }


def jobs() -> int:
    """How many jobs to run at once: JOBS=, else all processors."""
    return number("JOBS", len(os.sched_getaffinity(0)), MOST_JOBS, "a number of jobs", 2)


def seconds_wanted(default: int) -> int:
    """How long a goal that takes a time is to last: SECONDS=, else the default."""
    return number("SECONDS", default, MOST_SECONDS, "a number of seconds", 600)


def number(variable: str, default: int, most: int, what: str, example: int) -> int:
    """The value of a variable of make from 1 to most, what it is in words; else the default."""
    text = os.environ.get(variable, "") or str(default)
    if not text.isdecimal() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise BuildError(f"{variable}={text} is not {what} from 1 to {most}: "
                         f"say for example {variable}={example}")
    return int(text)


def telling_line(log: Path, start: int = 0) -> str:
    """The line of a log, from byte start on, that says best why a program failed; may be empty."""
    lines = [line.strip() for line in log.read_bytes()[start:].decode(errors="replace").splitlines()]
    for pattern in _TELLING:
        for line in lines:
            if pattern.search(line):
                return line[:300]
    return next((line[:300] for line in reversed(lines) if line), "")


def run_logged(command: Sequence[str], log: Path, *, what: str, cwd: Optional[Path] = None,
               environment: Optional[Mapping[str, str]] = None, append: bool = False,
               progress: Optional[Callable[[], str]] = None) -> None:
    """Run command with its output in log.

    what      names the step in progress and error lines
    progress  if given, its text is shown every PROGRESS_SECONDS

    Raises BuildError with the log's most telling line when it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = shown_at = time.monotonic()
    with open(log, "ab" if append else "wb") as stream:
        start = stream.tell()
        try:
            process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stream,
                                       stderr=subprocess.STDOUT,
                                       env=clean_environment() if environment is None else environment)
        except FileNotFoundError as error:
            raise BuildError(f"{what}: {error.filename} was not found: install it") from None
        try:
            while True:
                try:
                    status = process.wait(1.0)
                    break
                except subprocess.TimeoutExpired:
                    pass
                now = time.monotonic()
                if progress is not None and now - shown_at >= PROGRESS_SECONDS:
                    shown_at = now
                    say(f"{what}: {progress()}, {now - begin:.0f} s")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status != 0:
        raise BuildError(f"{what} failed (status {status}): {telling_line(log, start)} (see {shown(log)})")
