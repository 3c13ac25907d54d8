"""The field: who keeps what, figures on a small document, and a program run tiny."""
import copy
import dataclasses
import os
import subprocess
import sys
import unittest
from unittest import mock

from shared import files
from shared.forms import problems

from obmallocbench import document, field, field_report, kept, machine, picture
from obmallocbench import __main__ as command_line
from obmallocbench.scenarios import FIELD_PROGRAMS, REPORTED_PROGRAMS, WORKLOADS

from . import sample
from .sample import MEBIBYTE
from .test_run import HAS_MATPLOTLIB, PYTHON, InFolder, run

TINY = {"json": {"documents": 50}, "buffers": {"answers": 4}, "arrays": {"rounds": 16},
        "images": {"images": 4}, "csv": {"rows": 200}, "tls": {"connections": 8},
        "orm": {"orders": 40}, "spreadsheet": {"rows": 50}, "xml": {"entries": 50},
        "html": {"pages": 2}, "celery": {"jobs": 2}, "figures": {"figures": 1},
        "threads": {"buffers": 50}, "libraries": {"documents": 16}, "blobs": {"sessions": 40},
        "pickle": {"parts": 60}, "rows": {"articles": 20}, "streams": {"connections": 4},
        "archives": {"files": 8}, "growth": {"megabytes": 1}, "home": {"entities": 300}}
START = 10                                      # MiB
LEVELS = {"stock": 100, "obmalloc": 5, "jemalloc-tuned": 20}    # MiB above it, after the sleep
CPU = {"stock": 2.0, "obmalloc": 1.0, "jemalloc-tuned": 3.0}
TO_EXIT = {"stock": 4.0, "obmalloc": 1.0, "jemalloc-tuned": 3.0}


def kept_by(anonymous: int, small: int, ours: bool = False, live: int = 0) -> dict:
    """Return what a process says of who keeps memory, from MiB."""
    stats = {"resident_pages": small, "floor_pages": small // 2, "page_size": MEBIBYTE,
             "metadata_bytes": 0}
    return {"anonymous_bytes": anonymous * MEBIBYTE, "allocator": stats if ours else None,
            "pymalloc_arena_bytes": 0 if ours else small * MEBIBYTE,
            "mallinfo": {"uordblks": live * MEBIBYTE, "hblkhd": 0}}


def small_run(number: int, name: str) -> dict:
    """Return a run of an arm: half of what it keeps is of small objects, and after light work one
    MiB less is there."""
    level, ours = LEVELS[name], name == "obmalloc"
    moments = ((field.START, 0, 0.0), (field.DROPPED, level, CPU[name]),
               (field.SLEPT, level, CPU[name]), (field.LIGHT, level - 1, CPU[name] + 9))
    marks = [{"phase": phase, "wall_seconds": 0.0, "user_seconds": 1.0 + cpu, "system_seconds": 0.5,
              "rss_bytes": (START + above) * MEBIBYTE,
              "kept_by": kept_by(6 + above, above // 2, ours, above // 10)}
             for phase, above, cpu in moments]
    whole = {**sample.run(number, 1.0, START), "user_seconds": 1.0 + TO_EXIT[name],
             "system_seconds": 0.5}
    return {**whole, "counted": True, "phases": marks,
            "peak_rss_bytes": (START + 200) * MEBIBYTE, "date": "2005-01-23T00:00:00+00:00",
            "load_average": 0.5}


def small_document() -> dict:
    """Return a document of two programs and three arms, a new one each time."""
    whole = sample.document()
    programs = [{"key": key, "title": FIELD_PROGRAMS[key].title, "parameters": {"count": 1},
                 "resident": "RSS", "packages": {}, "arms": [
                     {"name": name, "runs": [small_run(number, name) for number in range(3)]}
                     for name in LEVELS]} for key in ("json", "xml")]
    return {
        **{key: whole[key] for key in document.CIRCUMSTANCES}, "format": field.FORMAT,
        "interpreters": {"stock": whole["interpreters"]["stock"]},
        "parameters": {"sleep": 3, "light": 150},
        "runs": {"made": 3, "discarded": 0, "counted": 3}, "skipped": [],
        "arms": [{"name": name, "meaning": f"<{name}>", "environment": {}, "library": "",
                  "library_sha256": "", "version": "", "interpreter": "stock"} for name in LEVELS],
        "scenarios": programs,
    }


class Kept(unittest.TestCase):
    def test_parts_add_up(self):
        start = {"rss_bytes": 20 * MEBIBYTE, "kept_by": kept_by(12, 4, ours=True, live=1)}
        end = {"rss_bytes": 60 * MEBIBYTE, "kept_by": kept_by(50, 14, ours=True, live=3)}
        found = kept.kept_since(start, end)
        self.assertEqual(found, kept.Kept(40.0, 10.0, 5.0, 28.0, 2.0, 2.0))
        self.assertEqual(found.total, found.small + found.malloc + found.files)
        self.assertEqual((found.retained, found.free), (5.0, 26.0))

    def test_what_nobody_tells_is_not_known(self):
        start = {"rss_bytes": 0, "kept_by": {**kept_by(0, 0), "mallinfo": None}}
        end = {"rss_bytes": 9 * MEBIBYTE, "kept_by": {**kept_by(8, 2), "mallinfo": None}}
        found = kept.kept_since(start, end)
        self.assertEqual((found.floor, found.live), (None, None))
        self.assertEqual((found.retained, found.free, found.files), (2.0, 6.0, 1.0))
        end["kept_by"]["anonymous_bytes"] = None
        self.assertEqual(kept.kept_since(start, end).malloc, 7.0)


class Measuring(unittest.TestCase):
    def ask(self, words: str, **environment: str) -> tuple[int, str, str]:
        """Run a line of Python beside measure.py in a process; return status, output, errors."""
        child = subprocess.run(
            [*machine.interpreter_command(PYTHON), "-c", f"import measure; {words}"],
            env=machine.clean_environment({"PYTHONPATH": str(WORKLOADS), **environment}),
            capture_output=True, text=True, timeout=600)
        return child.returncode, child.stdout.strip(), child.stderr

    @unittest.skipUnless(os.path.exists("/proc/self/smaps_rollup")
                         and machine.describe_machine()["c_library"].startswith("glibc"),
                         "needs Linux and glibc")
    def test_glibc_tells_what_is_in_use(self):
        words = ("before = measure.mallinfo(); kept = [bytearray(9000) for _ in range(1000)]; "
                 "print(measure.mallinfo()['uordblks'] - before['uordblks'])")
        self.assertGreater(int(self.ask(words)[1]), 8_000_000)
        status, _, errors = self.ask("measure.glibc(); measure._glibc[:] = [None]; "
                                     "measure.trim_if_asked()", OBMALLOCBENCH_TRIM="1")
        self.assertEqual((status, errors.count("\n")), (2, 1))
        self.assertEqual(self.ask("measure.trim_if_asked()", OBMALLOCBENCH_TRIM="1"), (0, "", ""))

    def test_arenas_of_pymalloc(self):
        words = ("before = measure.pymalloc_arena_bytes(); "
                 "kept = [(i, i) for i in range(200000)]; "
                 "print(measure.pymalloc_arena_bytes() - before)")
        self.assertGreater(int(self.ask(words)[1]), 8_000_000)
        self.assertEqual(self.ask(words, PYTHONMALLOC="malloc"), (0, "0", ""))


class Figures(unittest.TestCase):
    def setUp(self):
        self.document = small_document()
        self.measures = {measure.key: measure
                         for measure in field_report.measures_of(self.document)}

    def rows(self, key: str) -> list[list[str]]:
        """Return the rows of a measure's table, the least with a star."""
        table = field_report.table_of(self.document, self.measures[key])
        return [[cell.text + "*" * cell.least for cell in row] for row in table.rows]

    def test_sample_is_sound(self):
        self.assertEqual(problems(self.document, document.FIELD_FORM), [])

    def test_memory_its_sum_and_the_share_of_stock(self):
        self.assertEqual(self.rows(field.SLEPT),
                         [["nested JSON", "100.0", "5.0*", "20.0"],
                          ["lxml trees", "100.0", "5.0*", "20.0"],
                          ["sum", "200.0", "10.0*", "40.0"], ["× stock", "1.00", "0.05", "0.20"]])
        self.assertEqual(self.rows(field.LIGHT)[0][1:], ["99.0", "4.0*", "19.0"])
        self.assertEqual(self.rows("peak")[0][1], "200.0*")

    def test_cpu_is_of_the_work_and_the_sleep(self):
        self.assertEqual(self.rows("cpu"), [["nested JSON", "1", "0.50", "1.50"],
                                            ["lxml trees", "1", "0.50", "1.50"],
                                            ["geometric mean", "1", "0.50", "1.50"]])

    def test_cpu_to_the_end_of_the_process(self):
        self.assertEqual(self.rows("cpu to exit")[-1], ["geometric mean", "1", "0.25", "0.75"])

    def test_time_against_the_arm_that_leaves_medium_requests_to_malloc(self):
        self.assertEqual([measure.base for measure in self.measures.values() if measure.is_time],
                         ["stock", "stock"])
        for part in (self.document, *self.document["scenarios"]):
            part["arms"].append({**copy.deepcopy(part["arms"][0]), "name": "obmalloc,medium=0"})
        for program in self.document["scenarios"]:
            for one in program["arms"][-1]["runs"]:
                for mark in one["phases"][1:]:
                    mark["user_seconds"] += 2.0         # 4 s instead of 2
        self.measures = {measure.key: measure
                         for measure in field_report.measures_of(self.document)}
        self.assertEqual(self.rows("cpu / obmalloc,medium=0")[-1],
                         ["geometric mean", "0.50", "0.25", "0.75", "1"])
        self.assertEqual(self.rows("cpu")[-1][1:], ["1", "0.50", "1.50", "2.00"])

    def test_who_keeps_what(self):
        arms, ours = field_report.parts_tables(self.document)
        self.assertEqual([[cell.text for cell in row] for row in arms.rows],
                         [["stock", "200.0", "–", "100.0", "20.0", "80.0", "0.0"],
                          ["obmalloc", "10.0", "2.0", "2.0", "0.0", "6.0", "0.0"],
                          ["jemalloc-tuned", "40.0", "–", "20.0", "4.0", "16.0", "0.0"]])
        self.assertEqual([cell.text for cell in ours.rows[1]],
                         ["lxml trees", "5.0", "1.0", "1.0", "0.0", "3.0", "0.0"])

    def test_stock_that_keeps_nothing_has_no_share(self):
        for program in self.document["scenarios"]:
            for one in program["arms"][0]["runs"]:
                for mark in one["phases"]:
                    mark["rss_bytes"] = START * MEBIBYTE
        self.assertEqual(self.rows(field.SLEPT)[-1][1:], ["–", "–", "–"])
        self.assertIn("obmalloc 10 (–)", field_report.findings(self.document)[0])

    def test_text_and_markdown(self):
        text = " ".join(field_report.text(self.document, 100).split())
        self.assertIn("obmalloc 10 (0.05), jemalloc-tuned 40 (0.20), stock 200 (1.00).", text)
        markdown = field_report.markdown(self.document)
        self.assertIn("| lxml trees | 100.0 | **5.0** | 20.0 |", markdown)
        self.assertIn("- `obmalloc`: <obmalloc>", markdown)

    def test_a_narrow_terminal(self):
        text = field_report.text(self.document, 40)
        tables = text.partition("Not shown")[0]
        self.assertLessEqual(max(map(len, tables.splitlines())), 43)    # light work's title
        self.assertRegex(" ".join(text.split()), "narrow: jemalloc-tuned, .*malloc, free, files")
        self.assertNotIn("narrow", field_report.text(self.document, 100))


class Picture(InFolder):
    def test_colours_and_title(self):
        self.assertEqual(list(field_report.pictured(small_document())),
                         ["stock", "jemalloc-tuned", "obmalloc"])
        self.assertIn("of 400 MiB above the start at their peaks 200 remain with stock, 0.05 of "
                      "that with obmalloc", field_report.title_of(small_document()))

    @unittest.skipUnless(HAS_MATPLOTLIB, "needs Matplotlib")
    def test_drawn(self):
        path = self.folder / "field.json"
        files.write_json(path, small_document())
        self.assertEqual(run("draw", path)[0], 0)
        self.assertEqual(picture.paths(self.folder, "field"),
                         sorted(self.folder.glob("field.[sp][vn]g"), reverse=True))


class Programs(InFolder):
    def field(self, *words, library: str = "a.so") -> tuple[int, str, str]:
        """Run the command on two arms, tiny."""
        (self.folder / "a.so").touch()
        tiny = {key: dataclasses.replace(program, options=TINY[key])
                for key, program in FIELD_PROGRAMS.items()}
        with mock.patch.dict(FIELD_PROGRAMS, tiny):
            return run("field", "--python", PYTHON, "--library", self.folder / library,
                       "--packages", self.folder / "packages", "--report", self.report,
                       "--arms", "malloc", "--runs", 1, "--no-picture", *words)

    def test_each_has_its_script_and_says_what_it_models(self):
        self.assertGreaterEqual(len(FIELD_PROGRAMS), 10)
        self.assertEqual(set(FIELD_PROGRAMS), set(TINY))
        for program in REPORTED_PROGRAMS.values():
            self.assertIn("After reports", program.script.read_text(encoding="ascii"))

    def test_groups(self):
        everything = list(FIELD_PROGRAMS.values())
        self.assertEqual(command_line.field_programs_of(["medium", "published", "reported", "json"]),
                         everything)
        self.assertEqual(command_line.field_programs_of(["growth", "json"]),
                         [FIELD_PROGRAMS["json"], FIELD_PROGRAMS["growth"]])

    def test_a_tiny_run(self):
        status, output, errors = self.field("--programs", "json", "--sleep", 1, "--light", 1)
        self.assertEqual(status, 0, errors)
        self.assertIn("After 1 s of sleep".lower(), output.lower())
        self.assertEqual(sorted(os.listdir(self.report)),
                         ["field.journal", "field.json", "field.md"])
        result = document.read(self.report / "field.json")
        self.assertEqual([arm["name"] for arm in result["arms"]], ["stock", "malloc"])
        for arm in result["scenarios"][0]["arms"]:
            marks = arm["runs"][0]["phases"]
            self.assertEqual([mark["phase"] for mark in marks],
                             [field.START, field.DROPPED, field.SLEPT, field.LIGHT])
            slept = marks[2]["wall_seconds"] - marks[1]["wall_seconds"]
            self.assertGreaterEqual(slept, 1)
            arenas = marks[2]["kept_by"]["pymalloc_arena_bytes"]
            self.assertEqual(arenas > 0, arm["name"] == "stock")

    def test_programs_whose_library_is_here(self):
        modules = {"pillow": "PIL", "beautifulsoup4": "bs4"}
        for key, program in FIELD_PROGRAMS.items():
            if any(picture.importlib.util.find_spec(modules.get(name, name)) is None
                   for name in program.packages):
                continue
            option, value = next(iter(TINY[key].items()))
            child = subprocess.run(
                [PYTHON, str(program.script), f"--{option}", str(value), "--sleep", "0", "--light",
                 "1"], capture_output=True, text=True, timeout=600,
                env=machine.clean_environment({"PYTHONPATH": os.pathsep.join(sys.path)}))
            self.assertEqual(child.returncode, 0, f"{key}: {child.stderr}")
            self.assertIn('"phase": "light"', child.stdout)

    def test_what_cannot_be_prepared_is_said(self):
        script = self.folder / "broken.py"
        script.write_text("import sys\n"
                          f"sys.path.insert(0, {str(FIELD_PROGRAMS['json'].script.parent)!r})\n"
                          "import phases\n"
                          "phases.run('broken', len, {'size': 1}, lambda size, folder: 1 / 0)\n",
                          encoding="utf-8")
        child = subprocess.run([PYTHON, str(script)], capture_output=True, text=True, timeout=600,
                               env=machine.clean_environment({"TMPDIR": str(self.folder)}))
        self.assertEqual(child.returncode, 2)
        self.assertIn("ZeroDivisionError", child.stderr)
        self.assertIn("could not be prepared", child.stderr.splitlines()[-1])
        self.assertEqual([path.name for path in self.folder.iterdir()], ["broken.py"])

    def test_refusals(self):
        for words, pattern in ((("--arms", "patched"), "invalid choice: 'patched'"),
                               (("--programs", "nonsense"), "invalid choice")):
            status, _, errors = self.field(*words)
            self.assertEqual((status, len(errors.splitlines())), (2, 1))
            self.assertRegex(errors, pattern)
        status, _, errors = self.field(library="nothere.so")
        self.assertEqual(status, 2)
        self.assertRegex(errors, "no library .*nothere.so: make preload builds it")
        self.assertFalse(self.report.exists())


if __name__ == "__main__":
    unittest.main()
