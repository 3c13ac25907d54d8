"""Counting instructions: profiles, ratios and bars without valgrind; one tiny run with it."""
import copy
import shutil
import unittest
from unittest import mock

from shared.forms import problems
from obmallocbench import callgrind, document, instructions, instructions_report, machine
from obmallocbench.callgrind import Profile
from obmallocbench.errors import BenchmarkError
from obmallocbench.scenarios import LARGER_NAMES, MIXED, PROGRAM_NAMES, PROGRAMS

from . import sample
from .sample import MEBIBYTE
from .test_run import PYTHON, InFolder, run

# Written by hand after the format's description: relative and absolute lines, a call whose own
# cost line is not to be counted, inlining both ways, a name defined where it is only called.
PROFILE = """\
# callgrind format
version: 1
positions: line
events: Ir
summary: 188

ob=(1) /b/python
fl=(1) /b/obmalloc/../source/Objects/dictobject.c
fn=(1) dict_new
10 3
cfi=(2) /b/obmalloc/../source/Objects/obmalloc.c
cfn=(2) PyObject_Malloc
calls=5 99
+1 5000
fi=(3) /b/source/Include/object.h
* 20
fe=(1)
-4 1

fl=(2)
fn=(2)
99 30
fi=(4) /b/source/Objects/obmalloc/adapters/../pool.c
+1 40
fi=(3)
7 50
fe=(2)

fl=(1)
fn=(3) dict_copy
fi=(5) /b/source/Include/internal/obmalloc/fast_path.h
5 4
fe=(1)
6 40

totals: 188
"""


def arm(total: int, allocator: int, peak: int) -> dict:
    """Return an arm of a program: instructions, and MiB at its peak."""
    return {"total": total, "allocator": allocator, "functions": {"PyObject_Free": allocator},
            "files": {"pool.c": allocator}, "peak_rss_bytes": [peak * MEBIBYTE] * 3}


def small_document() -> dict:
    """Return a document in which every bar is cleared, a new one each time."""
    whole = sample.document()
    profile = {key: value for key, value in arm(50, 5, 0).items() if key != "peak_rss_bytes"}
    return {
        **{key: whole[key] for key in document.CIRCUMSTANCES},
        "format": instructions.FORMAT, "valgrind": "valgrind-3",
        "parameters": {"size": 10, "peak_size": 50},
        "start_up": [{"workload": "programs", "arms": {"stock": profile, "patched": profile}}],
        "idle_rss_bytes": {"stock": [8 * MEBIBYTE, 9 * MEBIBYTE, 7 * MEBIBYTE],
                           "patched": [8 * MEBIBYTE] * 3},
        "programs": [{"name": name, "arms": {"stock": arm(1000, 200, 50),
                                             "patched": arm(880, 80, 50)}}
                     for name in (*PROGRAM_NAMES, MIXED)],
    }


class Profiles(unittest.TestCase):
    def test_lines_are_counted_by_file_and_function(self):
        profile = callgrind.parse(PROFILE.splitlines(keepends=True))
        self.assertEqual((profile.total, profile.allocator), (188, 124))
        self.assertEqual(profile.functions, {"PyObject_Malloc": 120, "dict_copy": 4})
        self.assertEqual(profile.files, {"obmalloc.c": 30, "pool.c": 40, "object.h": 50,
                                         "fast_path.h": 4})

    def test_a_sum_that_does_not_agree(self):
        for text in (PROFILE.replace("188", "189"), "", "not a profile\n"):
            with self.assertRaisesRegex(BenchmarkError, "broken"):
                callgrind.parse(text.splitlines(keepends=True))

    def test_whose_file(self):
        ours = ("/x/Objects/obmalloc.c", "Objects/obmalloc.c", "/x/Objects/obmalloc/pool.c",
                "/x/Objects/obmalloc/adapters/../alloc.c",
                "/b/../p/Include/internal/obmalloc/fast_path.h",
                "/p/Include/internal/pycore_obmalloc.h")
        others = ("/b/obmalloc/Modules/config.c", "/b/obmalloc/../p/Objects/tupleobject.c",
                  "/p/Include/internal/pycore_pystate.h", "???", "./malloc/malloc.c",
                  "/p/Modules/_obmalloc.c")
        for path in ours:
            self.assertTrue(callgrind.is_allocators(path), path)
        for path in others:
            self.assertFalse(callgrind.is_allocators(path), path)

    def test_start_up_is_subtracted(self):
        whole = callgrind.parse(PROFILE.splitlines(keepends=True))
        start_up = Profile(8, 4)
        start_up.functions["dict_copy"] = 4
        own = whole.minus(start_up)
        self.assertEqual((own.total, own.allocator), (180, 120))
        self.assertEqual(own.functions, {"PyObject_Malloc": 120})


class Report(unittest.TestCase):
    def test_sample_is_sound(self):
        self.assertEqual(problems(small_document(), document.INSTRUCTIONS_FORM), [])

    def test_bars(self):
        bars = instructions_report.check(small_document())
        for bar, expected in zip(bars, (0.4, 0.88, 0.88, 1.0, 1.0, 0.4, 0.0), strict=True):
            self.assertAlmostEqual(bar.measured, expected)
            self.assertTrue(bar.cleared or expected == 1.0, bar)

    def test_the_worst_is_named(self):
        report = small_document()
        report["programs"][3]["arms"]["patched"] = arm(990, 80, 52)
        bars = {bar.name: bar for bar in instructions_report.check(report)}
        self.assertFalse(bars[f"whole program, the worst, {PROGRAM_NAMES[3]}"].cleared)
        self.assertFalse(bars[f"peak RSS, the worst, {PROGRAM_NAMES[3]}"].cleared)

    def test_programs_above_512_bytes_have_bars_of_their_own(self):
        report = small_document()
        report["programs"] += [{"name": name, "arms": {"stock": arm(1000, 1, 50),
                                                       "patched": arm(960, 1, 50)}}
                               for name in LARGER_NAMES]
        report["programs"][-1]["arms"]["patched"] = arm(1020, 1, 50)
        bars = {bar.name: bar for bar in instructions_report.check(report)}
        self.assertAlmostEqual(bars["whole program, geometric mean"].measured, 0.88)
        self.assertAlmostEqual(bars["above 512 bytes, whole program, geometric mean"].measured,
                               (0.96 ** 9 * 1.02) ** 0.1)
        last = bars[f"above 512 bytes, whole program, the worst, {LARGER_NAMES[-1]}"]
        self.assertEqual((last.measured, last.cleared), (1.02, False))
        text = instructions_report.text(report, 100)
        self.assertRegex(text, r"reads +0.0 +0.0 +1.020 +– .*– +1.000")
        self.assertRegex(text, r"above 512 bytes +0.966 +1.000")
        report["programs"] = report["programs"][-1:]
        report["parameters"]["whole"] = True
        self.assertEqual(len(instructions_report.check(report)), 2)

    def test_only_some_programs(self):
        report = small_document()
        report["programs"] = report["programs"][-1:]
        self.assertEqual(len(instructions_report.check(report)), 2)
        self.assertIn(MIXED, instructions_report.text(report, 80))

    def test_a_program_that_took_nothing(self):
        report = copy.deepcopy(small_document())
        report["programs"][0]["arms"]["stock"]["allocator"] = 0
        self.assertFalse(instructions_report.check(report)[0].cleared)

    def test_text(self):
        text = instructions_report.text(small_document(), 100)
        self.assertRegex(text, r"tuples +0.0 +0.0 +0.880 +0.200 .*0.400 +1.000")
        self.assertIn("patched, the allocator's functions: PyObject_Free 100.0%", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)


class Command(InFolder):
    def count(self, *words):
        """Run the command, this interpreter against itself, on one program."""
        return run("instructions", "--stock", PYTHON, "--patched", PYTHON, "--report", self.report,
                   "--size", 2000, "--programs", "tuples", *words)

    def test_without_valgrind_one_line(self):
        with mock.patch.object(callgrind.shutil, "which", return_value=None):
            status, output, errors = self.count()
        self.assertEqual((status, output), (2, ""))
        self.assertEqual(errors, f"obmallocbench: {callgrind.INSTALL}\n")
        self.assertFalse(self.report.exists())

    def test_a_whole_run_with_profiles_made_up(self):
        def count(valgrind, interpreter, workload, parameters, limit):
            return Profile(100 + parameters["size"], 10 + parameters["size"] // 4)
        with mock.patch.object(callgrind, "find_valgrind", return_value="valgrind"), \
                mock.patch.object(callgrind, "version_of", return_value="valgrind-3"), \
                mock.patch.object(callgrind, "count", count):
            status, output, errors = self.count()
            self.assertEqual((status, errors), (0, ""))
            self.assertEqual(self.count("--check")[0], 1)
        self.assertIn("FAIL  allocator, geometric mean: 1.000", output)
        result = document.read(self.report / "instructions.json")
        self.assertEqual(result["programs"][0]["arms"]["stock"]["total"], 2000)

    def test_each_workload_has_its_start_up(self):
        def count(valgrind, interpreter, workload, parameters, limit):
            start_up = {"programs": 100, "larger_programs": 5000}[workload.name]
            return Profile(start_up + parameters["size"],
                           parameters["size"] if workload is PROGRAMS else 0)
        with mock.patch.object(callgrind, "find_valgrind", return_value="valgrind"), \
                mock.patch.object(callgrind, "version_of", return_value="valgrind-3"), \
                mock.patch.object(callgrind, "count", count):
            status, _, errors = run("instructions", "--stock", PYTHON, "--patched", PYTHON,
                                    "--report", self.report, "--size", 2000, "--programs",
                                    "tuples", "joins")
        self.assertEqual((status, errors), (0, ""))
        result = document.read(self.report / "instructions.json")
        self.assertEqual([program["arms"]["stock"]["total"] for program in result["programs"]],
                         [2000, 2000])

    def test_an_interpreter_that_fails_under_valgrind(self):
        failing = self.script("echo sorry >&2; exit 7")
        with self.assertRaisesRegex(BenchmarkError, "status 7: sorry"):
            callgrind.count(str(failing), PYTHON, PROGRAMS, {"program": "tuples", "size": 0}, 600)

    def test_a_build_without_line_numbers(self):
        with mock.patch.object(callgrind, "find_valgrind", return_value="valgrind"), \
                mock.patch.object(callgrind, "version_of", return_value="valgrind-3"), \
                mock.patch.object(callgrind, "count", return_value=Profile(100, 0)):
            status, _, errors = self.count()
            self.assertEqual(status, 2)
            self.assertIn("without -g", errors)
            self.assertFalse(self.report.exists() and list(self.report.iterdir()))
            self.assertEqual(self.count("--whole")[0], 0)

    def test_whole_programs_only(self):
        def count(valgrind, interpreter, workload, parameters, limit):
            return Profile(100 + parameters["size"], parameters["size"] // 4)
        with mock.patch.object(callgrind, "find_valgrind", return_value="valgrind"), \
                mock.patch.object(callgrind, "version_of", return_value="valgrind-3"), \
                mock.patch.object(callgrind, "count", count):
            status, output, errors = self.count("--whole", "--check")
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("PASS  whole program, geometric mean: 1.000, at most 1", output)
        self.assertNotIn("FAIL", output)
        self.assertRegex(output, r"program +stock, M +patched, M +whole +peak\n")
        self.assertNotIn("allocator", output)
        arm = document.read(self.report / "instructions.json")["programs"][0]["arms"]["stock"]
        self.assertEqual((arm["total"], arm["allocator"]), (2000, 0))

    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is missing")
    def test_a_script_that_executes_an_interpreter(self):
        command = ["-S", "-c", "sum(range(100_000))"]
        direct, script = (
            callgrind.profile_of(callgrind.find_valgrind(), [first, *command],
                                 machine.clean_environment({}), 600).total
            for first in (PYTHON, str(self.script(f'exec {PYTHON} "$@"'))))
        self.assertLess(abs(script - direct), 0.02 * direct)

    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is missing")
    def test_real_profile_adds_up(self):
        profile = callgrind.count(callgrind.find_valgrind(), "/bin/true", PROGRAMS,
                                  {"program": "tuples", "size": 0}, 600)
        self.assertGreater(profile.total, 10_000)
