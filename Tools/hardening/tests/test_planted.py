"""The planted mistakes: what is found and what is not can be told apart."""
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parent.parent


def run(*arguments):
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True,
                          timeout=600)


class PlantedTests(unittest.TestCase):

    @unittest.skipUnless(sys.platform == "linux" and shutil.which("cc"), "needs Linux and cc")
    def test_table(self):
        # With an interpreter that has no obmalloc its columns are pymalloc's.
        done = run("--patched", sys.executable, "--runs", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                            for line in done.stdout.splitlines()]
        column = {name: [row[i] for row in rows] for i, name in enumerate(header)}
        self.assertEqual(len(rows), 6)
        # After an overflow glibc sometimes (1 run in 12) reads what was written before it checks.
        self.assertIn(column["glibc"][0], ("found", "stopped"))
        self.assertEqual(column["glibc"][1], "found")
        self.assertEqual(column["obmalloc"][1:3], ["twice", "twice"])

    def test_mistakes_of_the_caller(self):
        for arguments, text in (([], "--patched"),
                                (["--patched", "/nowhere/python"], "not a program"),
                                (["--patched", sys.executable, "--runs", "0"], "less than 1")):
            with self.subTest(arguments=arguments):
                done = run(*arguments)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(text, done.stderr.splitlines()[-1])
                self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
