"""Our own tests that unittest runs: how they are run and counted, and a second chance for those that fail.

make test repeats a test of ours that failed, alone and once.  One that passes then is
flaky: it is named, and counted apart.  The core's unit tests are never repeated.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Mapping, NamedTuple, Optional, Sequence, TextIO

import places
from errors import say
from processes import clean_environment

BATCH_SECONDS = 3600                # before a batch of tests is said to hang
REPEAT_SECONDS = 900                # for all repeats of a batch; afterwards none begins
SHUFFLED = Path(__file__).with_name("shuffled.py")
_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
_KINDS = re.compile(r"(failures|errors|skipped|unexpected successes)=(\d+)")
_HEADING = re.compile(r"^={70}\n(?:ERROR|FAIL|UNEXPECTED SUCCESS): (\S+) \(([^()\s]+)\)", re.M)
_FIXTURES = ("setUpClass", "tearDownClass", "setUpModule", "tearDownModule")
_IMPORT_FAILED = "unittest.loader._FailedTest"

Counts = dict[str, int]             # of "passed", "failed", "skipped", and "flaky" where tests are repeated


class Failure(NamedTuple):
    """A test that failed, or several that have no results of their own.

    name      as unittest takes it: of a test, or of the class or module whose fixture
              failed or that could not be imported
    times     failures that it was counted as: a test may have failed in several subtests
    is_group  it is a class or module
    ran       it is among the tests that unittest says to have run: a fixture is not
    """
    name: str
    times: int
    is_group: bool
    ran: bool


class Attempt(NamedTuple):
    """How a process that ran tests ended; status 0: nothing failed."""
    status: int
    output: str
    counts: Counts


@dataclass(frozen=True)
class Batch:
    """Tests that one process runs with unittest.

    name         for people, such as Tools/preload
    arguments    of unittest, with which it finds all of them
    python, cwd, environment    of the process
    """
    name: str
    arguments: Sequence[str]
    python: str = sys.executable
    cwd: Path = places.ROOT
    environment: Mapping[str, str] = field(default_factory=clean_environment)

    def run(self, name: Optional[str] = None, seed: Optional[int] = None,
            seconds: float = BATCH_SECONDS, copy: Optional[TextIO] = None) -> Attempt:
        """Run them all, or what name says; seed: in the order that it draws; copy: as for run()."""
        program = ["-m", "unittest"] if seed is None else [str(SHUFFLED), str(seed)]
        status, output = run([self.python, *program, *([name] if name else self.arguments)],
                             cwd=self.cwd, environment=self.environment, seconds=seconds,
                             copy=copy)
        return Attempt(status, output, count(output, status))


def folder_batch(folder: Path, variables: Mapping[str, str] = {}) -> Batch:
    """The tests of a folder of Tools/."""
    root = import_root(folder)
    path = map(str, dict.fromkeys((folder.parent, folder.parent.parent, root)))
    environment = {**clean_environment(), **variables, "PYTHONDONTWRITEBYTECODE": "1",
                   "PYTHONPATH": os.pathsep.join(path)}
    return Batch(places.shown(folder), ["discover", "-s", str(folder), "-t", str(root)],
                 environment=environment)


def tools_batches() -> Iterator[Batch]:
    """The tests of every folder Tools/*/tests."""
    for folder in sorted((places.ROOT / "Tools").glob("*/tests")):
        if any(folder.glob("test*.py")):
            yield folder_batch(folder)


def import_root(folder: Path) -> Path:
    """The folder from which test modules are imported: the first, upwards,
    that is not a package itself."""
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def run(command: Sequence[object], *, cwd: Path, environment: Mapping[str, str], seconds: float,
        copy: Optional[TextIO] = None) -> tuple[int, str]:
    """Run a program; (its status, what it wrote on both streams).

    seconds  after so many it is killed, and all processes of its session
    copy     gets each line at once, for who waits
    """
    process = subprocess.Popen(list(map(str, command)), cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.start()
    lines = []
    try:
        with process:
            try:
                for line in process.stdout:
                    lines.append(line)
                    if copy is not None:
                        print(line, end="", flush=True, file=copy)
            except BaseException:
                kill()
                process.wait()
                raise
    finally:
        timer.cancel()
    return process.returncode, "".join(lines)


def count(output: str, status: int) -> Counts:
    """Counts from what unittest printed."""
    ran = sum(map(int, _RAN.findall(output)))
    kinds = {kind: int(number) for kind, number in _KINDS.findall(output)}
    skipped = kinds.pop("skipped", 0)
    failed = max(sum(kinds.values()), int(status != 0))
    return {"passed": passed(ran, skipped, failed, output), "failed": failed, "skipped": skipped}


def passed(ran: int, skipped: int, failed: int, output: str) -> int:
    """How many tests passed, given that some failed more than once, and some without having run."""
    named = failures(output)
    return max(ran - skipped - (sum(failure.ran for failure in named) if named else failed), 0)


def failures(output: str) -> list[Failure]:
    """What failed, by what unittest or regrtest printed of it; [] where it was killed before."""
    found: dict[str, Failure] = {}
    for name, place in _HEADING.findall(output):
        is_fixture = name in _FIXTURES
        is_group = is_fixture or place.startswith(_IMPORT_FAILED)
        if is_fixture:
            name = place
        elif not is_group:      # up to Python 3.10 the place is that of the class
            name = place if place.rpartition(".")[2] == name else f"{place}.{name}"
        known = found.get(name, Failure(name, 0, is_group, not is_fixture))
        found[name] = known._replace(times=known.times + 1)
    return list(found.values())


def settle(what: str, first: Attempt, repeat: Callable[[Optional[Failure]], Attempt]) -> Counts:
    """Repeat what failed; the counts with "flaky" for what passed then.

    what    names the tests for people
    repeat  runs one of the failures alone; None: all tests again, since the process ended
            before it named one

    Prints FLAKY: and a name, at the start of a line, for each that is; what a test
    printed that failed again.
    """
    counts = {**first.counts, "flaky": 0}
    if first.status == 0:
        return counts
    counts["failed"] = max(counts["failed"], 1)
    deadline = time.monotonic() + REPEAT_SECONDS
    for failure in failures(first.output) or [None]:
        name = f"{what}: {failure.name}" if failure else what
        if time.monotonic() >= deadline:
            say(f"{name} was not repeated: the {REPEAT_SECONDS} seconds for that are over")
            continue
        again = repeat(failure)
        if again.status != 0 or again.counts["passed"] == 0:
            say(f"{name} was repeated alone, and did not pass either")
            print(again.output, end="", flush=True)
            continue
        print(f"FLAKY: {name}", flush=True)
        if failure is None:
            return {**again.counts, "flaky": 1}
        counts["flaky"] += 1
        counts["failed"] = max(counts["failed"] - failure.times, 0)
        if failure.is_group:    # of none of its tests there is a result yet
            for kind in ("passed", "skipped"):
                counts[kind] += again.counts[kind]
    return counts


def run_and_settle(batch: Batch) -> Counts:
    """Run a batch of tests, repeat what failed, and return the counts."""
    say(f"unit tests in {batch.name}")
    first = batch.run()
    if first.status != 0:
        print(first.output, end="", flush=True)
    return settle(batch.name, first, lambda failure: batch.run(failure.name if failure else None,
                                                               seconds=REPEAT_SECONDS))
