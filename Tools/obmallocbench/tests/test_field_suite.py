"""pyperformance: its command line, and the command with a stand-in for it; no network."""
import json
import os
import unittest
from pathlib import Path
from unittest import mock

from shared import packages, processes
from obmallocbench import field_suite
from obmallocbench.errors import BenchmarkError

from .test_run import PYTHON, InFolder, run

TABLE = "| Geometric mean | (ref) | 1.00x faster |"
VERSIONS = {"pyperformance": "1.2", "pyperf": "3.4"}
RESULTS = r'{"benchmarks": [{"metadata": {"name": "%s"}}], "metadata": {"os": "x"}, "version": "1"}'
# $5 is the interpreter, $7 the benchmark, $9 the file for results.
STAND_IN = ('case "$2 $3" in',
            '"pyperf compare_to") [ -s "$7" ] && [ -s "$8" ] && [ -s "$9" ] && echo '
            f'"{TABLE}";;',
            '"pyperformance list") echo "benchmarks:"; echo "- go"; echo "- nbody";;',
            '"pyperformance run") [ -e "$9" ] && echo "$9 exists" && exit 4;',
            'echo "[1/1] $7..."; BEFORE '
            f"printf '{RESULTS}' \"$7\" >\"$9\"; AFTER;;", "esac")


class Commands(unittest.TestCase):
    def test_run(self):
        self.assertEqual(
            field_suite.run_command(Path("/v/python"), "/i/python", "go", Path("/r/a.json"),
                                    ["--fast"]),
            ["/v/python", "-m", "pyperformance", "run", "--python", "/i/python", "--benchmarks",
             "go", "--output", "/r/a.json", "--fast"])

    def test_list(self):
        self.assertEqual(field_suite.list_command(Path("p"), "go,-nbody"),
                         ["p", "-m", "pyperformance", "list", "-b", "go,-nbody"])
        self.assertEqual(field_suite.list_command(Path("p"), ""),
                         ["p", "-m", "pyperformance", "list"])
        self.assertEqual(field_suite.names_of("'go' benchmarks:\n- go\n- 2to3\n\nTotal: 2"),
                         ["go", "2to3"])

    def test_compare(self):
        self.assertEqual(
            field_suite.compare_command(Path("/v/python"), [Path("a"), Path("b")]),
            ["/v/python", "-m", "pyperf", "compare_to", "--table", "--table-format", "md", "a",
             "b"])

    def test_selection(self):
        for words, selection, others in ((["--fast"], "", ["--fast"]),
                                         (["--fast", "-b", "go"], "go", ["--fast"]),
                                         (["--benchmarks=go,nbody", "-r"], "go,nbody", ["-r"])):
            self.assertEqual(field_suite.split_selection(words), (selection, others))
        with self.assertRaisesRegex(BenchmarkError, "no benchmark"):
            field_suite.split_selection(["-b"])

    def test_what_is_settled_is_refused(self):
        for word in ("-o", "--output=x", "--python", "--append"):
            with self.assertRaisesRegex(BenchmarkError, "settled"):
                field_suite.split_selection(["--fast", word])

    def test_no_variable_reaches_an_interpreter(self):
        with mock.patch.dict(os.environ, {"PYTHONMALLOC": "debug", "LD_PRELOAD": "x",
                                          "PIP_INDEX_URL": "y"}):
            environment = field_suite.suite_environment()
        self.assertEqual(environment.get("PIP_INDEX_URL"), "y")
        self.assertFalse({"PYTHONMALLOC", "LD_PRELOAD"} & set(environment))


class Command(InFolder):
    def suite(self, before: str = "", after: str = "", words=("--fast",)):
        """Run the command with a stand-in that does so before and after it writes its result."""
        lines = "\n".join(STAND_IN).replace("BEFORE", before).replace("AFTER", after or ":")
        with mock.patch.object(packages, "install_tool",
                               return_value=(self.script(*lines.splitlines()), VERSIONS)):
            return self.command(*words)

    def command(self, *words):
        (self.folder / "venvs").mkdir(exist_ok=True)
        return run("pyperformance", "--stock", PYTHON, "--patched", PYTHON, "--report",
                   self.report, "--venvs", self.folder / "venvs", "--", *words)

    def results(self) -> list[str]:
        """Return the names of the files of the report that are no logs nor journals, if there is
        a report."""
        return sorted(path.name for path in self.report.glob("*")
                      if path.suffix not in (".log", ".journal"))

    def test_a_whole_run(self):
        status, output, errors = self.suite()
        self.assertEqual(status, 0, errors)
        self.assertIn(TABLE, output)
        self.assertIn("pyperformance 1.2, pyperf 3.4, with: --fast.", output)
        self.assertIn("same file", output)
        self.assertEqual(self.results(), ["pyperformance-patched.json",
                                          "pyperformance-stock-again.json",
                                          "pyperformance-stock.json", "pyperformance.md"])
        self.assertIn(TABLE, (self.report / "pyperformance.md").read_text(encoding="utf-8"))
        self.assertEqual(list((self.folder / "venvs").iterdir()), [])

    def test_interpreters_take_turns(self):
        _, _, errors = self.suite()
        self.assertEqual(errors.splitlines()[1:], [
            f"{number} of 2: {name}, {arm}" for number, name in ((1, "go"), (2, "nbody"))
            for arm in ("stock", "patched", "stock-again")])
        for path in self.report.glob("*.json"):
            benchmarks = json.loads(path.read_bytes())["benchmarks"]
            self.assertEqual([benchmark["metadata"] for benchmark in benchmarks],
                             [{"os": "x", "name": "go"}, {"os": "x", "name": "nbody"}])

    def test_it_goes_on_where_it_was_interrupted(self):
        stops = 'if [ "$7" = nbody ]; then echo sorry; exit 3; fi;'
        self.assertEqual(self.suite(stops)[0], 2)
        self.assertEqual(self.results(), [])
        status, output, errors = self.suite()
        self.assertEqual((status, errors.splitlines()[1:]),
                         (0, [f"2 of 2: nbody, {arm}" for arm in field_suite.ARMS]))
        self.assertIn(TABLE, output)
        for path in self.report.glob("*.json"):
            self.assertEqual(len(json.loads(path.read_bytes())["benchmarks"]), 2)

    def test_an_interrupt_says_that_what_was_measured_is_kept(self):
        with mock.patch.object(field_suite, "run_command", side_effect=KeyboardInterrupt):
            status, _, errors = self.suite()
        self.assertEqual(status, 130)
        self.assertTrue(errors.endswith("obmallocbench: interrupted, what was measured is kept, "
                                        "the same command goes on\n"), errors)

    def test_what_was_measured_otherwise_is_measured_again(self):
        self.suite()
        _, _, errors = self.suite(words=("--rigorous",))
        self.assertEqual(len(errors.splitlines()), 7)

    def test_a_benchmark_that_failed_is_tried_again(self):
        fails = 'if [ "$7" = go ]; then echo "ERROR: Benchmark go failed: no wheel"; exit 1; fi;'
        self.assertEqual(self.suite(fails)[0], 2)
        status, _, errors = self.suite()
        self.assertEqual((status, errors.splitlines()[1:]),
                         (0, [f"1 of 2: go, {arm}" for arm in field_suite.ARMS]))

    def test_one_that_fails_late_is_left_out_and_the_next_one_runs(self):
        fails = 'if [ "$7" = go ]; then echo "ERROR: Benchmark go failed"; exit 1; fi'
        status, _, errors = self.suite(after=fails)
        self.assertEqual(status, 2)
        self.assertIn("without those that failed: go (see", errors.splitlines()[-1])
        for path in self.report.glob("*.json"):
            self.assertEqual(len(json.loads(path.read_bytes())["benchmarks"]), 1)

    def test_an_interpreter_built_anew_meanwhile(self):
        other = self.script("exit 0")
        found = {"path": str(other), "sha256": "1"}
        runs = field_suite.Runs({"stock": found, "patched": found}, {"machine": {}}, VERSIONS, [])
        self.assertEqual(runs.path("stock"), str(other))
        other.write_text("#!/bin/sh\nexit 1 # longer\n", encoding="ascii")
        with self.assertRaisesRegex(BenchmarkError, "built anew"):
            runs.path("stock")

    def test_what_failed_is_named_and_the_rest_is_there(self):
        status, output, errors = self.suite(
            'if [ "$7" = go ]; then echo "ERROR: Benchmark go failed: no wheel"; exit 1; fi;')
        self.assertEqual(status, 2)
        self.assertIn("without those that failed: go (see", errors.splitlines()[-1])
        self.assertIn(TABLE, output)
        self.assertEqual(len(self.results()), 4)
        self.assertIn("no wheel", (self.report / "pyperformance.log").read_text(encoding="utf-8"))

    def test_when_all_fail_there_is_no_result(self):
        for before in ("echo 'ERROR: Benchmark x failed'; exit 1;", "echo sorry; exit 3;"):
            status, output, errors = self.suite(before)
            self.assertEqual((status, output), (2, ""))
            self.assertRegex(errors.splitlines()[-1],
                             "no benchmark could be run: go, nbody|status 3: sorry")
            self.assertEqual(self.results(), [])
            self.assertEqual(list((self.folder / "venvs").iterdir()), [])

    def test_without_a_network(self):
        def no_pip(command, name, limit, environment=None):
            if name == "pip":
                raise BenchmarkError("pip ended with status 1: No matching distribution")
            (self.folder / "venvs" / "tool").mkdir()
        with mock.patch.object(processes, "output_of", no_pip):
            status, output, errors = self.command()
        self.assertEqual((status, output), (2, ""))
        self.assertRegex(errors.splitlines()[-1], "pyperformance could not be installed.*network")
        self.assertEqual(self.results(), [])

    def test_an_old_venv_is_used_again(self):
        folder = self.folder / "tool"
        folder.mkdir()
        (folder / packages.COMPLETE).write_text('{"pyperformance": "1"}', encoding="ascii")
        with mock.patch.object(processes, "output_of", side_effect=AssertionError):
            python, versions = packages.install_tool("pyperformance", folder)
        self.assertEqual((python, versions), (folder / "bin" / "python", {"pyperformance": "1"}))
