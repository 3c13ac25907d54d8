"""The web service: what wrk says, table and picture of made-up figures, and ways to fail."""
import json
import os
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from shared import packages, processes
from shared.forms import problems
from obmallocbench import (allocators, document, machine, picture, running, service,
                           service_report)
from obmallocbench.errors import BenchmarkError

from . import sample
from .test_run import HAS_MATPLOTLIB, PYTHON, InFolder, run

MEBIBYTE = sample.MEBIBYTE
LIBRARY = Path(__file__).resolve().parents[3] / "build/preload/obmalloc/_obmalloc.so"
WRK = """Running 30s test @ http://127.0.0.1:5000/report
  Latency Distribution
     50%  300.00ms
     99%  {latency}
Requests/sec:      {rate}
Transfer/sec:     10.00MB
"""
LEVELS = {"stock": 80, "jemalloc": 90, "obmalloc": 60}      # MiB at the end


def kept_by(mebibytes: int, ours: bool) -> dict:
    """Return what the processes tell: so much is anonymous, half of it of small objects, a quarter
    remembered."""
    stats = {"resident_pages": mebibytes // 2, "floor_pages": 5, "page_size": MEBIBYTE,
             "metadata_bytes": 0}
    return {"anonymous_bytes": mebibytes * MEBIBYTE, "mallinfo": None,
            "allocator": stats if ours else None,
            "pymalloc_arena_bytes": 0 if ours else mebibytes // 2 * MEBIBYTE,
            "remembered_bytes": mebibytes * MEBIBYTE // 4}


def made_up() -> dict:
    """Return a document of one service, two runs an arm, 10 and 20 answers a second."""
    arms, parts = [], []
    for number, (name, level) in enumerate(LEVELS.items()):
        arms.append({"name": name, "meaning": name, "interpreter": "stock", "environment": {},
                     "library": "", "library_sha256": "", "version": "lib 1"})
        ours = name == "obmalloc"
        parts.append({"name": name, "runs": [
            {"base_bytes": 40 * MEBIBYTE, "base_seconds": 1.0, "peak_bytes": 100 * MEBIBYTE,
             "base_kept_by": kept_by(30, ours), "end_kept_by": kept_by(level - 10, ours),
             "requests_per_second": rate * (1 + number / 10), "p99_seconds": 0.5,
             "phases": [{"phase": phase, "seconds": 10.0 * at,
                         "bytes": (level + 30 - 10 * at) * MEBIBYTE}
                        for at, phase in enumerate(service.PHASES, 1)],
             "samples": [[0.5, 30 * MEBIBYTE], [40.0, level * MEBIBYTE]]}
            for rate in (10.0, 20.0)]})
    whole = sample.document()
    kept = {key: whole[key] for key in ("date", "machine", "repository", "load_average", "runner")}
    return {"format": document.SERVICE_FORMAT, **kept, "skipped": [{"name": "x", "reason": "none"}],
            "interpreters": {"stock": whole["interpreters"]["stock"]},
            "parameters": dict(service.OPTIONS), "arms": arms,
            "services": [{"key": "reports", "title": "reports", "arms": parts,
                          "packages": {"Flask": "3", "gunicorn": "23"}}]}


class Wrk(unittest.TestCase):
    def test_answers(self):
        for latency, expected in (("612.50us", 0.0006125), ("612.50ms", 0.6125), ("1.20s", 1.2),
                                  ("2.00m", 120.0)):
            said = service.answers_of_wrk(WRK.format(latency=latency, rate=8.97))
            self.assertEqual(said["requests_per_second"], 8.97)
            self.assertAlmostEqual(said["p99_seconds"], expected)

    def test_failed_requests_are_no_answers(self):
        said = WRK.format(latency="1s", rate=1)
        for line in ("  Socket errors: connect 0, read 1, write 0, timeout 0",
                     "  Non-2xx or 3xx responses: 7"):
            with self.assertRaisesRegex(BenchmarkError, line.strip()):
                service.answers_of_wrk(said + line)
        with self.assertRaisesRegex(BenchmarkError, "no figures"):
            service.answers_of_wrk("hello")

    def test_pss_of_a_process_that_is_gone(self):
        self.assertGreater(service.pss_bytes(os.getpid()), 1 << 20)
        self.assertGreater(service.pss_bytes(os.getpid()), service.pss_bytes(os.getpid(), "Pss_Anon"))
        self.assertEqual(service.pss_bytes(1 << 30), 0)
        self.assertEqual(service.pss_bytes(os.getpid(), "Nonsense"), 0)

    def test_processes_tell_as_if_they_were_one(self):
        ours = kept_by(20, True)
        whole = service.together([ours, ours], 7)
        self.assertEqual(whole["anonymous_bytes"], 7)
        self.assertEqual(whole["allocator"], {"resident_pages": 20, "floor_pages": 10,
                                              "page_size": MEBIBYTE, "metadata_bytes": 0})
        self.assertEqual(whole["pymalloc_arena_bytes"], 0)
        self.assertEqual(whole["remembered_bytes"], 10 * MEBIBYTE)
        self.assertIsNone(service.together([ours, kept_by(20, False)], 7)["allocator"])
        self.assertIsNone(service.together([ours], 0)["anonymous_bytes"])


class Small(service.Service):
    """A service of one process, as quick as can be, that listens as ours do."""

    title, packages = "a small service", ("nothing",)

    def command(self):
        return [PYTHON, "-c", "import time; import telling; import remembering; "
                "remembering.size = lambda values: sum(values) << 20; "
                "telling.begin({1: 1, 2: 2}, {1: 3}); time.sleep(600)"]

    def answers(self):
        return bool(self.tellers())

    def warm(self):
        self.asked = ["warm"]

    def load(self):
        self.asked.append("load")
        return {"requests_per_second": 1.0, "p99_seconds": 0.1}

    def health(self):
        self.asked.append("health")


class Remembering(unittest.TestCase):
    """What an arm's environment makes of what the services remember."""

    def run_web(self, script: str, **environment: str) -> None:
        """Run a script beside the services' modules; it must end well and silently."""
        child = subprocess.run([PYTHON, "-c", script], cwd=service.APPLICATION, timeout=600,
                               env=machine.clean_environment(environment), capture_output=True, text=True)
        self.assertEqual((child.returncode, child.stdout, child.stderr), (0, "", ""))

    def moving(self, script: str, arm: str) -> None:
        """Run a script in one of obmalloc's arms that move."""
        self.run_web(script, LD_PRELOAD=str(LIBRARY), **allocators.ALLOCATORS[arm].environment)

    def test_other_arms_move_nothing(self):
        self.run_web("import remembering, sys; row = [1]; remembering.begin({1: row}); "
                     "assert remembering.keep(row) is row and 'obmalloc' not in sys.modules; "
                     "assert remembering.threading.active_count() == 1")

    def test_size_has_each_object_once_and_no_class(self):
        self.run_web("import remembering; from sys import getsizeof as size; "
                     "text = 'x' * 1000; row = [text, text, {'key': text}, int]; "
                     "assert remembering.size([row, row]) == sum(map(size, (row, row[2], text, 'key')))")

    @unittest.skipUnless(LIBRARY.exists(), "needs `make preload`")
    def test_keep(self):
        self.moving("import remembering, reports; rows, build = [], reports.build_rows; "
                    "reports.build_rows = lambda count: rows.extend(build(count)) or rows; "
                    "reports.report(100); made = {row['id']: row for row in rows}; "
                    "kept = list(reports.remembered.values()); "
                    "assert len(kept) == 20 and all(made[row['id']] == row for row in kept); "
                    "assert all(made[row['id']] is not row for row in kept)", "obmalloc,keep")

    @unittest.skipUnless(LIBRARY.exists(), "needs `make preload`")
    def test_compact(self):
        self.moving("import remembering, threading, time; remembering.COMPACT_SECONDS = 0.01; "
                    "row, lock = [1000], threading.Lock(); cache = {1: row}; "
                    "lock.acquire(); remembering.begin(cache, lock); time.sleep(0.1); "
                    "assert cache[1] is row; lock.release(); "
                    "exec('while cache[1] is row: time.sleep(0.01)'); assert cache == {1: [1000]}",
                    "obmalloc,compact")


class Run(InFolder):
    ARM = running.Arm("it", "stock", PYTHON, {})

    def test_a_run(self):
        with mock.patch.object(service, "SETTLE_SECONDS", 0):
            run_ = service.run_arm(Small, self.ARM, self.folder, {**service.OPTIONS, "idle": 0})
        form = document.SERVICE_FORM["services"][0]["arms"][0]["runs"][0]
        self.assertEqual(problems({**run_, "samples": [[0]]}, form), [])
        self.assertGreater(run_["base_bytes"], MEBIBYTE)
        self.assertGreater(run_["end_kept_by"]["anonymous_bytes"], MEBIBYTE)
        self.assertIn("pymalloc_arena_bytes", run_["base_kept_by"])
        self.assertEqual(run_["base_kept_by"]["remembered_bytes"], 6 * MEBIBYTE)

    def test_arms_of_a_service(self):
        found = [mock.Mock(arm=running.Arm(name, "stock", PYTHON, allocators.ALLOCATORS[name].environment))
                 for name in ("stock", *allocators.MOVING)]
        self.assertEqual([one.arm.name for one in service.arms_of(service.Reports, found)],
                         ["stock", "obmalloc,keep", "obmalloc,compact"])
        self.assertEqual([one.arm.name for one in service.arms_of(service.Sessions, found)],
                         ["stock", "obmalloc,compact"])

    def test_one_that_does_not_start(self):
        class Broken(Small):
            def command(self):
                return [PYTHON, "-c", "raise SystemExit(3)"]
        with self.assertRaisesRegex(BenchmarkError, "a small service did not start.*nothing"):
            service.run_arm(Broken, self.ARM, self.folder, service.OPTIONS)

    def test_a_signal_that_is_not_answered_goes_again(self):
        script = ("import signal, time; from pathlib import Path; import telling; telling.begin(); "
                  "tell = signal.getsignal(signal.SIGRTMIN); "
                  "signal.signal(signal.SIGRTMIN, lambda *_: signal.signal(signal.SIGRTMIN, tell)); "
                  "Path('/proc/self/comm').write_text('deaf'); time.sleep(600)")

        class Deaf(Small):
            def command(self):
                return [PYTHON, "-c", script]

            def answers(self):
                name = Path(f"/proc/{self.process.pid}/comm").read_text(encoding="ascii")
                return name.strip() == "deaf"
        with mock.patch.object(service, "AGAIN_SECONDS", 0.2), \
                Deaf(self.ARM, self.folder, service.OPTIONS) as deaf:
            self.assertGreater(deaf.look()[0][1], MEBIBYTE)

    def test_one_that_does_not_tell(self):
        class Silent(Small):
            def answers(self):
                return True
        with Silent(self.ARM, self.folder, service.OPTIONS) as silent, \
                mock.patch.object(Silent, "tellers", return_value=[]), \
                self.assertRaisesRegex(BenchmarkError, "no process tells"):
            silent.look()

    def test_applications_whose_packages_are_here(self):
        """What a session keeps, and what a report is, needs no package."""
        script = ("import sys, time; import reports, sessions; "
                  "assert len(reports.report()) > 1_000_000 and len(reports.remembered) == 20; "
                  "sessions.EXPIRE_SECONDS, sessions.REAPER_SECONDS = 0.01, 0.01; "
                  "made = [sessions.visit() for _ in range(200)][-1]; "
                  "assert made > 3000, made; "
                  "stay = sum(one.stays for one in sessions.sessions.values()); "
                  "import threading; threading.Thread(target=sessions.reap, daemon=True).start(); "
                  "exec('while len(sessions.sessions) > stay: time.sleep(0.01)'); "
                  "print(len(sessions.sessions) == stay > 0)")
        child = subprocess.run([PYTHON, "-c", script], cwd=service.APPLICATION, timeout=600,
                               env=machine.clean_environment({}), capture_output=True, text=True)
        self.assertEqual((child.stdout, child.stderr), ("True\n", ""))


class Report(InFolder):
    def test_table(self):
        lines = service_report.text(made_up(), 200).splitlines()
        self.assertRegex(lines[4], r"^obmalloc +40.0 +100.0 +80.0 +70.0 +60.0 +18.00 +"
                                   r"1.20 \(1.20–1.20\) +500 +1.00 \(1.00–1.00\)$")
        self.assertTrue(all(len(line) <= 60
                            for line in service_report.text(made_up(), 60).splitlines()))
        parts = [line.split() for line in lines if line.startswith("obmalloc")][1]
        self.assertEqual(parts, ["obmalloc", "20.0", "0.0", "10.0", "–", "10.0", "0.0", "5.0",
                                 "2.0"])
        self.assertIn("Skipped: x: none.", lines)

    def test_small_objects_that_are_not_apart_have_no_ratio(self):
        made = made_up()
        for run_ in made["services"][0]["arms"][1]["runs"]:
            run_["end_kept_by"]["pymalloc_arena_bytes"] = run_["base_kept_by"]["pymalloc_arena_bytes"]
        lines = service_report.text(made, 200).splitlines()
        self.assertRegex([line for line in lines if line.startswith("jemalloc")][1], r" 12\.5 +–$")

    @unittest.skipUnless(HAS_MATPLOTLIB, "needs Matplotlib")
    def test_picture(self):
        path = self.folder / "service.json"
        path.write_text(json.dumps(made_up()), encoding="utf-8")
        self.assertEqual(run("draw", path)[0], 0)
        drawn = (self.folder / "service.svg").read_text(encoding="utf-8")
        self.assertEqual(drawn[:5], "<?xml")
        self.assertEqual(picture.paths(self.folder, "service"),
                         sorted(self.folder.glob("service.[sp][vn]g"), reverse=True))
        self.assertIn("above the warm base, stock → obmalloc: reports 40 → 20",
                      service_report.title_of(made_up()))

    def test_what_is_not_such_a_report(self):
        damaged = made_up()
        del damaged["services"][0]["arms"][0]["runs"][0]["samples"]
        path = self.folder / "service.json"
        path.write_text(json.dumps(damaged), encoding="utf-8")
        status, _, errors = run("draw", path)
        self.assertEqual(status, 2)
        self.assertRegex(errors, "samples is missing")


class Refusals(InFolder):
    def refused(self, pattern: str, python=PYTHON, library: str = "nothere.so") -> None:
        """Expect one line, and nothing written."""
        status, output, errors = run("service", "--python", python, "--library",
                                     self.folder / library, "--packages", self.folder / "packages",
                                     "--report", self.report)
        self.assertEqual((status, output), (2, ""))
        self.assertRegex(errors, pattern)
        self.assertEqual(errors.count("\n"), 1)
        self.assertFalse(self.report.exists() or (self.folder / "packages").exists())

    def test_without_wrk(self):
        with mock.patch.object(service.shutil, "which", lambda name: None):
            with self.assertRaisesRegex(BenchmarkError, "apt-get install wrk"):
                service.find_wrk()

    def test_without_library_or_interpreter(self):
        with mock.patch.object(service, "find_wrk", lambda: "/bin/true"):
            self.refused("no library .*nothere.so: make preload")
        self.refused("no interpreter", python="no-such-python")

    def test_without_a_network(self):
        (self.folder / "a.so").touch()

        def no_pip(command, name, limit, environment=None):
            if name == "pip":
                raise BenchmarkError("pip ended with status 1: No matching distribution")
        with mock.patch.object(service, "find_wrk", lambda: "/bin/true"), \
                mock.patch.object(processes, "output_of", no_pip), \
                mock.patch.object(packages, "venv", lambda folder: Path("/bin/true")):
            self.refused("flask, gunicorn could not be installed.*network", library="a.so")


if __name__ == "__main__":
    unittest.main()
