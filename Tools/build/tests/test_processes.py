"""What is said of a program that fails."""

import sys
import tempfile
import unittest
from pathlib import Path

import support  # noqa: F401  (finds the modules under test)
from errors import BuildError
from processes import run_logged


class TellingLineTests(unittest.TestCase):

    def test_an_earlier_run_in_the_same_log_is_not_quoted(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            for word in ("first", "second"):
                with self.assertRaisesRegex(BuildError, f"error: the {word} problem"):
                    run_logged([sys.executable, "-c", f"raise SystemExit('error: the {word} problem')"],
                               log, what="it", append=True)


if __name__ == "__main__":
    unittest.main()
