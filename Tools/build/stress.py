"""make test-stress: our own tests again and again, in random order, beside a load on every processor.

It finds the tests that a busy machine breaks.  Nothing is repeated: a test that failed
once is named.  Each round has a seed of its own, from which its order follows; the
rounds after SEED have SEED + 1 and so on, so any of them can be run again alone.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import package
import places
import suite
import unittests
from errors import BuildError, say
from interpreter import VARIANTS, Build, build
from processes import clean_environment, jobs, number
from unittests import Batch
from versions import Release

SINCE = (3, 9)                      # the first series whose tests all run with unittest
ROUNDS = 5
MOST_ROUNDS = 9999
MOST_SEED = 999_999_999
STEP_SECONDS = 3600                 # before a program of a step is said to hang
LOGS = "stress"                     # folder of build/report
_LAST_LINE = re.compile(r"^(\d+) passed, \d+ failed$\n?\Z", re.M)
# Ends with its parent, however that ends.
_BUSY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = int(sys.argv[2])
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


class Result(NamedTuple):
    """What a program of a step came to; failures: the names of the tests that failed."""
    passed: int
    failures: list[str]


class Round(NamedTuple):
    """One round: interpreters, seed, and where the output of its programs goes."""
    stock: Build
    patched: Build
    seed: int

    def log(self, name: str) -> Path:
        """Where a program's output goes, as it comes."""
        file = places.REPORT / LOGS / f"{name.replace('/', '-')}-{self.seed}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def batch(self, batch: Batch) -> Result:
        """Run tests of unittest."""
        log = self.log(batch.name)
        with open(log, "w", encoding="utf-8") as stream:
            status, output, counts = batch.run(seed=self.seed, copy=stream)
        names = [f"{batch.name}: {failure.name}" for failure in unittests.failures(output)]
        if status != 0 and not names:
            names = [f"{batch.name} ended with status {status} (see {places.shown(log)})"]
        return Result(counts["passed"], names)

    def program(self, name: str, command: list[str]) -> Result:
        """Run a program that counts its tests in its last line; none of them has a name here."""
        log = self.log(name)
        with open(log, "w", encoding="utf-8") as stream:
            status, output = unittests.run(command, cwd=places.ROOT, seconds=STEP_SECONDS, copy=stream,
                                           environment={**clean_environment(), "SEED": str(self.seed)})
        counts = _LAST_LINE.search(output)
        passed = int(counts.group(1)) if counts else 0
        return Result(passed, [] if status == 0 else [f"{name} (see {places.shown(log)})"])


def _core(this: Round) -> Iterator[Result]:
    yield this.program("core", ["make", "--no-print-directory", f"JOBS={jobs()}", "check"])


def _tools(this: Round) -> Iterator[Result]:
    batches = list(unittests.tools_batches())
    random.Random(this.seed).shuffle(batches)
    yield from map(this.batch, batches)


def _regression(this: Round) -> Iterator[Result]:
    yield this.batch(Batch("test_obmalloc", ["test.test_obmalloc"], python=str(this.patched.python)))


def _soak(this: Round) -> Iterator[Result]:
    command = suite.soak_command(this.patched, suite.SOAK_SECONDS, jobs(), "--seed", str(this.seed))
    yield this.program("soak", command)


def _preload(this: Round) -> Iterator[Result]:
    yield this.batch(suite.preload_batch(this.stock))


STEPS: dict[str, Callable[[Round], Iterator[Result]]] = {
    "core": _core, "tools": _tools, "regression": _regression, "soak": _soak, "preload": _preload}


def steps_wanted() -> list[str]:
    """The steps that STEPS lists, with spaces or commas between them; all if it is empty."""
    listed = os.environ.get("STEPS", "").replace(",", " ").split() or list(STEPS)
    for step in listed:
        if step not in STEPS:
            raise BuildError(f"STEPS={step} is unknown: choose from {', '.join(STEPS)}")
    return listed


@contextlib.contextmanager
def load() -> Iterator[None]:
    """A process on each processor that does nothing else than keep it busy."""
    processes = []
    try:
        for processor in sorted(os.sched_getaffinity(0)):
            processes.append(subprocess.Popen([sys.executable, "-c", _BUSY, str(processor), str(os.getpid())],
                                              stdin=subprocess.DEVNULL))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def stress(release: Release) -> int:
    """Run the rounds; the exit status is 0 if no test failed in any."""
    if release.series < SINCE:
        raise BuildError(f"make test-stress needs Python {SINCE[0]}.{SINCE[1]} or later: {release.number} is older")
    rounds = number("ROUNDS", ROUNDS, MOST_ROUNDS, "a number of rounds", ROUNDS)
    seed = number("SEED", random.randrange(1, MOST_SEED - MOST_ROUNDS), MOST_SEED, "a seed", 1)
    wanted = steps_wanted()
    stock, patched = (Build(release, VARIANTS[name]) for name in ("stock", "obmalloc"))
    if "preload" in wanted:
        build(release, VARIANTS["stock"])
        package.preload()
    if {"regression", "soak"} & set(wanted):
        build(release, VARIANTS["obmalloc"])
    passed = 0
    failed: dict[str, list[int]] = {}       # seeds of the rounds, by name of the test
    with load():
        for this in (Round(stock, patched, seed + turn) for turn in range(rounds)):
            for step in random.Random(this.seed).sample(wanted, len(wanted)):
                again = f"make test-stress VERSION={release.number} STEPS={step} ROUNDS=1 SEED={this.seed}"
                say(f"--- {step}, round {this.seed - seed + 1} of {rounds}: {again}")
                for result in STEPS[step](this):
                    passed += result.passed
                    for name in result.failures:
                        failed.setdefault(name, []).append(this.seed)
                        say(f"FAILED: {name}")
    for name, seeds in failed.items():
        say(f"failed in {len(seeds)} of {rounds} rounds (SEED={', '.join(map(str, seeds))}): {name}")
    print(f"{passed} passed, {sum(map(len, failed.values()))} failed", flush=True)
    return int(bool(failed))
