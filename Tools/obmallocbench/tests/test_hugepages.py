"""hugepages.py: its words, and that it runs; what it measures is the kernel's."""
import subprocess
import sys
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "hugepages.py"


@unittest.skipUnless(sys.platform.startswith("linux"), "needs Linux")
class HugePages(unittest.TestCase):
    def run_script(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, SCRIPT, *words], text=True, capture_output=True,
                              timeout=600)

    def test_lines(self):
        done = self.run_script("2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout.splitlines()[1], r"^small +touch [\d.]+ us a page; \+\d+/")
        self.assertEqual(len(done.stdout.splitlines()), 5)

    def test_at_hand(self):
        done = self.run_script("--at-hand", "1", "2")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_bad_words(self):
        for words in (["x"], ["0"], ["1", "2"], ["--at-hand", "soon"], ["--at"]):
            done = self.run_script(*words)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), words)

    def test_no_memory(self):
        limited = ["sh", "-c", 'ulimit -v 1000000 && exec "$0" "$@"', sys.executable, SCRIPT, "9999"]
        done = subprocess.run(limited, text=True, capture_output=True, timeout=600)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)


if __name__ == "__main__":
    unittest.main()
