"""insertions.py: what is a patch, what is refused, where lines land."""

import random
import unittest

import support  # noqa: F401  (finds the modules under test)
import insertions
from errors import BuildError
from shared.files import sha256

BASE = b"one\ntwo\nthree\n"


def patch_text(*hunks: bytes, base: bytes = BASE) -> bytes:
    return b"".join((b"pristine-sha256: %s\n--- a/x.c\n+++ b/x.c\n" % sha256(base).encode(), *hunks))


class ParseTest(unittest.TestCase):
    def refuse(self, data: bytes, text: str) -> None:
        with self.assertRaisesRegex(BuildError, text):
            insertions.parse(data, "p")

    def test_applies_at_top_middle_and_end(self):
        patch = insertions.parse(patch_text(b"@@ -0,0 +1,1 @@\n+a\n", b"@@ -1,0 +3,2 @@\n+b\n+c\n",
                                            b"@@ -3,0 +7 @@\n+d\n"), "p")
        self.assertEqual(insertions.apply(patch, BASE), b"a\none\nb\nc\ntwo\nthree\nd\n")

    def test_refuses_all_but_insertions(self):
        self.refuse(b"", "p:1: expected 'pristine-sha256")
        self.refuse(patch_text(b"@@ -1,1 +1,1 @@\n-one\n+uno\n"), "p:4: .*only insert")
        self.refuse(patch_text(b"@@ -1,0 +2,1 @@ int f(void)\n+a\n"), "p:4: ")
        self.refuse(patch_text(b"@@ -1,0 +2,2 @@\n+a\n one\n"), "p:4: expected 2 lines")
        self.refuse(patch_text(b"@@ -1,0 +2,2 @@\n+a\n"), "p:4: expected 2 lines")
        self.refuse(patch_text(b"@@ -1,0 +2,1 @@\n+a"), "p:4: expected 1 lines")
        self.refuse(patch_text(b"@@ -1,0 +2,1 @@\n+a\n", b"junk\n"), "p:6: ")

    def test_refuses_numbers_that_do_not_follow(self):
        self.refuse(patch_text(b"@@ -1,0 +3,1 @@\n+a\n"), "do not follow")
        self.refuse(patch_text(b"@@ -2,0 +3,1 @@\n+a\n", b"@@ -1,0 +3,1 @@\n+b\n"), "do not follow")

    def test_refuses_two_paths(self):
        self.refuse(patch_text(b"@@ -1,0 +2,1 @@\n+a\n").replace(b"b/x.c", b"b/y.c"), "p:2: ")


class ApplyTest(unittest.TestCase):
    def test_refuses_another_base(self):
        patch = insertions.parse(patch_text(b"@@ -1,0 +2,1 @@\n+a\n"), "p")
        with self.assertRaisesRegex(BuildError, "made from another file"):
            insertions.apply(patch, BASE + b"four\n")

    def test_refuses_a_line_beyond_the_end(self):
        patch = insertions.parse(patch_text(b"@@ -4,0 +5,1 @@\n+a\n"), "p")
        with self.assertRaisesRegex(BuildError, "line 4 of 3"):
            insertions.apply(patch, BASE)


class BetweenTest(unittest.TestCase):
    def test_refuses_changes_and_names_the_line(self):
        with self.assertRaisesRegex(BuildError, "x.c:2: "):
            insertions.between("x.c", BASE, b"one\nTWO\nthree\n")
        with self.assertRaisesRegex(BuildError, "x.c:3: "):
            insertions.between("x.c", BASE, b"one\nnew\ntwo\n")

    def test_refuses_a_missing_last_newline(self):
        with self.assertRaisesRegex(BuildError, "no newline"):
            insertions.between("x.c", BASE, BASE + b"end")

    def test_round_trip_of_random_insertions(self):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        words = [b"}\n", b"\n", b"a\n", b"b\n", b"-- x\n", b"+\n"]  # few, so that places are ambiguous
        for _ in range(40):
            base = b"".join(rng.choices(words, k=rng.randrange(30)))
            edited = insertions.split_lines(base)
            for _ in range(rng.randrange(8)):
                edited.insert(rng.randint(0, len(edited)), rng.choice(words))
            with self.subTest(seed=seed, base=base, edited=edited):
                patch = insertions.between("d/x.c", base, b"".join(edited))
                again = insertions.parse(insertions.serialize(patch), "p") if patch.insertions else patch
                self.assertEqual(again, patch)
                self.assertEqual(insertions.apply(again, base), b"".join(edited))

    def test_first_match_fallback(self):
        lines = insertions.split_lines
        found = insertions._as_subsequence(lines(b"a\nb\n"), lines(b"x\na\ny\nb\nz\n"))
        self.assertEqual([(i.after, i.lines) for i in found], [(0, (b"x\n",)), (1, (b"y\n",)), (2, (b"z\n",))])
        self.assertIsNone(insertions._as_subsequence(lines(b"a\nb\n"), lines(b"b\na\n")))


if __name__ == "__main__":
    unittest.main()
