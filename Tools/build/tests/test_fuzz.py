"""fuzz.py, with a made-up libFuzzer."""

import os
import sys
from unittest import mock

from support import RepositoryCase
from shared import files
import fuzz
import places
from errors import BuildError

# Fails on an input that contains "bug"; minimises it to that.
FUZZER = """#!{python}
import pathlib, sys
options = dict(word[1:].partition("=")[::2] for word in sys.argv[1:] if word[0] == "-")
inputs = [pathlib.Path(word) for word in sys.argv[1:] if word[0] != "-"]
if "minimize_crash" in options:
    pathlib.Path(options["exact_artifact_path"]).write_bytes(b"bug")
    sys.exit(77)
if "merge" in options:
    for file in inputs[1].iterdir():
        (inputs[0] / file.name).write_bytes(file.read_bytes())
    sys.exit()
for folder in inputs:
    for file in folder.iterdir():
        if b"bug" in file.read_bytes():
            finding = pathlib.Path(options["artifact_prefix"] + "crash-1")
            finding.write_bytes(file.read_bytes())
            print("Test unit written to", finding)
            sys.exit(77)
print("#12\\tDONE   cov: 34 ft: 56 corp: 7/8b lim: 9 exec/s: 0 rss: 1Mb")
"""


class FuzzTest(RepositoryCase):
    def setUp(self):
        super().setUp()
        self.write("Tools/fuzz/corpus/old", "old")
        self.patch(mock.patch.object(fuzz.Fuzzer, "build", self.build))

    def build(self):
        program = places.BUILD / "fuzz/libfuzzer"
        files.write(program, FUZZER.format(python=sys.executable).encode())
        program.chmod(0o755)
        for name in ("corpus", "findings"):
            (places.BUILD / "fuzz" / name).mkdir(exist_ok=True)

    def fuzz(self, **variables: str) -> int:
        with mock.patch.dict(os.environ, variables):
            return fuzz.fuzz()

    def test_says_what_was_reached(self):
        self.assertEqual(self.fuzz(SECONDS="3"), 0)
        self.assertIn("fuzzing for 3 s", self.output.getvalue())
        self.assertIn("12 runs, 34 edges reached, 7 inputs kept; no finding", self.output.getvalue())

    def test_finding_is_minimised_and_its_replay_told(self):
        self.write("Tools/fuzz/corpus/bad", "a bug in here")
        with self.assertRaisesRegex(BuildError, r"^1 finding: build/fuzz/replay -v build/fuzz/findings/crash-1.small$"):
            self.fuzz()
        self.assertEqual((places.BUILD / "fuzz/findings/crash-1.small").read_bytes(), b"bug")

    def test_merges_only_when_asked(self):
        self.write("build/fuzz/corpus/new", "new")
        self.fuzz()
        self.assertFalse((self.root / "Tools/fuzz/corpus/new").exists())
        self.fuzz(MERGE="yes")
        self.assertTrue((self.root / "Tools/fuzz/corpus/new").exists())
        self.assertIn("1 inputs added to Tools/fuzz/corpus, which has 2", self.output.getvalue())

    def test_bad_variables(self):
        for variables, pattern in (({"SECONDS": "0"}, "SECONDS=0 is not"), ({"SECONDS": "1e3"}, "SECONDS=1e3 is not"),
                                   ({"MERGE": "1"}, "MERGE=1 is unknown")):
            with self.assertRaisesRegex(BuildError, pattern):
                self.fuzz(**variables)

    def test_fuzzer_that_cannot_start(self):
        with mock.patch.object(fuzz.Fuzzer, "run", lambda self, *_: files.write(self.log, b"ERROR: no such thing") or 1):
            with self.assertRaisesRegex(BuildError, r"status 1.*no such thing"):
                self.fuzz()
