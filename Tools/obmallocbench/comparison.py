"""Every scenario under every allocator, in turn, gathered in one document.

A process that has done its work tells so, and then only sleeps, to be looked at after some idle
seconds. Meanwhile the next one works: on a machine with two processors neither disturbs the other.
"""
from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import Callable, Sequence

from shared import files, packages

from . import allocators, experiment, running
from .document import COMPARISON_FORMAT as FORMAT
from .errors import BenchmarkError
from .journal import Journal, key_of
from .scenarios import RestScenario

DISCARDED = 1                       # rounds at the start that are not counted
MOST_RESTING = 6                    # processes asleep at a time, and at most one a GiB of memory
POLL_SECONDS = 0.01


def resting_most(memory: int | None) -> int:
    """Return how many processes may sleep at a time on a machine with so many bytes."""
    return max(min(MOST_RESTING, (memory or 0) >> 30), 1)


def script_checksum(scenario: RestScenario) -> str:
    """Return a checksum of a workload and of what workloads share."""
    return files.sha256(b"".join(path.read_bytes() for path in scenario.sources))


def signature(path: str) -> tuple[int, ...]:
    """Return what changes when a file is written anew."""
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def ensure_unchanged(path: str, known: tuple[int, ...]) -> None:
    """BenchmarkError unless a file's signature is the one that is known."""
    if signature(path) != known:
        raise BenchmarkError(f"{path} was built anew meanwhile: start again")


class Task:
    """One arm of a scenario: what is run, round by round, and the key of its runs."""

    def __init__(self, scenario: RestScenario, found: allocators.Found, parameters: dict,
                 rest: float, facts: dict, folder: Path | None, versions: dict[str, str]):
        """parameters: what the script is given. rest: seconds for which it rests after its work.
        facts: the circumstances. folder, versions: of the packages that it imports."""
        self.scenario, self.found = scenario, found
        self.parameters, self.rest = parameters, rest
        self.signature = signature(found.arm.path)
        arm, additions = found.arm, {} if folder is None else {"PYTHONPATH": str(folder)}
        self.arm = running.Arm(arm.name, arm.interpreter, arm.path,
                               {**arm.environment, **additions})
        self.key = key_of({
            "arm": arm.name, "environment": arm.environment, "library": found.sha256,
            "interpreter": facts["interpreters"][arm.interpreter]["sha256"],
            "machine": facts["machine"], "packages": versions, "parameters": self.parameters,
            "script": script_checksum(scenario)})

    def begin(self, limit: float) -> running.Process:
        """Start a process, and return it when it has done its work, or has ended."""
        ensure_unchanged(self.arm.path, self.signature)
        self.load = os.getloadavg()[0]
        process = running.Process(self.arm, self.scenario, self.parameters, limit + self.rest)
        try:
            while not (process.wait(os.WNOHANG) or os.fstat(process.output.fileno()).st_size):
                time.sleep(POLL_SECONDS)
        except BaseException:
            process.__exit__()
            raise
        return process


def result_of(process: running.Process, load: float) -> dict:
    """Wait for a process and return its run. load: the load average as it began."""
    with process:
        process.wait()
        run = running.result_of(process)
    started = datetime.datetime.fromtimestamp(process.epoch, datetime.timezone.utc)
    return {"date": started.isoformat(timespec="seconds"), "load_average": load, **run}


def run_tasks(tasks: Sequence[tuple[Task, int]], journal: Journal, most: int, limit: float,
              progress: Callable[[str, bool], None]) -> None:
    """Run tasks, each in its round, one after the other; add what comes out to the journal.

    most: processes that may sleep meanwhile. progress: called with a line, and whether it begins
    a round of a scenario.
    """
    resting: list[tuple[Task, int, running.Process, float]] = []

    def finish() -> None:
        task, number, process, load = resting.pop(0)
        try:
            journal.add(task.key, number, result_of(process, load))
        except BenchmarkError as error:
            raise BenchmarkError(f"scenario {task.scenario.key!r}, {error}") from error
    before = None
    began = time.monotonic()
    try:
        for done, (task, number) in enumerate(tasks):
            left = (time.monotonic() - began) / done * (len(tasks) - done) if done else None
            words = "" if left is None else f", about {left / 60:.0f} min left"
            here = (task.scenario.key, number)
            progress(f"run {done + 1} of {len(tasks)}{words}: {task.scenario.title}, round "
                     f"{number + 1}, {task.arm.name}", here != before)
            before = here
            while len(resting) >= most or (resting and resting[0][2].wait(os.WNOHANG)):
                finish()
            process = task.begin(limit)
            resting.append((task, number, process, task.load))
        while resting:
            finish()
    finally:
        for _, _, process, _ in resting:
            process.__exit__()


def provide(scenarios: Sequence[RestScenario], interpreter: dict, folder: Path
            ) -> tuple[dict[str, tuple[Path | None, dict]], list[dict]]:
    """Return for the key of each scenario that can be run the folder and versions of its packages;
    and the scenarios that cannot, as {name, reason}."""
    provided, skipped = {}, []
    for scenario in scenarios:
        try:
            provided[scenario.key] = (packages.install(scenario.packages, interpreter, folder)
                                      if scenario.packages else (None, {}))
        except BenchmarkError as error:
            skipped.append({"name": scenario.key, "reason": str(error)})
    return provided, skipped


def compare(scenarios: Sequence[RestScenario], names: Sequence[str], sources: allocators.Sources,
            runs: int, idle: str, journal: Journal, limit: float, again: bool,
            progress: Callable[[str, bool], None]) -> dict:
    """Run what the journal has not, and return the document.

    names: of the arms. runs: rounds, the discarded one included. idle: seconds, as text with
    commas. again: whether what the journal has is run all the same.
    """
    rest = max(map(float, idle.split(",")))
    parts, facts = run_all(scenarios, [*names, allocators.AGAIN], sources, {"idle": idle}, rest,
                           runs, DISCARDED, journal, limit, again, progress)
    return {"format": FORMAT, **facts, "idle": idle.split(","), **parts}


def run_all(scenarios: Sequence[RestScenario], names: Sequence[str], sources: allocators.Sources,
            additions: dict, rest: float, runs: int, discarded: int, journal: Journal,
            limit: float, again: bool, progress: Callable[[str, bool], None]
            ) -> tuple[dict, dict]:
    """Run what the journal has not; return the document's parts about runs, arms and scenarios,
    and the circumstances.

    names: of the arms. additions: what every script is given besides its options. rest: seconds
    for which each rests. runs: rounds, the discarded ones included.
    """
    facts = experiment.circumstances(sources.interpreters)
    found, skipped = allocators.find_all(names, sources)
    provided, without = provide(scenarios, sources.interpreters["stock"], sources.packages)
    kept = [scenario for scenario in scenarios if scenario.key in provided]
    if not kept:
        raise BenchmarkError(f"no scenario can be run: {without[0]['reason']}")
    tasks = {(scenario.key, one.arm.name): Task(scenario, one, {**scenario.options, **additions},
                                                rest, facts, *provided[scenario.key])
             for scenario in kept for one in found}
    wanted = [(tasks[scenario.key, one.arm.name], number)
              for scenario in kept for number in range(runs) for one in found]
    run_tasks([(task, number) for task, number in wanted
               if again or (task.key, number) not in journal.runs],
              journal, resting_most(facts["machine"]["memory_bytes"]), limit, progress)
    return {
        "runs": {"made": runs, "discarded": discarded, "counted": runs - discarded},
        "arms": [one.description() for one in found], "skipped": skipped + without,
        "scenarios": [{
            "key": scenario.key, "title": scenario.title, "parameters": scenario.options,
            "resident": scenario.resident, "packages": provided[scenario.key][1],
            "arms": [{"name": one.arm.name, "runs": [
                {"round": number, "counted": number >= discarded,
                 **journal.runs[tasks[scenario.key, one.arm.name].key, number]}
                for number in range(runs)]} for one in found]} for scenario in kept],
    }, experiment.finish_circumstances(facts)
