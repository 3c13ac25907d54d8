"""The file itself: what it exports and asks for, and whom it leaves alone."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from helpers import INTERPRETERS, LIBRARY

FAKE = Path(__file__).with_name("fake_python.c")
GLIBC_OF_MANYLINUX2014 = (2, 17)


@unittest.skipUnless(LIBRARY.exists(), f"{LIBRARY} is missing: run `make preload` first")
class Library(unittest.TestCase):

    def symbols(self, kind):
        """Lines of nm: type and name of the dynamic symbols of this kind."""
        if shutil.which("nm") is None:
            self.skipTest("no nm (binutils)")
        output = subprocess.run(["nm", "-D", f"--{kind}-only", str(LIBRARY)], check=True,
                                capture_output=True, text=True).stdout
        return [line.split()[-2:] for line in output.splitlines()]

    def test_exports_the_module_and_nothing_else(self):
        self.assertEqual([name for _, name in self.symbols("defined")], ["PyInit__obmalloc"])

    def test_every_symbol_of_python_is_weak(self):
        # Otherwise a process without Python could not be started.
        asked = [(kind, name) for kind, name in self.symbols("undefined") if "Py" in name]
        self.assertIn(("w", "PyMem_SetAllocator"), asked)
        self.assertEqual([name for kind, name in asked if kind != "w"], [])

    def test_runs_with_an_old_c_library(self):
        versions = {tuple(map(int, found.split(".")))
                    for _, name in self.symbols("undefined") for found in re.findall(r"@GLIBC_([\d.]+)", name)}
        if not versions:
            self.skipTest("not glibc, or not x86-64")
        self.assertLessEqual(max(version[:2] for version in versions), GLIBC_OF_MANYLINUX2014)

    def run_fake(self, version, **variables):
        """What a "Python" of this version that lacks most functions writes."""
        # The interpreter's own compiler, which has its C library.
        python = INTERPRETERS[0]
        compiler = next((words for words in (shlex.split(python.compiler or ""), ["cc"])
                         if words and shutil.which(words[0])), None)
        if compiler is None:
            self.skipTest("no C compiler")
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "fake")
            subprocess.run([*compiler, "-rdynamic", f'-DFAKE_VERSION="{version}"', str(FAKE), "-o", program], check=True)
            if not python.shares_c_library(program):
                self.skipTest(f"{compiler[0]} makes programs for another C library than that of {python}")
            done = subprocess.run([program], capture_output=True, text=True, env={
                **os.environ, "LD_PRELOAD": str(LIBRARY), "OBMALLOC_REPORTED": "1", **variables})
        self.assertEqual((done.returncode, done.stdout), (0, "0 changes\n"))
        return done.stderr

    def test_says_in_one_line_what_it_cannot_serve(self):
        for version, line in {
                "3.8.18 (default, May  9 2026) [GCC]":
                    "obmalloc: Python 3.8.18 is not supported (3.9 and newer are): "
                    "the interpreter keeps its own allocator\n",
                "3.13.5 experimental free-threading build (main)":
                    "obmalloc: a free-threaded Python needs its own allocator, and keeps it\n",
                "3.14.0 free-threading build (main)":
                    "obmalloc: a free-threaded Python needs its own allocator, and keeps it\n",
                "3.13.5 (main)":
                    "obmalloc: this Python lacks a function of its public interface: "
                    "it keeps its own allocator\n"}.items():
            with self.subTest(version=version):
                self.assertEqual(self.run_fake(version), line)
                self.assertEqual(self.run_fake(version, OBMALLOC_QUIET="1"), "")


if __name__ == "__main__":
    unittest.main()
