"""A run of unit tests from CPython's own suite, those that start no process and no thread.

Recorded as a trace by `obmallocbench record`; the interpreter must have its package `test`.
"""
import io
import sys
import unittest

MODULES = ("test.test_bisect", "test.test_configparser", "test.test_copy", "test.test_dict",
           "test.test_fractions", "test.test_textwrap", "test.test_userdict")


def main():
    """Run the tests; their text goes nowhere."""
    tests = unittest.defaultTestLoader.loadTestsFromNames(MODULES)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(tests)
    if result.testsRun < len(MODULES) or not result.wasSuccessful():
        problems = result.errors + result.failures
        sys.exit("test_suite: " + (problems[0][1].splitlines()[-1] if problems else "no test ran"))


main()
