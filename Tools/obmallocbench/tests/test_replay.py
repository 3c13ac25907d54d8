"""Recording and replaying: traces written by hand, a tiny recording, and the ways they fail."""
import copy
import os
import re
import tempfile
import unittest
from unittest import mock
from pathlib import Path

from shared import processes
from shared.forms import problems
from obmallocbench import allocators, document, machine, native, recording, replay, replay_report
from obmallocbench.errors import BenchmarkError

from . import sample
from .sample import MEBIBYTE
from .test_run import PYTHON, InFolder, run

MALLOC, CALLOC, REALLOC, FREE = range(4)
END, TIME, THREAD, GONE = range(4)
MAGIC, VERSION = b"obmtrace", 2
DAMAGED, NO_END = "damaged", "has no end"


def number(value: int) -> bytes:
    """Return a number as it stands in a trace."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    return bytes([group | 128 for group in groups[:-1]] + groups[-1:])


def event(kind: int, value: int, *more: int) -> bytes:
    """Return an event of a trace."""
    return b"".join(map(number, (value << 2 | kind, *more)))


def mark(kind: int, value: int) -> bytes:
    """Return a mark of a trace."""
    return event(FREE, 0, kind, value)


def trace_of(*events: bytes, calls: int | None = None) -> bytes:
    """Return a whole trace of events. calls: how many its end mark claims."""
    claimed = len(events) if calls is None else calls
    return MAGIC + number(VERSION) + b"".join(events) + mark(END, claimed)


# Two small blocks of which one grows beyond 512 bytes and shrinks again, one of the system's.
LITTLE = trace_of(event(MALLOC, 100), event(MALLOC, 40), event(CALLOC, 1000), event(CALLOC, 512),
                  event(REALLOC, 4, 600), event(REALLOC, 4, 20), event(FREE, 2),
                  event(REALLOC, 3, 48), event(MALLOC, 0), event(FREE, 1))


class Programs(unittest.TestCase):
    """The C programs, compiled once for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = Path(holder.name)
        cls.programs = {kind: replay.build(replay.Arm(kind, kind), cls.folder)
                        for kind in ("core", "malloc", "none")}

    def replayer(self, kind: str, settings: str = "") -> replay.Replayer:
        """Return the replayer of a kind of arm with settings."""
        arm = replay.Arm(kind, kind, settings=settings)
        return replay.Replayer(arm, self.programs[kind], machine.clean_environment({}))

    def replayed(self, content: bytes, kind: str = "core", what: str = "pages", count: int = 2,
                 settings: str = "", sizes: str = "small") -> dict:
        """Replay a trace with these bytes."""
        trace = self.folder / "hand.trace"
        trace.write_bytes(content)
        return self.replayer(kind, settings).run(what, count, sizes, trace, 60)


class Replayer(Programs):
    def test_what_is_of_another_size_is_left_out(self):
        for sizes, calls, slots, live in (("small", 5, 3, 48 + 512), ("medium", 4, 2, 0),
                                          ("both", 8, 4, 20 + 48 + 512)):
            for kind in ("core", "malloc"):
                with self.subTest(sizes=sizes, kind=kind):
                    said = self.replayed(LITTLE, kind, sizes=sizes)
                    self.assertEqual((said["calls_of_program"], said["calls"], said["slots"]),
                                     (10, calls, slots))
                    self.assertEqual(said["samples"][-1][0], live)

    def test_what_the_system_had_it_keeps(self):
        """A block above all bounds is not replayed, not even when it shrinks."""
        for first in (event(MALLOC, 32769), event(MALLOC, 0)):
            said = self.replayed(trace_of(first, event(REALLOC, 1, 600), event(REALLOC, 1, 20),
                                          event(FREE, 1), event(MALLOC, 32768)), sizes="both")
            self.assertEqual((said["calls"], said["samples"][-1][0]), (1, 32768))

    def test_pages_of_blocks_that_straddle_them(self):
        events = [event(MALLOC, 32768)] * 20
        for kind in ("core", "malloc"):
            said = self.replayed(trace_of(*events), kind, count=1, sizes="medium")
            live, floor, resident, *_ = said["samples"][0]
            self.assertEqual(live, 20 * 32768)
            self.assertGreaterEqual(floor, live)
            self.assertLessEqual(floor, 20 * 9 * 4096)
            self.assertGreaterEqual(resident, live)

    def test_floor_is_that_of_the_blocks(self):
        events = [event(MALLOC, 512)] * 80
        said = self.replayed(trace_of(*events), count=1)
        live, floor, resident, _, metadata = said["samples"][0]
        self.assertEqual((live, floor), (80 * 512, 10 * 4096))
        self.assertGreaterEqual(resident, floor)
        self.assertGreater(metadata, 0)

    def test_old_blocks_are_found_by_age(self):
        events = [event(MALLOC, 16)] * 300 + [event(FREE, 300), event(FREE, 1), event(FREE, 200)]
        self.assertEqual(self.replayed(trace_of(*events))["samples"][-1][0], 297 * 16)

    def test_slots_are_used_again(self):
        events = [event(MALLOC, 16), event(FREE, 1)] * 50
        self.assertEqual(self.replayed(trace_of(*events))["slots"], 1)

    def test_time_passes_as_recorded(self):
        """What is wanted again soon is kept the next time; what is wanted much later is not."""
        def burst(blocks: int) -> list[bytes]:
            return ([event(MALLOC, 512)] * blocks
                    + [event(FREE, age) for age in range(blocks, 0, -1)])
        soon = trace_of(*burst(9000), *burst(9000), calls=4 * 9000)
        later = trace_of(*burst(9000), mark(TIME, 5000), *burst(9000), calls=4 * 9000)
        self.assertGreater(self.replayed(later)["purged_pages"],
                           self.replayed(soon)["purged_pages"])

    def test_settings(self):
        blocks = 3000
        burst = [event(MALLOC, 512)] * blocks + [event(FREE, age) for age in range(blocks, 0, -1)]
        self.assertEqual(self.replayed(trace_of(*burst), settings="retain=all")["purged_pages"], 0)
        with self.assertRaisesRegex(BenchmarkError, "unknown setting 'keep'"):
            self.replayed(LITTLE, settings="keep=all")
        with self.assertRaisesRegex(BenchmarkError, "malloc has no setting"):
            self.replayed(LITTLE, "malloc", settings="retain=all")

    def test_times(self):
        said = self.replayed(LITTLE, what="time", count=3)
        self.assertEqual(len(said["cpu_nanoseconds"]), 3)
        self.assertGreater(min(said["cpu_nanoseconds"]), 0)

    def test_each_thread_is_one(self):
        """The C library serves a thread from an arena of its own; a block goes from another
        thread, and after the end of its own, as well."""
        alone = [event(MALLOC, 20000)] * 4
        together = trace_of(*alone, mark(THREAD, 1), *alone, mark(THREAD, 2), event(FREE, 1),
                            event(CALLOC, 600), mark(GONE, 1), mark(THREAD, 0), event(FREE, 1),
                            event(FREE, 3), calls=12)
        for kind in ("core", "malloc"):
            said = self.replayed(together, kind, sizes="both")
            self.assertEqual((said["threads"], said["calls"]), (3, 12))
            self.assertEqual(said["samples"][-1][0], 6 * 20000)
        said = self.replayed(together, "malloc", "time", 3, sizes="both")
        self.assertEqual(len(said["cpu_nanoseconds"]), 3)

    def test_blocks_that_overlap_are_noticed(self):
        """The arm without an allocator hands out the same block twice."""
        with self.assertRaisesRegex(BenchmarkError, "does not hold what was written"):
            self.replayed(trace_of(event(MALLOC, 32), event(MALLOC, 32), event(FREE, 2)), "none")
        with self.assertRaisesRegex(BenchmarkError, "not zero"):
            self.replayed(trace_of(event(MALLOC, 32), event(CALLOC, 32)), "none")

    def test_traces_that_are_no_good(self):
        for content, words in (
                (b"", "not a trace"), (b"obm", "not a trace"), (b"x" * 100, "not a trace"),
                (MAGIC + number(VERSION + 1), "another version"),
                (MAGIC + number(VERSION), NO_END), (LITTLE[:-1], NO_END), (LITTLE[:-4], NO_END),
                (LITTLE + b"\0", DAMAGED), (trace_of(event(MALLOC, 8), calls=2), DAMAGED),
                (trace_of(event(FREE, 1)), DAMAGED), (trace_of(event(REALLOC, 1, 8)), DAMAGED),
                (trace_of(event(MALLOC, 8), event(FREE, 2)), DAMAGED),
                (trace_of(event(MALLOC, 8), event(FREE, 1), event(FREE, 1)), DAMAGED),
                (trace_of(mark(7, 0)), DAMAGED), (MAGIC + b"\xff" * 11, DAMAGED),
                (trace_of(mark(THREAD, 2), calls=0), DAMAGED),
                (trace_of(mark(GONE, 0), calls=0), DAMAGED),
                (trace_of(mark(GONE, 1), calls=0), DAMAGED),
                (trace_of(mark(THREAD, 1), mark(GONE, 1), event(MALLOC, 8), calls=1), DAMAGED),
                (trace_of(mark(THREAD, 1), mark(GONE, 1), mark(THREAD, 1), calls=0), DAMAGED),
                (trace_of(*(mark(THREAD, thread) for thread in range(1025)), calls=0),
                 "more threads than can be replayed")):
            with self.subTest(content=content[:30]), self.assertRaisesRegex(BenchmarkError, words):
                self.replayed(content)

    def test_a_trace_that_is_missing(self):
        with self.assertRaisesRegex(BenchmarkError, "No such file"):
            self.replayer("none").run("time", 1, "both", self.folder / "missing.trace", 60)


class Arms(unittest.TestCase):
    def test_what_can_be_typed(self):
        self.assertEqual(replay.parse_arm("malloc"), replay.Arm("malloc", "malloc"))
        self.assertEqual(replay.parse_arm("mimalloc3"),
                         replay.Arm("mimalloc3", "malloc", library="mimalloc3"))
        text = "core@HEAD~1,OBM_RUN_SHIFT=16,retain=3M,check=1"
        self.assertEqual(replay.parse_arm(text), replay.Arm(
            text, "core", "HEAD~1", ("OBM_RUN_SHIFT=16",), "retain=3M,check=1"))

    def test_what_cannot(self):
        for text in ("", "stock", "core@", "malloc@HEAD", "malloc,retain=all", "core,",
                     "core,OBM_RUN_SHIFT", "core,OBM_X=$(reboot)"):
            with self.assertRaisesRegex(ValueError, "no arm"):
                replay.parse_arm(text)

    def test_a_library_that_is_missing(self):
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(allocators.ctypes.util, "find_library", return_value=None):
            with self.assertRaisesRegex(BenchmarkError, "no library libjemalloc"):
                replay.replayer_of(replay.parse_arm("jemalloc"), Path(folder))

    def test_only_what_can_be_set_is_set(self):
        inputs = [machine.REPOSITORY / part for part in replay.CORE_FOLDERS]
        replay.check_macros(replay.parse_arm("core,OBM_REFILL_SHIFT=3"), inputs)
        with self.assertRaisesRegex(BenchmarkError, "knows no OBM_TYPO"):
            replay.check_macros(replay.parse_arm("core,OBM_TYPO=3"), inputs)
        with self.assertRaisesRegex(BenchmarkError, "OBM_PURGE_SHARE cannot be set from outside"):
            replay.check_macros(replay.parse_arm("core,OBM_PURGE_SHARE=3"), inputs)

    def test_another_tree_or_commit(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(replay.tree_of(replay.Arm("", "core", str(machine.REPOSITORY)),
                                            Path(folder)), machine.REPOSITORY)
            with self.assertRaisesRegex(BenchmarkError, "has no core"):
                replay.tree_of(replay.Arm("", "core", folder), Path(folder))
            if machine.ask_git("rev-parse", "-q", "--verify", "HEAD") is None:
                self.skipTest("not a git repository")
            tree = replay.tree_of(replay.Arm("", "core", "HEAD"), Path(folder))
            self.assertTrue((tree / "Objects/obmalloc/static.c").is_file())


class Building(InFolder):
    def test_a_changed_source_or_option_compiles_anew(self):
        (self.folder / "a.c").write_text("int a;", encoding="ascii")
        first = native.checksum(["-O2"], [self.folder])
        self.assertEqual(native.checksum(["-O2"], [self.folder]), first)
        self.assertNotEqual(native.checksum(["-O3"], [self.folder]), first)
        (self.folder / "a.c").write_text("int b;", encoding="ascii")
        self.assertNotEqual(native.checksum(["-O2"], [self.folder]), first)

    def test_a_compilation_that_fails_leaves_nothing(self):
        with self.assertRaisesRegex(BenchmarkError, "compiling broken ended with status"):
            native.build("broken", ["missing.c"], [], [], self.folder)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_command_that_takes_too_long(self):
        with self.assertRaisesRegex(BenchmarkError, "it was ended after 0.1 s"):
            processes.output_of(["sleep", "60"], "it", 0.1)


class Recording(InFolder):
    def setUp(self):
        super().setUp()
        self.traces = self.folder / "traces"
        self.program = self.folder / "program.py"

    def record(self, text: str, *words, python: str = PYTHON):
        """Record a script with this text as "own"."""
        self.program.write_text(text, encoding="ascii")
        return run("record", "--python", python, "--traces", self.traces, "--name", "own", *words,
                   "--", self.program, "argument")

    def test_from_a_script_to_a_report(self):
        status, output, errors = self.record(
            "import sys, os, threading\n"
            "held = []\n"
            "thread = threading.Thread(target=lambda: held.append(bytearray(20000)))\n"
            "thread.start()\n"
            "thread.join()\n"
            "kept = [(number, str(number)) for number in range(20000)]\n"
            "if os.fork() == 0:\n"
            "    more = [object() for number in range(1000)]\n"
            "    os._exit(0)\n"
            "os.wait()\n"
            "assert sys.argv[1] == 'argument' and 'LD_PRELOAD' not in os.environ\n")
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(output.rstrip().endswith("own.trace"))
        trace = self.traces / "own.trace"
        status, output, errors = run(
            "replay", "--traces", self.traces, "--trace", trace, "--report", self.report,
            "--runs", 1, "--samples", 20, "--arms", "core", "core,retain=none")
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output, r"own +core .*\n +core,retain=none ")
        result = document.read(self.report / "replay.json")
        self.assertEqual(result["traces"][0]["threads"], 2)
        # 20000 tuples, ints and strings, made and freed; the child's are not in it.
        self.assertGreater(result["traces"][0]["calls"], 100_000)
        self.assertGreater(max(asked for asked, *_ in result["traces"][0]["arms"][0]["samples"]),
                           20000 * (56 + 28 + 45))
        status, _, errors = run("check", self.report / "replay.json")
        self.assertEqual((status, errors.count("\n")), (2, 1))
        self.assertIn("has no bars", errors)

    def test_a_script_that_fails_leaves_nothing(self):
        for text, words in (("raise SystemExit('sorry')", "status 1: sorry"),
                            ("import os; os._exit(0)", "did not end by exit()")):
            status, _, errors = self.record(text)
            self.assertEqual((status, errors.count("\n")), (2, 1))
            self.assertIn(words, errors)
            self.assertEqual(list(self.traces.glob("own*")), [])

    def test_a_script_that_fails_leaves_the_trace_that_was_there(self):
        self.assertEqual(self.record("pass")[0], 0)
        before = (self.traces / "own.trace").read_bytes()
        self.assertEqual(self.record("raise SystemExit('sorry')")[0], 2)
        self.assertEqual([path.name for path in self.traces.glob("own*")], ["own.trace"])
        self.assertEqual((self.traces / "own.trace").read_bytes(), before)

    def test_a_script_of_ones_own_is_not_taken_for_the_program_of_that_name(self):
        facts = self.traces / "own.json"
        self.traces.mkdir()
        facts.write_text("{}", encoding="ascii")
        self.assertEqual(self.record("pass")[0], 0)
        self.assertFalse(facts.exists())

    def test_an_interpreter_that_cannot_be_recorded(self):
        wrapper = self.script("unset LD_PRELOAD", f'exec {PYTHON} "$@"')
        status, _, errors = self.record("pass", python=str(wrapper))
        self.assertEqual((status, errors.count("\n")), (2, 1))
        self.assertIn("exports no PyMem_SetAllocator()", errors)

    def test_a_name_without_a_script(self):
        for words in (("--name", "x"), ("--", self.program)):
            status, _, errors = run("record", "--python", PYTHON, "--traces", self.traces, *words)
            self.assertEqual((status, errors.count("\n")), (2, 1))

    def test_a_trace_is_recorded_again_when_its_script_changed(self):
        recorder = recording.find_recorder(self.folder)
        interpreter = machine.describe_interpreter(PYTHON)
        trace = self.folder / "p.trace"

        def recorded(text: str = "pass", again: bool = False) -> bool:
            self.program.write_text(text, encoding="ascii")
            return recording.record_program(recorder, interpreter, self.program, trace, 60, again)
        self.assertTrue(recorded())
        self.assertFalse(recorded())
        self.assertTrue(recorded(again=True))
        self.assertTrue(recorded("pass   # changed"))
        trace.with_suffix(".json").write_text("{}", encoding="ascii")
        self.assertTrue(recorded("pass   # changed"))
        trace.unlink()
        self.assertTrue(recorded("pass   # changed"))

    def test_replay_of_what_is_not_there(self):
        status, _, errors = run("replay", "--traces", self.traces, "--report", self.report)
        self.assertEqual((status, errors.count("\n")), (2, 1))
        self.assertIn("there is no trace", errors)
        self.assertFalse(self.report.exists())


def small_document() -> dict:
    """Return a document of one trace and two arms, a new one each time."""
    whole = sample.document()
    samples = [[2 * MEBIBYTE, 4 * MEBIBYTE, 5 * MEBIBYTE, 0, 0],
               [4 * MEBIBYTE, 4 * MEBIBYTE, 7 * MEBIBYTE, 0, 0]]
    arm = {"name": "core", "cpu_nanoseconds": [[900, 20, 10], [900, 30, 40]], "instructions": 25,
           "samples": samples, "purge_calls": 1, "purged_pages": 5, "refaults": 2,
           "arenas_peak": 1}
    other = {**copy.deepcopy(arm), "name": "malloc", "cpu_nanoseconds": [[1, 40, 30], [1, 60, 70]],
             "instructions": None}
    return {**{key: whole[key] for key in document.CIRCUMSTANCES if key != "interpreters"},
            "format": replay.FORMAT, "compiler": "cc", "valgrind": None,
            "parameters": {"rounds": 2, "samples": 2, "sizes": "both"},
            "arms": [{"name": name, "kind": name, "tree": "", "macros": [], "settings": "",
                      "library": ""}
                     for name in ("core", "malloc")],
            "traces": [{"name": "one", "calls": 10, "calls_of_program": 12, "slots": 3, "threads": 1,
                        "arms": [arm, other]}]}


class Report(unittest.TestCase):
    def test_sample_is_sound(self):
        self.assertEqual(problems(small_document(), document.REPLAY_FORM), [])

    def test_figures(self):
        trace = small_document()["traces"][0]
        core, other = (replay_report.figures_of(trace, arm, trace["arms"][0])
                       for arm in trace["arms"])
        self.assertEqual((core["best"], core["median"], core["ratio"]), (1.0, 2.5, 1.0))
        self.assertEqual((other["best"], other["median"], other["ratio"]), (3.0, 5.0, 2.5))
        self.assertEqual((core["instructions"], other["instructions"]), (2.5, None))
        self.assertEqual((core["asked"], core["floor"], core["held"], core["peak"]), (3, 4, 6, 7))
        self.assertEqual((core["held / floor"], core["held / asked"]), (1.5, 2.0))
        self.assertEqual(core["at peak"], 1.75)

    def test_means_of_several_traces(self):
        report = small_document()
        report["traces"].append({**copy.deepcopy(report["traces"][0]), "name": "two"})
        *_, core, other = replay_report.rows_of(report)
        self.assertEqual(core[:2], ("mean", "core"))
        self.assertAlmostEqual(other[2]["ratio"], 2.5)
        self.assertIsNone(other[2]["held"])

    def test_text(self):
        for width in (60, 200):
            text = replay_report.text(small_document(), width)
            self.assertLessEqual(max(map(len, text.splitlines())), width)
        self.assertTrue(re.search(r"one +core +1\.0 +2\.5 +1\.00 +2\.5", text), text)
        self.assertTrue(re.search(r"malloc +3\.0 +5\.0 +2\.50 +–", text), text)
