"""What `make wheels` writes into a README and the metadata, and what it refuses."""

import fnmatch
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import support      # noqa: F401 (finds the modules below)
import package
import places
import wheels
from errors import BuildError

try:
    import tomllib
except ImportError:     # before 3.11
    tomllib = None

URL = "https://forge.example/people/obmalloc"


class Releasing(unittest.TestCase):

    def test_what_is_uploaded(self):
        """The patterns of docs/releasing.md, of version 1.0, among all that dist/ may have."""
        written = {"obmalloc-1.0.tar.gz", *(f"obmalloc-1.0-py3-none-{target.tag}.whl" for target in wheels.TARGETS)}
        others = ["cpython-3.13.5-obmalloc.patch", "obmalloc-1.0.1.tar.gz", "obmalloc-0.1.tar.gz",
                  f"obmalloc-1.0.1-py3-none-{wheels.TARGETS[0].tag}.whl"]
        lines = [line for line in (places.ROOT / "docs/releasing.md").read_text().splitlines() if "bin/twine" in line]
        self.assertEqual(len(lines), 2)
        for line in lines:
            taken = [fnmatch.filter([*written, *others], pattern) for pattern in re.findall(r"dist/(\S+)", line)]
            self.assertEqual(set().union(*taken), written)


class Readme(unittest.TestCase):

    TEXT = ("See [how](docs/tools.md#pins), [a part](#part) and [all](https://x.example/).\n\n"
            "![A picture, of two lines](docs/obj.png)\n\nText.\n")

    def test_links_become_absolute(self):
        self.assertEqual(
            wheels.readme_for_pypi(self.TEXT, URL, "1.2"),
            f"See [how]({URL}/blob/v1.2/docs/tools.md#pins), [a part](#part) and [all](https://x.example/).\n\n"
            f"![A picture, of two lines]({URL}/raw/v1.2/docs/obj.png)\n\nText.\n")

    def test_without_a_url_nothing_leads_nowhere(self):
        self.assertEqual(wheels.readme_for_pypi(self.TEXT, "", "1.2"),
                         "See how, [a part](#part) and [all](https://x.example/).\n\n\nText.\n")

    def test_no_relative_link_of_our_readme_is_left(self):
        text = wheels.readme_for_pypi((places.ROOT / "README.md").read_text(), URL, "1.2")
        self.assertNotRegex(text, r"\]\((?![a-z]+:|#)")


@unittest.skipIf(tomllib is None, "no module tomllib")
class Metadata(unittest.TestCase):

    def test_the_version_stands_in_one_place(self):
        self.assertRegex(wheels.version(), r"^\d+\.\d+")
        for name in "pyproject.toml", "setup.py", "setup.cfg", "Lib/obmalloc/__main__.py":
            self.assertNotIn(f'"{wheels.version()}"', (places.ROOT / name).read_text(), name)

    def test_urls(self):
        project = tomllib.loads((places.ROOT / "pyproject.toml").read_text() + wheels.urls_for_metadata(URL, "1.2"))
        self.assertEqual(project["project"]["urls"]["Homepage"], URL)
        self.assertTrue(all(address.startswith(URL) for address in project["project"]["urls"].values()))
        self.assertEqual(wheels.urls_for_metadata("", "1.2"), "")

    def test_a_url_that_is_none(self):
        for text in "forge.example", "http://x.example", 'https://x.example/"a', "https://x y":
            with mock.patch.dict(os.environ, {"URL": text}), self.assertRaisesRegex(BuildError, "URL="):
                wheels.given_url()
        with mock.patch.dict(os.environ, {"URL": URL + "/"}):
            self.assertEqual(wheels.given_url(), URL)

    def test_every_version_that_is_tested_is_a_classifier(self):
        project = tomllib.loads((places.ROOT / "pyproject.toml").read_text())["project"]
        for folder in (places.ROOT / "patches").iterdir():
            series = ".".join(folder.name.split(".")[:2])
            if tuple(map(int, series.split("."))) >= (3, 9):
                self.assertIn(f"Programming Language :: Python :: {series}", project["classifiers"])


class Pyright(unittest.TestCase):

    def check(self, failing):
        """What is said when the tool fails that is run for this purpose."""
        def run_tool(arguments, what, *others, **variables):
            if what == failing:
                raise BuildError(f"{what} failed")
        with mock.patch.object(wheels, "run_tool", run_tool), mock.patch.object(wheels, "say") as say:
            wheels.check_types_by_pyright(Path("nowhere"))
        return [call.args[0] for call in say.call_args_list]

    def test_skipped_where_it_cannot_be_had(self):
        self.assertEqual(self.check("installing pyright"), ["pyright: skipped: installing pyright failed"])

    def test_its_complaint_is_an_error(self):
        self.assertEqual(self.check(None), [])
        with self.assertRaisesRegex(BuildError, "^pyright failed"):
            self.check("pyright")


@unittest.skipIf(tomllib is None, "no module tomllib")
class Sources(unittest.TestCase):

    def test_an_old_setuptools_can_read_the_license(self):
        with tempfile.TemporaryDirectory() as name:
            source = Path(name)
            package.copy_sources(source)
            package.license_for_old_setuptools(source / "pyproject.toml")
            self.assertEqual(tomllib.loads((source / "pyproject.toml").read_text())["project"]["license"],
                             {"text": "MIT"})

    def test_the_source_distribution_has_every_file(self):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=places.ROOT, capture_output=True, text=True)
        if listed.returncode != 0:
            self.skipTest("not a clone")
        copied = (*package.SOURCES, *wheels.ALSO_IN_SDIST)
        missing = [path for path in listed.stdout.split("\0") if path and not path.startswith(("Tools/fuzz/corpus", ".git"))
                   and not any(path == name or path.startswith(name + "/") for name in copied)]
        self.assertEqual(missing, [])


if __name__ == "__main__":
    unittest.main()
