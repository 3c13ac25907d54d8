"""Services under load, and what stays in memory afterwards.

Three services run under one interpreter, once for each arm in turn: gunicorn with Flask, which builds
reports, or keeps sessions (web/application.py), and a Celery worker, which builds reports
(web/jobs.py). They are warmed, then asked as fast as they answer (by wrk, or by web/client.py), then
no request comes, then a health check comes once a second. The memory of all of a service's
processes together (the sum of their Pss) is read twice a second; who keeps it, the processes tell.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Callable, Sequence

from shared import packages, processes

from . import allocators, experiment, machine, running
from .document import SERVICE_FORMAT
from .errors import BenchmarkError

APPLICATION = Path(__file__).resolve().parent / "web"
ARMS = (allocators.STOCK, allocators.OURS, *allocators.MOVING, "arena-max=1", "malloc_trim", "jemalloc-tuned",
        "mimalloc3-purge")
LOAD, IDLE, HEALTH = PHASES = ("load", "idle", "health")
# threads: of each worker, in gunicorn; the phases in seconds.
OPTIONS = {"workers": 2, "threads": 1, "connections": 4, LOAD: 30, IDLE: 30, HEALTH: 30}
WARM_REQUESTS = 10          # before the base is taken
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 2
START_SECONDS = 60
AGAIN_SECONDS = 1           # until a signal that was not answered goes again
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


def pss_bytes(pid: int, field: str = "Pss") -> int:
    """Return the proportional set size of a process, or a part of it (Pss_Anon); 0 when it has just
    ended, or the kernel does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(rf"^{field}:\s+(\d+)", text, re.M)
    return int(found.group(1)) * machine.KIBIBYTE if found else 0


def together(told: Sequence[dict], anonymous: int) -> dict:
    """Return what processes told of their memory (web/telling.py) as if they were one; what one of
    them does not know is not known. anonymous: bytes of all, as Pss."""
    def sums(name: str) -> dict | None:
        parts = [one[name] for one in told]
        if None in parts:
            return None
        return {key: parts[0][key] if key == "page_size" else sum(part[key] for part in parts)
                for key in parts[0]}
    arenas = [one["pymalloc_arena_bytes"] for one in told]
    return {"anonymous_bytes": anonymous or None, "mallinfo": sums("mallinfo"),
            "allocator": sums("allocator"),
            "pymalloc_arena_bytes": None if None in arenas else sum(arenas),
            "remembered_bytes": sum(one["remembered_bytes"] for one in told)}


class Service:
    """A service with its processes, and their memory over time, while the context lasts."""

    title = ""
    packages: tuple[str, ...] = ()
    keeps = True            # what it remembers stays as it is, so that it may be a copy of keep()

    def __init__(self, arm: running.Arm, folder: Path, parameters: dict[str, int]):
        """folder: of the packages. parameters: as OPTIONS."""
        self.arm, self.parameters = arm, parameters
        self.holder = tempfile.TemporaryDirectory(prefix="obmallocbench-")
        self.told = Path(self.holder.name)
        self.surroundings = {"PYTHONPATH": str(folder), "OBMALLOCBENCH_TELL": str(self.told),
                             "OBMALLOCBENCH_QUEUE": str(self.told)}
        self.samples: list[tuple[float, int]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def command(self) -> list[str]:
        """Return the words that start it."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether it answers by now."""
        raise NotImplementedError

    def warm(self) -> None:
        """Ask for some small ones of what the load asks for."""
        raise NotImplementedError

    def load(self) -> dict[str, float]:
        """Ask for as long as the load lasts, and return requests a second and the 99th percentile
        of the latency."""
        raise NotImplementedError

    def health(self) -> None:
        """Check its health once a second for as long as that lasts."""
        raise NotImplementedError

    def __enter__(self) -> Service:
        self.process = subprocess.Popen(
            self.command(), cwd=APPLICATION, stdin=subprocess.DEVNULL,
            env=machine.clean_environment({**self.arm.environment, **self.surroundings}),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.begin = time.monotonic()
        try:
            self.wait_until_it_answers()
            self.warm()
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
        self.holder.cleanup()

    def wait_until_it_answers(self) -> None:
        """Return when it does; BenchmarkError when it ended, or took too long."""
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise BenchmarkError(f"{self.title} did not start: does this interpreter have what "
                                     f"{' and '.join(self.packages)} need (ssl, sqlite3)?")
            time.sleep(0.1)

    def processes(self) -> list[int]:
        """Return the process ids of the service."""
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

    def tellers(self) -> list[int]:
        """Return the process ids of those that listen to our signals (web/telling.py)."""
        return [pid for pid in self.processes() if (self.told / str(pid)).exists()]

    def order(self, pid: int, number: int, suffix: str) -> str:
        """Have a process do what a signal means to it, and return the text of PID.suffix, which it
        writes when it has. The signal goes again while there is no answer: Python does not look
        for one that comes just before a call that blocks."""
        path = self.told / f"{pid}.{suffix}"
        path.unlink(missing_ok=True)
        end = time.monotonic() + START_SECONDS
        while True:
            os.kill(pid, number)
            again = time.monotonic() + AGAIN_SECONDS
            while time.monotonic() < again:
                if path.exists():
                    return path.read_text(encoding="ascii")
                time.sleep(0.01)
            if again > end:
                raise BenchmarkError(f"{self.title}: process {pid} does not answer")

    def look(self) -> tuple[tuple[float, int], dict]:
        """Return a sample, and who keeps the memory of all processes, as those that listen tell."""
        anonymous = sum(pss_bytes(pid, "Pss_Anon") for pid in self.processes())
        sample = self.sample()
        told = [json.loads(self.order(pid, signal.SIGRTMIN, "json")) for pid in self.tellers()]
        if not told:
            raise BenchmarkError(f"{self.title}: no process tells what it keeps")
        return sample, together(told, anonymous)

    def end_of_load(self) -> None:
        """Tell those that listen that their work is over."""
        for pid in self.tellers():
            self.order(pid, signal.SIGRTMIN + 1, "trimmed")


class WebService(Service):
    """gunicorn with the Flask application, asked for one of its paths."""

    packages = ("flask", "gunicorn")
    path = small = ""       # asked for under load, and to warm it

    def __init__(self, arm: running.Arm, folder: Path, parameters: dict[str, int]):
        super().__init__(arm, folder, parameters)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def command(self) -> list[str]:
        return [self.arm.path, "-m", "gunicorn", "--workers", str(self.parameters["workers"]),
                "--threads", str(self.parameters["threads"]),
                "--log-level", "error", "--bind", f"127.0.0.1:{self.port}",
                "application:application"]

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def ask(self, path: str) -> bytes:
        """Return what it answers."""
        with urllib.request.urlopen(self.url(path), timeout=START_SECONDS) as answer:
            return answer.read()

    def answers(self) -> bool:
        try:
            self.ask("health")
        except OSError:
            return False
        return True

    def warm(self) -> None:
        for _ in range(WARM_REQUESTS):
            self.ask(self.small)

    def load(self) -> dict[str, float]:
        seconds = self.parameters[LOAD]
        return answers_of_wrk(processes.output_of(
            [find_wrk(), "--latency", "--threads", "1", "--connections",
             str(self.parameters["connections"]), "--duration", f"{seconds}s", "--timeout", "30s",
             self.url(self.path)], "wrk", seconds + WRK_GRACE_SECONDS))

    def health(self) -> None:
        for _ in range(self.parameters[HEALTH]):
            self.ask("health")
            time.sleep(1)


class Reports(WebService):
    """Reports are built and dropped; of each some rows are remembered."""

    title, path, small = "gunicorn and Flask, reports", "report", "small"


class Sessions(WebService):
    """Sessions of many users, most of which expire."""

    title, path, small = "gunicorn and Flask, sessions", "visit", "visit"
    keeps = False


class Jobs(Service):
    """A Celery worker with processes of its own; what asks it is a client without the arm's
    allocator."""

    title, packages = "a Celery worker, reports", ("celery",)

    def command(self) -> list[str]:
        return [self.arm.path, "-m", "celery", "--app", "jobs", "worker", "--loglevel", "ERROR",
                "--concurrency", str(self.parameters["workers"]), "--without-gossip",
                "--without-mingle", "--without-heartbeat"]

    def client(self, *words: int | str, limit: float) -> str:
        """Run the client, and return what it writes."""
        return processes.output_of(
            [self.arm.path, str(APPLICATION / "client.py"), *map(str, words)], "the Celery client",
            limit, machine.clean_environment(self.surroundings))

    def answers(self) -> bool:
        return bool(self.tellers())

    def warm(self) -> None:
        self.client("warm", 1, self.parameters["connections"], limit=START_SECONDS * 2)

    def load(self) -> dict[str, float]:
        seconds = self.parameters[LOAD]
        return json.loads(self.client("load", seconds, self.parameters["connections"],
                                      limit=seconds + WRK_GRACE_SECONDS * 2))

    def health(self) -> None:
        seconds = self.parameters[HEALTH]
        self.client("health", seconds, limit=seconds + WRK_GRACE_SECONDS * 2)


SERVICES = {"reports": Reports, "sessions": Sessions, "celery": Jobs}


def run_arm(kind: type[Service], arm: running.Arm, folder: Path, parameters: dict[str, int]
            ) -> dict:
    """Return the document's part about one run of an arm. folder: of the packages."""
    with kind(arm, folder, parameters) as service:
        time.sleep(SETTLE_SECONDS)
        sample, before = service.look()
        marks = [sample]
        said = service.load()
        marks.append(service.sample())
        service.end_of_load()
        time.sleep(parameters[IDLE])
        marks.append(service.sample())
        service.health()
        sample, after = service.look()
        marks.append(sample)
    return {"base_bytes": marks[0][1], "base_seconds": marks[0][0], "base_kept_by": before,
            "peak_bytes": max(held for _, held in (*service.samples, *marks)), **said,
            "phases": [{"phase": phase, "seconds": seconds, "bytes": held}
                       for phase, (seconds, held) in zip(PHASES, marks[1:])],
            "end_kept_by": after, "samples": service.samples}


def arms_of(kind: type[Service], arms: Sequence[allocators.Found]) -> list[allocators.Found]:
    """Return those of the arms in which such a service runs."""
    return [found for found in arms
            if kind.keeps or found.arm.environment.get(allocators.MOVE) != "keep"]


def run_service(sources: allocators.Sources, services: Sequence[str], names: Sequence[str],
                parameters: dict[str, int], runs: int, progress: Callable[[str], None]) -> dict:
    """Run everything and return the document.

    services: keys of SERVICES. names: of the arms. parameters: as OPTIONS. runs: of each arm, in
    turn.
    """
    kinds = {key: SERVICES[key] for key in services}
    if any(issubclass(kind, WebService) for kind in kinds.values()):
        find_wrk()
    progress("packages")
    interpreter = sources.interpreters["stock"]
    provided = {key: packages.install(kind.packages, interpreter, sources.packages)
                for key, kind in kinds.items()}
    facts = experiment.circumstances(sources.interpreters)
    arms, skipped = allocators.find_all(names, sources)
    parts = []
    for key, kind in kinds.items():
        folder, versions = provided[key]
        own = arms_of(kind, arms)
        results: dict[str, list] = {found.arm.name: [] for found in own}
        for number in range(runs):
            for found in own:
                progress(f"{kind.title}, round {number + 1} of {runs}: {found.arm.name}")
                results[found.arm.name].append(run_arm(kind, found.arm, folder, parameters))
        parts.append({"key": key, "title": kind.title, "packages": versions,
                      "arms": [{"name": name, "runs": found} for name, found in results.items()]})
    return {"format": SERVICE_FORMAT, **experiment.finish_circumstances(facts),
            "parameters": parameters, "skipped": skipped,
            "arms": [found.description() for found in arms], "services": parts}
