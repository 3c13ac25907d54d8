"""unittests.py and shuffled.py: tests that fail once, always, or in company only."""

import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

from support import RepositoryCase
import unittests

# {memory} is a folder: what is in there has failed once.
PLANTED = '''
import os, time, unittest

def once(name):
    """Fail the first time."""
    path = os.path.join({memory!r}, name)
    if not os.path.exists(path):
        open(path, "w").close()
        raise AssertionError(name)

class Good(unittest.TestCase):
    def test_a(self): pass
    def test_b(self): pass
    @unittest.skip("for no reason")
    def test_c(self): pass
'''
ONCE = '''
class Once(unittest.TestCase):
    def test_plain(self): once("plain")
    def test_in_two_parts(self):
        for part in "ab":
            with self.subTest(part=part): once(part)
'''
ALWAYS = '''
class Always(unittest.TestCase):
    def test_fails(self): self.fail("as ever")
'''
FIXTURE = '''
class Fixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls): once("fixture")
    def test_a(self): pass
    def test_b(self): pass
'''
IMPORT = '''
once("import")
'''
END = '''
class End(unittest.TestCase):
    def test_ends_the_process(self):
        try:
            once("end")
        except AssertionError:
            os._exit(3)
'''


class PlantedTests(RepositoryCase):

    def setUp(self):
        super().setUp()
        self.folder = self.root / "Tools/x/tests"
        self.memory = self.outside / "memory"
        self.memory.mkdir()

    def plant(self, *parts):
        self.write("Tools/x/tests/test_planted.py", "".join((PLANTED, *parts)).replace(
            "{memory!r}", repr(str(self.memory))))
        return unittests.folder_batch(self.folder)

    def settle(self, *parts):
        """The counts, and the names after FLAKY:."""
        counts = unittests.run_and_settle(self.plant(*parts))
        lines = self.output.getvalue().splitlines()
        return counts, sorted(line[7:] for line in lines if line.startswith("FLAKY: "))

    def test_nothing_fails(self):
        self.assertEqual(self.settle(), ({"passed": 2, "failed": 0, "skipped": 1, "flaky": 0}, []))

    def test_what_fails_once_is_flaky(self):
        counts, names = self.settle(ONCE)
        self.assertEqual(counts, {"passed": 2, "failed": 0, "skipped": 1, "flaky": 2})
        self.assertEqual(names, ["Tools/x/tests: test_planted.Once.test_in_two_parts",
                                 "Tools/x/tests: test_planted.Once.test_plain"])

    def test_what_fails_again_is_not(self):
        counts, names = self.settle(ALWAYS)
        self.assertEqual((counts["failed"], counts["flaky"], names), (1, 0, []))
        self.assertIn("test_planted.Always.test_fails was repeated alone, and did not pass", self.output.getvalue())
        counts, _ = self.settle(ALWAYS, ONCE)
        self.assertEqual((counts["failed"], counts["flaky"]), (1, 2))

    def test_what_the_fixture_of_a_class_breaks(self):
        counts, names = self.settle(FIXTURE)
        self.assertEqual(counts, {"passed": 4, "failed": 0, "skipped": 1, "flaky": 1})
        self.assertEqual(names, ["Tools/x/tests: test_planted.Fixture"])

    def test_what_cannot_be_imported(self):
        counts, names = self.settle(IMPORT)
        self.assertEqual(counts, {"passed": 2, "failed": 0, "skipped": 1, "flaky": 1})
        self.assertEqual(names, ["Tools/x/tests: test_planted"])

    def test_what_ends_the_process(self):
        counts, names = self.settle(END)
        self.assertEqual(counts, {"passed": 3, "failed": 0, "skipped": 1, "flaky": 1})
        self.assertEqual(names, ["Tools/x/tests"])

    def test_no_time_to_repeat(self):
        with mock.patch.object(unittests, "REPEAT_SECONDS", 0):
            counts, names = self.settle(ONCE)
        self.assertEqual((counts["failed"], counts["flaky"], names), (3, 0, []))
        self.assertIn("test_plain was not repeated", self.output.getvalue())

    def order(self, seed):
        """The tests in the order in which they ran."""
        self.write("Tools/x/tests/test_other.py", PLANTED.replace("{memory!r}", "''"))
        attempt = self.plant(FIXTURE).run(seed=seed)
        self.assertEqual(attempt.status, 0, attempt.output)
        lines = attempt.output.splitlines()
        return [line.split("(")[1].split(")")[0] + line.split()[0] for line in lines if " ... " in line]

    def test_a_seed_draws_the_order(self):
        (self.memory / "fixture").touch()
        orders = {tuple(self.order(seed)) for seed in range(12)}
        self.assertGreater(len(orders), 1)
        self.assertEqual({tuple(sorted(order)) for order in orders}, {tuple(sorted(self.order(1)))})
        self.assertEqual(self.order(7), self.order(7))
        for order in orders:
            modules = [name.split(".")[0] for name in order]
            changes = sum(one != two for one, two in zip(modules, modules[1:]))
            self.assertEqual(changes, 1, order)


class OutputTests(unittest.TestCase):

    def test_counts(self):
        self.assertEqual(unittests.count("Ran 5 tests in 1s\n\nFAILED (failures=1, errors=1, skipped=2)\n", 1),
                         {"passed": 1, "failed": 2, "skipped": 2})
        self.assertEqual(unittests.count("Ran 3 tests in 1s\n\nOK (skipped=1)\n", 0),
                         {"passed": 2, "failed": 0, "skipped": 1})
        self.assertEqual(unittests.count("Traceback: crashed", 1)["failed"], 1)

    def names(self, *headings):
        return [(failure.name, failure.is_group) for failure in unittests.failures("".join(f"{'=' * 70}\n{line}\n" for line in headings))]

    def test_names_of_old_and_new_versions(self):
        for place in ("test.test_x.Some", "test.test_x.Some.test_a"):
            self.assertEqual(self.names(f"FAIL: test_a ({place})", f"FAIL: test_a ({place}) (part='a b')",
                                        f"ERROR: test_a ({place}) [a message]"), [("test.test_x.Some.test_a", False)])
        self.assertEqual(self.names("ERROR: setUpClass (test.test_x.Some)"), [("test.test_x.Some", True)])
        for place in ("unittest.loader._FailedTest", "unittest.loader._FailedTest.x.test_x"):
            self.assertEqual(self.names(f"ERROR: x.test_x ({place})"), [("x.test_x", True)])
        self.assertEqual(unittests.failures("FAIL: test_a (test.test_x.Some)\n"), [])


class RunTests(RepositoryCase):

    def test_a_program_that_hangs_is_killed_with_its_children(self):
        for seconds in 1, 10, 100:          # that a busy machine may need to start it
            begin = time.monotonic()
            status, output = unittests.run(["/bin/sh", "-c", "echo here; sleep 600 | sleep 600"], cwd=self.root,
                                           environment={"PATH": "/usr/bin:/bin"}, seconds=seconds)
            self.assertLess(time.monotonic() - begin, 500)
            if output:
                break
        self.assertEqual((status, output), (-9, "here\n"))

    def test_a_program_ends_when_we_are_told_to_end(self):
        ours = ("import pathlib, sys, unittests; from errors import run_guarded; "
                "sys.exit(run_guarded(lambda: unittests.run(['/bin/sh', '-c', 'echo $$; exec sleep 600'], "
                "cwd=pathlib.Path('/'), environment={}, seconds=600, copy=sys.stdout)[0]))")
        build = Path(unittests.__file__).resolve().parent
        for number in signal.SIGINT, signal.SIGTERM:
            with self.subTest(signal=number):
                process = subprocess.Popen([sys.executable, "-c", ours], cwd=build,
                                           env={**os.environ, "PYTHONPATH": str(build.parent)},
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                child = int(process.stdout.readline())
                process.send_signal(number)
                self.assertEqual(process.communicate()[1], "obmalloc: interrupted\n")
                self.assertEqual(process.returncode, 130)
                with self.assertRaises(ProcessLookupError):     # it was waited for
                    os.kill(child, 0)

    def test_both_streams(self):
        code = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(5)"
        self.assertEqual(unittests.run([sys.executable, "-c", code], cwd=self.root, environment={}, seconds=600),
                         (5, "out\nerr\n"))

    def test_root_of_imports(self):
        self.write("Tools/x/tests/test_a.py", "")
        self.assertEqual(unittests.import_root(self.root / "Tools/x/tests"), self.root / "Tools/x/tests")
        self.write("Tools/x/tests/__init__.py", "")
        self.write("Tools/x/__init__.py", "")
        self.assertEqual(unittests.import_root(self.root / "Tools/x/tests"), self.root / "Tools")


if __name__ == "__main__":
    unittest.main()
