"""Bad input to the other tools: compare.py, soak, hardening, replay, obmallocbench, and the
package where there is no obmalloc.  Nothing is measured, and nothing written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from bad_input import CHECKOUT, COMPILED, DIGITS, LONG, PYTHON, BadInputCase

TOOLS = CHECKOUT / "Tools"
# Says what an interpreter would say to compare.py; there is one test.
FAKE_PYTHON = """#!/bin/sh
case $1 in -c) echo cpython 3 99 0 final 0 64;; *) echo test_one;; esac
"""


class ToolCase(BadInputCase):
    """Tests with a file, a folder, a pipe, and stand-ins for interpreters."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.write("file", b"")
        self.inner = self.folder / "folder"
        self.inner.mkdir()
        self.write("folder/kept", b"")
        self.pipe = self.folder / "pipe"
        os.mkfifo(self.pipe)
        self.fake = self.write("fake", FAKE_PYTHON.encode(), 0o755)
        self.mute = self.write("mute", b"#!/bin/sh\nexit 3\n", 0o755)
        self.binary = self.write("binary", b"#!/bin/sh\nprintf '\\377\\376\\n'\n", 0o755)
        self.no_program = self.write("no-program", bytes(range(256)), 0o755)

    def write(self, name: str, content: bytes, mode: int = 0o644) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def refuse_tool(self, *rows: tuple, command: list, least: int, **variables: str) -> None:
        """Run rows of a command, in the folder."""
        self.refuse_all(command, self.folder, rows, least=least, **variables)


class CompareTests(ToolCase):

    def test_compare(self):
        good = ["--patched", self.fake, "--stock", self.fake]
        self.refuse_tool(
            ("^compare.py: .*required: --patched, --stock", []),
            ("^compare.py: --patched: no such interpreter: /nowhere", ["--patched", "/nowhere", "--stock", self.fake]),
            ("--stock: no such interpreter: .*folder", ["--patched", self.fake, "--stock", self.inner]),
            ("--patched: not executable: .*file", ["--patched", self.file, "--stock", self.fake]),
            ("--patched: .*mute cannot tell its version .status 3", ["--patched", self.mute, "--stock", self.fake]),
            ("--patched: .*cannot tell its version.*codec", ["--patched", self.binary, "--stock", self.fake]),
            ("--patched: .*no-program cannot tell its version.*Exec format",
             ["--patched", self.no_program, "--stock", self.fake]),
            ("--stock: /bin/true is not a Python interpreter", ["--patched", self.fake, "--stock", "/bin/true"]),
            ("not the same version on both sides: patched is cpython 3 99",
             ["--patched", self.fake, "--stock", PYTHON]),
            ("--jobs: 0 is less than 1", [*good, "--jobs", "0"]),
            ("--timeout: -1 is less than 1", [*good, "--timeout", "-1"]),
            ("--suite-limit: invalid number value: '1.5'", [*good, "--suite-limit", "1.5"]),
            ("--rerun-limit: invalid number value: '9{100}", [*good, "--rerun-limit", DIGITS]),
            ("--rerun-limit: 1000000000 is more than 999999999", [*good, "--rerun-limit", "1000000000"]),
            ("--seed: invalid int value: 'x'", [*good, "--seed", "x"]),
            ("--env: not NAME=VALUE: '=x'", [*good, "--env", "=x"]),
            ("--testdir: no such folder: .*file", [*good, "--testdir", self.file]),
            *((f"--{option}: cannot write .*: {problem}", [*good, f"--{option}", path]) for option, path, problem in (
                ("report", "no/report.json", "No such file"), ("report", self.inner, "it is not a file"),
                ("counts", self.pipe, "it is not a file"), ("counts", self.file / "x", "Not a directory"),
                ("report", "/dev/full", "it is not a file"))),
            ("no such test: test_typo", [*good, "--report", "report.json", "--counts", "counts.json", "test_typo"]),
            command=[PYTHON, TOOLS / "regrtest/compare.py"], least=22)


class SoakTests(ToolCase):

    def test_soak(self):
        self.refuse_tool(
            ("^obmalloc: .*required: --python", []),
            *((f"^obmalloc: {re.escape(str(python))} does not run, or has no obmalloc: name a patched interpreter",
               ["--python", python]) for python in ("/nowhere", self.inner, self.file, "/bin/true", self.fake)),
            *((f"argument {option}: .*{re.escape(text)}.*--help says more", ["--python", self.fake, option, text])
              for option, text in (("--seconds", "0"), ("--seconds", "soon"), ("--seconds", "nan"),
                                   ("--seconds", "inf"), ("--jobs", "0"), ("--jobs", "all"), ("--seed", "x"))),
            command=[PYTHON, TOOLS / "soak"], least=13)


class HardeningTests(ToolCase):

    def test_hardening(self):
        this = ["--patched", PYTHON]
        self.refuse_tool(
            ("^hardening: .*required: --patched", []),
            ("^hardening: /nowhere is not a program", ["--patched", "/nowhere"]),
            ("file is not a program", [*this, "--stock", self.file]),
            *((f"{python} is not a Python interpreter that runs", ["--patched", python])
              for python in (self.inner, self.mute, self.no_program)),
            ("--runs: 0 is less than 1", [*this, "--runs", "0"]),
            ("--runs: invalid number value: 'few'", [*this, "--runs", "few"]),
            ("^hardening: /nowhere/cc cannot be run: No such file", this, {"CC": "/nowhere/cc"}),
            ("^hardening: compiling planted.c ended with status 1: no message", this, {"CC": "/bin/false"}),
            ("^hardening: CC='cc: No closing quotation: quote it", this, {"CC": "'cc"}),
            command=[PYTHON, TOOLS / "hardening"], least=11)


@unittest.skipUnless(shutil.which("gcc"), "needs gcc")
class ReplayTests(ToolCase):

    def test_replay(self):
        core = sorted((CHECKOUT / "Objects/obmalloc").glob("*.c"))
        program = Path(COMPILED.name, "replay")
        subprocess.run(
            ["gcc", "-std=c11", "-DOBM_FIXED_PAGE_SHIFT=0", "-pthread", "-IInclude/internal", "-ITools/check",
             "-ITools/fuzz", "Tools/fuzz/replay.c", "Tools/fuzz/operations.c", "Tools/check/fake_os.c",
             "Tools/check/memory.c", "Tools/check/expect.c", *(file for file in core if file.name != "static.c"), "-o", program],
            cwd=CHECKOUT, check=True)
        large = self.write("large", bytes(2 << 20))
        self.refuse_tool(
            ("^replay: name the inputs to run: replay .-v. FILE", []),
            ("^replay: name the inputs", ["-v"]),
            ("^/nowhere: No such file", ["/nowhere"]),
            ("^--help: No such file", ["--help"]),
            ("folder: Is a directory", [self.inner]),
            ("large: more than 1048575 bytes", ["-v", large]),
            ("file/x: Not a directory", [self.file, self.file / "x"]),
            command=[program], least=7)


class OldPythonTests(ToolCase):

    @unittest.skipUnless(sys.version_info < (3, 10), "this Python is new enough")
    def test_bench(self):
        self.refuse_tool(("^obmallocbench: Python 3.* is too old: Python 3.10 or newer is needed", []),
                         command=[PYTHON, "-m", "obmallocbench"], least=1, PYTHONPATH=str(TOOLS))


@unittest.skipIf(sys.version_info < (3, 10), "this Python is too old for obmallocbench")
class BenchTests(ToolCase):
    """python3 -m obmallocbench."""

    def setUp(self) -> None:
        super().setUp()
        self.report = ["--report", "report"]
        self.both = ["--stock", PYTHON, "--patched", PYTHON]

    def refuse_bench(self, *rows: tuple, least: int) -> None:
        """Run rows; nothing of Matplotlib or PyPI is asked for."""
        self.refuse_tool(*rows, command=[PYTHON, "-m", "obmallocbench"], least=least, PYTHONPATH=str(TOOLS))

    def test_words_and_numbers(self):
        obj, all_ = ["obj", *self.both, *self.report], ["all", *self.both, *self.report, "--packages", "packages"]
        self.refuse_bench(
            ("^obmallocbench: .*required: COMMAND", []),
            ("invalid choice: 'nonsense' .*'obj'", ["nonsense"]),
            ("required: --stock, --patched, --report", ["obj"]),
            ("unrecognized arguments: --fast", [*obj, "--fast"]),
            *((f"{option}: .*{re.escape(text)}", [*obj, option, text]) for option, text in (
                ("--objects", "-5"), ("--objects", "many"), ("--objects", DIGITS), ("--runs", "1"),
                ("--limit", "0"), ("--limit", "nan"), ("--limit", "1e300"))),
            ("--programs: invalid choice: 'x'", ["instructions", *self.both, *self.report, "--programs", "x"]),
            ("--triples: 0 is less than 1", ["survivors", *self.both, *self.report, "--triples", "0"]),
            ("--scenario: invalid choice: 'x'", [*all_, "--scenario", "x"]),
            ("--arm: invalid choice: 'x'", [*all_, "--arm", "x"]),
            *((f"--idle: .*{text}.*above 0", [*all_, "--idle", text]) for text in ("", "x", "5,2", "nan")),
            least=19)

    def test_interpreters_and_folders(self):
        journal = self.inner / "all.journal"
        journal.write_bytes(b"no JSON\n")
        self.refuse_bench(
            *((f"^obmallocbench: no interpreter '{python}': not an executable",
               ["obj", "--stock", python, "--patched", PYTHON, *self.report])
              for python in ("/nowhere", "", self.inner, self.file)),
            ("mute is no working Python interpreter: exit status 3",
             ["memory", "--stock", PYTHON, "--patched", self.mute, *self.report]),
            ("no-program cannot be run: .*Exec format", ["record", "--python", self.no_program, "--traces", "traces"]),
            *((f"cannot write in {folder}: ", ["obj", *self.both, "--report", folder])
              for folder in (self.file, self.file / "x", "/proc/nothere")),
            ("--report: it is empty: name a folder", ["obj", *self.both, "--report", ""]),
            ("cannot write in .*file", ["all", *self.both, *self.report, "--packages", self.file]),
            ("cannot write in .*file/x", ["pyperformance", *self.both, *self.report, "--venvs", self.file / "x"]),
            ("-p is not for you to say",
             ["pyperformance", *self.both, *self.report, "--venvs", "venvs", "--", "-p", "x"]),
            ("folder/all.journal is no journal of obmallocbench: remove it",
             ["all", *self.both, "--report", self.inner, "--packages", self.inner]),
            least=14)

    def test_traces(self):
        record, replay = ["record", "--python", PYTHON], ["replay", "--traces", "traces", *self.report]
        mine = [*record, "--traces", "traces", "--name"]
        self.refuse_bench(
            ("a script of your own needs --name", [*record, "--traces", "traces", "--", "x.py"]),
            ("--name ../x: .* it has no /", [*mine, "../x", "--", "x.py"]),
            ("cannot write in .*file", [*record, "--traces", self.file]),
            ("there is no trace traces/.*: obmallocbench record makes them", replay),
            ("there is no trace .*folder", [*replay, "--trace", self.inner]),
            ("--samples: 0 is less than 1", [*replay, "--samples", "0"]),
            *((f"--arms: no arm '{re.escape(arm)}'", [*replay, "--arms", arm])
              for arm in ("", "dlmalloc", "core@", "malloc,retain=all", "core,OBM_X=$(reboot)")),
            ("two arms have the same name", [*replay, "--trace", self.file, "--arms", "core", "core"]),
            ("/nowhere has no core: it is neither", [*replay, "--trace", self.file, "--arms", "core@/nowhere"]),
            ("the core knows no OBM_NOTHING: the tunables are in",
             [*replay, "--trace", self.file, "--arms", "core,OBM_NOTHING=1"]),
            least=14)

    @unittest.skipUnless(shutil.which("cc"), "needs a C compiler")
    def test_damaged_traces(self):
        contents = {"empty": (b"", "not a trace"), "random": (bytes(range(255, 0, -1)) * 9, "not a trace"),
                    "endless": (b"obmtrace\2", "has no end"), "damaged": (b"obmtrace\2" + b"\xff" * 40, "damaged")}
        (self.folder / "traces").mkdir()
        replay = ["replay", "--traces", Path(COMPILED.name, "programs"), *self.report, "--arms", "malloc"]
        self.refuse_bench(
            *((f"arm malloc ended with status 2: .*{name}: .*{pattern}",
               [*replay, "--trace", self.write(name, content)])
              for name, (content, pattern) in contents.items()), least=4)

    def test_reports(self):
        sys.path.insert(0, str(TOOLS))
        self.addCleanup(sys.path.remove, str(TOOLS))
        from obmallocbench.tests import sample

        def damaged(change) -> bytes:
            document = sample.document()
            change(document)
            return json.dumps(document).encode()

        no_json = {"empty": b"", "random": bytes(range(256)), "half": damaged(len)[:900], "deep": b"[" * 100_000}
        no_report = {
            "digits": (DIGITS.encode(), ""), "list": (b"[]", "report is no object"),
            "other": (b'{"format": "x"}', "its format is 'x', none of"),
            "few": (b'{"format": "obmallocbench 1"}', "report.date is missing"),
            "text": (damaged(lambda it: it.update(runs="11")), "report.runs is no object"),
            "unknown": (damaged(lambda it: it.update(scenario="x")), "it knows no scenario 'x'"),
        }
        no_sense = {
            "no-arm": damaged(lambda it: it["arms"].pop(1)),
            "no-run": damaged(lambda it: it["arms"][0]["runs"].pop()),
            "no-phase": damaged(lambda it: it["arms"][1]["runs"][1]["phases"].pop(0)),
            "huge": damaged(lambda it: it["arms"][1]["runs"][1]["phases"][0].update(rss_bytes=10 ** 400)),
        }
        self.refuse_bench(
            *(("^obmallocbench: .* is not JSON: ", ["check", self.write(name, content)])
              for name, content in no_json.items()),
            *((f"{name} is not .*{pattern}", ["draw", self.write(name, content)])
              for name, (content, pattern) in no_report.items()),
            *((f"{name} is not a report of obmallocbench: its figures make no sense",
               ["check", self.write(name, content)]) for name, content in no_sense.items()),
            ("cannot read .*folder: it is not a file", ["check", self.inner]),
            ("cannot read .*pipe: it is not a file", ["draw", self.pipe]),
            ("cannot read no/where.json: No such file", ["draw", "no/where.json"]),
            ("cannot read two lines: No such file", ["draw", "two\nlines"]),
            ("cannot read x.*: File name too long", ["check", LONG]),
            least=19)


class PackageTests(ToolCase):
    """python -m obmalloc where neither the interpreter nor the package has obmalloc."""

    def test_package(self):
        if subprocess.run([PYTHON, "-c", "import _obmalloc"], capture_output=True).returncode == 0:
            self.skipTest("this interpreter has obmalloc")
        if list((CHECKOUT / "Lib/obmalloc").glob("_obmalloc*.so")):
            self.skipTest("the library was built into Lib/obmalloc")
        self.refuse_tool(
            *(("this interpreter was built without obmalloc, and there is no .*_obmalloc.so: install the package", words)
              for words in (["run", "x.py"], ["path"], ["stats", "x.py"], ["watch", "--pid", "1"])),
            command=[PYTHON, "-m", "obmalloc"], least=4, PYTHONPATH=str(CHECKOUT / "Lib"))


if __name__ == "__main__":
    unittest.main()
