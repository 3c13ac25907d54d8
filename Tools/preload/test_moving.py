"""longlived(), keep() and compact() in interpreters that were built without obmalloc."""

import subprocess
import unittest

from helpers import LIBRARY, ROOT, TIMEOUT_SECONDS, Programs, for_each_interpreter

TESTS = ROOT / "Lib/test/test_obmalloc"


@for_each_interpreter
class Moving(Programs):

    def test_behaviour_with_the_library(self):
        self.assertRegex(self.behaviour("test_moving.py", LD_PRELOAD=str(LIBRARY)), r"\nOK\Z")

    def test_behaviour_without_obmalloc(self):
        # Copies all the same.
        self.assertRegex(self.behaviour("test_moving.py"), r"\nOK\Z")

    def test_copies_with_the_library(self):
        self.assertRegex(self.behaviour("test_copies.py", LD_PRELOAD=str(LIBRARY)), r"\nOK\Z")

    def test_copies_without_obmalloc(self):
        self.assertRegex(self.behaviour("test_copies.py"), r"\nOK\Z")

    def test_long_lived_pages(self):
        said = self.behaviour("test_longlived.py", LD_PRELOAD=str(LIBRARY))
        self.assertRegex(said, r"\nOK \(skipped=[23]\)\Z")

    def test_long_lived_pages_without_obmalloc(self):
        said = self.behaviour("test_longlived.py")
        self.assertRegex(said, r"\nOK \(skipped=\d\d\)\Z")      # all but those that need no heap

    def behaviour(self, file, **variables):
        """What unittest says of the tests that patched interpreters run."""
        done = subprocess.run([self.python.path, str(TESTS / file)], env=self.environment(**variables),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        return done.stderr.strip()

    def test_pages_go_back(self):
        # A survivor in a hundred: the copies lie together, though the free list of tuples, which
        # nothing empties here, has room for all the originals of a step.
        for options in "", "limit=100":
            printed = self.run_preloaded(f"""
                import obmalloc
                def pages():
                    obmalloc.trim()
                    return figures()['floor_pages']
                base = pages()
                kept = [(number + 1000, str(number)) for number in range(400_000)][50::100]
                before = pages() - base
                moved = obmalloc.compact(kept, {options})
                while not moved.finished:
                    moved = obmalloc.compact(kept, after=moved, {options})
                obmalloc.check()
                print(len(kept), before, pages() - base)
                """)
            count, before, after = map(int, printed.split())
            self.assertEqual(count, 4000)
            self.assertGreater(before, 7000)
            self.assertLess(after, 1000)


if __name__ == "__main__":
    unittest.main()
