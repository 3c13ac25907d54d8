"""Programs that embed Python: lives one after the other, and hooks set before the first."""

import os
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from helpers import LIBRARY, PACKAGE, TIMEOUT_SECONDS, Programs, for_each_interpreter

SOURCE = Path(__file__).with_name("embedding.c")


@for_each_interpreter
class Embedding(Programs):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.program = cls.build()

    @classmethod
    def build(cls):
        python = cls.python
        if not os.path.exists(os.path.join(python.include, "Python.h")):
            raise unittest.SkipTest(f"{python}: no Python.h")
        folders = [python.build_folder] if python.build_folder else python.library_folders
        library = next((path for path in (os.path.join(folder or "", python.library or "") for folder in folders)
                        if os.path.isfile(path)), None)
        compiler = shlex.split(python.compiler or "")
        if library is None or not compiler or shutil.which(compiler[0]) is None:
            raise unittest.SkipTest(f"{python}: no C compiler, or no {python.library}")
        program = os.path.join(cls.folder, "embedding")
        done = subprocess.run(
            [*compiler, f"-I{python.include}", f"-I{os.path.dirname(python.config_header)}", str(SOURCE),
             "-o", program, library, f"-Wl,-rpath,{os.path.dirname(library)}",
             *shlex.split(python.link_options or ""), *shlex.split(" ".join(filter(None, python.libraries)))],
            capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return program

    def run_program(self, hook, lives, code, **variables):
        done = subprocess.run(
            [self.program, hook, str(lives), self.code(code)], capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL, env=self.environment(
                LD_PRELOAD=str(LIBRARY), PYTHONHOME=self.python.prefix,
                PYTHONPATH=os.pathsep.join([str(PACKAGE), *self.python.standard_library]), **variables))
        # Python 3.15 says so of a home that is only built, not installed.
        errors = [line for line in done.stderr.splitlines()
                  if not (self.python.build_folder and line.startswith("WARN: Could not find the "))]
        self.assertEqual((done.returncode, errors), (0, []), done.stdout)
        return done.stdout.split()

    def test_lives(self):
        self.needs(not self.python.debug or self.python.version < (3, 12),
                   "a debug build starts each life anew with its hooks in force")
        code = """
            import obmalloc, json, re, threading
            kept = [(i, str(i), [i]) for i in range(20_000)]
            thread = threading.Thread(target=lambda: [str(i) for i in range(1000)])
            thread.start()
            thread.join()
            obmalloc.check()
            print(serves(), flush=True)
            """
        for variables in {}, {"PYTHONOBMALLOC": "check=2,retain=none"}:
            self.assertEqual(self.run_program("plain", 5, code, **variables), ["True"] * 5 + ["0"])

    def test_each_life_has_its_own_purger(self):
        self.needs(not self.python.debug, "a debug build starts each life anew with its hooks in force")
        code = """
            import os, time
            end = time.monotonic() + 120
            while len(os.listdir('/proc/self/task')) < 2:
                assert time.monotonic() < end, figures()
                kept = [bytes(400) for i in range(40_000)]
                del kept
                [bytes(40_000) for i in range(8)]   # the system's
            print(serves(), flush=True)
            """
        self.assertEqual(self.run_program("plain", 3, code, PYTHONOBMALLOC="background=1"), ["True"] * 3 + ["0"])

    def test_hooks_before_the_first_life_see_everything(self):
        self.needs(not self.python.debug, "a debug build has hooks of its own then")
        served, seen = self.run_program("counting", 1, "kept = [str(i) for i in range(100_000)]; print(serves())")
        self.assertEqual(served, "True")
        self.assertGreater(int(seen), 100_000)


if __name__ == "__main__":
    unittest.main()
