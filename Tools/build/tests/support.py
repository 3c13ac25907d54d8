"""A small made-up release in a temporary folder, for tests of the build.

Nothing here needs a network, a compiler or CPython.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path[:0] = map(str, Path(__file__).resolve().parents[1:3])     # the modules, and shared

import places  # noqa: E402
import versions  # noqa: E402
from shared import files  # noqa: E402

PATCHLEVEL = '#define PY_VERSION              "3.13.{}"\n'
BASE = b"".join(b"line %d\n" % number for number in range(1, 41))


class RepositoryCase(unittest.TestCase):
    """Each test has a repository of its own (self.root) and a made-up
    release (self.release), whose archive lies at self.archive."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.outside = Path(folder.name)
        self.root = self.outside / "repository"
        self.root.mkdir()
        for name, path in (("ROOT", ""), ("BUILD", "build"), ("DIST", "dist"), ("REPORT", "build/report"),
                           ("DOWNLOADS", "build/download"), ("COUNTS", "build/report/counts")):
            self.patch(mock.patch.object(places, name, self.root / path))
        self.archive = self.make_archive()
        self.release = versions.Release("3.13.5", files.sha256_of_file(self.archive), "xz", ())
        self.patch(mock.patch.dict(os.environ, {"CPYTHON_TARBALL": str(self.archive)}))
        self.output = io.StringIO()
        self.patch(contextlib.redirect_stdout(self.output))
        # Our own files are looked for in the repository of the test.
        laid = places.laid_files
        self.patch(mock.patch.object(places, "laid_files", lambda python, root=None: laid(python, root or self.root)))

    def patch(self, manager) -> None:
        """Enter a context manager until the test ends."""
        manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)

    def make_archive(self) -> Path:
        """Pack a source tree of a few files as the release's archive."""
        tree = self.outside / "Python-3.13.5"
        files.write(tree / "Include/patchlevel.h", PATCHLEVEL.format(5).encode())
        files.write(tree / "Objects/obmalloc.c", BASE)
        files.write(tree / "Python/pystate.c", BASE.replace(b"line", b"row"))
        files.write(tree / "README.rst", b"read me\n")
        archive = self.outside / "source.tar.xz"
        subprocess.run(["tar", "-cJf", archive, "-C", self.outside, tree.name], check=True)
        self.user = self.outside / "user"
        shutil.move(tree, self.user)
        return archive

    def write(self, path: str, text: str) -> None:
        """Write a file of the repository."""
        files.write(self.root / path, text.encode())

    def snapshot(self, folder: Path) -> dict[str, bytes]:
        """Content of every file below folder, temporary ones included."""
        return {str(file.relative_to(folder)): file.read_bytes()
                for file in folder.rglob("*") if file.is_file()}
