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
# $5 is the interpreter, $7 the output.
STAND_IN = ('case "$2" in', 'pyperf) [ -s "$7" ] && [ -s "$8" ] && echo "' + TABLE + '";;',
            'pyperformance) echo "[1/1] go..."; %s echo "{}" >"$7"; %s;;', "esac")


class Commands(unittest.TestCase):
    def test_run(self):
        self.assertEqual(
            field_suite.run_command(Path("/v/python"), "/i/python", Path("/r/a.json"),
                                    ["--fast", "-b", "go"]),
            ["/v/python", "-m", "pyperformance", "run", "--python", "/i/python", "--output",
             "/r/a.json", "--fast", "-b", "go"])

    def test_compare(self):
        self.assertEqual(
            field_suite.compare_command(Path("/v/python"), [Path("a"), Path("b")]),
            ["/v/python", "-m", "pyperf", "compare_to", "--table", "--table-format", "md", "a", "b"])

    def test_what_is_settled_is_refused(self):
        field_suite.refuse_ours(["--fast", "-b", "go"])
        for word in ("-o", "--output=x", "--python", "--append"):
            with self.assertRaisesRegex(BenchmarkError, "settled"):
                field_suite.refuse_ours(["--fast", word])

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
        self.assertEqual(self.results(), ["pyperformance-patched.json", "pyperformance-stock.json",
                                          "pyperformance.md"])
        self.assertIn(TABLE, (self.report / "pyperformance.md").read_text(encoding="utf-8"))
        self.assertEqual(list((self.folder / "venvs").iterdir()), [])

    def test_what_failed_is_named_and_the_rest_is_there(self):
        status, output, errors = self.suite("echo 'ERROR: Benchmark 2to3 failed: no wheel';",
                                            "exit 1")
        self.assertEqual(status, 2)
        self.assertIn("without those that failed: 2to3 (stock), 2to3 (patched)",
                      errors.splitlines()[-1])
        self.assertIn(TABLE, output)
        self.assertEqual(len(self.results()), 3)

    def test_no_result_is_one_line_and_no_file(self):
        for before in ("echo sorry; exit 1;", "echo sorry; exit 0;"):
            status, output, errors = self.suite(before)
            self.assertEqual((status, output), (2, ""))
            self.assertIn("measured nothing: sorry", errors.splitlines()[-1])
            self.assertEqual(self.results(), [])

    def test_an_end_with_another_status_is_no_result(self):
        status, _, errors = self.suite(after="exit 3")
        self.assertEqual(status, 2)
        self.assertIn("status 3", errors.splitlines()[-1])
        self.assertEqual(self.results(), [])

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
