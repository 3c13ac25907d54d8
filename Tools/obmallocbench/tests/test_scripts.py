"""arenas.py and pause.py: their words; what they measure needs the library of `make preload`."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
HERE, MISSING = str(FOLDER), str(FOLDER / "missing")


@unittest.skipUnless(sys.platform.startswith("linux"), "needs Linux")
class Scripts(unittest.TestCase):
    paths = {"arenas.py": (HERE, HERE), "pause.py": (HERE,)}    # behind PYTHON

    def refused(self, script: str, *words: str) -> str:
        done = subprocess.run([sys.executable, FOLDER / script, *words], text=True,
                              capture_output=True, timeout=600)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), (script, words))
        return done.stderr

    def test_bad_words(self):
        for script, paths in self.paths.items():
            with self.subTest(script):
                self.assertIn("required: PYTHON, LIBRARY", self.refused(script))
                self.assertIn("unrecognized arguments: 2",
                              self.refused(script, sys.executable, *paths, "1", "2"))
                self.assertIn("invalid number value: 'many'",
                              self.refused(script, sys.executable, *paths, "many"))
                missing = self.refused(script, sys.executable, MISSING, *paths[1:])
                self.assertIn("is not there", missing)

    def test_a_program_that_fails_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder) / "python"
            python.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n", encoding="ascii")
            python.chmod(0o755)
            for script, paths in self.paths.items():
                with self.subTest(script):
                    self.assertIn("status 3: no such module",
                                  self.refused(script, str(python), *paths, "1"))


if __name__ == "__main__":
    unittest.main()
