"""pyperformance: its command line, and the command with a stand-in for it; no network."""
import os
import unittest
from pathlib import Path
from unittest import mock

from obmallocbench import field_suite, packages, processes
from obmallocbench.errors import BenchmarkError

from .test_run import PYTHON, InFolder, run

TABLE = "| Geometric mean | (ref) | 1.00x faster |"
VERSIONS = {"pyperformance": "1.2", "pyperf": "3.4"}
# $5 is the interpreter, $7 the benchmark, $9 the file to which results are added.
STAND_IN = ('case "$2 $3" in',
            '"pyperf compare_to") [ -s "$7" ] && [ -s "$8" ] && [ -s "$9" ] && echo '
            f'"{TABLE}";;',
            '"pyperformance list") echo "benchmarks:"; echo "- go"; echo "- nbody";;',
            '"pyperformance run") echo "[1/1] $7..."; %s echo "$7" >>"$9"; %s;;', "esac")


class Commands(unittest.TestCase):
    def test_run(self):
        self.assertEqual(
            field_suite.run_command(Path("/v/python"), "/i/python", "go", Path("/r/a.json"),
                                    ["--fast"]),
            ["/v/python", "-m", "pyperformance", "run", "--python", "/i/python", "--benchmarks",
             "go", "--append", "/r/a.json", "--fast"])

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
        lines = "\n".join(STAND_IN) % (before, after or ":")
        with mock.patch.object(packages, "install_tool",
                               return_value=(self.script(*lines.splitlines()), VERSIONS)):
            return self.command(*words)

    def command(self, *words):
        (self.folder / "venvs").mkdir(exist_ok=True)
        return run("pyperformance", "--stock", PYTHON, "--patched", PYTHON, "--report",
                   self.report, "--venvs", self.folder / "venvs", "--", *words)

    def results(self) -> list[str]:
        """Return the names of the files of the report that are no logs, if there is a report."""
        return sorted(path.name for path in self.report.glob("*") if path.suffix != ".log")

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
            self.assertEqual(path.read_text(encoding="ascii"), "go\nnbody\n")

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
