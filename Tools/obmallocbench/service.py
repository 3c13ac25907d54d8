"""A web service under load, and what stays in memory afterwards.

gunicorn with Flask (web/application.py) runs under one interpreter, once for each arm in turn. wrk
asks for reports, then nobody asks for anything, then a load balancer asks for /health once a
second. The memory of all of the service's processes together (the sum of their Pss) is read twice a
second.
"""
from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Callable, Sequence

from shared import processes

from . import allocators, experiment, machine, packages, running
from .document import SERVICE_FORMAT
from .errors import BenchmarkError

PACKAGES = ("flask", "gunicorn")
APPLICATION = Path(__file__).resolve().parent / "web"
ARMS = (allocators.STOCK, allocators.OURS, "arena-max=1", "malloc_trim", "jemalloc-tuned",
        "mimalloc3-purge")
LOAD, IDLE, HEALTH = PHASES = ("load", "idle", "health")
OPTIONS = {"workers": 2, "connections": 4, LOAD: 30, IDLE: 30, HEALTH: 30}   # the phases in seconds
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 2
START_SECONDS = 60
STOP_SECONDS = 30
WRK_GRACE_SECONDS = 60.0
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def find_wrk() -> str:
    """Return the path of wrk; BenchmarkError without one."""
    path = shutil.which("wrk")
    if path is None:
        raise BenchmarkError("no program wrk: install it (apt-get install wrk)")
    return path


def answers_of_wrk(text: str) -> dict[str, float]:
    """Return requests a second and the 99th percentile of the latency, in seconds, from what wrk
    printed; BenchmarkError when requests failed."""
    failed = re.search(r"Socket errors.*|Non-2xx.*", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    latency = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", text)
    if failed or rate is None or latency is None:
        raise BenchmarkError(f"wrk: {failed.group() if failed else 'no figures in what it said'}")
    return {"requests_per_second": float(rate.group(1)),
            "p99_seconds": float(latency.group(1)) * UNITS[latency.group(2)]}


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process; 0 when it has just ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) * machine.KIBIBYTE


class Service:
    """gunicorn with its workers, and their memory over time, while the context lasts."""

    def __init__(self, arm: running.Arm, folder: Path, workers: int):
        """folder: of the packages."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.command = [arm.path, "-m", "gunicorn", "--workers", str(workers), "--log-level",
                        "error", "--bind", f"127.0.0.1:{self.port}", "application:application"]
        self.environment = machine.clean_environment({**arm.environment,
                                                      "PYTHONPATH": str(folder)})
        self.samples: list[tuple[float, int]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Service:
        self.process = subprocess.Popen(self.command, cwd=APPLICATION, env=self.environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.begin = time.monotonic()
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        self.thread.start()
        return self

    def __exit__(self, *problem) -> None:
        self.ended.set()
        self.thread.join()
        self.stop()

    def stop(self) -> None:
        """End all of its processes, by force if they do not listen."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def ask(self, path: str) -> bytes:
        """Return what it answers."""
        with urllib.request.urlopen(self.url(path), timeout=START_SECONDS) as answer:
            return answer.read()

    def wait_until_it_answers(self) -> None:
        """Return when it does; BenchmarkError when it ended, or took too long."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("health")
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise BenchmarkError("gunicorn did not start: does this interpreter have what "
                                         "gunicorn and Flask need (ssl, sqlite3)?") from error
                time.sleep(0.1)

    def processes(self) -> list[int]:
        """Return the process ids of gunicorn and its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [pid, *map(int, children.split())]

    def sample(self) -> tuple[float, int]:
        """Return the seconds since the start, and the memory of all processes in bytes."""
        held = sum(map(pss_bytes, self.processes()))
        return round(time.monotonic() - self.begin, 2), held

    def watch(self) -> None:
        """Take samples until the end."""
        while not self.ended.wait(SAMPLE_SECONDS):
            self.samples.append(self.sample())


def run_arm(arm: running.Arm, folder: Path, parameters: dict[str, int], wrk: str) -> dict:
    """Return the document's part about one run of an arm. folder: of the packages."""
    with Service(arm, folder, parameters["workers"]) as service:
        time.sleep(SETTLE_SECONDS)
        marks = [service.sample()]
        said = processes.output_of(
            [wrk, "--latency", "--threads", "1", "--connections", str(parameters["connections"]),
             "--duration", f"{parameters[LOAD]}s", "--timeout", "30s", service.url("report")],
            "wrk", parameters[LOAD] + WRK_GRACE_SECONDS)
        marks.append(service.sample())
        time.sleep(parameters[IDLE])
        marks.append(service.sample())
        for _ in range(parameters[HEALTH]):
            service.ask("health")
            time.sleep(1)
        marks.append(service.sample())
    return {"base_bytes": marks[0][1], "base_seconds": marks[0][0],
            "peak_bytes": max(held for _, held in (*service.samples, *marks)),
            **answers_of_wrk(said),
            "phases": [{"phase": phase, "seconds": seconds, "bytes": held}
                       for phase, (seconds, held) in zip(PHASES, marks[1:])],
            "samples": service.samples}


def run_service(sources: allocators.Sources, names: Sequence[str], parameters: dict[str, int],
                runs: int, progress: Callable[[str], None]) -> dict:
    """Run everything and return the document.

    names: of the arms. parameters: as OPTIONS. runs: of each arm, in turn.
    """
    wrk = find_wrk()
    progress("packages")
    interpreter = sources.interpreters["stock"]
    target, versions = packages.install(PACKAGES, interpreter, sources.packages)
    facts = experiment.circumstances(sources.interpreters)
    arms, skipped = allocators.find_all(names, sources)
    results: dict[str, list] = {found.arm.name: [] for found in arms}
    for number in range(runs):
        for found in arms:
            progress(f"round {number + 1} of {runs}: {found.arm.name}")
            results[found.arm.name].append(run_arm(found.arm, target, parameters, wrk))
    return {"format": SERVICE_FORMAT, **experiment.finish_circumstances(facts),
            "parameters": parameters, "packages": versions, "skipped": skipped,
            "arms": [{**found.description(), "runs": results[found.arm.name]} for found in arms]}
