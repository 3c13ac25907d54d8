"""Runs ``PY -m test``: command line, log, deadline, and the end of it all.

regrtest gives each worker a session of its own, so its death does not end
them.  stop() therefore interrupts regrtest (which then ends its workers and
still writes its XML), and kills it with all its descendants only if that does
not help within STOP_GRACE.
"""

import contextlib
import os
import signal
import subprocess
import time

from regrtest_output import LogReader, Result, CRASH, FAIL, FileRun
from regrtest_output import is_bad, read_junit, read_run

POLL = 0.1                  # seconds between looks at the log
STOP_GRACE = 60             # seconds from interrupt to kill
# What regrtest exits with when it got to its end: success, bad test, env
# changed, no tests ran, rerun failed, interrupted.
ORDERLY = (0, 2, 3, 4, 5, 130)


class Interpreter:
    """One side of the comparison.

    options      -- of regrtest, the same on both sides
    writes_junit -- whether its regrtest can (since 3.8)
    """

    def __init__(self, side, python, environment):
        self.side = side
        self.python = python
        self.environment = environment
        self.options = []
        self.writes_junit = True

    def output(self, arguments, timeout=120):
        """Standard output of a short run; OSError or SubprocessError if bad."""
        return subprocess.run([self.python, *arguments], check=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment).stdout


class Run:
    """The outcome of one regrtest process.

    files   -- FileRun by name, for each file that ended
    own     -- None, or a Result if regrtest itself went wrong
    stopped -- the deadline came first
    """

    def __init__(self, files, own, stopped):
        self.files = files
        self.own = own
        self.stopped = stopped


def descendants(pid):
    """All processes below pid, from /proc; none where there is no /proc."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")
                        if os.path.isdir("/proc") else ()):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry))
    found = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def stop(process):
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_GRACE)
        return
    except subprocess.TimeoutExpired:
        pass
    below = descendants(process.pid)
    process.kill()
    process.wait()
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command(interpreter, files, jobs, junit):
    return [interpreter.python, "-m", "test", f"-j{jobs}", "-W",
            *(["--junit-xml", junit] if interpreter.writes_junit else []),
            *interpreter.options, *files]


def exit_result(code):
    """What is wrong with regrtest's own exit status, or None."""
    if code in ORDERLY:
        return None
    if code < 0:
        return Result(CRASH, f"regrtest died of signal {-code}")
    return Result(FAIL, f"regrtest exited with status {code}")


def run(interpreter, files, *, jobs, base, deadline, on_file=None, on_wait=None):
    """Run the files; base + ".log" and base + ".xml" keep what it said.

    on_file(reader, file) is called for each file that ended, on_wait(reader)
    every POLL seconds.
    """
    reader = LogReader(files)
    junit = base + ".xml"
    arguments = command(interpreter, files, jobs, junit)
    stopped = False
    with open(base + ".log", "w+", encoding="utf-8", errors="replace") as log:
        log.write("$ " + " ".join(arguments) + "\n")
        log.flush()
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, env=interpreter.environment,
            start_new_session=True)
        try:
            with open(base + ".log", encoding="utf-8", errors="replace",
                      newline="\n") as tail:
                while True:
                    ended = process.poll() is not None
                    for file in reader.feed(tail.read()):
                        if on_file:
                            on_file(reader, file)
                    if ended:
                        break
                    if on_wait:
                        on_wait(reader)
                    if time.monotonic() >= deadline:
                        stopped = True
                        stop(process)
                    else:
                        time.sleep(POLL)
        except BaseException:
            stop(process)
            raise
    reader.close()
    own = None if stopped else exit_result(process.returncode)
    suites = read_junit(junit) if interpreter.writes_junit else None
    return Run(read_run(reader, suites), own, stopped)


def run_alone(interpreter, file, *, base, deadline):
    """One file, one worker.  A FileRun, or None if the deadline came first."""
    outcome = run(interpreter, [file], jobs=1, base=base, deadline=deadline)
    if outcome.stopped:
        return None
    found = outcome.files.get(file)
    if outcome.own is not None:
        cases = found.cases if found else {}
        return FileRun(False, outcome.own, cases)
    return found or FileRun(False, Result(FAIL, "not run"))


def count_bad(reader):
    return sum(map(is_bad, reader.outcomes.values()))
