"""arenas.py: its words; what it measures needs the library and packages of `make bench-field`."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "arenas.py"


@unittest.skipUnless(sys.platform.startswith("linux"), "needs Linux")
class Arenas(unittest.TestCase):
    def refused(self, *words: str) -> str:
        done = subprocess.run([sys.executable, SCRIPT, *words], text=True, capture_output=True,
                              timeout=600)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), words)
        return done.stderr

    def test_bad_words(self):
        here, missing = str(SCRIPT), str(SCRIPT.parent / "missing")
        self.assertIn("usage", self.refused())
        self.assertIn("usage", self.refused("1", "2", "3", "4", "5"))
        self.assertIn("is not there", self.refused(sys.executable, missing, here))
        self.assertIn("not a number", self.refused(sys.executable, here, here, "many"))

    def test_a_program_that_fails_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder) / "python"
            python.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n", encoding="ascii")
            python.chmod(0o755)
            self.assertIn("status 3: no such module",
                          self.refused(str(python), str(SCRIPT), folder, "1"))


if __name__ == "__main__":
    unittest.main()
