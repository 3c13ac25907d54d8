"""Regression tests of obmalloc, the allocator of small objects that gives
memory back.

Skipped on an interpreter without it: a stock one, or one that was built with
-DWITH_OBMALLOC_ARENAS=0.
"""

import os

from .compat import import_module

import_module('_obmalloc')


def load_tests(loader, tests, pattern):
    # Not test.support.load_package_tests(): that one takes for granted that
    # the package lies in the interpreter's own library.
    here = os.path.dirname(os.path.abspath(__file__))
    top = here
    for _ in __name__.split('.'):
        top = os.path.dirname(top)
    tests.addTests(loader.discover(here, pattern or 'test*.py', top))
    return tests
