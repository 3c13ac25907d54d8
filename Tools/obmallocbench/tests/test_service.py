"""The web service: what wrk says, table and picture of made-up figures, and ways to fail."""
import json
import os
import unittest
from pathlib import Path
from unittest import mock

from shared import processes
from obmallocbench import document, packages, picture, service, service_report
from obmallocbench.errors import BenchmarkError

from . import sample
from .test_run import HAS_MATPLOTLIB, PYTHON, InFolder, run

MEBIBYTE = sample.MEBIBYTE
WRK = """Running 30s test @ http://127.0.0.1:5000/report
  Latency Distribution
     50%  300.00ms
     99%  {latency}
Requests/sec:      {rate}
Transfer/sec:     10.00MB
"""
LEVELS = {"stock": 80, "jemalloc": 90, "obmalloc": 60}      # MiB at the end


def made_up() -> dict:
    """Return a document of two runs an arm, 10 and 20 answers a second."""
    arms = []
    for number, (name, level) in enumerate(LEVELS.items()):
        arms.append({"name": name, "meaning": name, "interpreter": "stock", "environment": {},
                     "library": "", "library_sha256": "", "version": name and "lib 1",
                     "runs": [{"base_bytes": 40 * MEBIBYTE, "base_seconds": 1.0,
                               "peak_bytes": 100 * MEBIBYTE,
                               "requests_per_second": rate * (1 + number / 10),
                               "p99_seconds": 0.5,
                               "phases": [{"phase": phase, "seconds": 10.0 * at,
                                           "bytes": (level + 30 - 10 * at) * MEBIBYTE}
                                          for at, phase in enumerate(service.PHASES, 1)],
                               "samples": [[0.5, 30 * MEBIBYTE], [40.0, level * MEBIBYTE]]}
                              for rate in (10.0, 20.0)]})
    whole = sample.document()
    kept = {key: whole[key] for key in ("date", "machine", "repository", "load_average", "runner")}
    return {"format": document.SERVICE_FORMAT, **kept, "packages": {"Flask": "3", "gunicorn": "23"},
            "interpreters": {"stock": whole["interpreters"]["stock"]},
            "parameters": dict(service.OPTIONS), "arms": arms}


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
        self.assertEqual(service.pss_bytes(1 << 30), 0)


class Report(InFolder):
    def test_table(self):
        lines = service_report.text(made_up(), 200).splitlines()
        self.assertRegex(lines[3], r"^obmalloc +40.0 +100.0 +80.0 +70.0 +60.0 +18.00 +"
                                   r"1.20 \(1.20–1.20\) +500 +1.00 \(1.00–1.00\)$")
        self.assertTrue(all(len(line) <= 60
                            for line in service_report.text(made_up(), 60).splitlines()))

    @unittest.skipUnless(HAS_MATPLOTLIB, "needs Matplotlib")
    def test_picture(self):
        path = self.folder / "service.json"
        path.write_text(json.dumps(made_up()), encoding="utf-8")
        self.assertEqual(run("draw", path)[0], 0)
        drawn = (self.folder / "service.svg").read_text(encoding="utf-8")
        self.assertEqual(drawn[:5], "<?xml")
        self.assertEqual(picture.paths(self.folder, "service"),
                         sorted(self.folder.glob("service.[sp][vn]g"), reverse=True))
        self.assertIn("60 MiB with obmalloc", service_report.title_of(made_up()))

    def test_what_is_not_such_a_report(self):
        damaged = made_up()
        del damaged["arms"][0]["runs"][0]["samples"]
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
