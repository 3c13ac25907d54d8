"""The command as a whole, with this interpreter as every arm; and the ways in which it fails."""
import contextlib
import dataclasses
import io
import os
import stat
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from shared import files
from obmallocbench import __main__ as command
from obmallocbench import document, machine, panel, picture, running, table
from obmallocbench.errors import BenchmarkError
from obmallocbench.scenarios import SCENARIOS

from . import sample

PYTHON = os.path.realpath(sys.executable)
HAS_MATPLOTLIB = picture.importlib.util.find_spec("matplotlib") is not None


def run(*words) -> tuple[int, str, str]:
    """Run the command and return exit status, output, errors."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = command.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    return status, output.getvalue(), errors.getvalue()


class InFolder(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.report = self.folder / "report"

    def script(self, *lines: str) -> Path:
        """Make an executable shell script that stands for an interpreter."""
        path = self.folder / "interpreter"
        path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n", encoding="ascii")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def compare(self, patched, *words):
        """Run the scenario obj, small and with little sleep, this interpreter against patched."""
        hasty = dataclasses.replace(SCENARIOS["obj"], timed={"asleep_milliseconds": 20}, watched={})
        with mock.patch.dict(SCENARIOS, {"obj": hasty}):
            return self.compare_as_is(patched, *words)

    def compare_as_is(self, patched, *words):
        """Run the scenario obj, with few objects."""
        return run("obj", "--stock", PYTHON, "--patched", patched, "--report", self.report,
                   "--objects", 1000, "--runs", 2, *words)


class Whole(InFolder):
    def test_a_tiny_run(self):
        status, output, errors = self.compare(PYTHON, "--no-picture")
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(output.rstrip().endswith("obj.json"))
        self.assertIn("same file", output)
        result = document.read(self.report / "obj.json")
        self.assertEqual([arm["name"] for arm in result["arms"]],
                         ["stock", "patched", "retain=all"])
        self.assertEqual(result["arms"][2]["environment"], {"PYTHONOBMALLOC": "retain=all"})
        self.assertEqual(result["parameters"], {"objects": 1000})
        for label in ("right after free", "after 2nd free", "after 1 s idle"):
            self.assertIn(f"RSS {label}, MiB", output)
        for arm in result["arms"]:
            for one in arm["runs"]:
                slept = one["phases"][-1]["wall_seconds"] - one["phases"][-2]["wall_seconds"]
                self.assertGreaterEqual(slept, 0.02)
                self.assertGreaterEqual(one["measuring"]["real_seconds"], 0.02)
        self.assertEqual(os.listdir(self.report), ["obj.json"])

    def test_check_of_a_written_report(self):
        path = self.folder / "obj.json"
        files.write_json(path, sample.document())
        status, output, _ = run("check", path)
        self.assertEqual((status, output.count("PASS")), (0, 2))
        failing = sample.document()
        failing["arms"][1] = sample.arm("patched", [9.0, 9.0, 9.0], 20)
        files.write_json(path, failing)
        status, output, _ = run("check", path)
        self.assertEqual((status, output.count("FAIL")), (1, 2))

    def test_without_matplotlib_all_but_the_picture(self):
        with mock.patch.object(picture, "picture_of", side_effect=BenchmarkError(picture.INSTALL)):
            status, output, errors = self.compare(PYTHON)
            self.assertEqual(status, 0)
            self.assertIn("apt-get install python3-matplotlib", errors)
            self.assertEqual(len(errors.splitlines()), 1)
            self.assertIn("obj.json", output)
            self.assertEqual(self.compare(PYTHON, "--picture")[0], 2)

    @unittest.skipUnless(HAS_MATPLOTLIB, "Matplotlib is missing")
    def test_picture(self):
        path = self.folder / "obj.json"
        files.write_json(path, sample.document())
        self.assertEqual(run("draw", path)[0], 0)
        self.assertTrue((self.folder / "obj.png").read_bytes().startswith(b"\x89PNG"))
        self.assertIn(b"<svg", (self.folder / "obj.svg").read_bytes())


class Pictures(unittest.TestCase):
    def test_the_title_is_computed(self):
        title = picture.title_of(sample.document())
        self.assertIn("2.0 MiB remain above the start with patched, 10.0 with stock", title)
        self.assertIn("0.50 of stock's", title)

    def test_labels_keep_their_distance(self):
        self.assertEqual(panel.spread_out([5, 5, 90], 10, 100), [5, 15, 90])
        self.assertEqual(panel.spread_out([99, 98, 10], 10, 100), [100, 90, 10])

    def test_a_noisy_picture_says_so(self):
        self.assertIn("range from 0.25 to 0.50", picture.footnote_of(sample.document()))

    def test_footnote(self):
        footnote = picture.footnote_of(sample.document())
        for words in ("Abacus", "Linux 6", "none yet + changes", "n = 3"):
            self.assertIn(words, footnote)


class Failures(InFolder):
    def expect(self, words, status, output, errors):
        """Assert status 2, one line with the words, and no report folder left."""
        self.assertEqual((status, output), (2, ""))
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertRegex(errors, words)
        self.assertFalse(self.report.exists())

    def test_missing_interpreter(self):
        self.expect("no interpreter", *self.compare("/nonexistent/python"))

    def test_no_python_at_all(self):
        self.expect("no working Python.*status 3", *self.compare(self.script("exit 3")))

    def test_a_crash_is_named(self):
        crashing = self.script('[ "$2" = -c ] && exec ' + PYTHON + ' "$@"', "kill -SEGV $$")
        self.expect("'patched'.*SIGSEGV", *self.compare(crashing))

    def test_a_failure_gives_its_last_line(self):
        failing = self.script('[ "$2" = -c ] && exec ' + PYTHON + ' "$@"', "echo sorry >&2; exit 7")
        self.expect("status 7: sorry", *self.compare(failing))

    def test_silence_is_no_result(self):
        silent = self.script('[ "$2" = -c ] && exec ' + PYTHON + ' "$@"', "exit 0")
        self.expect("did not report", *self.compare(silent))

    def test_a_run_that_does_not_end(self):
        endless = self.script('[ "$2" = -c ] && exec ' + PYTHON + ' "$@"', "exec sleep 60")
        self.expect("--limit", *self.compare(endless, "--limit", "0.5"))

    def test_one_that_has_ended_and_was_not_waited_for(self):
        arm = running.Arm("it", "stock", str(self.script("exit 3")), {})
        with running.Process(arm, SCENARIOS["obj"], {"objects": 1}, 60) as process:
            os.waitid(os.P_PID, process.child.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(process.status, 3)

    def test_unwritable_folder(self):
        (self.folder / "file").touch()
        status, output, errors = run("obj", "--stock", PYTHON, "--patched", PYTHON, "--report",
                                     self.folder / "file" / "report")
        self.expect("cannot write in", status, output, errors)

    def test_unknown_scenario_and_bad_numbers(self):
        self.expect("invalid choice: 'nonsense'", *run("nonsense"))
        self.expect("less than 2", *self.compare(PYTHON, "--runs", 1))
        self.expect("invalid", *self.compare(PYTHON, "--objects", "many"))

    def test_what_a_workload_wrote_is_not_trusted(self):
        for text in ("", "Segmentation fault", "[]", '{"phases": []}', '"text"'):
            with self.assertRaises(BenchmarkError):
                running.parse_line(text, "it")


class Environment(unittest.TestCase):
    def test_nothing_of_the_caller_but_what_is_named(self):
        with mock.patch.dict(os.environ, {"PYTHONPATH": "x", "PYTHONMALLOC": "debug",
                                          "LD_PRELOAD": "y"}):
            environment = machine.clean_environment({"PYTHONOBMALLOC": "retain=all"})
        self.assertEqual(sorted(name for name in environment if name.startswith("PYTHON")),
                         ["PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONOBMALLOC"])
        self.assertNotIn("LD_PRELOAD", environment)

    def test_peak_is_never_below_a_mark(self):
        marks = {"phases": [{"rss_bytes": 7}, {"rss_bytes": None}]}
        self.assertEqual(running.peak_bytes({**marks, "peak_rss_bytes": 5}, 100), 7)
        self.assertEqual(running.peak_bytes(marks, 100), 100)

    def test_table_needs_no_terminal(self):
        self.assertIn("Obj", table.text(sample.document(), 20))
