"""What PYTHONOBMALLOC=secure=1 costs, and other settings if they are named.

    python3 Tools/obmallocbench/secure.py PYTHON [SETTINGS ...]

runs workloads/programs.py, ten programs that do little but allocate, and their mixture, with each of
the settings ("secure=1") and with the default in turn, five times. Prints for each program the median
of the paired ratios of CPU time, their least and greatest, and that of peak RSS.

Unix only; Python 3.8 or newer.
"""
import os
import statistics
import sys

PROGRAMS = ("tuples slotted plain strings dicts ints floats lists closures bytes mixed").split()
WORKLOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workloads", "programs.py")
ROUNDS = 5
SIZE = "600000"             # objects


def run(python, program, settings):
    """Return CPU seconds and peak RSS (KiB) of one run; end with one line if it fails."""
    command = [python, WORKLOAD, "--program", program, "--size", SIZE]
    environment = {**os.environ, "PYTHONOBMALLOC": settings}
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    try:
        child = os.posix_spawn(python, command, environment, file_actions=silent)
    except OSError as error:
        sys.exit(f"secure.py: {python} cannot be run: {error.strerror}")
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"secure.py: {program} with {settings or 'the default'} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def compare(python, program, settings):
    """Return the ratios of CPU time and of peak RSS to the default, one of each a round."""
    cpu, peak = [], []
    for number in range(ROUNDS):
        default = run(python, program, "")
        changed = run(python, program, settings)
        cpu.append(changed[0] / default[0])
        peak.append(changed[1] / default[1])
    return cpu, peak


def main(arguments):
    if not arguments:
        sys.exit("usage: secure.py PYTHON [SETTINGS ...], where PYTHON is a patched one")
    python, *all_settings = arguments
    for settings in all_settings or ["secure=1"]:
        print(f"{settings}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"{'program':10} {'CPU':>6} {'least':>6} {'most':>6} {'peak RSS':>9}")
        medians = []
        for program in PROGRAMS:
            cpu, peak = compare(python, program, settings)
            medians.append(statistics.median(cpu))
            print(f"{program:10} {medians[-1]:6.2f} {min(cpu):6.2f} {max(cpu):6.2f} "
                  f"{statistics.median(peak):9.3f}", flush=True)
        print(f"{'mean':10} {statistics.geometric_mean(medians):6.2f}    (geometric)")


if __name__ == "__main__":
    main(sys.argv[1:])
