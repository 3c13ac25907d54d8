"""source.py and debian.py: a wrong archive is never unpacked."""

import os
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from support import RepositoryCase
from shared import files
import debian
import places
import processes
import source
import versions
from errors import BuildError


class SourceTest(RepositoryCase):
    def test_unpacks_once(self):
        tree = source.ensure_pristine(self.release)
        self.assertEqual((tree / "README.rst").read_bytes(), b"read me\n")
        with mock.patch.object(source, "unpack", side_effect=AssertionError):
            source.ensure_pristine(self.release)

    def refuse(self, text: str) -> None:
        with self.assertRaisesRegex(BuildError, text):
            source.ensure_pristine(self.release)
        self.assertFalse(places.pristine(self.release).exists())

    def test_refuses_a_wrong_sum(self):
        self.archive.write_bytes(b"something else")
        self.refuse("is not the source of CPython 3.13.5: its SHA-256")

    def test_refuses_a_missing_file_and_a_folder(self):
        os.environ["CPYTHON_TARBALL"] = str(self.outside / "none")
        self.refuse("none: No such file")
        os.environ["CPYTHON_TARBALL"] = str(self.outside)
        self.refuse("is not a file: name")

    def test_leaves_nothing_of_a_damaged_archive(self):
        self.archive.write_bytes(self.archive.read_bytes()[:200])
        self.release = versions.Release("3.13.5", files.sha256_of_file(self.archive), "xz", ())
        self.refuse("unpacking failed")
        self.assertEqual(sorted(file.name for file in places.folder(self.release).iterdir()), ["unpack.log"])

    def test_no_network_is_one_line(self):
        del os.environ["CPYTHON_TARBALL"]
        with mock.patch.object(debian, "fetch", return_value="no mirror"), \
                mock.patch("urllib.request.urlopen", side_effect=OSError("no route")):
            self.refuse("CPYTHON_TARBALL=FILE .no mirror; .*no route")
        self.assertEqual(list(places.DOWNLOADS.iterdir()), [])

    def test_debian_archive_is_kept_under_the_name_of_python_org(self):
        del os.environ["CPYTHON_TARBALL"]

        def fetch(release, log):
            (places.DOWNLOADS / release.debian_tarball).write_bytes(self.archive.read_bytes())

        with mock.patch.object(debian, "fetch", fetch):
            source.ensure_pristine(self.release)
        self.assertEqual([file.name for file in places.DOWNLOADS.iterdir()], ["Python-3.13.5.tar.xz"])

    def test_unknown_version(self):
        with self.assertRaisesRegex(BuildError, "VERSION=1.2 is unknown: choose from 3.13.5"):
            versions.find("1.2")


class MirrorsTest(unittest.TestCase):
    def ask(self, output: str) -> list:
        done = subprocess.CompletedProcess([], 0, stdout=output)
        with mock.patch("subprocess.run", return_value=done):
            return debian.mirrors()

    def test_main_archive_first_third_parties_never(self):
        self.assertEqual(self.ask("tool:/apt/|Vendor|stable\n"
                                  "mirror:/debian-security/|Debian|bookworm-security\n"
                                  "mirror:/debian/|Debian|bookworm-updates\n"
                                  "mirror:/debian/|Debian|bookworm\n"),
                         ["mirror:/debian/", "mirror:/debian-security/"])

    def test_before_the_first_update_origins_are_unknown(self):
        self.assertEqual(self.ask("mirror:/debian/|$(ORIGIN)|bookworm\n"), ["mirror:/debian/"])

    def test_without_apt(self):
        with mock.patch("subprocess.run", side_effect=FileNotFoundError):
            self.assertEqual(debian.mirrors(), [])


class ProcessesTest(RepositoryCase):
    def test_failure_names_the_telling_line_and_the_log(self):
        log = self.root / "build/x.log"
        script = "echo fine; echo 'x.c:1: error: broken'; echo 'make: *** [all] Error 1'; exit 2"
        with self.assertRaisesRegex(BuildError, r"^step failed \(status 2\): x.c:1: error: broken \(see build/x.log\)$"):
            processes.run_logged(["sh", "-c", script], log, what="step")

    def test_missing_program(self):
        with self.assertRaisesRegex(BuildError, "step: no-such-program was not found"):
            processes.run_logged(["no-such-program"], Path(self.root / "log"), what="step")

    def test_jobs(self):
        for text in ("0", "-1", "two"):
            with mock.patch.dict(os.environ, JOBS=text), self.assertRaisesRegex(BuildError, f"JOBS={text}"):
                processes.jobs()
        with mock.patch.dict(os.environ, JOBS="3"):
            self.assertEqual(processes.jobs(), 3)

    def test_variables_of_ours_stay_here(self):
        with mock.patch.dict(os.environ, MAKEFLAGS="x", PREFIX="x", PYTHONPATH="x", KEPT="x"):
            environment = processes.clean_environment()
        self.assertEqual({"MAKEFLAGS", "PREFIX", "PYTHONPATH", "KEPT"} & set(environment), {"KEPT"})


if __name__ == "__main__":
    unittest.main()
