"""compare.py from the outside: every verdict, every kind of bad usage.

The planted tests run under the interpreter named by REGRTEST_PYTHON, by
default the one that runs this; it must come with the test package.
test_every_verdict takes two minutes (a hundred runs of regrtest), and so runs
only if REGRTEST_SLOW is set.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import planted

COMPARE = Path(__file__).resolve().parent.parent / "compare.py"
PYTHON = os.environ.get("REGRTEST_PYTHON", sys.executable)


def has_regrtest():
    return subprocess.run(
        [PYTHON, "-c", "import test.libregrtest, test.support"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Outside(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.tests = self.folder / "planted tests"
        self.tests.mkdir()
        self.patched = planted.interpreter(self.folder, "patched", PYTHON)
        self.stock = planted.interpreter(self.folder, "stock", PYTHON)

    def run_compare(self, *arguments):
        return subprocess.run(
            [sys.executable, str(COMPARE), *map(str, arguments)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def compare(self, *arguments):
        self.report = self.folder / "report.json"
        self.counts = self.folder / "counts.json"
        return self.run_compare(
            "--patched", self.patched, "--stock", self.stock,
            "--testdir", self.tests, "--report", self.report,
            "--counts", self.counts, *arguments)

    def verdicts(self):
        found = {}
        for row in json.loads(self.report.read_text())["cases"]:
            case = row["case"]
            if case is not None:
                case = case.partition(" ")[0].rpartition(".")[2]
            found[row["file"], case] = row["verdict"]
        return found

    def last_line(self, outcome):
        return outcome.stdout.splitlines()[-1]


@unittest.skipUnless(has_regrtest(), f"{PYTHON} has no test package")
class Verdicts(Outside):
    maxDiff = None

    @unittest.skipUnless(os.environ.get("REGRTEST_SLOW"),
                         "slow; REGRTEST_SLOW=1 runs it")
    def test_every_verdict(self):
        planted.plant(self.tests)
        outcome = self.compare("--timeout", "4")
        self.assertEqual(outcome.returncode, 1, outcome.stdout + outcome.stderr)
        self.assertEqual(self.verdicts(), planted.EXPECTED, outcome.stdout)
        verdicts = list(planted.EXPECTED.values())
        counts = json.loads(self.counts.read_text())
        self.assertEqual(counts["failed"], verdicts.count("REGRESSION"))
        self.assertEqual(
            counts["skipped"], verdicts.count("fails on stock too")
            + verdicts.count("skipped on stock")
            + 1)    # test_skips; a file that skips itself is not a case
        self.assertEqual(self.last_line(outcome),
                         "{passed} passed, {failed} failed, {skipped} skipped"
                         .format(**counts))

    def test_regression_fails(self):
        names = ("test_fails", "test_crash_once")
        planted.plant(self.tests, names)
        outcome = self.compare(*names)
        self.assertEqual(outcome.returncode, 1, outcome.stdout + outcome.stderr)
        self.assertEqual(self.verdicts(), {
            key: verdict for key, verdict in planted.EXPECTED.items()
            if key[0] in names})
        # test_crash_once's own cases ran, and passed, in the rerun.
        self.assertEqual(self.last_line(outcome),
                         "3 passed, 2 failed, 0 skipped")

    def test_only_shared_failures_succeed(self):
        names = ("test_plain", "test_fails_on_both", "test_flaky", "test_liar")
        planted.plant(self.tests, names)
        outcome = self.compare(*names)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        self.assertEqual(self.last_line(outcome),
                         "7 passed, 0 failed, 1 skipped")

    def test_what_hangs_is_asked_of_stock_first(self):
        planted.plant(self.tests, ["test_hang_on_both"])
        outcome = self.compare("--timeout", "3")
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        self.assertEqual(self.verdicts(),
                         {("test_hang_on_both", None): "fails on stock too"})
        self.assertIn("alone on stock", outcome.stdout)
        self.assertNotIn("alone on patched", outcome.stdout)

    def test_suite_limit(self):
        planted.plant(self.tests, ["test_hang"])
        outcome = self.compare("--suite-limit", "1", "--rerun-limit", "1")
        self.assertEqual(outcome.returncode, 1, outcome.stdout + outcome.stderr)
        self.assertEqual(set(self.verdicts().values()), {"UNCHECKED"})

    def test_env_reaches_the_tests(self):
        planted.plant(self.tests, ["test_fails"])
        file = self.tests / "test_fails.py"
        file.write_text(file.read_text().replace(
            "PATCHED, 'planted'", "os.environ['WANTED'] != 'a=b'"))
        outcome = self.compare("--env", "WANTED=a=b")
        self.assertEqual(self.last_line(outcome),
                         "2 passed, 0 failed, 0 skipped", outcome.stdout)


class BadUsage(Outside):
    def check(self, message, *arguments):
        outcome = self.run_compare(*arguments)
        self.assertEqual(outcome.returncode, 2, outcome.stdout + outcome.stderr)
        self.assertEqual(outcome.stdout, "")
        self.assertEqual(len(outcome.stderr.splitlines()), 1, outcome.stderr)
        self.assertIn(message, outcome.stderr)

    def sides(self, patched, stock):
        return "--patched", patched, "--stock", stock

    def test_interpreter(self):
        plain = self.folder / "plain"
        plain.write_text("")
        mute = self.folder / "mute"
        mute.write_text("#!/bin/sh\nexit 3\n")
        mute.chmod(0o755)
        other = self.folder / "other"
        other.write_text("#!/bin/sh\necho cpython 3 99 0 final 0 64\n")
        other.chmod(0o755)
        self.check("required: --stock", "--patched", self.patched)
        self.check("no such interpreter: /nowhere",
                   *self.sides("/nowhere", self.stock))
        self.check("not executable", *self.sides(self.patched, plain))
        self.check("cannot tell its version (status 3)",
                   *self.sides(mute, self.stock))
        self.check("not the same version", *self.sides(self.patched, other))

    def test_files(self):
        sides = self.sides(self.patched, self.stock)
        self.check("--report: cannot write",
                   *sides, "--report", self.folder / "none" / "report.json")
        self.check("--counts: cannot write", *sides, "--counts", self.folder)
        self.check("no such folder", *sides, "--testdir", self.folder / "none")

    def test_options(self):
        sides = self.sides(self.patched, self.stock)
        self.check("--jobs", *sides, "--jobs", "0")
        self.check("not NAME=VALUE", *sides, "--env", "NAME")

    @unittest.skipUnless(has_regrtest(), f"{PYTHON} has no test package")
    def test_unknown_test(self):
        planted.plant(self.tests, ["test_plain"])
        self.check("no such test: test_typo",
                   *self.sides(self.patched, self.stock),
                   "--testdir", self.tests, "test_typo")


if __name__ == "__main__":
    unittest.main()
