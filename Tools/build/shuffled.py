"""PYTHON shuffled.py SEED ARGUMENT ...: as python -m unittest, in an order that the seed draws.

The modules are shuffled, in each its classes, and in each class its tests: so that what
they set up is set up once.
"""

import os
import random
import sys
import unittest


def tests_in(suite):
    """The single tests of a suite of suites, in order."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def shuffled(suite, seed):
    """A suite of the same tests in the order of the seed."""
    rng = random.Random(seed)
    modules = {}
    for test in tests_in(suite):
        classes = modules.setdefault(type(test).__module__, {})
        classes.setdefault(type(test), []).append(test)
    return unittest.TestSuite(
        test for classes in rng.sample(list(modules.values()), len(modules))
        for tests in rng.sample(list(classes.values()), len(classes))
        for test in rng.sample(tests, len(tests)))


class Runner(unittest.TextTestRunner):
    """Names each test before it runs: so the last one is known if the process hangs."""

    seed = None

    def run(self, test):
        return super().run(shuffled(test, self.seed))


if __name__ == '__main__':
    sys.path[0] = os.getcwd()       # as -m unittest has it: our modules are not for the tests
    Runner.seed = int(sys.argv.pop(1))
    unittest.main(module=None, testRunner=Runner, verbosity=2)
