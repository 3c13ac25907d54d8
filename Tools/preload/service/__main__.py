"""A web service under load, and what stays in memory afterwards.

    python3 Tools/preload/service --python PYTHON --library FILE --report FOLDER

runs gunicorn with Flask (application.py) under PYTHON, which must have both,
once for each arm: stock; jemalloc as people preload it (LD_PRELOAD and
PYTHONMALLOC=malloc, --jemalloc FILE); and obmalloc preloaded.  wrk asks for
reports (--load seconds), then nobody asks for anything (--idle), then a load
balancer asks for /health once a second (--health).  The resident memory of all
processes (the sum of Pss) is read twice a second.

Prints a table; writes FOLDER/service.json, and with Matplotlib service.png and
service.svg.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE_SECONDS = 0.5
START_SECONDS = 60
MIB = 1024.0        # KiB


class Service:
    """gunicorn with its workers, and their memory over time."""

    def __init__(self, arguments, variables):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("PYTHON", "LD_", "OBMALLOC"))}
        self.process = subprocess.Popen(
            [arguments.python, "-m", "gunicorn", "--workers", str(arguments.workers), "--log-level", "error",
             "--bind", f"127.0.0.1:{self.port}", "application:application"],
            cwd=HERE, env={**environment, **variables, "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True)
        self.begin = time.monotonic()
        self.samples = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def ask(self, path):
        with urllib.request.urlopen(self.url(path), timeout=START_SECONDS) as answer:
            return answer.read()

    def wait_until_it_answers(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("health")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    sys.exit("service: gunicorn did not start: does this Python have gunicorn and Flask?")
                time.sleep(0.1)
        self.thread.start()

    def processes(self):
        """gunicorn and its workers."""
        found = [self.process.pid]
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return found + [int(word) for word in tasks.read_text().split()]

    def memory(self):
        """Pss of all processes, in KiB."""
        total = 0
        for pid in self.processes():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:     # it has just ended
                continue
            total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
        return total

    def watch(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            self.samples.append((round(time.monotonic() - self.begin, 2), self.memory()))

    def stop(self):
        self.ended.set()
        self.thread.join()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_SECONDS)


def ask_with_wrk(service, arguments):
    """Throughput and latencies, as wrk tells them."""
    done = subprocess.run(["wrk", "--latency", "-t", "1", "-c", str(arguments.connections), "-d",
                           f"{arguments.load}s", "--timeout", "30s", service.url("report")],
                          capture_output=True, text=True, check=True)
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout).groups()
    return {"requests_per_second": per_second,
            "p99_milliseconds": float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit],
            "wrk": done.stdout}


def run_arm(arguments, variables):
    service = Service(arguments, variables)
    try:
        service.wait_until_it_answers()
        time.sleep(2)
        result = {"base_kib": service.memory(), "phases": {}}
        marks = result["phases"]

        def mark(name):
            marks[name] = {"seconds": round(time.monotonic() - service.begin, 2), "kib": service.memory()}
        mark("started")
        result.update(ask_with_wrk(service, arguments))
        mark("loaded")
        time.sleep(arguments.idle)
        mark("idle")
        for _ in range(arguments.health):
            service.ask("health")
            time.sleep(1)
        mark("health")
    finally:
        if service.thread.is_alive():
            service.stop()
    result["samples"] = service.samples
    result["peak_kib"] = max(kib for _, kib in service.samples)
    return result


def arms(arguments):
    found = {"stock": {}}
    if arguments.jemalloc and os.path.exists(arguments.jemalloc):
        found["jemalloc"] = {"LD_PRELOAD": arguments.jemalloc, "PYTHONMALLOC": "malloc"}
    found["obmalloc"] = {"LD_PRELOAD": os.path.abspath(arguments.library)}
    return found


def show(document):
    print(f"{'MiB (Pss of all processes)':28}{'base':>8}{'peak':>8}{'loaded':>8}{'idle':>8}{'health':>8}"
          f"{'req/s':>9}{'p99 ms':>9}")
    for name, runs in document["arms"].items():
        for run in runs:
            phases = run["phases"]
            figures = [run["base_kib"], run["peak_kib"], *(phases[key]["kib"] for key in ("loaded", "idle", "health"))]
            print(f"{name:28}" + "".join(f"{kib / MIB:8.1f}" for kib in figures)
                  + f"{run['requests_per_second']:9.2f}{run['p99_milliseconds']:9.0f}")


def draw(document, folder):
    try:
        import matplotlib
    except ImportError:
        print("no Matplotlib here: no picture", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for name, runs in document["arms"].items():
        for number, run in enumerate(runs):
            origin = run["phases"]["started"]["seconds"]
            axes.plot([second - origin for second, _ in run["samples"]], [kib / MIB for _, kib in run["samples"]],
                      color={"stock": "tab:gray", "jemalloc": "tab:orange", "obmalloc": "tab:blue"}[name],
                      label=name if number == 0 else None, linewidth=1.5)
    parameters = document["parameters"]
    for edge in parameters["load"], parameters["load"] + parameters["idle"]:
        axes.axvline(edge, color="0.8", linewidth=1, zorder=0)
    axes.set_xlabel(f"seconds: {parameters['load']} of load, {parameters['idle']} idle, "
                    f"{parameters['health']} with a health check each")
    axes.set_ylabel("MiB resident (all processes)")
    axes.set_ylim(0)
    axes.legend()
    figure.tight_layout()
    for suffix in "png", "svg":
        figure.savefig(folder / f"service.{suffix}", dpi=150)


def main():
    parser = argparse.ArgumentParser(prog="Tools/preload/service", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--report", required=True, type=Path)
    parser.add_argument("--jemalloc", default="/usr/lib/x86_64-linux-gnu/libjemalloc.so.2")
    for name, value, text in (("workers", 2, "processes"), ("connections", 4, "of wrk"), ("load", 30, "seconds"),
                              ("idle", 30, "seconds"), ("health", 30, "seconds"), ("runs", 1, "of each arm, in turn")):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} (%(default)s)")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("service: wrk was not found: apt-get install wrk")
    if not os.path.exists(arguments.library):
        sys.exit(f"service: {arguments.library} is missing: run `make preload` first")
    arguments.report.mkdir(parents=True, exist_ok=True)
    document = {"parameters": {name: getattr(arguments, name) for name in
                               ("python", "workers", "connections", "load", "idle", "health")},
                "machine": platform.platform(), "load_average": os.getloadavg(), "arms": {}}
    for _ in range(arguments.runs):
        for name, variables in arms(arguments).items():
            document["arms"].setdefault(name, []).append(run_arm(arguments, variables))
    (arguments.report / "service.json").write_text(json.dumps(document))
    show(document)
    draw(document, arguments.report)


if __name__ == "__main__":
    main()
