"""One process of a workload: measured from outside, or watched while it runs.

A timed run is left alone: the clock and wait4 around it, and the line that it writes itself.
A watched run is not timed: its resident set is read every few milliseconds.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from shared import processes

from . import machine
from .errors import BenchmarkError
from .scenarios import Workload

SAMPLE_SECONDS = 0.002      # between two readings of a watched run's resident set


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is compared: a name, the interpreter's name in the report and path, its variables."""

    name: str
    interpreter: str
    path: str
    environment: dict[str, str]


class Process:
    """A started workload: ended and reaped whatever happens, its output kept."""

    def __init__(self, arm: Arm, scenario: Workload, parameters: dict[str, int | str],
                 limit: float):
        """Start it. limit: seconds after which it is killed."""
        command = [*machine.interpreter_command(arm.path), str(scenario.script),
                   *scenario.command_options(parameters)]
        self.arm = arm
        self.limit = limit
        self.output = tempfile.TemporaryFile()
        self.errors = tempfile.TemporaryFile()
        self.status: int | None = None
        self.usage = None
        self.epoch = time.time()
        self.started = time.perf_counter()
        try:
            self.child = subprocess.Popen(
                command, env=machine.clean_environment(arm.environment),
                stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.errors)
        except OSError as error:
            raise BenchmarkError(f"{arm.path} cannot be run: {error.strerror}") from error
        self.timer = threading.Timer(limit, self.kill)
        self.timer.daemon = True
        self.timer.start()

    def kill(self) -> None:
        """End it. Not by Popen.kill(), which reaps one that has ended, and with it what it used."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, signal.SIGKILL)

    def wait(self, options: int = 0) -> bool:
        """Reap the process; with os.WNOHANG only if it has ended. Return whether it has."""
        if self.status is None:
            pid, status, usage = os.wait4(self.child.pid, options)
            if pid == 0:
                return False
            self.real = time.perf_counter() - self.started
            self.timer.cancel()
            self.status, self.usage = os.waitstatus_to_exitcode(status), usage
            self.child.returncode = self.status
        return True

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception) -> None:
        self.timer.cancel()
        if self.status is None:
            self.kill()
            self.wait()
        self.output.close()
        self.errors.close()

    def document(self) -> dict:
        """Return what the workload wrote; BenchmarkError when it failed or wrote anything else."""
        if self.status != 0:
            raise BenchmarkError(f"arm {self.arm.name!r}: {self.arm.path} {self.failure()}")
        self.output.seek(0)
        text = self.output.read().decode("utf-8", "replace")
        return parse_line(text, f"arm {self.arm.name!r}: {self.arm.path}")

    def failure(self) -> str:
        """Return in words how the process failed: signal or status, and its last line."""
        self.errors.seek(0)
        last = processes.last_line(self.errors.read().decode("utf-8", "replace"))
        late = self.status == -signal.SIGKILL and self.real >= self.limit
        how = (f"was ended after {self.limit:g} s (--limit)" if late
               else processes.ending(self.status))
        return f"{how}: {last}"


def parse_line(text: str, source: str) -> dict:
    """Return the JSON line (dictionary) that a workload wrote; source names it in the error."""
    lines = text.strip().splitlines()
    try:
        document = json.loads(lines[-1])
        document["phases"][0]["rss_bytes"]
        document["measuring"]["real_seconds"]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        found = repr(lines[-1][:60]) if lines else "nothing"
        raise BenchmarkError(f"{source} did not report its phases; it wrote {found}") from error
    return document


def peak_bytes(document: dict, outside: int) -> int:
    """Return a run's largest resident set in bytes.

    From VmHWM, which the run read of itself, and its own marks: the kernel keeps VmHWM from a
    counter that lags by some pages a processor. ru_maxrss (outside) only where VmHWM is missing,
    since a child's ru_maxrss begins with the resident set of the process that started it.
    """
    marks = [phase["rss_bytes"] or 0 for phase in document["phases"]]
    return max(document.get("peak_rss_bytes") or outside, *marks)


def timed_run(arm: Arm, scenario: Workload, parameters: dict[str, int | str], limit: float) -> dict:
    """Run the workload once, alone. Return its figures: seconds, bytes, and its own phases."""
    with Process(arm, scenario, parameters, limit) as process:
        process.wait()
        return result_of(process)


def result_of(process: Process) -> dict:
    """Return the figures of a process that has ended: seconds, bytes, and its own phases.

    The seconds are without those in which it read its own memory, which grow with what is resident
    and would be held against who keeps memory, or slept to be looked at.
    """
    document, usage = process.document(), process.usage
    outside = usage.ru_maxrss * machine.KIBIBYTE     # its unit on Linux
    measuring = document["measuring"]
    return {
        "real_seconds": process.real - measuring["real_seconds"],
        "user_seconds": usage.ru_utime - measuring["user_seconds"],
        "system_seconds": usage.ru_stime - measuring["system_seconds"],
        "measuring": measuring,
        "peak_rss_bytes": peak_bytes(document, outside),
        "rusage_peak_rss_bytes": outside,
        "involuntary_switches": usage.ru_nivcsw,
        "minor_faults": usage.ru_minflt,
        "phases": document["phases"],
        "figures": document.get("figures", {}),
    }


def resident_bytes(descriptor: int, page: int) -> int:
    """Return the resident set that an open statm tells; 0 once the process has ended."""
    try:
        words = os.pread(descriptor, 256, 0).split()
    except ProcessLookupError:
        return 0
    return int(words[1]) * page if len(words) > 1 else 0


def watched_run(arm: Arm, scenario: Workload, parameters: dict[str, int | str],
                limit: float) -> dict:
    """Run the workload once and sample it.

    Returns samples, a list of [seconds since the process was started, resident bytes], and marks,
    a list of {phase, seconds on the same axis, rss_bytes}. The two clocks meet in the time since
    1970 that both sides read.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    samples = []
    with Process(arm, scenario, parameters, limit) as process:
        statm = os.open(f"/proc/{process.child.pid}/statm", os.O_RDONLY)
        try:
            while not process.wait(os.WNOHANG):
                resident = resident_bytes(statm, page)
                if resident:
                    samples.append([round(time.perf_counter() - process.started, 5), resident])
                time.sleep(SAMPLE_SECONDS)
        finally:
            os.close(statm)
        document = process.document()
    offset = (document.get("start_epoch_seconds") or process.epoch) - process.epoch
    marks = [{"phase": phase["phase"], "seconds": offset + phase["wall_seconds"],
              "rss_bytes": phase["rss_bytes"]} for phase in document["phases"]]
    return {"sample_seconds": SAMPLE_SECONDS, "end_seconds": process.real,
            "samples": samples, "marks": marks}
