"""Logs and JUnit files as regrtest writes them, shortened."""

import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

import context  # noqa: F401
from regrtest_output import (ABSENT, CRASH, FAIL, FILE, PASS, SKIP, UNKNOWN,
                             FileRun, LogReader, Result, heading_cases,
                             read_junit, read_run)

RULER = "=" * 70

JUNIT = """\
<testsuites><testsuite>
<testcase name="test.test_a.C.test_one"/>
<testcase name="test.test_a.C.test_two"><failure type="AssertionError"
 message="AssertionError: 1 != 2&#10;">Traceback</failure></testcase>
<testcase name="test.test_a.C.test_three"><skipped>why</skipped></testcase>
<testcase name="test.test_a.C.test_four"><output type="X">expected</output></testcase>
<testcase name="test.test_a.C.test_five"><outcome>UNEXPECTED_SUCCESS</outcome></testcase>
<testcase name="test.test_a.C.test_six"><error message="AssertionError: Process
 return code is -11"/></testcase>
<testcase/>
</testsuite></testsuites>
"""


def suites(text):
    with TemporaryDirectory() as folder:
        path = Path(folder, "junit.xml")
        path.write_text(text)
        return read_junit(path)


def read(files, log, found=()):
    reader = LogReader(files)
    reader.feed(log)
    reader.close()
    return read_run(reader, list(found))


class Junit(unittest.TestCase):
    def test_results(self):
        (cases, nameless), = suites(JUNIT)
        self.assertEqual(
            {name.rpartition("_")[2]: result.kind
             for name, result in cases.items()},
            {"one": PASS, "two": FAIL, "three": SKIP, "four": PASS,
             "five": FAIL, "six": CRASH})
        self.assertEqual(cases["test.test_a.C.test_two"].detail,
                         "AssertionError: 1 != 2")
        self.assertEqual(nameless, 1)

    def test_cut_short_or_missing(self):
        self.assertEqual(suites(JUNIT[:-20]), [])
        self.assertEqual(read_junit("/nowhere"), [])


class WithoutJunit(unittest.TestCase):
    LOG = f"""\
0:00:01 load avg: 1.00 [1/3] test_a passed
0:00:02 load avg: 1.00 [2/3] test_b failed
{RULER}
FAIL: test_two (test.test_b.C)
----------------------------------------------------------------------
AssertionError: 1 != 2
0:00:03 load avg: 1.00 [3/3/1] test_c failed
test test_c crashed -- <type 'exceptions.ImportError'>: No module named c
== Tests result: FAILURE ==
"""

    def test_a_file_that_passes_is_one_case(self):
        reader = LogReader(["test_a", "test_b", "test_c"])
        reader.feed(self.LOG)
        reader.close()
        runs = read_run(reader, None)
        self.assertEqual(runs["test_a"].cases, {FILE: Result(PASS), "test_a": Result(PASS)})
        self.assertEqual({case: result.kind for case, result in runs["test_b"].cases.items()},
                         {FILE: PASS, "test.test_b.C.test_two": FAIL})
        self.assertEqual({case: result.kind for case, result in runs["test_c"].cases.items()},
                         {FILE: FAIL})


class Log(unittest.TestCase):
    def outcome(self, text, output=""):
        run = read(["test_a"], f"0:00:01 [1/1/1] test_a {text}\n{output}\n")
        return run["test_a"].cases[FILE]

    def test_whole_file(self):
        for text, kind in (
                ("passed", PASS),
                ("ran no tests", PASS),
                ("skipped", SKIP),
                ("skipped (resource denied)", SKIP),
                ("worker non-zero exit code (Exit code -11 (SIGSEGV))", CRASH),
                ("worker non-zero exit code (Exit code 139 (SIGSEGV))", CRASH),
                ("worker non-zero exit code (Exit code 3)", FAIL),
                ("worker bug (empty JSON)", FAIL),
                ("timed out (5.0 sec)", FAIL),
                ("failed (env changed)", FAIL),
                ("failed (uncaught exception)", FAIL),
                ("failed (1 error)", FAIL),   # no case has shown: the file's
                ("interrupted", FAIL),
                ("something new", FAIL)):
            with self.subTest(text):
                self.assertEqual(self.outcome(text).kind, kind)

    def test_faulthandler_timeout(self):
        text = "worker non-zero exit code (Exit code 1)"
        self.assertEqual(
            self.outcome(text, "test_it ... Timeout (0:00:02)!").detail,
            "timed out")
        self.assertEqual(self.outcome(text).detail, text)

    def test_log_in_pieces(self):
        log = ("0:00:01 load avg: 1.25 [1/2] test_a passed -- running (1): "
               "test_b (31.0 sec)\n0:00:02 load avg: 1.25 [2/2/1] test_b "
               "timed out (5 min)\n")
        reader = LogReader(["test_a", "test_b"])
        ended = [file for letter in log for file in reader.feed(letter)]
        self.assertEqual(ended, ["test_a", "test_b"])
        self.assertEqual(reader.outcomes, {
            "test_a": "passed", "test_b": "timed out (5 min)"})

    def test_lines_printed_by_tests(self):
        log = ("0:00:01 [1/2] test_a passed\n"
               "0:00:01 [1/1] test_b failed\n"       # wrong index and total
               "0:00:01 [2/2] test_nested failed\n"  # not asked for
               "0:00:01 [2/2] test_a failed\n"       # has ended
               "0:00:01 [2/2] test_b passed\n")
        reader = LogReader(["test_a", "test_b"])
        reader.feed(log)
        self.assertEqual(reader.outcomes,
                         {"test_a": "passed", "test_b": "passed"})

    def test_closing_list_is_believed(self):
        run = read(["test_a"], "0:00:01 [1/1] test_a passed\n\n"
                   "== Tests result: FAILURE ==\n\n1 test failed:\n    test_a\n")
        self.assertEqual(run["test_a"].cases[FILE].kind, FAIL)

    def test_file_without_outcome(self):
        self.assertEqual(list(read(["test_a", "test_b"],
                                   "0:00:01 [1/2] test_a passed\n")),
                         ["test_a"])


class Headings(unittest.TestCase):
    OUTPUT = f"""
{RULER}
FAIL: test_sub (test.test_a.C.test_sub) (i=1)
----------------------------------------------------------------------
Traceback (most recent call last):
AssertionError: 1 != 2

{RULER}
ERROR: setUpClass (test.test_a.D)
----------------------------------------------------------------------
{RULER}
FAIL: g (test.test_a)
Doctest: test.test_a.g
FAIL: not_after_a_ruler (x.y)
"""

    def test_ids(self):
        cases = heading_cases(self.OUTPUT)
        self.assertEqual(list(cases), [
            "test.test_a.C.test_sub", "setUpClass (test.test_a.D)",
            "test.test_a.g"])
        self.assertEqual(cases["test.test_a.C.test_sub"].detail,
                         "AssertionError: 1 != 2")

    def test_fill_the_holes_of_the_xml(self):
        log = f"0:00:01 [1/1/1] test_a failed (3 failures)\n{self.OUTPUT}"
        whole = read(["test_a"], log, [({"test.test_a.C.x": Result(PASS)}, 1)])
        self.assertEqual(whole["test_a"].cases[FILE].kind, PASS)
        self.assertEqual(whole["test_a"].result("test.test_a.C.test_sub").kind,
                         FAIL)
        more = read(["test_a"], log, [({}, 3)])
        self.assertEqual(more["test_a"].cases[FILE].kind, FAIL)


class Assignment(unittest.TestCase):
    def test_suites_to_files(self):
        def suite(*names):
            return {name: Result(PASS) for name in names}, 0
        files = ["test.test_p.test_a", "test_b", "test_c", "test_d"]
        log = "".join(f"0:00:01 [{number}/4] {file} passed\n"
                      for number, file in enumerate(files, 1))
        found = [suite("test.test_p.test_a.C.x"), suite("elsewhere.C.x"),
                 suite("test.test_c.C.x", "test.test_c.C.y", "test.test_b.C.x"),
                 suite("test.test_d.C.x")]
        runs = read(files, log, found)
        for file, (cases, _) in zip(files, found):
            with self.subTest(file):
                self.assertEqual(set(runs[file].cases) - {FILE}, set(cases))


class Unmentioned(unittest.TestCase):
    def kind(self, run, key):
        return run.result(key).kind

    def test_result(self):
        whole = FileRun(True, Result(PASS))
        self.assertEqual(self.kind(whole, "a"), ABSENT)
        self.assertEqual(self.kind(whole, "setUpClass (a.C)"), PASS)
        self.assertEqual(self.kind(FileRun(False, Result(SKIP)), "a"), SKIP)
        self.assertEqual(self.kind(FileRun(False, Result(FAIL)), "a"), UNKNOWN)


if __name__ == "__main__":
    unittest.main()
