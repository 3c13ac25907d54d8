"""How `make check-machines` judges what a program saw, and that one machine does not stop the others."""

import contextlib
import io
import sys
import unittest
from unittest import mock

import support      # noqa: F401 (finds the modules below)
import machines
from errors import BuildError

MIB = 1 << 20


class Judge(unittest.TestCase):

    def seen(self, **changes):
        return {"active": True, "page_size": 4096, "base": 40 * MIB, "peak": 80 * MIB, "freed": 41 * MIB,
                "survivors": 46 * MIB, "floor": 5 * MIB, **changes}

    def test_as_it_should_be(self):
        self.assertEqual(machines.judge(self.seen(), 4096), "")

    def test_what_is_wrong(self):
        for changes, text in (({"active": False}, "not in force"), ({"page_size": 16384}, "pages of 16384"),
                              ({"survivors": 80 * MIB}, "with survivors 41,943,040 bytes stay"), ({"freed": 79 * MIB}, "stay when all")):
            self.assertRegex(machines.judge(self.seen(**changes), 4096), text)


class TryAll(unittest.TestCase):

    def run_all(self, **outcomes):
        """What is printed; and the complaint, "" if there is none."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                machines.try_all({name: mock.Mock(side_effect=[outcome]) for name, outcome in outcomes.items()})
            except BuildError as error:
                return printed.getvalue(), str(error)
        return printed.getvalue(), ""

    def test_all_good(self):
        self.assertEqual(self.run_all(one="fine", two="good"), ("obmalloc: one: fine\nobmalloc: two: good\n", ""))

    def test_the_others_are_tried_after_one_failed(self):
        printed, complaint = self.run_all(one=BuildError("no linker"), two="good", three=BuildError("no memory"))
        self.assertEqual(printed, "obmalloc: one: FAILED: no linker\nobmalloc: two: good\n"
                                  "obmalloc: three: FAILED: no memory\n")
        self.assertRegex(complaint, "failed on one; three: ")


class Run(unittest.TestCase):

    def test_a_program_that_fails(self):
        with self.assertRaisesRegex(BuildError, "^status 3: no Python$"):
            machines._run([sys.executable, "-c", "import sys; print('no Python', file=sys.stderr); sys.exit(3)"], 4096)

    def test_a_program_that_hangs(self):
        with mock.patch.object(machines, "RUN_SECONDS", 0.1), self.assertRaisesRegex(BuildError, "^not done in 0.1 s$"):
            machines._run([sys.executable, "-c", "import time; time.sleep(3600)"], 4096)


if __name__ == "__main__":
    unittest.main()
