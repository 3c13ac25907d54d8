"""The rule: from the results of a case on both sides to one verdict.

Patched results come from the first run (the whole suite, in parallel) and up
to RERUNS runs of the file alone; stock results from up to RERUNS runs of the
file alone.  In this order:

- crash on patched, in any run: a regression, unless stock crashed as well.
  Passing in other runs does not help: heap corruption is rarely punctual.
- passed in any run on patched: flaky.  Listed, and counted as passed.
- failed or did not finish in any run on stock: "fails on stock too".  Skipped
  on stock: "skipped on stock".  Listed, and counted as skipped.
- never ran on stock, since the time for reruns was spent: unchecked.  Counted
  as failed: nothing excuses it.
- else, that is, failed whenever it ran on patched and passed whenever it ran
  on stock: a regression.

Stock has no say about our own tests (OURS): what fails there is a regression.

A case that a patched run does not mention has not passed there; a case that a
finished stock run does not mention has not failed there.  Both readings are
the stricter one.

Is this fair to a test that fails with the same probability p on either side?
It is called a regression with probability p**(1 + RERUNS) * (1 - p)**RERUNS,
at most 0.9 % (tests/test_verdicts.py computes it), and that only under equal
load; load makes it less, for the reruns are alone on the machine.
"""

from regrtest_output import CRASH, FAIL, FILE, ABSENT, PASS, SKIP, Result

RERUNS = 3
OURS = ("test_obmalloc",)       # files that stock does not have

REGRESSION = "REGRESSION"
UNCHECKED = "UNCHECKED"
SHARED = "fails on stock too"
STOCK_SKIPS = "skipped on stock"
FLAKY = "flaky on patched"
PASSED = "passed"
SKIPPED = "skipped"

COUNTED_AS = {REGRESSION: "failed", UNCHECKED: "failed",
              SHARED: "skipped", STOCK_SKIPS: "skipped", SKIPPED: "skipped",
              FLAKY: "passed", PASSED: "passed"}


def judge(patched, stock):
    """The verdict on the result kinds of one case on either side."""
    if CRASH in patched:
        if CRASH in stock:
            return SHARED
        return REGRESSION if stock else UNCHECKED
    if FAIL not in patched:
        return PASSED if PASS in patched else SKIPPED
    if PASS in patched:
        return FLAKY
    if not stock:
        return UNCHECKED
    if all(kind == PASS for kind in stock):
        return REGRESSION
    if all(kind in (PASS, SKIP) for kind in stock):
        return STOCK_SKIPS
    return SHARED


class FileHistory:
    """All the runs of one file, in order."""

    def __init__(self, file, first):
        self.file = file
        self.patched = [first]
        self.stock = []
        self.ours = file in OURS

    def keys(self):
        """The cases patched has shown, each once, and FILE."""
        return list(dict.fromkeys(key for run in self.patched
                                  for key in run.cases))

    def patched_results(self, key):
        return [run.result(key) for run in self.patched]

    def stock_results(self, key):
        if self.ours:
            return [Result(PASS)]
        results = (run.result(key) for run in self.stock)
        return [Result(PASS) if result.kind == ABSENT else result
                for result in results]

    def verdict(self, key):
        return judge([result.kind for result in self.patched_results(key)],
                     [result.kind for result in self.stock_results(key)])

    def needs_patched(self):
        """Could another run on patched clear something that counts as failed?"""
        return self.needs_stock() and any(
            FAIL in kinds or CRASH in kinds
            for kinds in self._patched_kinds() if PASS not in kinds)

    def needs_stock(self):
        """Could another run on stock excuse something?"""
        return not self.ours and any(COUNTED_AS[self.verdict(key)] == "failed"
                                     for key in self.keys())

    def _patched_kinds(self):
        for key in self.keys():
            yield [result.kind for result in self.patched_results(key)]

    def counts(self, totals):
        """Add the verdicts on the cases to totals.

        A file's own result is no test case, and adds to the totals only if
        it is bad: it stands for the cases that had no turn.
        """
        for key in self.keys():
            verdict = self.verdict(key)
            if key != FILE or verdict in (REGRESSION, UNCHECKED, SHARED,
                                          STOCK_SKIPS):
                totals[COUNTED_AS[verdict]] += 1
