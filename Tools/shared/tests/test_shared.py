"""What the families of Tools/ have in common: commands, files, other programs, forms."""

import contextlib
import io
import os
import signal
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from shared import command, files, forms, processes  # noqa: E402
from shared.command import Failure  # noqa: E402


def fail(error):
    """An action that fails so."""
    def action():
        raise error
    return action


class CommandTests(unittest.TestCase):

    def run_guarded(self, action, **options):
        """Status and standard error of a guarded action."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            status = command.run_guarded("tool", action, **options)
        return status, errors.getvalue()

    def test_what_went_wrong_is_one_line(self):
        for error, line in ((Failure("it is\nwrong"), "it is wrong"),
                            (OSError(2, "No such file", "/x\ny"), "/x y: No such file"),
                            (OSError("odd"), "odd"),
                            (MemoryError(), "out of memory: close other programs, or run fewer jobs at once")):
            self.assertEqual(self.run_guarded(fail(error)), (1, f"tool: {line}\n"))
        self.assertEqual(self.run_guarded(fail(Failure("x")), failed=2), (2, "tool: x\n"))
        self.assertEqual(self.run_guarded(lambda: 3), (3, ""))

    def test_an_interrupt_has_a_status_of_its_own(self):
        self.assertEqual(self.run_guarded(fail(KeyboardInterrupt())), (130, "tool: interrupted\n"))
        self.assertEqual(self.run_guarded(fail(KeyboardInterrupt("stopped"))), (130, "tool: stopped\n"))

    def test_a_bug_keeps_its_traceback(self):
        with self.assertRaises(ZeroDivisionError):
            command.run_guarded("tool", fail(ZeroDivisionError()))

    def test_interrupts_are_heard_also_in_the_background(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            command.hear_interrupts()
            self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)
        finally:
            signal.signal(signal.SIGINT, before)

    def test_numbers(self):
        parser = command.Parser()
        parser.add_argument("--jobs", type=command.number_from(1, 99))
        parser.add_argument("--time", type=command.seconds)
        options = parser.parse_args(["--jobs", "99", "--time", "0.5"])
        self.assertEqual((options.jobs, options.time), (99, 0.5))
        for words, text in ((["--jobs", "0"], "0 is less than 1"), (["--jobs", "100"], "100 is more than 99"),
                            (["--jobs", "x"], "invalid number value: 'x'"), (["--time", "0"], "not above 0"),
                            (["--time", "nan"], "not above 0"), (["--time", "soon"], "invalid seconds value"),
                            (["--what"], "--what.*--help says more")):
            with self.subTest(words), self.assertRaisesRegex(Failure, text):
                parser.parse_args(words)

    def test_progress_is_written_over_only_on_a_terminal(self):
        stream = io.StringIO()
        progress = command.Progress(stream)
        progress("one")
        progress("two", True)
        self.assertEqual(stream.getvalue(), "two\n")
        stream.isatty = lambda: True
        command.Progress(stream)("three")
        self.assertEqual(stream.getvalue(), "two\n\r\x1b[Kthree")


class FilesTests(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_write_replaces_the_file_and_keeps_its_rights(self):
        path = self.folder / "new" / "file"
        files.write(path, b"one")
        path.chmod(0o640)
        files.write(path, b"two")
        self.assertEqual((path.read_bytes(), path.stat().st_mode & 0o777), (b"two", 0o640))
        self.assertEqual(os.listdir(path.parent), ["file"])

    def test_a_file_that_may_not_be_written_to_is_replaced(self):
        path = self.folder / "file"
        path.touch(0o400)
        files.write(path, b"new")
        self.assertEqual((path.read_bytes(), path.stat().st_mode & 0o777), (b"new", 0o400))

    def test_a_failed_write_leaves_nothing(self):
        path = self.folder / "taken"
        path.mkdir()
        with self.assertRaisesRegex(Failure, "cannot write .*taken: "):
            files.write(path, b"text")
        self.assertEqual(os.listdir(self.folder), ["taken"])

    def test_an_equal_file_keeps_its_time(self):
        path = self.folder / "file"
        self.assertTrue(files.write_if_changed(path, b"one"))
        os.utime(path, (1, 1))
        self.assertFalse(files.write_if_changed(path, b"one"))
        self.assertEqual(path.stat().st_mtime, 1)

    def test_json(self):
        path = self.folder / "file.json"
        files.write_json(path, {"b": 1, "a": [2]})
        self.assertEqual(list(files.read_json(path, {})), ["b", "a"])
        self.assertEqual(files.read_json(path, []), [])     # not of the default's type
        path.write_text("{")
        self.assertEqual(files.read_json(path, {"none": 1}), {"none": 1})
        self.assertEqual(files.read_json(self.folder / "missing", {}), {})

    def test_a_folder_comes_whole_or_not_at_all(self):
        with files.staged_folder(self.folder / "made") as folder:
            (folder / "file").touch()
        with self.assertRaises(ZeroDivisionError):
            with files.staged_folder(self.folder / "half") as folder:
                (folder / "file").touch()
                raise ZeroDivisionError
        (self.folder / "made/x.pyc").symlink_to("nowhere")
        self.assertEqual(list(files.walk(self.folder)), ["made/file"])
        self.assertEqual(sorted(files.walk(self.folder, everything=True)), ["made/file", "made/x.pyc"])
        self.assertEqual(os.listdir(self.folder), ["made"])


class ProcessesTests(unittest.TestCase):

    def output_of(self, code, limit=120.0):
        return processes.output_of([sys.executable, "-c", code], "it", limit)

    def test_output(self):
        self.assertEqual(self.output_of("print('said')"), "said\n")

    def test_how_a_program_failed(self):
        for code, text in (("import sys; sys.exit('first\\nlast')", "^it ended with status 1: last$"),
                           ("raise SystemExit(7)", "^it ended with status 7: no message$"),
                           ("import os; os.kill(os.getpid(), 9)", "^it was killed by SIGKILL: no message$")):
            with self.subTest(code), self.assertRaisesRegex(Failure, text):
                self.output_of(code)
        with self.assertRaisesRegex(Failure, "it was ended after 0.1 s"):
            self.output_of("import time; time.sleep(600)", 0.1)
        with self.assertRaisesRegex(Failure, "^/nowhere cannot be run: No such file"):
            processes.output_of(["/nowhere"], "it", 1)

    def test_compiler(self):
        with mock.patch.dict(os.environ, {"CC": "gcc -m32"}):
            self.assertEqual(processes.compiler(), ["gcc", "-m32"])
        with mock.patch.dict(os.environ, {"CC": "'"}), self.assertRaisesRegex(Failure, "CC=.*quote it"):
            processes.compiler()
        with mock.patch.dict(os.environ, {"CC": "", "PATH": "/nowhere"}), self.assertRaisesRegex(Failure, "no C compiler"):
            processes.compiler()


class FormsTests(unittest.TestCase):

    def test_problems(self):
        form = {"name": str, "runs": [{"size": (int, float)}]}
        self.assertEqual(forms.problems({"name": "x", "runs": [{"size": 1.5, "more": None}]}, form), [])
        self.assertEqual(forms.problems({"runs": [{"size": "x"}]}, form),
                         ["report.name is missing", "report.runs[0].size has the wrong type str"])
        self.assertEqual(forms.problems({"name": "x", "runs": []}, form), ["report.runs is no list, or empty"])
        self.assertEqual(forms.problems([], form), ["report is no object"])


if __name__ == "__main__":
    unittest.main()
