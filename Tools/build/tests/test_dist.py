"""dist.py: the patch with context gives the tree we build."""

import shutil
import unittest

from test_tree import TreeCase
import dist
import tree
from errors import BuildError


@unittest.skipUnless(shutil.which("patch"), "needs the program patch")
class DistTest(TreeCase):
    def test_patch_applies_both_ways(self):
        self.write("Lib/obmalloc/__init__.py", "")  # an empty file is a special case of diff
        self.write("Lib/obmalloc/last.py", "no newline at the end")
        dist.dist(self.release)
        text = (self.root / "dist/cpython-3.13.5-obmalloc.patch").read_text()
        self.assertIn("\n--- a/Objects/obmalloc.c\n", text)
        self.assertIn("diff --git a/Objects/obmalloc/static.c b/Objects/obmalloc/static.c\nnew file", text)
        self.assertIn("\n line 2\n+ours\n", text)

    def test_refuses_a_patch_that_gives_something_else(self):
        right = dist.as_one_patch
        contents = {**tree.wanted(self.release), "Objects/obmalloc/static.c": b"int other;\n"}
        self.addCleanup(setattr, dist, "as_one_patch", right)
        dist.as_one_patch = lambda pristine, _: right(pristine, contents)
        with self.assertRaisesRegex(BuildError, "patch -p1 gives another Objects/obmalloc/static.c"):
            dist.dist(self.release)
        self.assertFalse((self.root / "dist").exists())


if __name__ == "__main__":
    unittest.main()
