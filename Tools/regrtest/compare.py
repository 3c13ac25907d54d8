#!/usr/bin/env python3
"""CPython's regression suite on a patched interpreter, compared with stock.

    python3 Tools/regrtest/compare.py --patched PY --stock PY [TEST ...]

The command fails if and only if a test case fails on patched and passes on
stock.  There is no list of excuses: stock itself is the excuse, run on the
same machine with the same options and the same random seed.

1. The suite runs on patched, --jobs files at a time.  If regrtest stops early
   (it does when a worker ends without a word), it is started again with the
   files that are left.
2. Each file with a failure runs again on patched, alone, until each of its
   cases has passed once, RERUNS times at most.  This rules out flakes of a
   loaded machine.
3. What never passed, or crashed, runs on stock, alone, RERUNS times at most.
   A file that ran into --timeout takes step 3 first: where it hangs on stock
   too, one such wait is enough.
4. verdicts.py states and applies the rule.

Time is bounded: --suite-limit for step 1, --rerun-limit for steps 2 and 3
together, and two minutes to stop what runs when a limit is reached: 77 minutes
by default.  Files that were not run for lack of time count as failed.

The PYTHON* variables of the caller do not reach the tests (PYTHONUNBUFFERED,
for one, makes test_cmd_line fail); those given by --env do.

The logs and JUnit files of all runs are kept in a folder beside the report.
Exit status: 0 no regression, 1 regressions, 2 bad usage.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))     # for shared

import regrtest_run
from regrtest_output import CRASH, FAIL, FILE, PASS, FileRun, Result
from regrtest_output import is_bad, plain_name
from regrtest_run import Interpreter
from shared.command import Failure, Parser, number_from, run_guarded, say
from shared.files import write_json
from shared.processes import last_line
from verdicts import COUNTED_AS, FLAKY, PASSED, RERUNS, SKIPPED, FileHistory

FILE_TIMEOUT = 900          # seconds, one test file
SUITE_LIMIT = 45 * 60       # seconds, the whole suite on patched
RERUN_LIMIT = 30 * 60       # seconds, all reruns together
PROGRESS_EVERY = 15         # seconds between progress lines
MOST = 999_999_999          # seconds, or files at a time
REGRTEST = "(regrtest itself)"

# In words that 2.7 knows too.
VERSION = ("import sys; kind = getattr(sys, 'implementation', None); "
           "words = [getattr(kind, 'name', 'cpython')] + list(sys.version_info) "
           "+ [sys.maxsize.bit_length() + 1]; "
           "sys.stdout.write(' '.join(map(str, words)))")
VERSION_WORDS = 7


def assignment(text):
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"not NAME=VALUE: {text!r}")
    return name, value


def parse_arguments(arguments):
    """Return the options of a command line."""
    parser = Parser(
        prog="compare.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__)
    add = parser.add_argument
    add("--patched", required=True, metavar="PY", help="interpreter under test")
    add("--stock", required=True, metavar="PY", help="unchanged interpreter")
    add("--jobs", type=number_from(1, MOST), default=2, metavar="N",
        help="files at a time in the first run (default %(default)s)")
    add("--timeout", type=number_from(1, MOST), default=FILE_TIMEOUT, metavar="SECONDS",
        help="per test file (default %(default)s)")
    add("--suite-limit", type=number_from(1, MOST), default=SUITE_LIMIT, metavar="SECONDS",
        help="for the first run (default %(default)s)")
    add("--rerun-limit", type=number_from(1, MOST), default=RERUN_LIMIT, metavar="SECONDS",
        help="for all reruns together (default %(default)s)")
    add("--report", metavar="FILE", help="JSON: each case but the plain passes")
    add("--counts", metavar="FILE", help='JSON: {"passed", "failed", "skipped"}')
    add("--env", type=assignment, action="append", default=[],
        metavar="NAME=VALUE", help="environment variable, on both sides")
    add("--seed", type=int, help="random seed, to repeat a run")
    add("--testdir", metavar="DIR", help="regrtest's --testdir")
    add("tests", nargs="*", metavar="TEST", help="default: the whole suite")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    return options


# Checks before anything runs

def check_executable(side, name):
    path = os.path.abspath(name)
    if not os.path.isfile(path):
        raise Failure(f"--{side}: no such interpreter: {name}")
    if not os.access(path, os.X_OK):
        raise Failure(f"--{side}: not executable: {name}")
    return path


def ask(interpreter, what, arguments):
    """A line or more from an interpreter that should have no trouble."""
    try:
        return interpreter.output(arguments)
    except CalledProcessError as error:
        raise Failure(f"--{interpreter.side}: {interpreter.python} cannot {what} "
                    f"(status {error.returncode}): {last_line(error.stderr)}") from None
    except (OSError, ValueError, TimeoutExpired) as error:  # ValueError: no text
        raise Failure(f"--{interpreter.side}: {interpreter.python} cannot {what}: "
                    f"{error}") from None


def make_interpreters(options):
    """Return the patched and the stock interpreter; Failure if they cannot be compared."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("PYTHON")}
    environment.update(options.env)
    sides = [Interpreter(side, check_executable(side, getattr(options, side)),
                         environment) for side in ("patched", "stock")]
    versions = [ask(side, "tell its version", ["-c", VERSION]).strip()
                for side in sides]
    for side, version in zip(sides, versions):
        if len(version.split()) != VERSION_WORDS:
            raise Failure(f"--{side.side}: {side.python} is not a Python interpreter")
    if versions[0] != versions[1]:
        raise Failure(f"not the same version on both sides: patched is "
                    f"{versions[0]}, stock is {versions[1]}")
    known = ask(sides[0], "tell the options of its regrtest",
                ["-m", "test", "--help"])
    shared = regrtest_options(options, known)
    for side in sides:
        side.options = shared
        side.writes_junit = "--junit-xml" in known
    return sides


def regrtest_options(options, known):
    """What both sides are run with.  known: the help of their regrtest."""
    shared = ["--randseed", str(options.seed)]
    if "--timeout" in known:    # since 3.3
        shared += ["--timeout", str(options.timeout)]
    if options.testdir:
        if not os.path.isdir(options.testdir):
            raise Failure(f"--testdir: no such folder: {options.testdir}")
        shared += ["--testdir", os.path.abspath(options.testdir)]
    return shared


def list_tests(interpreter, tests=()):
    arguments = ["-m", "test", "--list-tests", *interpreter.options, *tests]
    return ask(interpreter, "list its tests", arguments).split()


def select_files(patched, stock, tests):
    """The files to run.  A name which stock does not know is bad usage."""
    known = {plain_name(file).partition(".")[0] for file in list_tests(stock)}
    for test in tests:
        if plain_name(test).partition(".")[0] not in known:
            raise Failure(f"no such test: {test}")
    files = list(dict.fromkeys(list_tests(patched, tests)))
    if not files:
        raise Failure("no tests to run")
    return files


def check_writable(option, name):
    """Before the long run; what was not there is not left behind."""
    is_new = not os.path.lexists(name)
    try:
        if os.path.exists(name) and not os.path.isfile(name):
            raise OSError(0, "it is not a file")
        with open(name, "a", encoding="utf-8"):
            pass
        if is_new:
            os.unlink(name)
    except OSError as error:
        raise Failure(f"--{option}: cannot write {name}: {error.strerror}") from None


def make_log_folder(report):
    try:
        if report is None:
            return tempfile.mkdtemp(prefix="regrtest-")
        folder = os.path.splitext(os.path.abspath(report))[0] + ".logs"
        os.makedirs(folder, exist_ok=True)
        return folder
    except OSError as error:
        raise Failure(f"cannot make a folder for the logs: {error}") from None


# Step 1: the suite on patched

class Progress:
    """Lines on the terminal: each failure, and a sign of life now and then."""

    def __init__(self, total):
        self.total = total
        self.done = 0           # files, in finished runs of regrtest
        self.bad = 0
        self.start = self.last = time.monotonic()

    def on_file(self, reader, file):
        if is_bad(reader.outcomes[file]):
            say(f"  {file} {reader.outcomes[file]}")
        if self.done + len(reader.outcomes) == self.total:
            self.show(reader)

    def on_wait(self, reader):
        if time.monotonic() - self.last >= PROGRESS_EVERY:
            self.show(reader)

    def show(self, reader):
        self.last = time.monotonic()
        say(f"{clock(self.last - self.start)} "
            f"{self.done + len(reader.outcomes)}/{self.total} files, "
            f"{self.bad + regrtest_run.count_bad(reader)} failed so far")

    def finish(self, files):
        self.done += len(files)
        self.bad += sum(run.cases[FILE].kind in (FAIL, CRASH)
                        or any(result.kind in (FAIL, CRASH)
                               for result in run.cases.values())
                        for run in files.values())


def clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}:{seconds:02}"


def run_suite(patched, files, jobs, folder, deadline):
    """FileRun by file, for each file; REGRTEST among them if it went wrong."""
    progress = Progress(len(files))
    found = {}
    left = files
    number = 0
    while left:
        number += 1
        outcome = regrtest_run.run(
            patched, left, jobs=jobs, deadline=deadline,
            base=os.path.join(folder, f"suite-{number}"),
            on_file=progress.on_file, on_wait=progress.on_wait)
        found.update(outcome.files)
        progress.finish(outcome.files)
        if outcome.own is not None:
            found[REGRTEST] = FileRun(False, outcome.own)
        left = [file for file in left if file not in found]
        if outcome.stopped:
            found[REGRTEST] = FileRun(False, Result(FAIL, "time limit reached"))
        if outcome.stopped or not outcome.files:
            break
        if left:
            say(f"regrtest stopped early; again for {len(left)} files")
    for file in left:
        found[file] = FileRun(False, Result(FAIL, "not run"))
    return found


# Steps 2 and 3: the reruns

def rerun(history, interpreter, runs, needed, folder, deadline):
    """Append runs of one file to runs, while needed() and time is left."""
    for number in range(1, RERUNS + 1):
        if not needed() or time.monotonic() >= deadline:
            return
        base = os.path.join(
            folder, f"{history.file}-{interpreter.side}-{number}")
        found = regrtest_run.run_alone(interpreter, history.file, base=base,
                                       deadline=deadline)
        if found is None:
            return
        runs.append(found)
        bad = sum(result.kind in (FAIL, CRASH)
                  for result in found.cases.values())
        say(f"  {history.file} alone on {interpreter.side}, run {number}: "
            f"{f'{bad} failed' if bad else 'passed'}")


def rerun_all(histories, patched, stock, folder, deadline):
    suspects = [history for history in histories
                if history.needs_stock() and history.file != REGRTEST]
    if suspects:
        say(f"Again, alone: {len(suspects)} files")
    for history in suspects:
        sides = [(patched, history.patched, history.needs_patched),
                 (stock, history.stock, history.needs_stock)]
        if history.patched[0].timed_out():
            sides.reverse()
        for interpreter, runs, needed in sides:
            rerun(history, interpreter, runs, needed, folder, deadline)


# The end: table, counts, report

def describe(results):
    """For example "fail 4/4", or "-" where nothing ran."""
    if not results:
        return "-"
    kinds = [result.kind for result in results]
    names = [kind for kind in dict.fromkeys(kinds) if kind != PASS] or [PASS]
    return ", ".join(f"{name} {kinds.count(name)}/{len(kinds)}" for name in names)


def rows(histories):
    """A dictionary for each case, or file, that is not a plain pass."""
    for history in histories:
        for key in history.keys():
            verdict = history.verdict(key)
            if verdict == PASSED:
                continue
            patched = history.patched_results(key)
            stock = history.stock_results(key)
            yield {
                "file": history.file, "case": key or None, "verdict": verdict,
                "patched": [result.kind for result in patched],
                "stock": [result.kind for result in stock],
                "patched_summary": describe(patched),
                "stock_summary": describe(stock),
                "detail": next((result.detail for result in patched
                                if result.kind in (CRASH, FAIL)),
                               patched[0].detail),
            }


def print_table(table):
    """Print the rows, aligned, in the order of their verdicts."""
    order = list(COUNTED_AS)
    lines = [("verdict", "patched", "stock", "case", "")]
    for row in sorted(table, key=lambda row: order.index(row["verdict"])):
        case = row["case"] or row["file"]
        lines.append((row["verdict"], row["patched_summary"],
                      row["stock_summary"], case, row["detail"]))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    say("")
    for *columns, case, detail in lines:
        cells = "  ".join(cell.ljust(width)
                          for cell, width in zip(columns, widths))
        say(f"{cells}  {case}")
        if detail:
            say(f"{'':{sum(widths) + 6}}{detail[:200]}")
    say("")


def conclude(options, histories, folder, seconds):
    """Print what came of it, write the files that were asked for, and return the exit status."""
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for history in histories:
        history.counts(totals)
    table = list(rows(histories))
    shown = [row for row in table if row["verdict"] != SKIPPED]
    if shown:
        print_table(shown)
    if options.report:
        write_json(Path(options.report), {
            "patched": options.patched, "stock": options.stock,
            "tests": options.tests, "env": dict(options.env),
            "seed": options.seed, "jobs": options.jobs,
            "timeout": options.timeout, "seconds": round(seconds, 1),
            "logs": folder, "counts": totals, "cases": table})
    if options.counts:
        write_json(Path(options.counts), totals)
    flaky = sum(row["verdict"] == FLAKY for row in table)
    own_skips = sum(row["verdict"] == SKIPPED and row["case"] is not None
                    for row in table)
    say(f"Flaky, among the passed: {flaky}.  Among the skipped: {own_skips} "
        f"skip themselves, {totals['skipped'] - own_skips} fail on stock too.")
    say(f"Wall time {clock(seconds)}, logs in {folder}")
    say("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    return 1 if totals["failed"] else 0


def compare(options):
    """Run the tests on both sides and judge them; return the exit status."""
    start = time.monotonic()
    patched, stock = make_interpreters(options)
    for option in ("report", "counts"):
        if getattr(options, option):
            check_writable(option, getattr(options, option))
    files = select_files(patched, stock, options.tests)
    folder = make_log_folder(options.report)
    say(f"{len(files)} test files on {patched.python}, {options.jobs} at a time, "
        f"seed {options.seed}, logs in {folder}")
    found = run_suite(patched, files, options.jobs, folder,
                      time.monotonic() + options.suite_limit)
    histories = [FileHistory(file, found[file]) for file in sorted(found)]
    rerun_all(histories, patched, stock, folder,
              time.monotonic() + options.rerun_limit)
    return conclude(options, histories, folder, time.monotonic() - start)


def main(arguments=None):
    return run_guarded("compare.py", lambda: compare(parse_arguments(arguments)), failed=2)


if __name__ == "__main__":
    sys.exit(main())
