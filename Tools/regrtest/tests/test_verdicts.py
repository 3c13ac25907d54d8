"""The rule of verdicts.py, on histories made by hand."""

import unittest

import context  # noqa: F401
from regrtest_output import (ABSENT, CRASH, FAIL, FILE, PASS, SKIP, UNKNOWN,
                             FileRun, Result)
from verdicts import (FLAKY, PASSED, REGRESSION, RERUNS, SHARED, SKIPPED,
                      STOCK_SKIPS, UNCHECKED, FileHistory, judge)


class Judge(unittest.TestCase):
    def check(self, verdict, patched, stock):
        with self.subTest(patched=patched, stock=stock):
            self.assertEqual(judge(patched, stock), verdict)

    def test_plain(self):
        self.check(PASSED, [PASS], [])
        self.check(SKIPPED, [SKIP], [])
        self.check(SKIPPED, [UNKNOWN, ABSENT], [])

    def test_regression(self):
        self.check(REGRESSION, [FAIL] * 4, [PASS] * 3)
        self.check(REGRESSION, [UNKNOWN, FAIL], [PASS])
        self.check(REGRESSION, [FAIL, ABSENT, SKIP], [PASS])

    def test_excused(self):
        self.check(FLAKY, [FAIL, PASS], [])
        self.check(FLAKY, [PASS, FAIL], [PASS])
        self.check(SHARED, [FAIL] * 4, [FAIL])
        self.check(SHARED, [FAIL] * 4, [PASS, PASS, FAIL])
        self.check(SHARED, [FAIL] * 4, [UNKNOWN])
        self.check(STOCK_SKIPS, [FAIL] * 4, [SKIP])

    def test_crash_is_never_flaky(self):
        self.check(REGRESSION, [CRASH, PASS, PASS, PASS], [PASS])
        self.check(REGRESSION, [FAIL, CRASH], [FAIL])
        self.check(SHARED, [CRASH], [PASS, CRASH])

    def test_out_of_time(self):
        self.check(UNCHECKED, [FAIL] * 4, [])
        self.check(UNCHECKED, [CRASH, PASS], [])

    def test_fair_to_flaky_tests(self):
        """As the docstring of verdicts.py says: at most 0.9 %."""
        worst = max((p / 1000) ** (1 + RERUNS) * (1 - p / 1000) ** RERUNS
                    for p in range(1001))
        self.assertLess(worst, 0.009)


class History(unittest.TestCase):
    def run_of(self, **cases):
        return FileRun(True, Result(PASS),
                       {name: Result(kind) for name, kind in cases.items()})

    def totals(self, history):
        totals = {"passed": 0, "failed": 0, "skipped": 0}
        history.counts(totals)
        return tuple(totals.values())

    def test_reruns_end_when_nothing_can_change(self):
        history = FileHistory("test_x", self.run_of(a=PASS, b=FAIL))
        self.assertTrue(history.needs_patched())
        self.assertTrue(history.needs_stock())
        history.patched.append(self.run_of(a=FAIL, b=PASS))
        self.assertFalse(history.needs_patched())
        self.assertFalse(history.needs_stock())
        self.assertEqual(self.totals(history), (2, 0, 0))

    def test_crash_asks_for_stock_whatever_the_reruns_say(self):
        crash = FileRun(False, Result(CRASH, "SIGSEGV"))
        history = FileHistory("test_x", crash)
        history.patched.append(self.run_of(a=PASS))
        self.assertFalse(history.needs_patched())
        self.assertTrue(history.needs_stock())
        history.stock.append(self.run_of(a=PASS))
        self.assertEqual(self.totals(history), (1, 1, 0))
        history.stock.append(crash)
        self.assertFalse(history.needs_stock())
        self.assertEqual(self.totals(history), (1, 0, 1))

    def test_case_unknown_to_stock_has_not_failed_there(self):
        history = FileHistory("test_x", self.run_of(a=FAIL))
        history.stock.append(self.run_of())
        self.assertEqual(history.verdict("a"), REGRESSION)

    def test_stock_has_no_say_about_our_own_tests(self):
        history = FileHistory("test_obmalloc", self.run_of(a=FAIL, b=PASS))
        self.assertFalse(history.needs_stock())
        self.assertEqual(history.verdict("a"), REGRESSION)
        self.assertEqual(self.totals(history), (1, 1, 0))
        crash = FileHistory("test_obmalloc", FileRun(False, Result(CRASH, "SIGSEGV")))
        self.assertFalse(crash.needs_stock())
        self.assertEqual(crash.verdict(FILE), REGRESSION)

    def test_case_hidden_by_a_timeout(self):
        history = FileHistory(
            "test_x", FileRun(False, Result(FAIL, "timed out")))
        history.patched.append(self.run_of(a=FAIL))
        history.stock.append(self.run_of(a=PASS))
        self.assertEqual(history.verdict(FILE), FLAKY)
        self.assertEqual(history.verdict("a"), REGRESSION)


if __name__ == "__main__":
    unittest.main()
