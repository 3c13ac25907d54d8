"""What PYTHONOBMALLOC=secure=1 costs, and other settings if they are named.

    python3 Tools/obmallocbench/secure.py PYTHON [SETTINGS ...]

runs workloads/programs.py, ten programs that do little but allocate, and their mixture, with each of
the settings ("secure=1") and with the default in turn, five times. Prints for each program the median
of the paired ratios of CPU time, their least and greatest, and that of peak RSS.

Linux only; Python 3.10 or newer.
"""
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))     # for shared and ourselves

from shared.command import Parser, run_guarded

from obmallocbench import experiment, figures, machine, running
from obmallocbench.scenarios import MIXED, PROGRAM_NAMES, PROGRAMS

ROUNDS = 5
SIZE = 600_000              # objects
LIMIT_SECONDS = 600.0


def compare(python: str, program: str, settings: str) -> list[tuple[float, ...]]:
    """Return the ratios of CPU time, and those of peak RSS, to the default, one of each a round."""
    arms = [running.Arm(name, "patched", python, {"PYTHONOBMALLOC": name}) for name in ("", settings)]
    default, changed = experiment.run_rounds(
        arms, PROGRAMS, {"program": program, "size": SIZE}, ROUNDS, 0, LIMIT_SECONDS, lambda line: None)
    return [figures.paired_ratios(*(list(map(value, arm["runs"])) for arm in (changed, default)))
            for value in (figures.cpu_seconds, lambda run: run["peak_rss_bytes"])]


def main(arguments: list[str]) -> int:
    """Print a table for each of the settings; return the exit status."""
    parser = Parser(prog="secure.py", description=__doc__.splitlines()[0])
    parser.add_argument("python", metavar="PYTHON", help="a patched one")
    parser.add_argument("settings", metavar="SETTINGS", nargs="*", default=["secure=1"])
    options = parser.parse_args(arguments)
    python = machine.describe_interpreter(options.python)["path"]
    for settings in options.settings:
        print(f"{settings}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"{'program':10} {'CPU':>6} {'least':>6} {'most':>6} {'peak RSS':>9}")
        medians = []
        for program in (*PROGRAM_NAMES, MIXED):
            cpu, peak = compare(python, program, settings)
            medians.append(statistics.median(cpu))
            print(f"{program:10} {medians[-1]:6.2f} {min(cpu):6.2f} {max(cpu):6.2f} "
                  f"{statistics.median(peak):9.3f}", flush=True)
        print(f"{'mean':10} {statistics.geometric_mean(medians):6.2f}    (geometric)")
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded("secure.py", lambda: main(sys.argv[1:])))
