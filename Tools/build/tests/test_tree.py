"""tree.py: the patched tree follows the repository and never loses an edit."""

import os
import time
import unittest

from support import BASE, RepositoryCase
from shared import files
import places
import tree
from errors import BuildError


class TreeCase(RepositoryCase):
    """With one patch (a line after the second) and one file of our own."""

    def setUp(self) -> None:
        super().setUp()
        self.write("Objects/obmalloc/static.c", "int ours;\n")
        self.tree = tree.sync(self.release)
        self.edit("Objects/obmalloc.c", BASE.replace(b"line 2\n", b"line 2\nours\n"))
        tree.regenerate_patches(self.release, self.tree)
        tree.sync(self.release)

    def edit(self, path: str, data: bytes) -> None:
        (self.tree / path).write_bytes(data)

    def read(self, path: str):
        return files.read_or_none(self.tree / path)


class SyncTest(TreeCase):
    def test_patch_is_insertion_only_and_without_context(self):
        text = (self.root / "patches/3.13.5/Objects/obmalloc.c.patch").read_text()
        self.assertEqual(text.splitlines()[1:],
                         ["--- a/Objects/obmalloc.c", "+++ b/Objects/obmalloc.c", "@@ -2,0 +3,1 @@", "+ours"])

    def test_rewrites_only_what_changed(self):
        self.write("Objects/obmalloc/pool.c", "int pool;\n")
        before = (self.tree / "Objects/obmalloc/static.c").stat().st_mtime_ns
        tree.sync(self.release)
        self.assertEqual(self.read("Objects/obmalloc/pool.c"), b"int pool;\n")
        self.assertEqual((self.tree / "Objects/obmalloc/static.c").stat().st_mtime_ns, before)

    def test_takes_away_what_vanished(self):
        (self.root / "Objects/obmalloc/static.c").unlink()
        (self.root / "patches/3.13.5/Objects/obmalloc.c.patch").unlink()
        tree.sync(self.release)
        self.assertFalse((self.tree / "Objects/obmalloc").exists())
        self.assertEqual(self.read("Objects/obmalloc.c"), BASE)

    def test_same_tree_when_made_anew(self):
        old = self.snapshot(self.tree)
        os.rename(self.tree, self.outside / "old")
        tree.sync(self.release)
        self.assertEqual(self.snapshot(self.tree), old)

    def refuse(self, text: str) -> None:
        before = self.snapshot(self.tree)
        with self.assertRaisesRegex(BuildError, text):
            tree.sync(self.release)
        self.assertEqual(self.snapshot(self.tree), before)

    def test_refuses_edits(self):
        for path, remedy in (("Objects/obmalloc.c", "make patches"), ("Python/pystate.c", "make patches"),
                             ("Objects/obmalloc/static.c", "copy it"), ("Objects/obmalloc/new.c", "copy it")):
            with self.subTest(path):
                old = self.read(path)
                self.edit(path, b"edited\n")
                self.refuse(f"{path} was edited: .*{remedy}")
                os.unlink(self.tree / path)
                tree.sync(self.release)
                self.assertEqual(self.read(path), old)

    def test_repository_may_change_while_interrupted(self):
        # The tree has the next content already, the memory the one before.
        memory = self.tree.with_suffix(".json")
        old = memory.read_bytes()
        self.write("Objects/obmalloc/static.c", "int next;\n")
        tree.sync(self.release)
        memory.write_bytes(old)
        tree.sync(self.release)

    def test_refuses_to_hide_a_file_of_cpython(self):
        (places.pristine(self.release) / "Lib/obmalloc").mkdir(parents=True)
        (places.pristine(self.release) / "Lib/obmalloc/a.py").write_bytes(b"")
        self.write("Lib/obmalloc/a.py", "")
        self.refuse("choose another")

    def test_refuses_strange_files_among_the_patches(self):
        self.write("patches/3.13.5/notes.txt", "")
        self.refuse("only files called PATH.patch")

    def test_refuses_a_patch_in_the_wrong_place(self):
        folder = self.root / "patches/3.13.5"
        (folder / "Objects/obmalloc.c.patch").rename(folder / "Objects/other.c.patch")
        self.refuse("differ")


class SyncAgainTest(TreeCase):
    def test_what_python_writes_beside_its_sources_is_no_edit(self):
        for path in ("Lib/os.pyc", "Lib/os.pyo", "Lib/__pycache__/os.cpython-313.pyc",
                     "Lib/lib2to3/Grammar3.9.2.final.0.pickle"):
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            self.edit(path, b"")
        tree.sync(self.release)


class RegenerateTest(TreeCase):
    def refuse(self, text: str) -> None:
        before = self.snapshot(self.root / "patches")
        with self.assertRaisesRegex(BuildError, text):
            tree.regenerate_patches(self.release, self.tree)
        self.assertEqual(self.snapshot(self.root / "patches"), before)

    def test_refuses_changes_and_writes_nothing(self):
        self.edit("Objects/obmalloc.c", BASE + b"more\n")
        self.edit("Python/pystate.c", b"row 1\n")
        self.refuse("Python/pystate.c:2: ")

    def test_refuses_deleted_and_new_files(self):
        (self.tree / "Python/pystate.c").unlink()
        self.refuse("Python/pystate.c is missing")
        tree.sync(self.release)
        self.edit("Python/new.c", b"")
        self.refuse("Python/new.c: CPython 3.13.5 has no such file")

    def test_drops_the_patch_of_a_restored_file(self):
        self.edit("Objects/obmalloc.c", BASE)
        tree.regenerate_patches(self.release, self.tree)
        self.assertEqual(self.snapshot(self.root / "patches"), {})
        tree.sync(self.release)

    def test_same_size_and_new_time_is_seen(self):
        self.edit("Python/pystate.c", BASE.replace(b"line", b"ROW"))
        os.utime(self.tree / "Python/pystate.c", (time.time(), time.time()))
        self.refuse("pystate.c:1: ")


class LaidTest(unittest.TestCase):
    def test_which_files_go_into_a_tree(self):
        for path in ("Include/internal/obmalloc/types.h", "Objects/obmalloc/adapters/py313.c",
                     "Modules/_obmalloc.c", "Modules/_obmallocstats.h", "Lib/obmalloc/__init__.py",
                     "Lib/test/test_obmalloc.py", "Lib/test/test_obmalloc/data/x.txt"):
            self.assertTrue(places.is_laid(path), path)
        for path in ("Objects/obmalloc.c", "Modules/_testobmalloc/test.c", "Modules/_obmalloc/x.c",
                     "Lib/obmalloc/__pycache__/x.py", "Lib/obmalloc/x.pyc", "Objects/obmalloc/pool.c~",
                     "Objects/obmalloc/.pool.c.swp", "Tools/build/tree.py", "Lib/test/test_obmalloc/.x"):
            self.assertFalse(places.is_laid(path), path)


if __name__ == "__main__":
    unittest.main()
