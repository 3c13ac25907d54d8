"""interpreter.py, install.py and suite.py, with a made-up CPython build."""

import contextlib
import io
import os
import time
import types
import unittest
from unittest import mock

from support import RepositoryCase
from shared import files
from test_tree import TreeCase
import install
import interpreter
import places
import suite
import unittests
from errors import BuildError

CONFIGURE = """#!/bin/sh
echo "configured $*" >>../calls
srcdir=`dirname "$0"`
sed "s|@srcdir@|$srcdir|g" "$srcdir/Makefile.pre.in" >Makefile
"""
# A stand-in for CPython's makefile; python is a script that prints a version.
MAKEFILE = """
python: Objects/obmalloc.o
\t@echo "linked" >>../calls
\t@printf '#!/bin/sh\\necho 3.13.5\\n' >$@ && chmod +x $@
Objects/obmalloc.o: @srcdir@/Objects/obmalloc.c
\t@mkdir -p Objects && echo "compiled $(EXTRA_CFLAGS)" >>../calls
\t@! grep -q broken @srcdir@/Objects/obmalloc.c || { echo "obmalloc.c:1: error: broken"; exit 1; }
\t@touch $@
\t@printf '%s\\n' "$@: @srcdir@/Objects/obmalloc.c \\\\" " @srcdir@/Objects/obmalloc/static.c" >Objects/obmalloc.d
install:
\t@mkdir -p $(DESTDIR)$(where)/bin && touch $(DESTDIR)$(where)/bin/python3.13
"""


class InterpreterTest(TreeCase):
    def make_archive(self):
        configure = self.outside / "Python-3.13.5/configure"
        files.write(configure, CONFIGURE.encode())
        configure.chmod(0o755)
        files.write(self.outside / "Python-3.13.5/Makefile.pre.in", MAKEFILE.encode())
        return super().make_archive()

    def build(self, **variables: str) -> list:
        """Build the patched variant; what was done, in order."""
        calls = places.folder(self.release) / "calls"
        calls.unlink(missing_ok=True)
        with mock.patch.dict(os.environ, variables):
            interpreter.build(self.release, interpreter.VARIANTS["obmalloc"])
        return calls.read_text().splitlines() if calls.exists() else []

    def test_builds_then_rests(self):
        self.assertEqual(self.build(), ["configured --enable-option-checking=fatal", "compiled -MMD", "linked"])
        self.assertEqual(self.build(), [])

    def test_included_file_rebuilds_its_object(self):
        self.build()
        self.write("Objects/obmalloc/static.c", "int changed;\n")
        self.assertEqual(self.build(), ["compiled -MMD", "linked"])
        self.assertEqual(self.build(), [])

    def test_vanished_included_file_is_no_error(self):
        self.build()
        (self.root / "Objects/obmalloc/static.c").rename(self.outside / "static.c")
        self.assertEqual(self.build(), ["compiled -MMD", "linked"])

    def test_new_arguments_configure_anew(self):
        self.build()
        self.assertEqual(self.build(CONFIGURE_ARGS="--with-x 'CFLAGS=-O1 -g'")[0],
                         "configured --enable-option-checking=fatal --with-x CFLAGS=-O1 -g")
        self.assertEqual(self.build(CC="other")[0][:10], "configured")

    def test_a_profile_of_older_source_is_not_used(self):
        self.build()
        profile = places.folder(self.release) / "obmalloc/profile-run-stamp"
        profile.touch()
        time.sleep(interpreter.CLOCK_TICK_SECONDS)
        self.write("Objects/obmalloc/static.c", "int changed;\n")
        self.assertEqual(self.build()[0], "configured --enable-option-checking=fatal")
        self.assertFalse(profile.exists())
        profile.touch()
        (profile.parent / "python").unlink()
        self.assertEqual(self.build(), ["linked"])

    def test_bad_arguments(self):
        with self.assertRaisesRegex(BuildError, "CONFIGURE_ARGS=--x='a: No closing quotation"):
            self.build(CONFIGURE_ARGS="--x='a")

    def test_failed_build_leaves_no_interpreter(self):
        self.build()
        edited = self.read("Objects/obmalloc.c") + b"broken\n"
        self.edit("Objects/obmalloc.c", edited)
        interpreter.tree.regenerate_patches(self.release, self.tree)
        with self.assertRaisesRegex(BuildError, "CPython's make failed .*obmalloc.c:1: error: broken .see"):
            self.build()
        this = interpreter.Build(self.release, interpreter.VARIANTS["obmalloc"])
        self.assertFalse(this.python.exists() or this.stamp.exists())

    def test_install_into_a_new_and_an_old_folder(self):
        for name in ("new", "old"):
            prefix = self.outside / name
            if name == "old":
                files.write(prefix / "kept", b"")
            with self.subTest(name), mock.patch.dict(os.environ, PREFIX=str(prefix), where=str(prefix)):
                install.install(self.release)
                self.assertTrue((prefix / "bin/python3.13").exists())
                self.assertEqual((prefix / "kept").exists(), name == "old")
                self.assertEqual(list(places.folder(self.release).glob("*.image")), [])

    def test_install_refuses_bad_prefixes(self):
        files.write(self.outside / "file", b"")
        for prefix, text in (("", "PREFIX=DIR"), (str(self.outside / "file/x"), "is not a folder")):
            with mock.patch.dict(os.environ, PREFIX=prefix), self.assertRaisesRegex(BuildError, text):
                install.install(self.release)

    def test_install_refuses_a_full_disk(self):
        usage = mock.Mock(free=1 << 20)
        with mock.patch.dict(os.environ, PREFIX=str(self.outside / "new"), where=str(self.outside / "new")), \
                mock.patch("shutil.disk_usage", return_value=usage), \
                self.assertRaisesRegex(BuildError, "1 MiB are free"):
            install.install(self.release)
        self.assertFalse((self.outside / "new").exists())


class SuiteTest(RepositoryCase):
    def setUp(self) -> None:
        super().setUp()
        places.COUNTS.mkdir(parents=True)

    def old_tests(self, *lines: str) -> unittests.Counts:
        """What is counted of a test file of an old interpreter, for which these lines of shell stand."""
        python = self.outside / "python"
        python.write_text("\n".join(("#!/bin/sh", *lines)) + "\n", encoding="ascii")
        python.chmod(0o755)
        patched = types.SimpleNamespace(python=python, release=self.release)
        with contextlib.redirect_stdout(io.StringIO()):
            return suite._old_tests(patched, "test_some")

    def test_an_old_test_that_fails_once_is_flaky(self) -> None:
        heading = "=" * 70 + r"\nFAIL: test_a (__main__.Some)\n"
        counts = self.old_tests(
            '[ "$2" != Some.test_a ] || { printf "Ran 1 test in 1s\\n\\nOK\\n"; exit 0; }',
            f"printf '{heading}Ran 3 tests in 1s\\n\\nFAILED (failures=1)\\n'; exit 1")
        self.assertEqual(counts, {"passed": 2, "failed": 0, "skipped": 0, "flaky": 1})

    def test_old_unittest_may_write_on_either_stream(self) -> None:
        said = "printf 'Ran 3 tests in 1s\\n\\nOK\\n'"
        for redirection in ("", " >&2"):
            with self.subTest(redirection):
                self.assertEqual(self.old_tests(said + redirection),
                                 {"passed": 3, "failed": 0, "skipped": 0, "flaky": 0})

    def test_a_test_file_that_runs_no_test(self) -> None:
        with self.assertRaisesRegex(BuildError, "test_some.py ended with status 0, and no test"):
            self.old_tests("exit 0")

    def test_counts_of_junit(self):
        file = self.root / "x.xml"
        file.write_text('<testsuites tests="4" errors="1" failures="1"><testsuite>'
                        '<testcase><skipped/></testcase></testsuite></testsuites>')
        self.assertEqual(suite.count_junit(file, ""), {"passed": 1, "failed": 2, "skipped": 1})
        file.write_text("<half")
        self.assertIsNone(suite.count_junit(file, ""))

    def summary(self) -> tuple:
        status = suite._summary()
        return status, self.output.getvalue().splitlines()[-1]

    def test_sum_is_the_last_line(self):
        def step():
            files.write_json(suite.counts_file("b"), {"passed": 7, "failed": 0, "skipped": 1})
            return 0

        suite._step("a", lambda: 0)
        suite._step("b", step)
        self.assertEqual(self.summary(), (0, "8 passed, 0 failed"))

    def test_flaky_tests_are_counted_apart(self):
        counts = {"passed": 2, "failed": 0, "skipped": 0, "flaky": 1}
        suite._step("a", lambda: suite._leave_counts("a", [counts, counts]))
        self.assertIn("obmalloc: a: 4 passed, 0 failed, 0 skipped, 2 flaky\n", self.output.getvalue())
        self.assertEqual(self.summary(), (0, "4 passed, 0 failed"))
        self.assertRegex(self.output.getvalue(), r"(?m)^obmalloc: 2 flaky: ")

    def test_a_step_that_dies_counts_as_failed(self):
        def step():
            files.write_json(suite.counts_file("b"), {"passed": 7, "failed": 0})
            return 3

        def error():
            raise BuildError("out of luck")

        with mock.patch("sys.stderr"):
            suite._step("a", error)
        suite._step("b", step)
        self.assertEqual(self.summary(), (1, "7 passed, 2 failed"))
        self.assertRegex(self.output.getvalue(), "\nobmalloc: 1 failed in a\nobmalloc: 1 failed in b\n7 passed")


if __name__ == "__main__":
    unittest.main()
