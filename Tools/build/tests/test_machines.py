"""How `make check-machines` judges what a program saw."""

import unittest

import support      # noqa: F401 (finds the modules below)
import machines

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


if __name__ == "__main__":
    unittest.main()
