"""Names of archives, lists of versions, and which of our files each gets."""

import unittest

from support import RepositoryCase
import places
import versions
from errors import BuildError


class VersionsTest(unittest.TestCase):
    def test_archives_are_named_as_at_python_org_and_debian(self):
        xz, gz = versions.find("3.9.2"), versions.find("2.7.18")
        self.assertEqual((xz.tarball, xz.debian_tarball),
                         ("Python-3.9.2.tar.xz", "python3.9_3.9.2.orig.tar.xz"))
        self.assertEqual((gz.tarball, gz.debian_tarball),
                         ("Python-2.7.18.tgz", "python2.7_2.7.18.orig.tar.gz"))
        self.assertEqual((gz.minor, gz.series), ("2.7", (2, 7)))

    def test_lists(self):
        self.assertEqual(versions.find_all("none"), [])
        self.assertIn(versions.find("3.11.2"), versions.find_all("all"))
        self.assertEqual(versions.find_all("3.9.2, 2.7.18"),
                         [versions.find("3.9.2"), versions.find("2.7.18")])
        with self.assertRaisesRegex(BuildError, "SUITE=3.1 is unknown: choose from all, none, .*2.7.18"):
            versions.find_all("3.1")

    def test_what_a_new_machine_can_have(self):
        numbers = {release.number for release in versions.in_test_all()}
        self.assertEqual(numbers, {"3.13.5", "3.11.2", "3.9.2", "2.7.18"})
        for number in "3.14.7", "2.4.6":
            self.assertIn(number, versions.RELEASES)


class LaidFilesTest(RepositoryCase):
    def test_files_go_to_the_python_they_are_written_for(self):
        for path in ("Lib/test/test_obmalloc/test_a.py", "Lib/obmalloc/a.py", "Modules/_obmalloc.c", "Modules/_obmalloc.h",
                     "Python2/Lib/test/test_obmalloc.py", "Python2/Modules/_obmalloc.c", "Python2/README"):
            self.write(path, "")
        self.assertEqual(places.laid_files(3), self.at("Lib/obmalloc/a.py", "Lib/test/test_obmalloc/test_a.py",
                                                       "Modules/_obmalloc.c", "Modules/_obmalloc.h"))
        self.assertEqual(places.laid_files(2), self.at("Modules/_obmalloc.h") | {
            path: self.root / "Python2" / path for path in ("Lib/test/test_obmalloc.py", "Modules/_obmalloc.c")})

    def at(self, *paths):
        """As laid_files() has them, files that lie in the repository at their path."""
        return {path: self.root / path for path in paths}


if __name__ == "__main__":
    unittest.main()
