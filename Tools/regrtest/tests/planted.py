"""A folder of planted tests: one file for each thing that can go wrong.

PLANTED says which side runs them (the wrappers of interpreter() set it), and
each run of a file can tell which run of that side it is.  plant() writes the
files; EXPECTED is the verdict on each case that is no plain pass.
"""

import os
import shlex
from pathlib import Path

PREAMBLE = """\
import os, signal, sys, time, unittest
SIDE = os.environ["PLANTED"]
PATCHED = SIDE == "patched"

def run_number():
    mark = os.path.join(os.environ["PLANTED_STATE"], __name__ + "." + SIDE)
    with open(mark, "a+") as file:
        file.write("x")
    return os.path.getsize(mark)
"""

CASE = """\
class Planted(unittest.TestCase):
    def test_good(self):
        pass

    def test_it(self):
        {}
"""

FILES = {
    "test_plain": CASE.format("pass"),
    "test_skips": CASE.format("self.skipTest('not here')"),
    "test_skipped_file": "raise unittest.SkipTest('not here')\n",
    "test_fails": CASE.format("self.assertFalse(PATCHED, 'planted')"),
    "test_fails_on_both": CASE.format("self.fail('planted')"),
    "test_subtest": CASE.format(
        "with self.subTest(number=1): self.assertFalse(PATCHED, 'planted')"),
    "test_unexpected": """\
class Planted(unittest.TestCase):
    @unittest.expectedFailure
    def test_it(self):
        assert PATCHED
""",
    "test_fixture": CASE.format("pass") + """
    @classmethod
    def setUpClass(cls):
        assert not PATCHED, 'planted'
""",
    "test_flaky": CASE.format(
        "self.assertNotEqual((SIDE, run_number()), ('patched', 1))"),
    "test_flaky_on_stock": CASE.format(
        "self.assertTrue(SIDE == 'stock' and run_number() != 2)"),
    "test_skipped_on_stock": CASE.format(
        "self.skipTest('not here') if not PATCHED else self.fail('planted')"),
    "test_crash": CASE.format(
        "os.kill(os.getpid(), signal.SIGSEGV if PATCHED else 0)"),
    "test_crash_once": CASE.format(
        "if PATCHED and run_number() == 1: os.kill(os.getpid(), signal.SIGABRT)"),
    "test_crash_on_both": CASE.format("os.kill(os.getpid(), signal.SIGSEGV)"),
    "test_child_crash_once": CASE.format(
        "if PATCHED and run_number() == 1:\n"
        "            raise AssertionError('Process return code is -11')"),
    "test_hang": CASE.format("time.sleep(60 if PATCHED else 0)"),
    "test_hang_on_both": CASE.format("time.sleep(60)"),
    "test_import": "if PATCHED: import no_such_module\n" + CASE.format("pass"),
    "test_import_on_both": "import no_such_module\n" + CASE.format("pass"),
    "test_environment": CASE.format("if PATCHED: os.environ['PLANTED_LEAK'] = '1'"),
    "test_exit": CASE.format("if PATCHED: os._exit(7)"),
    "test_silent_exit": CASE.format("if PATCHED: os._exit(0)"),
    "test_liar": CASE.format(
        "print('0:00:00 [1/1] test_plain failed', file=sys.__stdout__)"),
}

# Case by file; None is the file as a whole.
EXPECTED = {
    ("test_skips", "test_it"): "skipped",
    ("test_skipped_file", None): "skipped",
    ("test_fails", "test_it"): "REGRESSION",
    ("test_fails_on_both", "test_it"): "fails on stock too",
    ("test_subtest", "test_it"): "REGRESSION",
    ("test_unexpected", "test_it"): "REGRESSION",
    ("test_fixture", "setUpClass"): "REGRESSION",
    ("test_flaky", "test_it"): "flaky on patched",
    ("test_flaky_on_stock", "test_it"): "fails on stock too",
    ("test_skipped_on_stock", "test_it"): "skipped on stock",
    ("test_crash", None): "REGRESSION",
    ("test_crash_once", None): "REGRESSION",
    ("test_crash_on_both", None): "fails on stock too",
    ("test_child_crash_once", "test_it"): "REGRESSION",
    ("test_hang", None): "REGRESSION",
    ("test_hang_on_both", None): "fails on stock too",
    ("test_import", None): "REGRESSION",
    ("test_import_on_both", None): "fails on stock too",
    ("test_environment", None): "REGRESSION",
    ("test_exit", None): "REGRESSION",
    ("test_silent_exit", None): "REGRESSION",
}


def plant(folder, names=FILES):
    for name in names:
        Path(folder, name + ".py").write_text(PREAMBLE + FILES[name])


def interpreter(folder, side, python):
    """An executable that is python, and tells the planted tests its side."""
    path = Path(folder, side)
    state = Path(folder, "state")
    state.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nPLANTED={side} "
                    f"PLANTED_STATE={shlex.quote(str(state))} "
                    f'exec {shlex.quote(python)} "$@"\n')
    os.chmod(path, 0o755)
    return str(path)
