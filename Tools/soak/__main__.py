"""python3 Tools/soak --python PYTHON [--seconds N] [--seed N] [--repeat]: all storms, for so long.

Every storm of storms.py runs in turn, in a process of its own, as many at a time
as --jobs says, each for a slice of the time and with settings that the seed draws;
check=3 always.  Of each failure the line is printed that draws it again.  The
exit status is 0 if nothing failed.  With --repeat a storm that failed is drawn again
at the end, alone and once: one that passes then is flaky, and counted apart.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))     # for shared

from shared import files, processes
from shared.command import MOST_JOBS, Failure, Parser, number_from, run_guarded, say, seconds

STORMS_FILE = Path(__file__).with_name("storms.py")
NAMES = ("lives", "fragments", "sessions", "interpreters", "forks", "processes", "signals",
         "depths", "exhaustion", "refusals")
ONCE = "lives"                  # first; how often depends on the whole time
SETTINGS = ("", "retain=none", "retain=all", "retain=1M", "hugepages=always", "background=1",
            "secure=1", "secure=1,retain=none")
SLICE_SECONDS = 15
SHORTEST_SLICE_SECONDS = 2
FAR_SECONDS = 600               # beyond its slice, before a storm is said to hang
REPEAT_SECONDS = 600            # for all repeats; afterwards none begins
ANSWER_SECONDS = 60             # for an interpreter to say what it is
COUNTS_VARIABLE = "OBMALLOC_COUNTS"


@dataclasses.dataclass
class Slice:
    """One storm for some seconds."""
    name: str
    seed: int
    seconds: float
    settings: str

    def command(self, python):
        return [python, str(STORMS_FILE), self.name, str(self.seed), f"{self.seconds:g}"]

    def shown(self, python):
        return f"PYTHONOBMALLOC={self.settings} " + " ".join(self.command(python))


def slices(seconds, jobs, seed):
    """The storms to run, an endless number; each of them in every round of all."""
    rng = random.Random(seed)
    length = min(SLICE_SECONDS, max(SHORTEST_SLICE_SECONDS, seconds * jobs / (len(NAMES) - 1)))

    def one(name, how_long):
        settings = ",".join(filter(None, ("check=3", rng.choice(SETTINGS))))
        return Slice(name, rng.randrange(1 << 32), how_long, settings)
    yield one(ONCE, seconds)
    while True:
        for name in rng.sample(NAMES[1:], len(NAMES) - 1):
            yield one(name, length)


def run_slice(python, piece):
    """(what went wrong or "", rounds)."""
    environment = {**os.environ, "PYTHONOBMALLOC": piece.settings, "PYTHONMALLOC": "pymalloc",
                   "PYTHONDONTWRITEBYTECODE": "1"}
    child = subprocess.Popen(piece.command(python), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, errors="replace", env=environment,
                             start_new_session=True)
    try:
        out, err = child.communicate(timeout=piece.seconds + FAR_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        return f"still running {FAR_SECONDS} seconds after its end\n{err}", 0
    if child.returncode != 0:
        return f"status {child.returncode}\n{err}", 0
    if err:
        return f"wrote to standard error\n{err}", 0
    try:
        return "", json.loads(out.splitlines()[-1])["rounds"]
    except (ValueError, LookupError):
        return f"said no number of rounds, but {out[-200:]!r}", 0


class Soak:
    """A run: what is to come, and what has been."""

    def __init__(self, python, seconds, jobs, seed):
        self.python = python
        self.deadline = time.monotonic() + seconds
        self.coming = slices(seconds, jobs, seed)
        self.left = set(NAMES)          # each runs once at least
        self.lock = threading.Lock()
        self.rounds = dict.fromkeys(NAMES, 0)
        self.passed = 0
        self.flaky = 0
        self.failures = []              # slices

    def next_slice(self):
        """The next one; None: the time is up."""
        with self.lock:
            if time.monotonic() >= self.deadline and not self.left:
                return None
            piece = next(self.coming)
            self.left.discard(piece.name)
            return piece

    def work(self):
        """Run slices, one after another, until the time is up."""
        while (piece := self.next_slice()) is not None:
            problem, rounds = run_slice(self.python, piece)
            with self.lock:
                self.rounds[piece.name] += rounds
                self.passed += not problem
                if problem:
                    self.failures.append(piece)
                    say(f"obmalloc: {piece.name} failed: {problem.rstrip()}\n"
                          f"again: {piece.shown(self.python)}")

    def repeat_failures(self):
        """Run each slice that failed again, alone; those that pass then are flaky."""
        deadline = time.monotonic() + REPEAT_SECONDS
        pieces, self.failures = self.failures, []
        for piece in pieces:
            if time.monotonic() >= deadline or run_slice(self.python, piece)[0]:
                self.failures.append(piece)
            else:
                self.flaky += 1
                say(f"FLAKY: soak: {piece.shown(self.python)}")


def parse(arguments):
    """The command line."""
    parser = Parser(prog="Tools/soak", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter with obmalloc")
    parser.add_argument("--seconds", type=seconds, default=1200)
    parser.add_argument("--jobs", type=number_from(1, MOST_JOBS), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--repeat", action="store_true")
    return parser.parse_args(arguments)


def main(arguments):
    """Run it; the exit status."""
    options = parse(arguments)
    probe = [options.python, "-c", "import _obmalloc; print(_obmalloc.__name__)"]
    if not processes.writes(probe, "_obmalloc\n", ANSWER_SECONDS):
        raise Failure(f"{options.python} does not run, or has no obmalloc: "
                      "name a patched interpreter with --python")
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    say(f"soak: {options.seconds:g} s, {options.jobs} storms at a time, seed {seed}")
    soak = Soak(options.python, options.seconds, options.jobs, seed)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(soak.work) for _ in range(options.jobs)]:
            done.result()
    print("rounds: " + ", ".join(f"{name} {count:,}" for name, count in soak.rounds.items()))
    if options.repeat:
        soak.repeat_failures()
    failed = len(soak.failures)
    flaky = f", {soak.flaky} flaky" if soak.flaky else ""
    say(f"{soak.passed} passed, {failed} failed{flaky}")
    if os.environ.get(COUNTS_VARIABLE):
        files.write_json(Path(os.environ[COUNTS_VARIABLE]), {
            "passed": soak.passed, "failed": failed, "skipped": 0, "flaky": soak.flaky})
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(run_guarded("obmalloc", lambda: main(sys.argv[1:])))
