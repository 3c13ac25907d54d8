"""make test and make test-all: every test there is, and one line that counts
them.

Each step leaves {"passed": n, "failed": n, "skipped": n} in
build/report/counts/STEP.json (compare.py by its option --counts, others
through the variable OBMALLOC_COUNTS).  A step that leaves none counts as one
test, which passed if its status is zero.  A failing step does not keep the
next from running, unless that needs what it made.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

import files
import package
import places
from errors import BuildError, run_guarded, say
from interpreter import VARIANTS, Build, build
from processes import clean_environment, jobs, seconds_wanted
from versions import Release

COUNTS_VARIABLE = "OBMALLOC_COUNTS"
PYTHONS_VARIABLE = "OBMALLOC_PYTHONS"   # interpreters for Tools/preload, separated by colons
REGRESSION_TIMEOUT_SECONDS = 1200
SOAK_SECONDS = 30                   # in make test
LONG_SOAK_SECONDS = 1200            # make soak
SOAK_SINCE = (3, 9)                 # the first series on which its storms run
REGRTEST_WRITES_JUNIT = (3, 8)      # the first series that does
PRELOAD_SINCE = (3, 9)              # the first series that the loadable library serves
_UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
_UNITTEST_KINDS = re.compile(r"(failures|errors|skipped|unexpected successes)=(\d+)")

Counts = dict[str, int]


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
    for release in releases:
        _test_release(release, release in suites, job_count)
    return _summary()


def _test_release(release: Release, with_suite: bool, job_count: int) -> None:
    number = release.number
    stock, patched = (Build(release, VARIANTS[name]) for name in ("stock", "obmalloc"))
    wanted = ("stock", "obmalloc") if with_suite else ("obmalloc",)
    if not _step(f"build-{number}", lambda: _build(release, wanted)):
        return
    regression, suite = f"regression-{number}", f"suite-{number}"
    _step(regression, lambda: _regression(patched, regression))
    if release.series >= SOAK_SINCE:
        _step(f"soak-{number}", lambda: _soak(patched, f"soak-{number}", SOAK_SECONDS, job_count))
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


def _soak(patched: Build, step: str, seconds: int, job_count: int) -> int:
    return _call(step, [sys.executable, "Tools/soak", "--python", places.shown(patched.python),
                        "--seconds", str(seconds), "--jobs", str(job_count)])


def _step(name: str, action: Callable[[], int]) -> bool:
    """Run one step and see that its counts agree with its status."""
    say(f"--- {name}")
    status = run_guarded(action)
    found = files.read_json(counts_file(name), {})
    counts = {kind: int(found.get(kind, 0)) for kind in ("passed", "failed", "skipped")}
    if not found and status == 0:
        counts["passed"] = 1
    if status != 0 and counts["failed"] == 0:
        counts["failed"] = 1
    files.write_json(counts_file(name), counts)
    say(f"{name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
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
    return _unittests("tools", sorted((places.ROOT / "Tools").glob("*/tests")))


def _preload(stock: Build, step: str) -> int:
    """The tests of the loadable library, with interpreters that lack obmalloc."""
    package.preload()
    pythons = [str(python) for python in ("/usr/bin/python3", stock.python) if os.access(python, os.X_OK)]
    return _unittests(step, [places.ROOT / "Tools/preload"],
                      {PYTHONS_VARIABLE: os.pathsep.join(pythons)})


def _unittests(step: str, folders: Sequence[Path], variables: Mapping[str, str] = {}) -> int:
    """Run the unit tests of each folder and leave their counts."""
    total: Counts = {"passed": 0, "failed": 0, "skipped": 0}
    status = 0
    for folder in folders:
        if not any(folder.glob("test*.py")):
            continue
        say(f"unit tests in {places.shown(folder)}")
        environment = {**clean_environment(), **variables, "PYTHONDONTWRITEBYTECODE": "1",
                       "PYTHONPATH": os.pathsep.join(map(str, (folder.parent, folder.parent.parent)))}
        done = subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", str(folder),
                               "-t", str(import_root(folder))],
                              cwd=places.ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", env=environment)
        if done.returncode != 0:
            print(done.stdout + done.stderr, end="", flush=True)
            status = 1
        for kind, count in count_unittests(done.stderr, done.returncode).items():
            total[kind] += count
    files.write_json(counts_file(step), total)
    return status


def import_root(folder: Path) -> Path:
    """The folder from which test modules are imported: the first, upwards,
    that is not a package itself."""
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def count_unittests(output: str, status: int) -> Counts:
    """Counts from what `python -m unittest` printed."""
    ran = sum(map(int, _UNITTEST_RAN.findall(output)))
    kinds = {kind: int(count) for kind, count in _UNITTEST_KINDS.findall(output)}
    skipped = kinds.pop("skipped", 0)
    failed = max(sum(kinds.values()), int(status != 0))
    return {"passed": max(ran - skipped - failed, 0), "failed": failed, "skipped": skipped}


def _regression(patched: Build, step: str) -> int:
    """Our own test files of CPython's suite, with the patched interpreter."""
    names = sorted({Path(path).relative_to("Lib/test").parts[0].split(".")[0]
                    for path in places.laid_files(patched.release.series[0])
                    if path.startswith("Lib/test/")})
    if not names:
        say("there are no Lib/test/test_obmalloc*.py yet")
        files.write_json(counts_file(step), {"passed": 0, "failed": 0, "skipped": 0})
        return 0
    if patched.release.series < REGRTEST_WRITES_JUNIT:
        return _unittest(patched, step, names)
    result = places.REPORT / f"{step}.xml"
    result.unlink(missing_ok=True)
    status = subprocess.run(
        [patched.python, "-m", "test", f"--timeout={REGRESSION_TIMEOUT_SECONDS}", "--verbose3",
         "--junit-xml", str(result), *names],
        cwd=places.BUILD, stdin=subprocess.DEVNULL, env=clean_environment()).returncode
    counts = count_junit(result)
    if counts is None:
        raise BuildError(f"the regression tests ended without a result (status {status})")
    files.write_json(counts_file(step), counts)
    return status


def _unittest(patched: Build, step: str, names: Sequence[str]) -> int:
    """Each test file as a program of its own, counted from what it prints, on whichever stream."""
    total: Counts = {"passed": 0, "failed": 0, "skipped": 0}
    status = 0
    for name in names:
        file = places.patched(patched.release) / "Lib/test" / f"{name}.py"  # 2.4 has no -m PACKAGE.NAME
        done = subprocess.run([patched.python, file], cwd=places.BUILD, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, errors="replace",
                              env=clean_environment(), timeout=REGRESSION_TIMEOUT_SECONDS)
        print(done.stdout, end="", flush=True)
        counts = count_unittests(done.stdout, done.returncode)
        if not any(counts.values()):
            raise BuildError(f"{name}.py ended with status {done.returncode}, and no test of it was run")
        status = status or done.returncode
        for kind, count in counts.items():
            total[kind] += count
    files.write_json(counts_file(step), total)
    return status


def count_junit(file: Path) -> Optional[Counts]:
    """Counts from a JUnit file, or None when it is missing or damaged."""
    try:
        root = xml.etree.ElementTree.parse(file).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    tests = int(root.get("tests", 0))
    failed = int(root.get("failures", 0)) + int(root.get("errors", 0))
    skipped = sum(1 for _ in root.iter("skipped"))
    return {"passed": tests - failed - skipped, "failed": failed, "skipped": skipped}


def _summary() -> int:
    """Print the sum over all steps, as the very last line."""
    total: Counts = {"passed": 0, "failed": 0}
    for file in places.COUNTS.glob("*.json"):
        counts = files.read_json(file, {"failed": 1})
        for kind in total:
            total[kind] += int(counts.get(kind, 0))
    print(f"{total['passed']} passed, {total['failed']} failed", flush=True)
    return 0 if total["failed"] == 0 else 1
