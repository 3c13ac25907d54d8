"""Many allocators: figures on a small document, the journal, and the command run tiny."""
import copy
import dataclasses
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from shared import files, packages, processes
from shared.forms import problems
from obmallocbench import (allocators, comparison, comparison_page, comparison_report, document,
                           journal, running)
from obmallocbench.errors import BenchmarkError
from obmallocbench.scenarios import REST_SCENARIOS

from . import sample, test_instructions
from .sample import MEBIBYTE
from .test_run import PYTHON, InFolder, run

TINY = {"obj": {"objects": 1000}, "survivors": {"triples": 3000, "permille": 10},
        "sessions": {"sessions": 20}, "burst": {"mebibytes": 1},
        "cycles": {"mebibytes": 1, "cycles": 2, "light_seconds": 1}, "churn": {"items": 4000},
        "json_document": {"orders": 200}, "syntax_trees": {"modules": 1},
        "pickled": {"records": 1000}, "sqlite_rows": {"rows": 500}, "etl": {"rows": 500},
        "flask_sessions": {"requests": 20, "visitors": 20}, "graph": {"nodes": 200},
        "prefork": {"articles": 2000, "requests": 20}}
RELEASED, FLOOR_PAGES, RESIDENT_PAGES = 40, 256, 512        # MiB, and pages of 4 KiB


def small_run(number: int, cpu: float, end: int) -> dict:
    """Return a run whose work takes cpu seconds and leaves end MiB."""
    marks = [{"phase": phase, "wall_seconds": seconds, "user_seconds": 1.0 + seconds,
              "system_seconds": 0.0, "rss_bytes": resident * MEBIBYTE, "measuring_seconds": 0.25}
             for phase, seconds, resident in (("base", 0.0, 10), ("made", cpu / 2, 90),
                                              ("freed", cpu, end), ("idle 2", cpu, end - 1),
                                              ("idle 10", cpu, end - 2))]
    marks[2]["allocator"] = {"resident_pages": RESIDENT_PAGES, "floor_pages": FLOOR_PAGES,
                             "page_size": 4096, "live_bytes": MEBIBYTE // 2}
    marks[2]["mallinfo"] = {"fordblks": 3 * MEBIBYTE}
    return {**sample.run(number, cpu, end), "phases": marks, "date": "2005-01-23T00:00:00+00:00",
            "load_average": 0.5}


def small_document() -> dict:
    """Return a document of two scenarios and four arms, a new one each time."""
    whole = sample.document()
    times = {"stock": (2.0, 4.0, 4.0), "patched": (1.0, 3.0, 2.5), "jemalloc": (2.1, 4.2, 4.2),
             "stock-again": (2.2, 3.8, 4.0)}
    ends = {"stock": 90, "patched": RELEASED, "jemalloc": 60, "stock-again": 90}
    arms = [{"name": name, "runs": [{**small_run(number, cpu, ends[name]), "counted": number > 0}
                                    for number, cpu in enumerate((99.0, *cpus))]}
            for name, cpus in times.items()]
    other = copy.deepcopy(arms)
    for run_ in other[1]["runs"]:
        run_["phases"][2]["rss_bytes"] = 61 * MEBIBYTE
    scenarios = [{"key": key, "title": REST_SCENARIOS[key].title, "parameters": {"count": 1000},
                  "resident": REST_SCENARIOS[key].resident, "packages": {}, "arms": own}
                 for key, own in (("burst", arms), ("prefork", other))]
    return {
        **{key: whole[key] for key in document.CIRCUMSTANCES}, "format": comparison.FORMAT,
        "idle": ["2", "10"], "runs": {"made": 4, "discarded": 1, "counted": 3},
        "arms": [{"name": name, "meaning": f"<{name}>", "environment": {}, "library": "",
                  "library_sha256": "", "version": "jem 5" * (name == "jemalloc"),
                  "interpreter": "patched" if name == "patched" else "stock"} for name in times],
        "skipped": [{"name": "tcmalloc", "reason": "no library"}], "scenarios": scenarios,
    }


class Figures(unittest.TestCase):
    def setUp(self):
        self.document = small_document()
        self.burst = self.document["scenarios"][0]
        self.measures = {measure.key: measure
                         for measure in comparison_report.measures_of(self.document)}

    def cells(self, key: str) -> list[str]:
        """Return the first row of a measure's table, the least with a star."""
        row = comparison_report.table_of(self.document, self.measures[key]).rows[0]
        return [cell.text + "*" * cell.least for cell in row]

    def test_sample_is_sound(self):
        self.assertEqual(problems(self.document, document.COMPARISON_FORM), [])

    def test_memory_after_release_and_idling(self):
        self.assertEqual(self.cells("released"),
                         ["one burst", "0.5", "39.0", "3.0", "90.0", "40.0*", "60.0", "90.0"])
        self.assertEqual(self.cells("idle 10")[1:], ["88.0", "38.0*", "58.0", "88.0"])

    def test_times_are_of_the_work_alone(self):
        one = small_run(1, 4.0, 40)
        self.assertEqual(comparison_report.cpu(one), 4.0)
        self.assertEqual(comparison_report.wall(one), 3.5)

    def test_a_ratio_within_the_noise_is_not_claimed(self):
        self.assertAlmostEqual(comparison_report.noise_of(self.burst, self.measures["cpu"]), 0.1)
        self.assertEqual(self.cells("cpu")[1:], ["1", "0.62", "1.05~", "1.00~"])

    def test_pairs_on_both_sides_show_nothing(self):
        self.assertTrue(comparison_report.is_shown([1.2, 1.3, 1.1], 0.1))
        self.assertFalse(comparison_report.is_shown([1.2, 1.3, 0.9], 0.1))
        self.assertFalse(comparison_report.is_shown([1.05, 1.3, 1.01], 0.1))
        self.assertTrue(comparison_report.is_shown([0.8, 0.7, 0.8], 0.1))

    def test_few_pairs_show_nothing(self):
        self.assertFalse(comparison_report.is_shown([0.8, 0.7], 0.1))

    def test_noise_is_the_same_up_and_down(self):
        self.assertAlmostEqual(comparison_report.deviation([0.5]), 1.0)
        self.assertAlmostEqual(comparison_report.deviation([1.1, 2.0]), 1.0)
        self.assertEqual(comparison_report.deviation([]), 0.0)

    def test_times_too_short_to_compare(self):
        for scenario in self.document["scenarios"]:
            for one in scenario["arms"][1]["runs"]:
                one["phases"][2]["user_seconds"] = 1.0
        self.assertIn("one burst", comparison_report.text(self.document, 200))

    def test_floor_is_not_known_of_several_processes(self):
        self.assertEqual(comparison_report.floor_mebibytes(self.burst), 39.0)
        self.assertIsNone(comparison_report.floor_mebibytes(self.document["scenarios"][1]))

    def test_findings_name_where_another_holds_less(self):
        released, *_, cpu, _ = comparison_report.findings(self.document)
        self.assertIn("least in 1 of 2 scenarios (not in prefork server: jemalloc 60.0, patched "
                      "61.0 MiB)", released)
        self.assertIn("0.62 of stock's (0.50 to 0.75 by round; stock against itself up to 1.10)",
                      cpu)
        for scenario in self.document["scenarios"]:
            scenario["arms"][1]["runs"] = copy.deepcopy(scenario["arms"][0]["runs"])
        self.assertIn("does not show", comparison_report.findings(self.document)[-1])

    def test_other_settings_of_ours_do_not_compete(self):
        self.document["arms"][2].update(name="background=1", interpreter="patched")
        for scenario in self.document["scenarios"]:
            scenario["arms"][2]["name"] = "background=1"
        self.assertIn("least in 2 of 2", comparison_report.findings(self.document)[0])

    def test_text_fits_and_says_what_it_leaves_out(self):
        text = comparison_report.text(self.document, 50)
        self.assertIn("narrow: ", text)
        self.assertIn("Skipped: tcmalloc: no library.", text)
        tables = [line for line in text.splitlines() if "one burst" in line]
        self.assertLessEqual(max(map(len, tables)), 50)
        self.assertNotIn("narrow", comparison_report.text(self.document, 200))

    def test_markdown(self):
        text = comparison_report.markdown(self.document)
        self.assertIn("| one burst | 0.5 | 39.0 | 3.0 | 90.0 | **40.0** | 60.0 | 90.0 |", text)
        self.assertIn("| one burst | 90.0 | 90.0 | **40.0** | 60.0 jemalloc | 88.0 | **38.0** | "
                      "58.0 jemalloc | 0.62 |", text)
        self.assertIn("| prefork server | 90.0 | 90.0 | 61.0 | 60.0 jemalloc |", text)
        self.assertIn("greatest 0.50", text)

    def test_without_patched_nothing_is_found(self):
        self.document["arms"] = [arm for arm in self.document["arms"] if arm["name"] != "patched"]
        self.assertEqual(comparison_report.findings(self.document), [])
        self.assertIn("one burst", comparison_report.text(self.document, 100))
        self.assertIn("<svg", comparison_page.page(self.document))
        self.assertIn("| one burst |", comparison_report.markdown(self.document))


class Page(unittest.TestCase):
    def test_every_counted_run_is_a_dot_and_nothing_is_fetched(self):
        page = comparison_page.page(small_document())
        counted, arms, scenarios = 3, 4, 2
        self.assertEqual(page.count("<circle"), scenarios * arms * counted * (4 + 1))
        self.assertNotRegex(page, r"https?:|src=|@import")
        self.assertIn("&lt;patched&gt;", page)
        self.assertNotIn("<patched>", page)

    def test_ticks(self):
        self.assertEqual(comparison_page.ticks(0.0, 300.0), [0, 50, 100, 150, 200, 250, 300])
        self.assertEqual([round(tick, 2) for tick in comparison_page.ticks(0.93, 1.12)],
                         [0.95, 1.0, 1.05, 1.1])

    def test_instructions_that_were_counted_stand_beside_the_times(self):
        counted = test_instructions.small_document()
        page = comparison_page.page(small_document(), counted)
        self.assertIn("<td>0.880</td>", page)
        self.assertIn(counted["date"][:10], page)
        self.assertIn("make bench-instructions", comparison_page.page(small_document()))

    def test_what_a_scenario_is(self):
        for key in REST_SCENARIOS:
            self.assertTrue(comparison_page.first_paragraph({"key": key}).endswith("."), key)
        self.assertEqual(comparison_page.first_paragraph({"key": "of an old report"}), "")


class Journals(InFolder):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "all.journal"

    def test_runs_are_found_again(self):
        with journal.Journal(self.path) as done:
            done.add("a", 0, {"x": 1})
            done.add("a", 1, {"x": 2})
        with journal.Journal(self.path) as done:
            self.assertEqual(done.runs, {("a", 0): {"x": 1}, ("a", 1): {"x": 2}})

    def test_a_half_written_line_is_cut_off(self):
        with journal.Journal(self.path) as done:
            done.add("a", 0, {})
        whole = self.path.read_bytes()
        self.path.write_bytes(whole + whole[:-5])
        with journal.Journal(self.path) as done:
            self.assertEqual(list(done.runs), [("a", 0)])
            done.add("a", 1, {})
        self.assertEqual(len(self.path.read_bytes().splitlines()), 2)

    def test_something_else_is_left_alone(self):
        for text in ("precious\n", "[]\n", '{"key": 1}\n'):
            self.path.write_text(text, encoding="ascii")
            with self.assertRaisesRegex(BenchmarkError, "no journal"):
                journal.Journal(self.path)
            self.assertEqual(self.path.read_text(encoding="ascii"), text)

    def test_one_at_a_time(self):
        with journal.Journal(self.path):
            with self.assertRaisesRegex(BenchmarkError, "another run"):
                journal.Journal(self.path)
        self.assertFalse(self.path.exists())

    def test_a_full_disk(self):
        with journal.Journal(self.path) as done, \
                mock.patch.object(journal.os, "write", side_effect=OSError(28, "No space")), \
                self.assertRaisesRegex(BenchmarkError, "No space"):
            done.add("a", 0, {})


class Allocators(unittest.TestCase):
    INTERPRETER = {"path": PYTHON, "version": "3.13.5 (main)"}
    SOURCES = allocators.Sources({"stock": INTERPRETER, "patched": INTERPRETER}, Path("/nonexistent"))

    def test_stock_always_runs(self):
        found, skipped = allocators.find_all(["malloc"], self.SOURCES)
        self.assertEqual([one.arm.name for one in found], ["stock", "malloc"])
        self.assertEqual(skipped, [])

    def test_a_missing_library_is_named(self):
        with mock.patch.object(allocators.ctypes.util, "find_library", return_value=None):
            found, skipped = allocators.find_all(["jemalloc", "tcmalloc"], self.SOURCES)
        self.assertEqual([one["name"] for one in skipped], ["jemalloc", "tcmalloc"])
        self.assertIn("libjemalloc2", skipped[0]["reason"])
        self.assertEqual(len(found), 1)

    def test_a_library_of_pypi(self):
        file = "cmeel.prefix/lib/libmimalloc.so.3"
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with mock.patch.object(packages, "install", return_value=(folder, {})) as install:
                _, skipped = allocators.find_all(["mimalloc3"], self.SOURCES)
                self.assertIn(f"no file {file}", skipped[0]["reason"])
                (folder / file).parent.mkdir(parents=True)
                (folder / file).touch()
                self.assertEqual(allocators.library_path("mimalloc3", self.SOURCES,
                                                         self.INTERPRETER), str(folder / file))
            install.assert_called_with(["cmeel-mimalloc"], self.INTERPRETER,
                                       self.SOURCES.packages)

    def test_our_library_is_named_if_it_is_missing(self):
        with self.assertRaisesRegex(BenchmarkError, "no library of obmalloc: make preload"):
            allocators.find_all(["obmalloc"], self.SOURCES)
        _, skipped = allocators.find_all(["obmalloc+jemalloc"], self.SOURCES)
        self.assertIn("make preload", skipped[0]["reason"])

    def test_several_libraries_are_preloaded_in_order(self):
        maps = "7f00-7f01 r-xp 0 fe:00 1   /a/_obmalloc.so\n7f02-7f03 r-xp 0 fe:00 2   /b/libj.so.2\n"
        with mock.patch.object(allocators, "library_path",
                               side_effect=lambda name, *rest: {"obmalloc": "/a/_obmalloc.so",
                                                                "jemalloc": "libj.so.2"}[name]), \
                mock.patch.object(allocators, "refuse_a_refusal"), \
                mock.patch.object(processes, "output_of", return_value=maps), \
                mock.patch.object(Path, "read_bytes", return_value=b"x"):
            found = allocators.find(allocators.ALLOCATORS["obmalloc+jemalloc"], self.SOURCES)
        self.assertEqual(found.arm.environment, {"LD_PRELOAD": "/a/_obmalloc.so:libj.so.2"})
        self.assertEqual(found.path, "/a/_obmalloc.so:/b/libj.so.2")

    def test_who_has_what_may_choose_what(self):
        everything = set(allocators.ALLOCATORS) - {"obmalloc,keep", "obmalloc,compact"}
        self.assertEqual(set(allocators.names_with(library=True, patched=True)), everything)
        self.assertEqual(set(allocators.names_with(library=True, patched=True, services=True)),
                         set(allocators.ALLOCATORS))
        alone = set(allocators.names_with(library=True, patched=False))
        self.assertEqual(everything - alone, {"patched", "retain=all", "medium=0",
                                              "background=1", "patched+jemalloc"})
        self.assertFalse({name for name in allocators.names_with(library=False, patched=True)
                          if name.startswith("obmalloc")})

    def test_every_arm_has_its_place_in_a_narrow_table(self):
        self.assertEqual(set(comparison_report.IMPORTANT),
                         set(allocators.names_with(library=True, patched=True)))

    def test_a_library_that_leaves_the_interpreter_as_it_is(self):
        with mock.patch.object(allocators.subprocess, "run", return_value=mock.Mock(
                returncode=0, stderr="it keeps its own allocator\n")), \
                self.assertRaisesRegex(BenchmarkError, "keeps its own allocator"):
            allocators.refuse_a_refusal(PYTHON, {})

    def test_a_library_that_is_not_loaded_is_no_arm(self):
        with mock.patch.object(allocators.ctypes.util, "find_library",
                               return_value="libnonexistent.so.9"):
            _, skipped = allocators.find_all(["mimalloc2"], self.SOURCES)
        self.assertIn("could not be preloaded", skipped[0]["reason"])

    def test_an_allocator_that_the_interpreter_does_not_have(self):
        nonsense = dataclasses.replace(allocators.ALLOCATORS["own-mimalloc"],
                                       environment={"PYTHONMALLOC": "nonsense"})
        with mock.patch.dict(allocators.ALLOCATORS, {"own-mimalloc": nonsense}):
            _, skipped = allocators.find_all(["own-mimalloc"], self.SOURCES)
        self.assertEqual(skipped[0]["name"], "own-mimalloc")

    def test_a_patched_interpreter_that_fails_is_an_error(self):
        with self.assertRaises(BenchmarkError):
            allocators.find_all(["patched"], allocators.Sources(
                {**self.SOURCES.interpreters, "patched": {"path": "/nonexistent"}},
                self.SOURCES.packages))

    def test_where_a_library_is_mapped(self):
        maps = ("7f00-7f01 r-xp 0 fe:00 1   /lib/libtcmalloc_minimal.so.4.5.10\n"
                "7f02-7f03 rw-p 0 00:00 0 \n7f04-7f05 r--p 0 fe:00 2   /a b/libmimalloc.so.2.0\n")
        self.assertEqual(allocators.mapped_library(maps, "libtcmalloc_minimal.so.4"),
                         "/lib/libtcmalloc_minimal.so.4.5.10")
        self.assertEqual(allocators.mapped_library(maps, "libmimalloc.so.2"),
                         "/a b/libmimalloc.so.2.0")
        self.assertEqual(allocators.mapped_library(maps, "libjemalloc.so.2"), "")


class Packages(InFolder):
    INTERPRETER = {"path": PYTHON, "version": "3.13.5 (main)"}

    def test_without_a_network_one_line_and_nothing_left(self):
        def no_pip(command, name, limit, environment=None):
            if name == "pip":
                raise BenchmarkError("pip ended with status 1: No matching distribution")
        with mock.patch.object(processes, "output_of", no_pip), \
                mock.patch.object(files, "write_json"), \
                self.assertRaisesRegex(BenchmarkError, "flask could not .* network") as caught:
            packages.install(["flask"], self.INTERPRETER, self.folder)
        self.assertNotIn("\n", str(caught.exception))
        self.assertEqual([path.name for path in self.folder.iterdir()], [])

    def test_what_is_there_is_not_fetched_again(self):
        target = self.folder / "python3.13-flask"
        target.mkdir()
        files.write_json(target / packages.COMPLETE, {"Flask": "3"})
        self.assertEqual(packages.install(["flask"], self.INTERPRETER, self.folder),
                         (target.resolve(), {"Flask": "3"}))

    def test_a_scenario_without_its_packages_is_skipped_and_named(self):
        with mock.patch.object(packages, "install", side_effect=BenchmarkError("no network")):
            provided, skipped = comparison.provide([REST_SCENARIOS["flask"],
                                                    REST_SCENARIOS["burst"]], {}, self.folder)
        self.assertEqual((list(provided), skipped),
                         (["burst"], [{"name": "flask", "reason": "no network"}]))


def tiny_scenarios():
    """Return a patch that makes every scenario small."""
    return mock.patch.dict(REST_SCENARIOS, {
        key: dataclasses.replace(scenario, options=TINY[scenario.name])
        for key, scenario in REST_SCENARIOS.items()})


class Command(InFolder):
    def setUp(self):
        super().setUp()
        self.enterContext(tiny_scenarios())

    def enterContext(self, manager):        # noqa: N802  (unittest has it from 3.11 on)
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def all(self, *words, patched=PYTHON):
        """Run the command with two arms, three with stock's second run."""
        return run("all", "--stock", PYTHON, "--patched", patched, "--report", self.report,
                   "--packages", self.folder / "packages", "--arm", "patched", "--runs", 2,
                   "--idle", "0.1,0.2", *words)

    def journal_lines(self) -> int:
        """Return the number of runs in the journal."""
        return len((self.report / "all.journal").read_bytes().splitlines())

    def test_each_scenario_and_going_on(self):
        names = [key for key, scenario in REST_SCENARIOS.items() if not scenario.packages]
        status, output, errors = self.all("--scenario", *names)
        self.assertEqual(status, 0, errors)
        self.assertRegex(errors, r"run 4 of \d+, about \d+ min left: Obj, .*, round 2, stock\n")
        result = document.read(self.report / "all.json")
        self.assertEqual([part["key"] for part in result["scenarios"]], names)
        for part in result["scenarios"]:
            self.assertEqual([arm["name"] for arm in part["arms"]],
                             ["stock", "patched", "stock-again"])
            run_ = part["arms"][1]["runs"][1]
            marks = [mark["phase"] for mark in run_["phases"]]
            self.assertEqual(marks[-2:], ["idle 0.1", "idle 0.2"])
            slept = run_["phases"][-1]["wall_seconds"] - run_["phases"][-3]["wall_seconds"]
            self.assertGreaterEqual(slept, 0.2)
        self.assertEqual(sorted(os.listdir(self.report)),
                         ["all.html", "all.journal", "all.json", "all.md"])
        lines = self.journal_lines()
        self.assertEqual(lines, len(names) * 3 * 2)
        again = self.all("--scenario", *names)
        self.assertEqual((again[0], again[2], self.journal_lines()), (0, "", lines))
        self.assertEqual(document.read(self.report / "all.json")["scenarios"],
                         result["scenarios"])
        self.all("--scenario", "burst", "--runs", 3)
        self.assertEqual(self.journal_lines(), lines + 3)
        self.all("--scenario", "burst", "--idle", "0.1")
        self.assertEqual(self.journal_lines(), lines + 3 + 6)
        self.all("--scenario", "burst", "--again")
        self.assertEqual(self.journal_lines(), lines + 3 + 6 + 6)

    def test_a_failure_keeps_what_was_measured(self):
        flag = self.folder / "fails"
        flag.touch()
        weak = self.script('[ "$2" = -c ] && exec ' + PYTHON + ' "$@"',
                           f"[ -e {flag} ] && {{ echo sorry >&2; exit 7; }}",
                           "exec " + PYTHON + ' "$@"')
        status, _, errors = self.all("--scenario", "burst", patched=weak)
        self.assertEqual(status, 2)
        self.assertRegex(errors.splitlines()[-1], "scenario 'burst', arm 'patched'.*7: sorry")
        self.assertEqual(os.listdir(self.report), ["all.journal"])
        self.assertEqual(self.journal_lines(), 1)
        flag.unlink()
        self.assertEqual(self.all("--scenario", "burst", patched=weak)[0], 0)
        self.assertEqual(self.journal_lines(), 6)

    def test_an_interpreter_that_is_built_anew_meanwhile(self):
        weak = self.script('[ "$2" = -c ] || touch -d 2005-01-23 "$0"', "exec " + PYTHON + ' "$@"')
        status, _, errors = self.all("--scenario", "burst", patched=weak)
        self.assertEqual(status, 2)
        self.assertIn("built anew meanwhile", errors.splitlines()[-1])

    def test_an_interruption_leaves_no_process(self):
        started = []
        begin = comparison.Task.begin

        def begin_twice(task, limit):
            if len(started) == 2:
                raise KeyboardInterrupt
            started.append(begin(task, limit))
            return started[-1]
        with mock.patch.object(comparison.Task, "begin", begin_twice):
            status, _, errors = self.all("--scenario", "burst", "--idle", "30")
        self.assertEqual(status, 130)
        self.assertIn("goes on", errors.splitlines()[-1])
        self.assertTrue(all(process.status is not None for process in started))

    def test_bad_words(self):
        for words in (("--idle", "0"), ("--idle", "5,2"), ("--idle", "soon"), ("--runs", "1"),
                      ("--scenario", "nonsense"), ("--arm", "nonsense")):
            status, _, errors = self.all(*words)
            self.assertEqual((status, len(errors.splitlines())), (2, 1), words)
            self.assertFalse(self.report.exists())

    def test_draw(self):
        path = self.folder / "all.json"
        files.write_json(path, small_document())
        self.assertEqual(run("draw", path)[0], 0)
        self.assertTrue((self.folder / "all.html").exists())
        self.assertIn("has no bars", run("check", path)[2])

    def test_workloads_with_packages(self):
        for key in ("flask", "graph"):
            scenario = REST_SCENARIOS[key]
            if any(packages.importlib.util.find_spec(name) is None for name in scenario.packages):
                continue
            arm = running.Arm("it", "stock", PYTHON, {"PYTHONPATH": os.pathsep.join(sys.path)})
            run_ = running.timed_run(arm, scenario, scenario.options, 600)
            self.assertGreater(len(run_["phases"]), 2)


class Family(unittest.TestCase):
    def test_workers_are_counted_and_end(self):
        scenario = REST_SCENARIOS["prefork"]
        arm = running.Arm("it", "stock", PYTHON, {})
        run_ = running.timed_run(arm, scenario, {"articles": 50000, "requests": 3000}, 600)
        base, forked, served, freed = run_["phases"]
        self.assertLess(forked["rss_bytes"], 2 * base["rss_bytes"])     # their pages are shared
        self.assertGreater(served["rss_bytes"], forked["rss_bytes"] + 40 * MEBIBYTE)
        self.assertGreater(served["user_seconds"], forked["user_seconds"])
        self.assertEqual(run_["peak_rss_bytes"],
                         max(mark["rss_bytes"] for mark in run_["phases"]))
