"""The memory scenarios: figures and bars on a small document, and the command run tiny."""
import copy
import unittest

from shared import files
from shared.forms import problems
from obmallocbench import document, memory, memory_report
from obmallocbench.scenarios import MEMORY_SCENARIOS

from . import sample
from .sample import MEBIBYTE
from .test_run import PYTHON, InFolder, run


def phase(name: str, rss: int, cpu: float, malloc: int) -> dict:
    """Return a mark: rss and malloc's holdings in MiB, half of the latter free."""
    return {"phase": name, "wall_seconds": 1.0, "user_seconds": cpu, "system_seconds": 0.0,
            "rss_bytes": rss * MEBIBYTE,
            "mallinfo": {"uordblks": malloc * MEBIBYTE // 2, "hblkhd": 0,
                         "fordblks": malloc * MEBIBYTE // 2}}


def case(scenario: str, label: str, ends: dict[str, tuple[int, float]]) -> dict:
    """Return a case whose arms end with so many MiB, of a base of 10, after so many CPU seconds."""
    known = MEMORY_SCENARIOS[scenario]
    last = next(c for c in known.cases if c.label == label).demands[-1].phase
    names = dict.fromkeys([known.before, known.peak, last])
    result = {"scenario": scenario, "case": label, "parameters": {}, "arms": []}
    for name, (end, cpu) in ends.items():
        rss = dict(zip(names, (10, 90, 90)), **{last: end})
        marks = [phase(mark, rss[mark], cpu * (mark != known.before),
                       4 * (mark == last)) for mark in names if mark]
        result["arms"].append({
            "name": name, "interpreter": "stock" if name == "stock" else "patched",
            "environment": {}, "runs": [{
                **sample.run(0, cpu, end), "phases": marks,
                "figures": {"floor_bytes": 20 * MEBIBYTE, "live_bytes": MEBIBYTE}}]})
    return result


def small_document() -> dict:
    """Return a document of three cases, a new one each time."""
    whole = sample.document()
    return {
        **{key: whole[key] for key in document.CIRCUMSTANCES},
        "format": memory.FORMAT,
        "skipped": [],
        "cases": [
            case("survivors", "1 %", {"stock": (90, 1.0), "patched": (31, 1.0)}),
            case("sessions", "", {"stock": (90, 1.0), "patched": (44, 1.0)}),
            case("cycles", "", {"stock": (11, 3.0), "patched": (19, 1.0), "retain=all": (90, 1.0)}),
        ],
    }


class Figures(unittest.TestCase):
    def test_sample_is_sound(self):
        self.assertEqual(problems(small_document(), document.MEMORY_FORM), [])

    def test_bars(self):
        bars = memory_report.check(small_document())
        self.assertEqual([bar.measured for bar in bars], [1.05, 1.5, 1.0, 9.0])
        self.assertEqual([bar.cleared for bar in bars], [True, True, True, False])

    def test_the_greatest_of_several_runs_counts(self):
        report = small_document()
        runs = report["cases"][0]["arms"][1]["runs"]
        runs.append(copy.deepcopy(runs[0]))
        runs[1]["phases"][-1]["rss_bytes"] += 20 * MEBIBYTE
        self.assertEqual(memory_report.check(report)[0].measured, 2.05)

    def test_a_program_above_512_bytes(self):
        """Ratios are of runs of the same round, and their median counts."""
        report = small_document()
        report["cases"] = [case("blobs", "", {"stock": (90, 4.0), "patched": (30, 2.0),
                                              "medium=0": (90, 4.0)})]
        stock, ours, without = (arm["runs"] for arm in report["cases"][0]["arms"])
        for runs in (stock, ours, without):
            dropped = {**runs[0]["phases"][-1], "phase": "dropped"}
            runs[0]["phases"].insert(1, dropped)
            runs += [copy.deepcopy(runs[0]) for _ in range(2)]
        for runs, peaks in ((stock, (100, 100, 100)), (ours, (300, 90, 80))):
            for one, most in zip(runs, peaks):
                one["peak_rss_bytes"] = most * MEBIBYTE
        self.assertEqual([bar.measured for bar in memory_report.check(report)],
                         [0.9, 30.0, 30.0, 0.5])
        text = memory_report.text(report, 100)
        self.assertRegex(text, r"sessions of blobs +peak / stock +1.000 +0.900 +<= 1.05 +PASS")
        self.assertRegex(text, r"sessions of blobs, light +CPU / medium=0 +1.000 +0.500 ")
        self.assertRegex(text, r"patched +10.0 +300.0 +30.0")
        del report["cases"][0]["arms"][-1]
        report["skipped"] = [{"name": "medium=0", "reason": "unknown setting"}]
        self.assertIsNone(memory_report.check(report)[-1].measured)
        self.assertIn("left out: medium=0: unknown setting", memory_report.text(report, 100))

    def test_what_is_not_known_is_not_cleared(self):
        report = small_document()
        report["cases"][0]["arms"][1]["runs"][0]["figures"]["floor_bytes"] = None
        for mark in report["cases"][1]["arms"][1]["runs"][0]["phases"]:
            mark["mallinfo"] = None
        bars = memory_report.check(report)
        self.assertEqual([bar.measured for bar in bars[:2]], [None, None])
        self.assertFalse(bars[0].cleared)
        self.assertIn("–", memory_report.text(report, 100))

    def test_text(self):
        text = memory_report.text(small_document(), 100)
        self.assertRegex(text, r"survivors 1 %, freed +kept / floor +4.000 +1.050 +<= 1.08 +PASS")
        self.assertRegex(text, r"cycles, quiet +kept, MiB +1.0 +9.0 +<= 8 +FAIL")
        self.assertLessEqual(max(map(len, text.splitlines())), 100)


class Command(InFolder):
    TINY = {"survivors": ("--triples", 3000), "sessions": ("--sessions", 20),
            "burst": ("--mebibytes", 1), "cycles": ("--mebibytes", 1, "--light-seconds", 1),
            **{name: (*words, "--light", 1) for name, words in (
                ("buffers_in_threads", ("--buffers", 50)), ("blobs", ("--sessions", 40)),
                ("pickled_buffers", ("--parts", 60)), ("streams", ("--connections", 4)),
                ("archives", ("--files", 8)), ("growth", ("--megabytes", 1)))}}

    def test_each_runs_alone(self):
        self.assertEqual(set(self.TINY), set(MEMORY_SCENARIOS))
        for name, words in self.TINY.items():
            status, output, errors = run(name, "--stock", PYTHON, "--patched", PYTHON, "--report",
                                         self.report, "--runs", 1, *words)
            self.assertEqual((status, errors), (0, ""), name)
            result = document.read(self.report / f"{name}.json")
            scenario = MEMORY_SCENARIOS[name]
            self.assertEqual([part["case"] for part in result["cases"]],
                             [part.label for part in scenario.cases])
            marks = [mark["phase"] for mark in
                     result["cases"][0]["arms"][0]["runs"][0]["phases"]]
            self.assertEqual((marks[0], scenario.peak in ("", *marks)), (scenario.before, True))
            for part in scenario.cases:
                for demand in part.demands:
                    self.assertIn(demand.phase, ("", *marks))

    def test_an_allocator_that_does_not_know_the_settings(self):
        """The arm is left out, and its bar is not cleared."""
        deaf = self.script('[ -z "$PYTHONOBMALLOC" ] || echo "unknown setting" >&2',
                           f'exec {PYTHON} "$@"')
        status, output, errors = run("growth", "--stock", PYTHON, "--patched", deaf, "--report",
                                     self.report, "--runs", 1, "--megabytes", 1, "--check")
        self.assertEqual((status, errors), (1, ""))
        self.assertRegex(" ".join(output.split()), "left out: medium=0: .* unknown setting")
        result = document.read(self.report / "growth.json")
        self.assertEqual([arm["name"] for arm in result["cases"][0]["arms"]], ["stock", "patched"])

    def test_check_and_draw_of_a_written_report(self):
        path = self.folder / "memory.json"
        files.write_json(path, small_document())
        status, output, _ = run("check", path)
        self.assertEqual((status, output.count("PASS"), output.count("FAIL")), (1, 3, 1))
        status, _, errors = run("draw", path)
        self.assertEqual(status, 2)
        self.assertIn("only obj, service, field and all have one", errors)

    def test_a_scenario_that_is_not_ours(self):
        path = self.folder / "memory.json"
        report = small_document()
        report["cases"][1]["scenario"] = "nonsense"
        files.write_json(path, report)
        status, _, errors = run("check", path)
        self.assertEqual(status, 2)
        self.assertIn("no scenario 'nonsense'", errors)
