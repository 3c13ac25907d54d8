"""moving.py: its words, and that its programs run."""
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "Tools/obmallocbench/moving.py"
LIBRARY = ROOT / "build/preload/obmalloc/_obmalloc.so"


@unittest.skipUnless(sys.platform.startswith("linux"), "needs Linux")
class Moving(unittest.TestCase):
    def run_script(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, SCRIPT, *words], text=True, capture_output=True, timeout=600)

    @unittest.skipUnless(LIBRARY.exists(), "needs `make preload`")
    def test_table(self):
        done = self.run_script("/usr/bin/python3", str(LIBRARY), "0.02")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2 + 12)
        for line in lines[2:]:
            self.assertRegex(line, r"^\| [\w ]+ \| [\w (),]+ \| -?[\d.]+ \| -?[\d.]+ \|$")

    def test_bad_words(self):
        for words in ([], ["x"], ["/usr/bin/python3", "-", "0"], ["/usr/bin/python3", "-", "much"],
                      ["/no/python", "-"], ["/usr/bin/python3", "/no/library.so"]):
            done = self.run_script(*words)
            self.assertEqual((done.returncode, done.stdout, len(done.stderr.splitlines())), (1, "", 1), words)


if __name__ == "__main__":
    unittest.main()
