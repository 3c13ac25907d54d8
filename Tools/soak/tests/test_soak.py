"""The soak, with made-up storms."""

import contextlib
import importlib.util
import io
import itertools
import json
import os
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

FOLDER = Path(__file__).resolve().parent.parent


def load(name):
    """A file of Tools/soak as a module."""
    spec = importlib.util.spec_from_file_location(f"soak_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module     # dataclasses look there
    spec.loader.exec_module(module)
    return module


soak = load("__main__")

def load_storms():
    """storms.py, in an interpreter without obmalloc."""
    with mock.patch.dict(sys.modules, {"_obmalloc": types.ModuleType("_obmalloc")}):
        return load("storms")


STORMS = '''
import json, os, sys, time
name, seed, seconds = sys.argv[1:]
how = os.environ.get("STORM_" + name, "")
if how == "fails":
    sys.exit("the heap is damaged")
if how == "writes":
    print("a warning", file=sys.stderr)
if how == "hangs":
    time.sleep(600)
if os.path.isabs(how) and not os.path.exists(how):
    open(how, "w").close()
    sys.exit("fails once")
print("nonsense" if how == "nonsense" else json.dumps({"rounds": 3}))
'''


class SliceTests(unittest.TestCase):

    def some(self, count, seed=1, seconds=600):
        return list(itertools.islice(soak.slices(seconds, 2, seed), count))

    def test_names_are_those_of_the_storms(self):
        self.assertEqual(set(load_storms().STORMS), set(soak.NAMES))

    def test_a_seed_draws_the_same_slices(self):
        self.assertEqual(self.some(50), self.some(50))
        self.assertNotEqual(self.some(50), self.some(50, seed=2))

    def test_every_storm_has_its_turn(self):
        others = len(soak.NAMES) - 1
        drawn = [piece.name for piece in self.some(1 + 2 * others)]
        self.assertEqual(drawn[0], soak.ONCE)
        self.assertEqual(set(drawn[1:1 + others]), set(soak.NAMES) - {soak.ONCE})
        self.assertEqual(set(drawn[1 + others:]), set(soak.NAMES) - {soak.ONCE})

    def test_checks_are_always_on(self):
        settings = {piece.settings for piece in self.some(200)}
        self.assertTrue(all(text.startswith("check=3") for text in settings))
        self.assertEqual(len(settings), len(soak.SETTINGS))

    def test_short_runs_have_short_slices(self):
        self.assertEqual(self.some(2, seconds=600)[1].seconds, soak.SLICE_SECONDS)
        self.assertEqual(self.some(2, seconds=1)[1].seconds, soak.SHORTEST_SLICE_SECONDS)
        self.assertEqual(self.some(2, seconds=1)[0].seconds, 1)


class RunTests(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.counts = os.path.join(folder.name, "counts.json")
        storms = Path(folder.name, "storms.py")
        storms.write_text(STORMS, encoding="utf-8")
        self.patch(mock.patch.object(soak, "STORMS_FILE", storms))
        self.patch(mock.patch.object(soak.processes, "writes", return_value=True))

    def patch(self, patcher):
        patcher.start()
        self.addCleanup(patcher.stop)

    def run_soak(self, *options, **hows):
        output = io.StringIO()
        variables = {f"STORM_{name}": how for name, how in hows.items()}
        with mock.patch.dict(os.environ, {**variables, soak.COUNTS_VARIABLE: self.counts}), \
                contextlib.redirect_stdout(output):
            status = soak.main(["--python", sys.executable, "--seconds", "0.001", "--seed", "5", *options])
        return status, output.getvalue(), json.loads(Path(self.counts).read_text(encoding="utf-8"))

    def test_all_is_well(self):
        status, text, counts = self.run_soak()
        self.assertEqual(status, 0)
        self.assertIn("seed 5", text)
        self.assertGreaterEqual(counts["passed"], len(soak.NAMES))
        self.assertEqual(counts["failed"], 0)
        self.assertRegex(text, r"signals 3[,\n]")
        self.assertRegex(text, r"\d+ passed, 0 failed\n$")

    def test_a_storm_that_fails(self):
        status, text, counts = self.run_soak(forks="fails")
        self.assertEqual((status, counts["failed"]), (1, 1))
        self.assertIn("obmalloc: forks failed: status 1\nthe heap is damaged\n", text)
        self.assertRegex(text, r"again: PYTHONOBMALLOC=check=3\S* .*storms.py forks \d+ 2\n")

    def test_what_fails_once_is_flaky_if_it_is_repeated(self):
        for option, expected in (["--repeat"], (0, 0, 1)), ([], (1, 1, 0)):
            with self.subTest(option), tempfile.TemporaryDirectory() as folder:
                status, text, counts = self.run_soak(*option, forks=os.path.join(folder, "failed"))
                self.assertEqual((status, counts["failed"], counts["flaky"]), expected)
                self.assertEqual(text.count("\nFLAKY: soak: PYTHONOBMALLOC=check=3"), counts["flaky"])
        status, text, counts = self.run_soak("--repeat", forks="fails")
        self.assertEqual((status, counts["failed"], counts["flaky"]), (1, 1, 0))

    def test_a_storm_that_warns_or_says_nothing(self):
        self.assertIn("wrote to standard error", self.run_soak(depths="writes")[1])
        self.assertIn("said no number of rounds", self.run_soak(depths="nonsense")[1])

    def test_a_storm_that_hangs(self):
        with mock.patch.object(soak, "FAR_SECONDS", 0.2):
            status, text, _ = self.run_soak(sessions="hangs")
        self.assertEqual(status, 1)
        self.assertIn("sessions failed: still running", text)


# A program whose kernel makes its small pages one huge page in the twentieth life, if it may.
LIVES = '''#!{python}
import os, sys
for life in range(int(sys.argv[3])):
    huge = life >= 20 and not os.environ["PYTHONOBMALLOC"].endswith("hugepages=never")
    print(9000 + 10 * life + huge * 2048)
'''


class LivesTests(unittest.TestCase):

    def test_a_huge_page_is_no_growth(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "lives")
            program.write_text(LIVES.format(python=sys.executable), encoding="utf-8")
            program.chmod(0o755)
            storm = load_storms().Lives(None, 1)
            with mock.patch.dict(os.environ, {"PYTHONOBMALLOC": "check=3,hugepages=always"}):
                self.assertEqual(storm.growth(program, 30, "pymalloc"), 10)


class CommandTests(unittest.TestCase):

    def test_an_interpreter_without_obmalloc(self):
        for python in (sys.executable, "/nowhere/python"):
            with self.assertRaisesRegex(soak.Failure, r" has no obmalloc: name .*--python$"):
                soak.main(["--python", python])


if __name__ == "__main__":
    unittest.main()
