"""The workloads keep to old syntax, and what they share reads and writes what it should."""
import ast
import json
import subprocess
import sys
import unittest
from unittest import mock

from obmallocbench import machine
from obmallocbench.scenarios import (LARGER_NAMES, LARGER_PROGRAMS, MEMORY_SCENARIOS, PROGRAM_NAMES,
                                     PROGRAMS, SCENARIOS, WORKLOADS, workload_of_program)

sys.path.insert(0, str(WORKLOADS))
import live         # noqa: E402  (a script's neighbour, found the way a script finds it)
import measure      # noqa: E402
sys.path.remove(str(WORKLOADS))

NEWER = (ast.IfExp, ast.With, ast.JoinedStr, ast.AsyncFunctionDef, ast.AnnAssign, ast.NamedExpr,
         ast.Nonlocal, ast.YieldFrom, ast.SetComp, ast.DictComp, ast.Set, ast.Starred)


class Syntax(unittest.TestCase):
    def test_python_2_4_could_read_it(self):
        for path in WORKLOADS.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="ascii"))):
                place = f"{path.name}:{getattr(node, 'lineno', 0)}"
                self.assertNotIsInstance(node, NEWER, place)
                if isinstance(node, ast.Try):
                    self.assertFalse(node.handlers and node.finalbody, place)
                    self.assertFalse([h for h in node.handlers if h.name], place)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    self.assertNotIn(node.func.id, ("print", "any", "all", "next", "format"), place)
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    self.assertFalse(isinstance(node, ast.ClassDef) and node.decorator_list, place)
                if isinstance(node, ast.arguments):
                    self.assertFalse(node.kwonlyargs or [a for a in node.args if a.annotation])

    def test_every_scenario_has_its_script(self):
        for workload in (*MEMORY_SCENARIOS.values(), PROGRAMS, LARGER_PROGRAMS):
            self.assertTrue(workload.script.is_file())
        for scenario in SCENARIOS.values():
            self.assertTrue(scenario.script.is_file())
            self.assertEqual(len(scenario.phases), len(scenario.activities))
            self.assertIn(scenario.before, scenario.phases)
            self.assertIn(scenario.freed, scenario.phases)


    def test_every_program_runs(self):
        for name in (*PROGRAM_NAMES, *LARGER_NAMES):
            workload = workload_of_program(name)
            child = subprocess.run(
                [sys.executable, "-S", str(workload.script),
                 *workload.command_options({"program": name, "size": 4000})],
                env=machine.clean_environment({}), capture_output=True, text=True, timeout=600)
            self.assertEqual((child.returncode, child.stderr), (0, ""), name)
            self.assertEqual(json.loads(child.stdout)["parameters"]["program"], name)


class Measuring(unittest.TestCase):
    def test_json(self):
        value = {"a": [1, -2.5, None, True, False], "b": "quote \" back \\ line \n"}
        self.assertEqual(json.loads(measure.to_json(value)), value)
        self.assertEqual(json.loads(measure.to_json(1 << 40)), 1 << 40)

    def test_memory_is_plausible(self):
        self.assertGreater(measure.rss_bytes(), 1 << 20)
        self.assertGreater(measure.peak_rss_bytes(), 1 << 20)

    def test_reading_the_memory_is_in_no_time(self):
        class Slow(measure.Recorder):
            def memory(self):
                end = sum(measure.cpu_seconds()) + 0.2
                while sum(measure.cpu_seconds()) < end:
                    pass
                return super().memory()

        recorder = Slow("slow")
        for phase in "first", "second", "third":
            recorder.mark(phase)
        first, last = recorder.phases[0], recorder.phases[-1]
        self.assertLess(sum(last[key] - first[key] for key in ("user_seconds", "system_seconds")), 0.1)
        self.assertGreater(last["measuring_seconds"], 0.19)
        self.assertGreater(sum(recorder.measuring[1:]), 0.59)

    def test_sleep_is_in_no_time(self):
        recorder = measure.Recorder("sleepy")
        recorder.mark("awake")
        before = recorder.measuring[0]
        recorder.sleep(0.2, "slept")
        self.assertGreaterEqual(recorder.measuring[0] - before, 0.2)
        slept = recorder.phases[1]["wall_seconds"] - recorder.phases[0]["wall_seconds"]
        self.assertGreaterEqual(slept, 0.2)

    def test_kernels_without_the_files(self):
        self.assertIsNone(measure.read_text("/nonexistent"))
        with mock.patch.object(measure, "read_text", return_value=None):
            self.assertIsNone(measure.rss_bytes())
            self.assertIsNone(measure.anon_huge_pages_bytes())
            self.assertIsNone(measure.peak_rss_bytes())
            self.assertIsNone(measure.cgroup_memory_path())

    def test_statm_where_smaps_rollup_is_missing(self):
        texts = {"/proc/self/statm": "100 25 3 1 0 9 0\n"}
        with mock.patch.object(measure, "read_text", texts.get):
            self.assertEqual(measure.rss_bytes(), 25 * measure.page_size())

    def test_cgroups_of_both_versions(self):
        for text, path in (("4:memory:/a\n0::/\n", "/sys/fs/cgroup/memory/a/memory.usage_in_bytes"),
                           ("0::/a/b\n", "/sys/fs/cgroup/a/b/memory.current")):
            with mock.patch.object(measure, "read_text", return_value=text), \
                    mock.patch.object(measure.os, "access", return_value=True):
                self.assertEqual(measure.cgroup_memory_path(), path)

    def test_options(self):
        with mock.patch.object(sys, "argv", ["x.py", "--objects", "7"]):
            self.assertEqual(measure.options({"objects": 1}), {"objects": 7})
        for words in (["--other", "7"], ["--objects"], ["--objects", "many"], ["7"]):
            with mock.patch.object(sys, "argv", ["x.py", *words]), \
                    mock.patch.object(sys, "stderr"), self.assertRaises(SystemExit):
                measure.options({"objects": 1})

    def test_options_that_are_text(self):
        with mock.patch.object(sys, "argv", ["x.py", "--program", "ints", "--size", "0"]):
            self.assertEqual(measure.options({"program": "", "size": 1}),
                             {"program": "ints", "size": 0})


class PageFloor(unittest.TestCase):
    def setUp(self):
        self.floor = live.Floor()
        self.page = self.floor.page

    def test_blocks_and_the_pages_they_touch(self):
        self.floor.add_block(self.page * 7, self.page // 16)
        self.floor.add_block(self.page * 8 - 1, 1)
        self.assertEqual(list(self.floor.pages), [7])
        self.floor.add_block(self.page * 8 - 1, 2)
        self.assertEqual(self.floor.figures(), {"floor_bytes": 2 * self.page, "large_bytes": 0,
                                                "live_bytes": self.page // 16 + 3})

    def test_large_blocks_are_apart(self):
        self.assertEqual(self.floor.largest, 512)
        self.floor.add_block(self.page, 513)
        self.assertEqual((self.floor.pages, self.floor.large_bytes), ({}, 513))

    def test_what_obmalloc_serves_is_in_the_floor(self):
        module = mock.Mock()
        module.stats.return_value = {"classes": [{"size": 16}, {"size": 32768}]}
        with mock.patch.dict(sys.modules, {"_obmalloc": module}):
            for settings, largest in (({"medium": 1}, 32768), ({"medium": 0}, 512), ({}, 512)):
                module.settings.return_value = settings
                floor = live.Floor()
                floor.add_block(self.page, 2 * self.page)
                self.assertEqual((floor.largest, sorted(floor.pages)),
                                 (largest, [1, 2] if largest > 512 else []))

    def test_what_the_interpreter_shares_is_not_counted(self):
        for item in (None, 0, 256, -5, "", "a"):
            self.floor.add(item)
        self.assertEqual(self.floor.live_bytes, 0)

    def test_sizes_are_those_of_getsizeof(self):
        text, number, row = "text" * 9, 10 ** 6, [10 ** 7, 10 ** 8]
        for item, parts in ((text, ()), (number, ()), ((number, text), (number, text)),
                            (row, row), ({"x": text}, (text,))):
            floor = live.Floor()
            floor.add(item)
            whole = sum(sys.getsizeof(part) for part in (item, *parts))
            self.assertEqual(floor.live_bytes + floor.large_bytes, whole, item)
            self.assertTrue(floor.complete)

    def test_a_list_table_is_found_where_it_is(self):
        row = [object(), object()]
        table = live._pointer_at(id(row) + live.LIST_TABLE_WORD * live.WORD)
        self.assertEqual(live._pointer_at(table + live.WORD), id(row[1]))

    def test_old_interpreters_say_that_they_do_not_know(self):
        self.floor.has_tables = False
        self.floor.add([10 ** 6])
        self.assertIsNone(self.floor.figures()["floor_bytes"])
