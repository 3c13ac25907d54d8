"""The report's form, reading it, and writing whole files."""
import copy
import json
import os
import tempfile
import unittest
from pathlib import Path

from shared import files
from shared.forms import problems
from obmallocbench import document
from obmallocbench.errors import BenchmarkError

from . import sample


class Form(unittest.TestCase):
    def test_the_sample_is_sound(self):
        self.assertEqual(problems(sample.document(), document.FORM), [])

    def test_each_missing_key_is_named(self):
        for key in document.FORM:
            broken = copy.deepcopy(sample.document())
            del broken[key]
            self.assertEqual(problems(broken, document.FORM), [f"report.{key} is missing"])

    def test_deep_faults_are_located(self):
        broken = sample.document()
        broken["arms"][1]["runs"][2]["phases"][0]["rss_bytes"] = "much"
        self.assertEqual(problems(broken, document.FORM), [
            "report.arms[1].runs[2].phases[0].rss_bytes has the wrong type str"])
        broken = sample.document()
        broken["arms"] = []
        self.assertEqual(problems(broken, document.FORM), ["report.arms is no list, or empty"])


class Files(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def test_round_trip_leaves_one_file(self):
        path = self.folder / "obj.json"
        files.write_json(path, sample.document())
        self.assertEqual(document.read(path), sample.document())
        self.assertEqual(os.listdir(self.folder), ["obj.json"])

    def test_what_cannot_be_read(self):
        unknown = {**sample.document(), "scenario": "nonsense"}
        other = {**sample.document(), "format": "obmallocbench 0"}
        for text, words in (("{", "not JSON"), ("[]", "no object"),
                            (json.dumps(unknown), "no scenario"), (json.dumps(other), "format")):
            path = self.folder / "bad.json"
            path.write_text(text, encoding="utf-8")
            with self.assertRaisesRegex(BenchmarkError, words):
                document.read(path)
        with self.assertRaisesRegex(BenchmarkError, "cannot read"):
            document.read(self.folder / "none.json")

    def test_a_new_folder_goes_when_the_run_fails(self):
        path = self.folder / "new"
        with self.assertRaises(ZeroDivisionError):
            with document.report_folder(path):
                raise ZeroDivisionError
        self.assertFalse(path.exists())

    def test_a_folder_that_is_a_file(self):
        path = self.folder / "file"
        path.touch()
        with self.assertRaisesRegex(BenchmarkError, "cannot write in"):
            with document.report_folder(path):
                self.fail("entered")
