"""make test and make test-all: every test there is, and one line that counts
them.

Each step leaves {"passed": n, "failed": n, "skipped": n} in
build/report/counts/STEP.json (compare.py by its option --counts, others
through the variable OBMALLOC_COUNTS), and "flaky" where it repeats tests that
failed.  A step that leaves none counts as one test, which passed if its status
is zero.  A failing step does not keep the next from running, unless that needs
what it made.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Callable, Iterable, Optional, Sequence, TextIO

import package
import places
import unittests
import wheels
from errors import BuildError, run_guarded, say
from interpreter import VARIANTS, Build, build
from processes import clean_environment, jobs, seconds_wanted
from shared import files, packages
from unittests import Attempt, Batch, Counts, Failure
from versions import Release

COUNTS_VARIABLE = "OBMALLOC_COUNTS"
PYTHONS_VARIABLE = "OBMALLOC_PYTHONS"   # interpreters for Tools/preload, separated by colons
REGRESSION_TIMEOUT_SECONDS = 1200
SOAK_SECONDS = 30                   # in make test
LONG_SOAK_SECONDS = 1200            # make soak
SOAK_SINCE = (3, 9)                 # the first series on which its storms run
REGRTEST_WRITES_JUNIT = (3, 8)      # the first series that does
PRELOAD_TESTS = places.ROOT / "Tools/preload"
PRELOAD_SINCE = (3, 9)              # the first series that the loadable library serves
KINDS = ("passed", "failed", "skipped", "flaky")


def counts_file(step: str) -> Path:
    """Where a step leaves its counts."""
    return places.COUNTS / f"{step}.json"


def run_all(releases: Sequence[Release], suites: Sequence[Release]) -> int:
    """Run every step; the exit status is 0 if nothing failed.

    Our own tests run on all releases, CPython's whole suite on those that are
    in suites too.
    """
    job_count = jobs()
    places.COUNTS.mkdir(parents=True, exist_ok=True)
    for old in places.COUNTS.glob("*.json"):
        old.unlink()
    _step("core", lambda: _call("core", ["make", "--no-print-directory", f"JOBS={job_count}", "check-all"]))
    _step("tools", _tools)
    _step("wheels", _wheels)
    for release in releases:
        _test_release(release, release in suites, job_count)
    return _summary()


def _test_release(release: Release, with_suite: bool, job_count: int) -> None:
    """Build a release and test it; with_suite: with CPython's own suite, against stock."""
    number = release.number
    stock, patched = (Build(release, VARIANTS[name]) for name in ("stock", "obmalloc"))
    wanted = ("stock", "obmalloc") if with_suite else ("obmalloc",)
    if not _step(f"build-{number}", lambda: _build(release, wanted)):
        return
    regression, suite = f"regression-{number}", f"suite-{number}"
    _step(regression, lambda: _regression(patched, regression))
    if release.series >= SOAK_SINCE:
        _step(f"soak-{number}", lambda: _soak(patched, f"soak-{number}", SOAK_SECONDS, job_count, "--repeat"))
    if with_suite and release.series >= PRELOAD_SINCE:
        preload = f"preload-{number}"
        _step(preload, lambda: _preload(stock, preload))
    if with_suite:
        report = places.REPORT / f"regrtest-{number}.json"
        _step(suite, lambda: _call(suite, [
            sys.executable, "Tools/regrtest/compare.py", "--patched", places.shown(patched.python),
            "--stock", places.shown(stock.python), "--jobs", str(job_count),
            "--report", places.shown(report), "--counts", places.shown(counts_file(suite))]))


def soak(release: Release) -> int:
    """make soak: the storms of Tools/soak for SECONDS."""
    seconds = seconds_wanted(LONG_SOAK_SECONDS)
    patched = Build(release, VARIANTS["obmalloc"])
    if release.series < SOAK_SINCE:
        raise BuildError(f"the storms of Tools/soak need Python {SOAK_SINCE[0]}.{SOAK_SINCE[1]} or later: "
                         f"{release.number} is older")
    build(release, VARIANTS["obmalloc"])
    places.COUNTS.mkdir(parents=True, exist_ok=True)
    return _soak(patched, f"soak-{release.number}", seconds, jobs())


def _soak(patched: Build, step: str, seconds: int, job_count: int, *options: str) -> int:
    return _call(step, soak_command(patched, seconds, job_count, *options))


def soak_command(patched: Build, seconds: int, job_count: int, *options: str) -> list[str]:
    """What runs the storms of Tools/soak."""
    return [sys.executable, "Tools/soak", "--python", places.shown(patched.python), "--seconds", str(seconds),
            "--jobs", str(job_count), *options]


def _step(name: str, action: Callable[[], int]) -> bool:
    """Run one step and see that its counts agree with its status."""
    say(f"--- {name}")
    status = run_guarded(action)
    found = files.read_json(counts_file(name), {})
    counts = {kind: int(found.get(kind, 0)) for kind in KINDS}
    if not found and status == 0:
        counts["passed"] = 1
    if status != 0 and counts["failed"] == 0:
        counts["failed"] = 1
    files.write_json(counts_file(name), counts)
    flaky = f", {counts['flaky']} flaky" if counts["flaky"] else ""
    say(f"{name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped{flaky}")
    return status == 0


def _call(step: str, command: Sequence[str]) -> int:
    """Run a command from the root, its output shown; returns its status."""
    environment = {**clean_environment(), COUNTS_VARIABLE: str(counts_file(step))}
    return subprocess.run(command, cwd=places.ROOT, stdin=subprocess.DEVNULL, env=environment).returncode


def _build(release: Release, names: Sequence[str]) -> int:
    for name in names:
        build(release, VARIANTS[name])
    return 0


def _tools() -> int:
    """The unit tests of every folder Tools/*/tests, each in its own process."""
    return _unittests("tools", unittests.tools_batches())


def _wheels() -> int:
    """What is released, and what PyPI's own tools say of it; skipped where they cannot be
    had, for want of a network."""
    try:
        wheels.ensure_tools()
    except BuildError as error:
        say(f"no wheels: {error}")
        files.write_json(counts_file("wheels"), {"passed": 0, "failed": 0, "skipped": 1})
        return 0
    wheels.wheels()
    return 0


def _preload(stock: Build, step: str) -> int:
    """The tests of the loadable library, with interpreters that lack obmalloc."""
    package.preload()
    for python in _preload_pythons(stock):
        _get_packages(python)
    return _unittests(step, [preload_batch(stock)])


def _preload_pythons(stock: Build) -> list[str]:
    return [str(python) for python in ("/usr/bin/python3", stock.python) if os.access(python, os.X_OK)]


def _get_packages(python: str) -> None:
    """Get what Tools/preload/packages.txt names for an interpreter; tests skip what cannot be had."""
    version = subprocess.run([python, "-I", "-c", "import platform; print(platform.python_version())"],
                             capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout.strip()
    names = (PRELOAD_TESTS / "packages.txt").read_text(encoding="utf-8").split()
    try:
        packages.install(names, {"version": version, "path": python}, places.BUILD / "packages")
    except packages.Failure as error:
        say(f"some tests of the library are skipped for Python {version}: {error}")


def preload_batch(stock: Build) -> Batch:
    """The tests of the loadable library; make preload must have been there."""
    return unittests.folder_batch(PRELOAD_TESTS, {PYTHONS_VARIABLE: os.pathsep.join(_preload_pythons(stock))})


def _unittests(step: str, batches: Iterable[Batch]) -> int:
    """Run unit tests, those that failed once more, and leave their counts."""
    return _leave_counts(step, map(unittests.run_and_settle, batches))


def _leave_counts(step: str, parts: Iterable[Counts]) -> int:
    """Leave the sum of these counts; the status is 0 if nothing failed."""
    total = dict.fromkeys(KINDS, 0)
    for counts in parts:
        for kind, number in counts.items():
            total[kind] += number
    files.write_json(counts_file(step), total)
    return int(total["failed"] != 0)


def _regression(patched: Build, step: str) -> int:
    """Our own test files of CPython's suite, with the patched interpreter."""
    names = sorted({Path(path).relative_to("Lib/test").parts[0].split(".")[0]
                    for path in places.laid_files(patched.release.series[0])
                    if path.startswith("Lib/test/")})
    if not names:
        say("there are no Lib/test/test_obmalloc*.py yet")
        return _leave_counts(step, [])
    if patched.release.series < REGRTEST_WRITES_JUNIT:
        return _leave_counts(step, (_old_tests(patched, name) for name in names))

    def repeat(failure: Optional[Failure]) -> Attempt:
        match = ["-m", failure.name + ".*" * failure.is_group] if failure else []
        return _regrtest(patched, f"{step}-again", [*match, *names])

    return _leave_counts(step, [unittests.settle(step, _regrtest(patched, step, names, sys.stdout), repeat)])


def _regrtest(patched: Build, step: str, arguments: Sequence[str],
              copy: Optional[TextIO] = None) -> Attempt:
    """A run of CPython's regrtest; step names its result; copy: as for unittests.run()."""
    result = places.REPORT / f"{step}.xml"
    result.unlink(missing_ok=True)
    status, output = unittests.run(
        [patched.python, "-m", "test", f"--timeout={REGRESSION_TIMEOUT_SECONDS}", "--verbose3",
         "--junit-xml", str(result), *arguments],
        cwd=places.BUILD, environment=clean_environment(), seconds=unittests.BATCH_SECONDS, copy=copy)
    counts = count_junit(result, output)
    if counts is None:
        say(f"the regression tests ended without a result (status {status})")
        return Attempt(status or 1, output, {"passed": 0, "failed": 1, "skipped": 0})
    return Attempt(status, output, counts)


def _old_tests(patched: Build, name: str) -> Counts:
    """A test file as a program of its own, counted from what it prints, on whichever stream."""
    file = places.patched(patched.release) / "Lib/test" / f"{name}.py"  # 2.4 has no -m PACKAGE.NAME

    def attempt(*arguments: str) -> Attempt:
        status, output = unittests.run([patched.python, file, *arguments], cwd=places.BUILD,
                                       environment=clean_environment(), seconds=REGRESSION_TIMEOUT_SECONDS)
        counts = unittests.count(output, status)
        if not any(counts.values()):
            raise BuildError(f"{name}.py ended with status {status}, and no test of it was run")
        return Attempt(status, output, counts)

    def repeat(failure: Optional[Failure]) -> Attempt:
        return attempt(failure.name.removeprefix("__main__.")) if failure else attempt()

    first = attempt()
    print(first.output, end="", flush=True)
    return unittests.settle(name, first, repeat)


def count_junit(file: Path, output: str) -> Optional[Counts]:
    """Counts from a JUnit file and what was printed beside, or None when it is missing or damaged."""
    try:
        root = xml.etree.ElementTree.parse(file).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    tests = int(root.get("tests", 0))
    failed = int(root.get("failures", 0)) + int(root.get("errors", 0))
    skipped = sum(1 for _ in root.iter("skipped"))
    return {"passed": unittests.passed(tests, skipped, failed, output), "failed": failed, "skipped": skipped}


def _summary() -> int:
    """Print the steps that failed, and as the very last line the sum over all steps."""
    total = dict.fromkeys(("passed", "failed", "flaky"), 0)
    for file in sorted(places.COUNTS.glob("*.json")):
        counts = files.read_json(file, {"failed": 1})
        for kind in total:
            total[kind] += int(counts.get(kind, 0))
        if counts.get("failed"):
            say(f"{counts['failed']} failed in {file.stem}")
    if total["flaky"]:
        say(f"{total['flaky']} flaky: failed, and passed when repeated alone; above, each after FLAKY:")
    print(f"{total['passed']} passed, {total['failed']} failed", flush=True)
    return 0 if total["failed"] == 0 else 1
