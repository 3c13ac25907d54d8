"""user_tree.py: all of a user's tree is patched, or nothing."""

import os
import pkgutil
import unittest
from unittest import mock

from support import BASE, PATCHLEVEL
from shared import files
from test_tree import TreeCase
import tree
import user_tree
from errors import BuildError


class PatchTest(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.edit("Python/pystate.c", BASE.replace(b"line", b"row").replace(b"row 9\n", b"row 9\nmore ours\n"))
        tree.regenerate_patches(self.release, self.tree)
        os.environ["CPYTHON"] = str(self.user)
        self.addCleanup(os.environ.pop, "CPYTHON")

    def user_edit(self, path: str, data: bytes) -> None:
        (self.user / path).write_bytes(data)

    def refuse(self, text: str) -> None:
        before = self.snapshot(self.user)
        with self.assertRaisesRegex(BuildError, text):
            user_tree.patch(self.release)
        self.assertEqual(self.snapshot(self.user), before)
        self.assertFalse((self.user / "Objects/obmalloc").exists() and not before.get("Objects/obmalloc/static.c"))

    def test_pinned_release_gets_the_tree_we_build(self):
        user_tree.patch(self.release)
        self.assertEqual(self.snapshot(self.user), self.snapshot(self.tree))

    def test_second_time_does_nothing(self):
        user_tree.patch(self.release)
        before = {path: (self.user / path).stat().st_mtime_ns for path in self.snapshot(self.user)}
        user_tree.patch(self.release)
        self.assertIn("already patched", self.output.getvalue())
        self.assertEqual({path: (self.user / path).stat().st_mtime_ns for path in self.snapshot(self.user)}, before)

    def test_another_release_is_merged(self):
        self.user_edit("Include/patchlevel.h", PATCHLEVEL.format(9).encode())
        self.user_edit("Objects/obmalloc.c", b"new top\n" + BASE.replace(b"line 30\n", b""))
        user_tree.patch(self.release)
        self.assertEqual((self.user / "Objects/obmalloc.c").read_bytes(),
                         b"new top\n" + BASE.replace(b"line 30\n", b"").replace(b"line 2\n", b"line 2\nours\n"))
        user_tree.patch(self.release)
        self.assertIn("already patched", self.output.getvalue())

    def test_conflicts_name_files_and_lines(self):
        self.user_edit("Objects/obmalloc.c", b"new top\n" + BASE.replace(b"line 2\nline 3\n", b"other\n"))
        self.user_edit("Python/pystate.c", BASE.replace(b"line", b"row").replace(b"row 9\nrow 10\n", b"x\ny\nz\n"))
        self.refuse(r"Objects/obmalloc.c line 3; Python/pystate.c lines 9-11: nothing was changed")

    def test_another_version_of_ours(self):
        user_tree.patch(self.release)
        self.user_edit("Objects/obmalloc/static.c", b"int older;\n")
        self.refuse("another version of obmalloc .Objects/obmalloc/static.c")

    def test_bad_trees(self):
        os.environ["CPYTHON"] = ""
        self.refuse("CPYTHON=DIR")
        os.environ["CPYTHON"] = str(self.outside / "none")
        self.refuse("is not a source tree")
        os.environ["CPYTHON"] = str(self.user)
        self.user_edit("Include/patchlevel.h", b'#define PY_VERSION "3.12.1"\n')
        self.refuse("is CPython 3.12.1, the patches are for 3.13")

    def test_lacking_file(self):
        (self.user / "Python/pystate.c").unlink()
        self.refuse("lacks Python/pystate.c")

    def fail_at(self, function: str, count: int, error: int) -> None:
        """Patch with the count-th call of a function failing."""
        real, calls = pkgutil.resolve_name(function), []

        def failing(*arguments):
            calls.append(arguments)
            if len(calls) == count:
                raise OSError(error, os.strerror(error), str(arguments[0]))
            return real(*arguments)

        with mock.patch(function, failing):
            self.refuse(f"cannot be written to .{os.strerror(error)}.: nothing was changed")

    def test_full_disk_at_every_file(self):
        for count in (1, 2, 3):
            self.fail_at("shared.files.stage", count, 28)

    def test_failing_rename_is_undone(self):
        for count in (1, 2, 3):
            self.fail_at("os.replace", count, 30)

    def test_links_and_permissions_stay(self):
        real = self.outside / "elsewhere.c"
        (self.user / "Objects/obmalloc.c").rename(real)
        real.chmod(0o640)
        (self.user / "Objects/obmalloc.c").symlink_to(real)
        user_tree.patch(self.release)
        self.assertTrue((self.user / "Objects/obmalloc.c").is_symlink())
        self.assertIn(b"ours\n", files.read_or_none(real))
        self.assertEqual(real.stat().st_mode & 0o777, 0o640)


if __name__ == "__main__":
    unittest.main()
