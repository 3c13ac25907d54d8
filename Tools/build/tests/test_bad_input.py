"""Bad variables, archives, source trees and goals: one line, and nothing is built or changed."""

from __future__ import annotations

import re
import shutil
import unittest

from bad_input import CHECKOUT, DIGITS, LONG, PYTHON, BadInputCase
from support import BASE, PATCHLEVEL, RepositoryCase
from shared import files
from test_tree import TreeCase
import places
import versions


class BuildCase(BadInputCase, RepositoryCase):
    """A repository with a copy of the build's sources, that knows the made-up release."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.outside
        self.command = [PYTHON, "Tools/build"]
        (self.root / "Tools").mkdir(exist_ok=True)
        for name in ("Tools/build", "Tools/shared"):
            shutil.copytree(CHECKOUT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        for name in ("GNUmakefile", "Makefile.pre.in", "configure.ac", "Tools/check/check.mk"):
            self.write(name, (CHECKOUT / name).read_text(encoding="utf-8"))
        known = self.root / "Tools/build/versions.py"
        known.write_text(known.read_text(encoding="utf-8").replace(
            versions.RELEASES["3.13.5"].sha256, self.release.sha256), encoding="utf-8")
        for number in versions.RELEASES:        # here lie the locks
            (self.root / f"build/cpython-{number}").mkdir(parents=True, exist_ok=True)
        self.write("empty", "")
        (self.root / "folder").mkdir()

    def refuse_build(self, *rows: tuple, least: int, **variables: str) -> None:
        """Run rows of Tools/build; the archive is good unless a row names another."""
        self.refuse_all(self.command, self.root, rows, least=least,
                        **{"CPYTHON_TARBALL": str(self.archive), **variables})


class VariableTests(BuildCase):

    def test_words(self):
        self.refuse_build(
            ("^obmalloc: .*required: command", []),
            ("invalid choice: 'nonsense' .*'build', 'source'", ["nonsense"]),
            ("required: variant", ["build"]),
            ("invalid choice: 'nonsense' .*'stock'", ["build", "nonsense"]),
            ("unrecognized arguments: extra", ["source", "extra"]),
            ("unrecognized arguments: --fast", ["test", "--fast"]),
            least=6)

    def test_versions_and_suites(self):
        self.refuse_build(
            *((f"^obmalloc: VERSION={text.strip()} is unknown: choose from 3.13.5, 3.11.2", [command],
               {"VERSION": text}) for text, command in (("9.9", "source"), ("3.13", "test"), ("all", "test"),
                                                        (" ", "dist"), ("3.13.5 ", "install"))),
            ("^obmalloc: the storms of Tools/soak need Python 3.9", ["soak"], {"VERSION": "2.7.18"}),
            ("^obmalloc: make test-stress needs Python 3.9", ["test-stress"], {"VERSION": "2.7.18"}),
            *((f"^obmalloc: STEPS={wrong} is unknown: choose from core, tools", ["test-stress"], {"STEPS": text})
              for wrong, text in (("suite", "suite"), ("all", "core,all"))),
            *((f"^obmalloc: SUITE={wrong} is unknown: choose from all, none, 3.13.5", ["test-all"],
               {"SUITE": text}) for wrong, text in (("3.1", "3.9.2, 3.1"), ("ALL", "ALL"))),
            ("^obmalloc: SUITE=all,3.9.2: all and none stand alone", ["test-all"], {"SUITE": "all,3.9.2"}),
            least=12)

    def test_numbers(self):
        self.refuse_build(
            *((f"^obmalloc: JOBS={text} is not a number of jobs from 1 to .* say for example JOBS=2",
               ["build", "stock"], {"JOBS": text})
              for text in ("0", "-1", "two", "²", "99999999", DIGITS)),
            ("JOBS=x is not", ["test"], {"JOBS": "x"}),
            *((f"^obmalloc: SECONDS={re.escape(text)} is not a number of seconds from 1 to .* SECONDS=600",
               [command], {"SECONDS": text})
              for text, command in (("0", "fuzz"), ("-2", "soak"), ("1e3", "fuzz"), (DIGITS, "soak"))),
            *((f"^obmalloc: {name}={text} is not {what} from 1 to .* say for example {name}=",
               ["test-stress"], {name: text})
              for name, what in (("ROUNDS", "a number of rounds"), ("SEED", "a seed")) for text in ("0", "x")),
            *((f"^obmalloc: MERGE={text} is unknown: say MERGE=yes or MERGE=no", ["fuzz"], {"MERGE": text})
              for text in ("perhaps", "YES")),
            *((f"^obmalloc: CONFIGURE_ARGS={re.escape(text)}: No .*: quote it", ["build", "stock"],
               {"CONFIGURE_ARGS": text}) for text in ("--x='a", '"', "a\\")),
            least=20)

    def test_archives(self):
        truncated, wrong = self.root / "truncated.tar.xz", self.root / "wrong.tar.xz"
        truncated.write_bytes(self.archive.read_bytes()[:100])
        wrong.write_bytes(self.archive.read_bytes() + b"\0")
        self.refuse_build(
            *((f"^obmalloc: .*{pattern}.*: name Python-3.13.5.tar.xz of python.org with CPYTHON_TARBALL=FILE",
               ["source"], {"CPYTHON_TARBALL": str(archive)}) for archive, pattern in (
                   (self.root / "nothere", "/?nothere: No such file"),
                   (self.root / "empty/x", "empty/x: Not a directory"),
                   (self.root / "folder", "folder is not a file"),
                   ("/dev/zero", "/dev/zero is not a file"),
                   (self.root / "empty", "empty is not the source of CPython 3.13.5: its SHA-256 is e3b0c442"),
                   (truncated, "truncated.tar.xz is not the source"),
                   (wrong, "wrong.tar.xz is not the source"),
                   ("two\nlines", "two lines: No such file"),
                   (LONG, "File name too long"))),
            ("^obmalloc: CPYTHON_TARBALL=~nobodyhere/x: there is no such user", ["source"],
             {"CPYTHON_TARBALL": "~nobodyhere/x"}),
            least=10)

    def test_prefixes(self):
        self.refuse_build(
            ("^obmalloc: say where: make install PREFIX=DIR", ["install"], {"PREFIX": ""}),
            *((f"^obmalloc: PREFIX={re.escape(str(prefix))}: .*{pattern}", ["install"], {"PREFIX": str(prefix)})
              for prefix, pattern in (
                  (self.root / "empty", "empty is not a folder"),
                  (self.root / "empty/x/y", "empty is not a folder"),
                  ("/dev/null", "/dev/null is not a folder"),
                  ("/proc/nothere", "/proc cannot be written to"),
                  (self.root / "a folder", "a space or control character in its name: choose another"),
                  (self.root / LONG, "cannot be written to .File name too long"),
                  ("~nobodyhere", "there is no such user: write the path without ~"))),
            ("PREFIX=.*/two lines: .*control character", ["install"], {"PREFIX": str(self.root / "two\nlines")}),
            least=9)

    def test_trees(self):
        other = PATCHLEVEL.format(4).replace("3.13", "2.4")
        files.write(self.outside / "nonsense/Include/patchlevel.h", b'#define PY_VERSION "new"\n')
        files.write(self.outside / "nonsense/Objects/obmalloc.c", BASE)
        files.write(self.outside / "other/Include/patchlevel.h", other.encode())
        files.write(self.outside / "other/Objects/obmalloc.c", BASE)
        self.refuse_build(
            ("^obmalloc: say which source tree: make patch CPYTHON=DIR", ["patch"], {"CPYTHON": ""}),
            *((f"^obmalloc: CPYTHON={re.escape(str(path))}( is not a source tree of CPython$|: there is no such user)",
               ["patch"], {"CPYTHON": str(path)}) for path in (
                   self.outside / "nothere", self.root / "empty", self.root / "folder", self.outside / "nonsense",
                   "~nobodyhere/cpython")),
            ("other is CPython 2.4.4, the patches are for 3.13", ["patch"], {"CPYTHON": str(self.outside / "other")}),
            ("CPython 2.4.6 comes from no archive: .* make VERSION=2.4.6 CPYTHON=DIR", ["source"],
             {"VERSION": "2.4.6", "CPYTHON": ""}),
            *((f"^obmalloc: CPYTHON={path} is not a source tree of CPython 2.4.6", ["source"],
               {"VERSION": "2.4.6", "CPYTHON": str(path)})
              for path in (self.root / "empty", self.root / "folder", self.user, self.outside / "other")),
            *((f"^obmalloc: .*{path.name} is not a source tree of CPython: .* TREE=DIR", ["diff"], {"TREE": str(path)})
              for path in (self.outside / "nothere", self.root / "empty", self.root / "folder")),
            ("^obmalloc: build/cpython-3.13.5/patched is not a source tree", ["diff"]),
            ("^obmalloc: TREE=~nobodyhere: there is no such user", ["diff"], {"TREE": "~nobodyhere"}),
            least=17)


class MakeTests(BuildCase):
    """The same by way of make, and what only the makefiles see."""

    @unittest.skipUnless(shutil.which("make"), "needs make")
    def test_goals_and_variables(self):
        given = (self.root / "Makefile.pre.in").read_text(encoding="utf-8")
        self.write("build/Makefile", given.replace("@PYTHON@", PYTHON).replace("@CC@", "cc"))
        self.refuse_all(["make", "--no-print-directory"], self.root, [
            ("obmalloc: there is no goal instal: make help lists them", ["instal", "PREFIX=/usr/local"]),
            ("obmalloc: there is no goal 3.13.5: make help", ["all", "3.13.5"]),
            ("^obmalloc: PACKAGES=maybe is unknown: say PACKAGES=yes or PACKAGES=no", ["PACKAGES=maybe", "all"]),
            *((pattern, ["-f", "build/Makefile", goal, assignment]) for pattern, goal, assignment in (
                ("^obmalloc: VERSION=9.9 is unknown: choose from", "all", "VERSION=9.9"),
                ("^obmalloc: VERSION=9.9 is unknown: choose from", "bench", "VERSION=9.9"),
                ("^obmalloc: JOBS=two is not a number of jobs", "debug", "JOBS=two"),
                ("^obmalloc: SUITE=9.9 is unknown", "test-all", "SUITE=9.9"),
                ("^obmalloc: SECONDS=soon is not a number of seconds", "soak", "SECONDS=soon"),
                ("^obmalloc: MERGE=maybe is unknown", "fuzz", "MERGE=maybe"),
                ("^obmalloc: STEPS=suite is unknown", "test-stress", "STEPS=suite"),
                ("^obmalloc: SEED=no is not a seed", "test-stress", "SEED=no"),
                ("^obmalloc: say where: make install PREFIX=DIR", "install", "PREFIX="),
                ("^obmalloc: say which source tree", "patch", "CPYTHON="),
                ("^obmalloc: .*nothere is not a source tree", "patches", "TREE=nothere"),
                ("^obmalloc: .*nothere: No such file", "source", "CPYTHON_TARBALL=nothere"),
                ("^obmalloc: CONFIGURE_ARGS=\": No closing", "stock", 'CONFIGURE_ARGS="'))),
            *((pattern, ["-f", "Tools/check/check.mk", assignment]) for pattern, assignment in (
                ("obmalloc: VARIANTS=gc is unknown: choose from gcc single", "VARIANTS=gcc gc"),
                ("obmalloc: FUZZ_SECONDS=-1 is not a number of seconds", "FUZZ_SECONDS=-1"),
                ("obmalloc: FUZZ_SECONDS=1'm is not a number of seconds", "FUZZ_SECONDS=1'm"))),
        ], least=19)

    @unittest.skipUnless(shutil.which("make") and shutil.which("autoconf") and shutil.which("cc"),
                         "needs make, autoconf and a compiler")
    def test_a_python_that_is_none(self):
        made = self.root / "build"
        for python in ("/nowhere/python", "/bin/false"):
            with self.subTest(python=python):
                done = self.run_case(["make", "PACKAGES=no", f"PYTHON={python}", "all"], self.root, {})
                self.check_case(f"^obmalloc: configure: error: PYTHON={python} is not Python 3.9 or newer: name",
                                done)
                self.assertFalse((made / "Makefile").exists() or (made / "config.status").exists())


class PatchTests(BuildCase, TreeCase):
    """Trees and patches that differ, with the archive unpacked and patched before."""

    def test_trees_that_cannot_be_patched(self):
        def variant(name: str, path: str, content: bytes) -> dict[str, str]:
            shutil.copytree(self.user, self.outside / name)
            files.write(self.outside / name / path, content)
            return {"CPYTHON": str(self.outside / name)}

        carries = variant("carries", "Objects/obmalloc/static.c", b"int other;\n")
        conflict = variant("conflict", "Objects/obmalloc.c", BASE.replace(b"line 2\nline 3\n", b"mine\n"))
        self.refuse_build(
            ("^obmalloc: CPYTHON=.*carries carries another version of obmalloc .*: start from a tree", ["patch"],
             carries),
            ("^obmalloc: CPYTHON=.*conflict differs .* where our lines go: Objects/obmalloc.c line 2: nothing was",
             ["patch"], conflict),
            least=2)

    def test_patched_trees_that_were_edited(self):
        self.edit("Objects/obmalloc.c", b"edited\n")
        self.refuse_build(
            ("^obmalloc: .*Objects/obmalloc.c was edited: .*make patches", ["source"]),
            ("^obmalloc: .*Objects/obmalloc.c was edited: .*make patches", ["build", "obmalloc"]),
            ("^obmalloc: Objects/obmalloc.c:1: a line of CPython is changed", ["diff"]),
            least=3)

    def test_patches_that_are_none(self):
        patch = places.patches(self.release) / "Objects/obmalloc.c.patch"
        good = patch.read_bytes()
        rows = [(b"", "expected 'pristine-sha256"), (good[:-3], "expected 1 lines"),
                (good.replace(b"+ours", b"-line 2"), "expected 1 lines that begin with '.'"),
                (good.replace(b"obmalloc.c", b"\xff.c"), "its name and the path in it"),
                (good.replace(b"+3,1", b"+" + b"9" * 5000 + b",1"), "a patch may only insert lines"),
                (bytes(range(256)), "expected 'pristine-sha256")]
        for content, pattern in rows:
            patch.write_bytes(content)
            self.refuse_build((f"^obmalloc: patches/3.13.5/Objects/obmalloc.c.patch:?.*{pattern}", ["source"]),
                              least=1)
        self.assertGreaterEqual(len(rows), 6)

    def test_a_damaged_memory_of_the_tree_is_made_anew(self):
        memory = self.tree.with_suffix(".json")
        good = memory.read_bytes()
        for content in (b"", b"[]", b"\xff", b"[" * 100_000):
            memory.write_bytes(content)
            with self.subTest(content=content[:10]):
                done = self.run_case([*self.command, "source"], self.root, {"CPYTHON_TARBALL": str(self.archive)})
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(memory.read_bytes(), good)


if __name__ == "__main__":
    unittest.main()
