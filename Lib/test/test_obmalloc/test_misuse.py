"""What C code does wrong with blocks, and what the checks make of it."""

import unittest

from .building import ExtensionTest
from .helpers import ChildTest


class MisuseTests(ExtensionTest, ChildTest):
    """The checks find what C code does wrong, and say so in one line."""

    setup = 'import _testobmalloc'

    def check_death(self, code, level, message):
        err = self.run_dying_child(code,
                                   PYTHONOBMALLOC=f'check={level}')
        self.assertEqual(len(err), 1, err)
        self.assertRegex(err[0], '^obmalloc: .*' + message)

    def test_freed_twice(self):
        for level in 2, 3:
            with self.subTest(level=level):
                self.check_death('_testobmalloc.free_twice(200)', level, 'free already')

    def test_middle_of_a_block(self):
        for level in 2, 3:
            with self.subTest(level=level):
                self.check_death('_testobmalloc.free_middle(200)', level,
                                 'not the start of a block')


if __name__ == '__main__':
    unittest.main()
