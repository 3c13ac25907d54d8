"""stress.py: rounds, orders, names of what failed, and the load and its end."""

import os
import signal
import subprocess
import sys
import time
import types
import unittest
from pathlib import Path
from unittest import mock

from support import RepositoryCase
import stress
from errors import BuildError
from stress import Result
from unittests import Batch

FAR_SECONDS = 300
# A process that has a load, says so, and waits.
LOADED = """
import sys
sys.path.insert(0, sys.argv[1])
import stress
with stress.load():
    print("loaded", flush=True)
    sys.stdin.read()
"""


class RoundTests(RepositoryCase):

    def setUp(self):
        super().setUp()
        self.patch(mock.patch.object(stress, "load", lambda: mock.MagicMock()))
        self.patch(mock.patch.object(stress, "build", lambda release, variant: None))
        self.patch(mock.patch.object(stress.package, "preload", lambda: None))
        self.ran = []       # (step, seed)
        self.results = {}   # by the same
        self.patch(mock.patch.dict(stress.STEPS, {name: self.step(name) for name in stress.STEPS}))

    def step(self, name):
        def run(this):
            self.ran.append((name, this.seed))
            yield self.results.get((name, this.seed), Result(10, []))
        return run

    def stress(self, **variables):
        with mock.patch.dict(os.environ, {"ROUNDS": "", "STEPS": "", "SEED": "", **variables}):
            status = stress.stress(self.release)
        return status, self.output.getvalue().splitlines()

    def test_all_steps_five_times(self):
        status, lines = self.stress()
        self.assertEqual((status, lines[-1]), (0, "250 passed, 0 failed"))
        seeds = list(dict.fromkeys(seed for _, seed in self.ran))
        self.assertEqual(seeds, list(range(seeds[0], seeds[0] + 5)))
        for seed in seeds:
            self.assertEqual({name for name, its in self.ran if its == seed}, set(stress.STEPS))

    def test_a_seed_draws_the_order(self):
        orders = []
        for seed in "7", "7", "8":
            self.ran = []
            self.stress(SEED=seed, ROUNDS="9")
            orders.append([name for name, _ in self.ran])
        self.assertEqual(orders[0], orders[1])
        self.assertEqual(orders[0][5:], orders[2][:-5])     # the second round of 7 is the first of 8
        self.assertGreater(len({tuple(orders[0][begin:begin + 5]) for begin in range(0, 45, 5)}), 1)

    def test_what_failed_is_named_with_what_repeats_it(self):
        self.results = {("tools", 3): Result(4, ["x: test_a", "x: test_b"]), ("tools", 4): Result(5, ["x: test_a"])}
        status, lines = self.stress(SEED="3", ROUNDS="2", STEPS="tools, soak")
        self.assertEqual((status, lines[-1]), (1, "29 passed, 3 failed"))
        self.assertEqual(lines[-3:-1], ["obmalloc: failed in 2 of 2 rounds (SEED=3, 4): x: test_a",
                                        "obmalloc: failed in 1 of 2 rounds (SEED=3): x: test_b"])
        again = f"make test-stress VERSION={self.release.number} STEPS=tools ROUNDS=1 SEED=4"
        self.assertIn(f"obmalloc: --- tools, round 2 of 2: {again}", lines)

    def test_an_old_release(self):
        with self.assertRaisesRegex(BuildError, "needs Python 3.9 or later: 2.7.18 is older"):
            stress.stress(types.SimpleNamespace(series=(2, 7), number="2.7.18"))


class ResultTests(RepositoryCase):

    def setUp(self):
        super().setUp()
        self.round = stress.Round(None, None, 5)

    def batch(self, text):
        self.write("test_x.py", "import os, unittest\nclass X(unittest.TestCase):\n" + text)
        return self.round.batch(Batch("some/tests", ["test_x"], cwd=self.root))

    def test_tests_of_unittest(self):
        self.assertEqual(self.batch(" def test_a(self): pass\n"), Result(1, []))
        self.assertEqual(self.batch(" def test_a(self): pass\n def test_b(self): self.fail()\n"),
                         Result(1, ["some/tests: test_x.X.test_b"]))

    def test_a_process_that_ends_early(self):
        result = self.batch(" def test_a(self): os._exit(3)\n")
        log = "build/report/stress/some-tests-5.log"
        self.assertEqual(result.failures, [f"some/tests ended with status 3 (see {log})"])
        self.assertIn("test_a", (self.root / log).read_text())      # the one in which it ended

    def test_programs(self):
        for code, expected in (("echo 7 passed, 0 failed", Result(7, [])), ("true", Result(0, [])),
                               ("echo 6 passed, 1 failed; exit 1",
                                Result(6, ["it (see build/report/stress/it-5.log)"]))):
            with self.subTest(code):
                self.assertEqual(self.round.program("it", ["/bin/sh", "-c", code]), expected)


@unittest.skipUnless(os.path.isdir("/proc/self"), "needs /proc")
class LoadTests(unittest.TestCase):

    def start(self):
        """A process with a load, and the ids of the load's processes."""
        process = subprocess.Popen([sys.executable, "-c", LOADED, str(Path(stress.__file__).parent)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for cleanup in process.wait, process.kill, process.stdin.close, process.stdout.close:
            self.addCleanup(cleanup)
        self.assertEqual(process.stdout.readline(), b"loaded\n")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self.assertEqual(len(children), len(os.sched_getaffinity(0)))
        return process, children

    def wait_until(self, condition):
        end = time.monotonic() + FAR_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def is_gone(self, pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return True
        return fields[0] == "Z"

    def test_one_on_each_processor(self):
        process, children = self.start()
        self.wait_until(lambda: all(len(os.sched_getaffinity(int(pid))) == 1 for pid in children))
        allowed = [os.sched_getaffinity(int(pid)) for pid in children]
        self.assertEqual(set().union(*allowed), os.sched_getaffinity(0))
        process.stdin.close()
        self.assertEqual(process.wait(FAR_SECONDS), 0)
        self.assertTrue(all(map(self.is_gone, children)))

    def test_it_ends_however_its_parent_ends(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
            with self.subTest(signal=number):
                process, children = self.start()
                process.send_signal(number)
                process.wait(FAR_SECONDS)
                self.wait_until(lambda: all(map(self.is_gone, children)))


if __name__ == "__main__":
    unittest.main()
