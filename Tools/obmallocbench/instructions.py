"""Instructions of the allocation-heavy programs, and the memory that they take at most."""
from __future__ import annotations

import dataclasses
import os
from typing import Callable, Sequence

from shared import processes

from . import callgrind, experiment, machine, running
from .callgrind import Profile
from .errors import BenchmarkError
from .scenarios import LARGER_NAMES, workload_of_program

FORMAT = "obmallocbench instructions 2"
PEAK_FACTOR = 5             # objects of a run whose peak is read, for each one under valgrind
PEAK_RUNS = 3
IDLE_RUNS = 64              # single ones differ by 0.4 MiB, with the addresses of the code
IDLE_SECONDS = 60
READ_BYTES = 1 << 20
IDLE_CODE = "print(open('/proc/self/smaps_rollup').read())"


def read_again(interpreter: str) -> None:
    """Let the system forget the file of an interpreter, and read it from its start to its end.

    How much of a file a fault maps depends on how the page cache got it: the difference of two
    interpreters was 0.66 MiB as the compiler had left them, and 0.36 to 0.43 when read like this.
    """
    try:
        with open(os.path.realpath(interpreter), "rb", buffering=0) as stream:
            os.fsync(stream.fileno())       # what is not written yet can't be forgotten
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while stream.read(READ_BYTES):
                pass
    except OSError as error:
        raise BenchmarkError(f"{interpreter} cannot be read: {error}") from error


def idle_rss_bytes(interpreter: str) -> int:
    """Return what is resident of ``python -c pass``, in bytes.

    The code is not pass but reads its own figure, the same in both interpreters.
    """
    read_again(interpreter)
    text = processes.output_of([interpreter, "-c", IDLE_CODE], f"{interpreter} -c", IDLE_SECONDS,
                               machine.clean_environment({}))
    for line in text.splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * machine.KIBIBYTE
    raise BenchmarkError(f"{interpreter} -c cannot tell its resident set")


def described(profile: Profile) -> dict:
    """Return a profile as the document holds it."""
    return {**dataclasses.asdict(profile), "functions": dict(profile.functions.most_common()),
            "files": dict(profile.files.most_common())}


def run_program(name: str, arms: Sequence[running.Arm], start_up: dict[str, Profile],
                valgrind: str, size: int, limit: float, whole: bool) -> dict:
    """Return the document's part about one program. start_up: each arm's profile without it;
    whole: a profile need not tell the allocator's lines from others. It does not of a program that
    allocates above 512 bytes: stock's malloc for these is not among those lines."""
    whole = whole or name in LARGER_NAMES
    workload = workload_of_program(name)
    result = {"name": name, "arms": {}}
    for arm in arms:
        profile = callgrind.count(valgrind, arm.path, workload, {"program": name, "size": size},
                                  limit)
        own = profile.minus(start_up[arm.name])
        if whole:
            own = Profile(own.total)
        elif own.allocator <= 0 < size:
            raise BenchmarkError(f"{arm.path}: the profile names no line of Objects/obmalloc.c; "
                                 "was it built without -g, or does it not use it? "
                                 "--whole compares whole programs only")
        result["arms"][arm.name] = described(own)
    parameters = {"program": name, "size": size * PEAK_FACTOR}
    for arm in arms:
        read_again(arm.path)
    for arm in experiment.run_rounds(arms, workload, parameters, PEAK_RUNS, 0, limit,
                                     lambda line: None):
        result["arms"][arm["name"]]["peak_rss_bytes"] = [run["peak_rss_bytes"]
                                                         for run in arm["runs"]]
    return result


def run_programs(names: Sequence[str], interpreters: dict[str, dict], size: int, limit: float,
                 progress: Callable[[str], None], *, whole: bool = False) -> dict:
    """Run all programs and return the document. whole: count all instructions of whole programs,
    and no single parts."""
    valgrind = callgrind.find_valgrind()
    facts = experiment.circumstances(interpreters)
    arms = experiment.arms_of(interpreters["stock"], interpreters["patched"])[:2]
    progress("start-up")
    start_up: dict[str, dict[str, Profile]] = {}
    for name in names:
        workload = workload_of_program(name)
        if workload.name not in start_up:
            start_up[workload.name] = {
                arm.name: callgrind.count(valgrind, arm.path, workload,
                                          {"program": name, "size": 0}, limit) for arm in arms}
    programs = []
    for number, name in enumerate(names):
        progress(f"program {number + 1} of {len(names)}: {name}")
        programs.append(run_program(name, arms, start_up[workload_of_program(name).name], valgrind,
                                    size, limit, whole))
    progress("at rest")
    idle = {arm.name: [idle_rss_bytes(arm.path) for _ in range(IDLE_RUNS)] for arm in arms}
    return {
        "format": FORMAT,
        **experiment.finish_circumstances(facts),
        "valgrind": callgrind.version_of(valgrind),
        "parameters": {"size": size, "peak_size": size * PEAK_FACTOR, "whole": whole},
        "start_up": [{"workload": workload,
                      "arms": {name: described(profile) for name, profile in profiles.items()}}
                     for workload, profiles in start_up.items()],
        "idle_rss_bytes": idle,
        "programs": programs,
    }
