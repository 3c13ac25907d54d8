"""The documents: what they link to, what they name, how long the first one is, and the site."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

TOOL = Path(__file__).resolve().parents[1]
sys.path[:0] = map(str, (TOOL, TOOL.parent))

import pages  # noqa: E402
from shared import command, packages  # noqa: E402

MOST_WORDS = 1000           # of README.md
MOST_ROWS = 8               # of its table of figures
DOCUMENTS = [*pages.pages(), *(str(path.relative_to(pages.ROOT)) for path in pages.ROOT.glob(".github/**/*.md"))]


def read(page: str) -> str:
    return (pages.ROOT / page).read_text(encoding="utf-8")


def load_tool():
    """Tools/docs/__main__.py as a module."""
    specification = importlib.util.spec_from_file_location("docs_tool", TOOL / "__main__.py")
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    return tool


class FirstPageTests(unittest.TestCase):

    def test_it_is_short(self):
        self.assertLessEqual(len(read("README.md").split()), MOST_WORDS)

    def test_one_picture_and_a_short_table_come_first(self):
        before_use = read("README.md").partition("\n## ")[0]
        self.assertEqual(len(re.findall(r"!\[", read("README.md"))), 1)
        self.assertIn("![", before_use)
        rows = [line for line in before_use.splitlines() if line.startswith("|")][2:]
        self.assertIn("obmalloc", rows[-1])
        self.assertLessEqual(len(rows), MOST_ROWS)

    def test_its_figures_are_those_of_the_benchmarks(self):
        benchmarks = read("docs/benchmarks.md")
        for line in read("README.md").splitlines():
            if re.match(r"\|.*\d \|", line) or re.match(r"\|.*\d\*\* \|", line):
                figures = line.split("|", 2)[2]
                self.assertIn(figures, benchmarks, f"{line} is not in docs/benchmarks.md")


class LinkTests(unittest.TestCase):

    def test_every_relative_link_resolves(self):
        count = 0
        for page in DOCUMENTS:
            for target, anchor in pages.relative_links(page, read(page)):
                with self.subTest(page=page, target=target, anchor=anchor):
                    count += 1
                    self.assertTrue((pages.ROOT / target).exists(), "there is no such file")
                    if anchor:
                        self.assertIn(anchor, pages.anchors(read(target)))
        self.assertGreater(count, 50)

    def test_every_document_is_a_page(self):
        there = {str(path.relative_to(pages.ROOT)) for pattern in ("*.md", "docs/**/*.md", "InternalDocs/**/*.md")
                 for path in pages.ROOT.glob(pattern)}
        self.assertEqual(there - set(pages.pages()), set())
        self.assertEqual(len(set(pages.pages())), len(pages.pages()))

    def test_links_are_found_where_markdown_has_them(self):
        text = ("# A `b` [c](d.md): e's\n\n[x\nx](y.md#z) and ![p](q.png), `[no](code.md)` [`yes`](w.md)\n\n"
                "    [no](indented.md)\n\n```\n[no](fenced.md)\n# no heading\n```\n- [item](i.md)\n    [more](m.md)\n## F\n## F\n")
        self.assertEqual(pages.links(text), ["d.md", "y.md#z", "q.png", "w.md", "i.md", "m.md"])
        self.assertEqual(pages.anchors(text), {"a-b-c-es", "f", "f-1"})
        self.assertEqual(list(pages.relative_links("docs/a.md", "[x](../b.md#c) [y](#d) [z](https://e.f/g)")),
                         [("b.md", "c"), ("docs/a.md", "d")])


class NameTests(unittest.TestCase):

    def test_goals_exist(self):
        goals = set(re.findall(r"^([a-z-]+):", read("Makefile.pre.in") + read("GNUmakefile"), re.M))
        texts = [read(page) for page in DOCUMENTS] + [
            path.read_text(encoding="utf-8") for path in pages.ROOT.glob(".github/**/*.yml")]
        named = {goal for text in texts for goal in re.findall(r"(?:^ *|`|&& |run: )make ([a-z]+(?:-[a-z]+)*)\b", text, re.M)}
        self.assertGreater(len(named), 15)
        self.assertEqual(named - goals, set())

    def test_files_of_the_repository_exist(self):
        for page in DOCUMENTS:
            if page.startswith("InternalDocs/"):    # they tell of CPython's files too
                continue
            for path in re.findall(r"`((?:Lib|Tools|Objects|Modules|Include|InternalDocs|docs|patches|Python2)/[\w./-]*)`",
                                   read(page)):
                with self.subTest(page=page, path=path):
                    self.assertTrue((pages.ROOT / path).exists() or path == "Objects/obmalloc.c")      # CPython's

    def test_metrics_are_described(self):
        source = read("Lib/obmalloc/metrics.py")
        described = read("docs/tools.md")
        found = re.findall(r"Metric\('([a-z._]+)', '([^']+)', (True|False)", source)
        self.assertGreater(len(found), 10)
        for name, unit, counts in found:
            full = name.replace(".", "_") + {"By": "_bytes", "s": "_seconds"}.get(unit, "") + "_total" * (counts == "True")
            self.assertIn(f"`{full}`", described)

    def test_settings_are_described(self):
        table = read("Objects/obmalloc/settings.c").partition("setting_table[] = {")[2].partition("};")[0]
        keys = re.findall(r'{"(\w+)", ', table)
        described = re.findall(r"^\| `(\w+)` \|", read("docs/tuning.md"), re.M)
        self.assertGreater(len(keys), 3)
        self.assertEqual(described, keys)

    def test_ci_does_what_ci_does_here(self):
        workflow = read(".github/workflows/ci.yml")
        for run in (".ci/run", "make wheels", "make docs"):
            self.assertRegex(workflow, rf"- run: {re.escape(run)}\b")
        self.assertTrue((pages.ROOT / ".ci/run").exists())


class SiteTests(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.tool = load_tool()
        try:
            cls.tool.generator()
        except command.Failure as error:
            raise unittest.SkipTest(f"mkdocs cannot be had: {error}")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "Tools/docs").mkdir(parents=True)
        for path in pages.pages():
            self.write(path, "# A page\n\n## A heading\n")
        self.write("Tools/docs/mkdocs.yml", pages.CONFIGURATION.read_text(encoding="utf-8"))
        python = self.tool.generator()
        for patch in (mock.patch.object(pages, "ROOT", self.root),
                      mock.patch.object(pages, "CONFIGURATION", self.root / "Tools/docs/mkdocs.yml"),
                      mock.patch.object(self.tool, "BUILD", self.root / "build"),
                      mock.patch.object(self.tool, "generator", lambda: python)):
            patch.start()
            self.addCleanup(patch.stop)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def build(self) -> str:
        """What the tool printed on both streams."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            self.tool.build()
        return output.getvalue()

    def test_the_pages_become_a_site(self):
        self.write("docs/faq.md", "# Questions\n\n![p](p.png)\n[home](../README.md#a-heading)\n\n|a|b|\n|-|-|\n|c|d|\n")
        self.write("docs/p.png", "png")
        self.assertIn("build/site/index.html", self.build())
        text = (self.root / "build/site/docs/faq/index.html").read_text(encoding="utf-8")
        self.assertIn('href="../../#a-heading"', text)
        self.assertIn("<td>d</td>", text)
        self.assertTrue((self.root / "build/site/docs/p.png").exists())
        self.assertNotRegex(text, r'<(script|link)[^>]+(src|href)="(https?:)?//')     # no other server is asked

    def test_a_broken_link_is_an_error(self):
        for link in ("no.md", "../README.md#no-heading", "no.png"):
            with self.subTest(link):
                self.write("docs/faq.md", f"# Questions\n\n[x]({link})\n")
                output = io.StringIO()
                with contextlib.redirect_stderr(output), self.assertRaises(command.Failure):
                    self.tool.build()
                self.assertIn(link.rpartition("/")[2], output.getvalue())


class OwnSiteTests(unittest.TestCase):

    def test_these_documents_become_a_site(self):
        tool = load_tool()
        try:
            tool.generator()
        except command.Failure as error:
            self.skipTest(f"mkdocs cannot be had: {error}")
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(tool.build(), 0)


class ForgeTests(unittest.TestCase):
    """What a public forge reads, as YAML, which the generator's Python has."""

    @classmethod
    def setUpClass(cls):
        try:
            python = load_tool().generator()
        except command.Failure as error:
            raise unittest.SkipTest(f"mkdocs cannot be had, and with it YAML: {error}")
        program = "import json, sys, yaml; print(json.dumps([yaml.safe_load(open(path)) for path in sys.argv[1:]]))"
        files = sorted(pages.ROOT.glob(".github/**/*.yml"))
        printed = subprocess.run([python, "-c", program, *files], check=True, capture_output=True, text=True).stdout
        cls.documents = {file.name: document for file, document in zip(files, json.loads(printed))}

    def test_each_job_says_where_and_what(self):
        jobs = self.documents["ci.yml"]["jobs"]
        self.assertEqual(set(jobs), {"test", "wheels", "documents"})
        for name, job in jobs.items():
            self.assertIn("runs-on", job, name)
            for step in job["steps"]:
                self.assertEqual(("run" in step) + ("uses" in step), 1, step)
                self.assertRegex(step.get("uses", "a/b@v1"), r"\A[\w-]+/[\w-]+@v\d+\Z")

    def test_forms_ask_for_what_they_need(self):
        forms = {name: form for name, form in self.documents.items() if "body" in form}
        self.assertEqual(len(forms), 3)
        for name, form in forms.items():
            with self.subTest(name):
                self.assertTrue(form["name"] and form["description"])
                fields = [field for field in form["body"] if field["type"] != "markdown"]
                self.assertEqual(len({field["id"] for field in fields}), len(fields))
                self.assertTrue(all(field["attributes"]["label"] for field in fields))
                self.assertTrue(any(field.get("validations", {}).get("required") for field in fields))
                for field in fields:        # YAML takes a bare yes for a boolean
                    self.assertTrue(all(isinstance(option, str) for option in field["attributes"].get("options", [])))


class GeneratorTests(unittest.TestCase):

    def test_it_is_of_the_version_that_is_pinned(self):
        tool = load_tool()
        with tempfile.TemporaryDirectory() as name, \
                mock.patch.object(tool, "BUILD", Path(name)), \
                mock.patch.object(packages, "venv", lambda folder: Path("/bin/true")), \
                mock.patch.object(packages, "pip_install") as pip:
            (Path(name) / "docs-tool").mkdir()
            (Path(name) / "docs-tool" / packages.COMPLETE).write_text(f'{{"mkdocs": "{tool.VERSION}"}}')
            tool.generator()
            pip.assert_not_called()
            (Path(name) / "docs-tool" / packages.COMPLETE).write_text('{"mkdocs": "1.0"}')
            tool.generator()
            self.assertEqual(pip.call_args[0][1], [f"mkdocs=={tool.VERSION}"])


if __name__ == "__main__":
    unittest.main()
