"""What is said of a program that fails."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import support  # noqa: F401  (finds the modules under test)
from errors import BuildError
from processes import run_logged
from shared import command


class TellingLineTests(unittest.TestCase):

    def test_an_earlier_run_in_the_same_log_is_not_quoted(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            for word in ("first", "second"):
                with self.assertRaisesRegex(BuildError, f"error: the {word} problem"):
                    run_logged([sys.executable, "-c", f"raise SystemExit('error: the {word} problem')"],
                               log, what="it", append=True)


class InterruptTests(unittest.TestCase):

    def test_children_of_a_job_in_the_background_hear_sigint(self):
        child = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
        ours = ("import subprocess, sys; from shared.command import run_guarded; "
                "sys.exit(run_guarded('it', lambda: subprocess.call([sys.executable, '-c', sys.argv[1]])))")
        said = subprocess.check_output(
            ["/bin/sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, "-c", ours, child],
            cwd=Path(command.__file__).parents[1], text=True)
        self.assertEqual(said, "False\n")


if __name__ == "__main__":
    unittest.main()
