"""Bad input, tried as its user would: commands are run, and must end with one clear line.

A case is a row of a table: a pattern that the line must fit, words, and variables.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Mapping, Sequence

import support  # noqa: F401  (finds the modules under test)
from processes import clean_environment

CHECKOUT = Path(__file__).resolve().parents[3]
PYTHON = sys.executable
TIMEOUT_SECONDS = 600
LONG = "x" * 5000
DIGITS = "9" * 5000             # more than int() takes
# What make says itself when a command failed.
_MAKES_OWN = re.compile(r"make(\[\d+\])?: \*\*\* \[")
# Where the sources are compiled once for all cases, and not beside them.
COMPILED = tempfile.TemporaryDirectory()
# Should a check be missing, nothing is fetched: apt knows no mirror, and there is no proxy.
_APT = Path(COMPILED.name, "apt.conf")
_APT.write_text('Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "/dev/null";\n', encoding="ascii")
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "APT_CONFIG": str(_APT)}


class BadInputCase(unittest.TestCase):
    """Tests whose cases leave a folder as it was (self.folder: an empty one, unless
    setUp() has set another)."""

    def setUp(self) -> None:
        super().setUp()
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def listing(self) -> dict[str, object]:
        """The content of every file in the folder, the kind of all else; without locks,
        which are empty and never wrong."""
        return {str(path.relative_to(self.folder)):
                path.read_bytes() if path.is_file() else path.lstat().st_mode
                for path in self.folder.rglob("*") if path.name != ".lock"}

    def run_case(self, command: Sequence[object], cwd: Path,
                 variables: Mapping[str, str]) -> subprocess.CompletedProcess:
        """Run a command with nothing of our own environment that it would take for its own."""
        return subprocess.run([str(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS,
                              env={**clean_environment(), **NO_NETWORK, "PYTHONPYCACHEPREFIX": COMPILED.name,
                                   **variables})

    def check_case(self, pattern: str, done: subprocess.CompletedProcess) -> None:
        """An error, in one line that fits."""
        lines = [line for line in done.stderr.splitlines() if not _MAKES_OWN.match(line)]
        self.assertGreater(done.returncode, 0, done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], pattern)
        self.assertNotRegex(done.stdout + done.stderr, "Traceback|usage:")

    def refuse_all(self, command: Sequence[object], cwd: Path, rows: Sequence[tuple], *,
                   least: int, **variables: str) -> None:
        """Run every row, with the command before its words, as many at a time as there are
        processors.  least: how many rows there must be."""
        def run(row: tuple) -> subprocess.CompletedProcess:
            return self.run_case([*command, *row[1]], cwd, {**variables, **(row[2] if row[2:] else {})})

        before = self.listing()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for (pattern, *case), done in zip(rows, pool.map(run, rows)):
                with self.subTest(case=str(case)[:300]):
                    self.check_case(pattern, done)
        self.assertEqual(self.listing(), before)
        self.assertGreaterEqual(len(rows), least)
