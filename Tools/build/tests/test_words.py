"""Tools/check/words.py names each line that is too long, and each word that names no actor."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "check/words.py"


class Words(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        (self.top / "Modules").mkdir()

    def run_script(self) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, str(SCRIPT)], cwd=self.top, text=True,
                              capture_output=True, timeout=600, check=False)

    def test_what_is_refused(self):
        (self.top / "Modules/bad.c").write_text(
            "/* Nobody calls it. */\n" + "x" * 101 + "\n/* Split, not taken apart. */\n",
            encoding="ascii")
        (self.top / "Modules/good.c").write_text("x" * 100 + "\n", encoding="ascii")
        *lines, last = self.run_script().stdout.splitlines()
        self.assertEqual([line.split(": ", 1)[0] for line in lines],
                         ["Modules/bad.c:1", "Modules/bad.c:2", "Modules/bad.c:3"])
        self.assertIn('"Nobody"', lines[0])
        self.assertIn("101 columns", lines[1])
        self.assertIn('"taken apart"', lines[2])
        self.assertEqual(last, "1 passed, 1 failed")

    def test_documents(self):
        (self.top / "Modules/good.c").write_text("x\n", encoding="ascii")
        (self.top / "docs").mkdir()
        (self.top / "docs/page.md").write_text(
            "x" * 101 + "\nNo one tells it.\nIt hands the memory back.\n", encoding="ascii")
        (self.top / "README.md").write_text("x\n", encoding="ascii")
        *lines, last = self.run_script().stdout.splitlines()
        self.assertEqual([line.split(": ", 1)[0] for line in lines], ["docs/page.md:2", "docs/page.md:3"])
        self.assertEqual(last, "2 passed, 1 failed")

    def test_elsewhere(self):
        done = self.run_script()
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)


if __name__ == "__main__":
    unittest.main()
