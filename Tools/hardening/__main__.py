"""The same mistakes, made with many allocators.

    python3 Tools/hardening --patched PYTHON [--stock PYTHON] [--runs N]

makes each mistake of planted.c under obmalloc (as it is, with check levels, and in secure mode), stock
pymalloc, glibc, and those of jemalloc, mimalloc and tcmalloc that the machine has, each in a process
of its own, and prints a table in Markdown:

    found      the allocator ended the process and said why
    stopped    it ended the process without a word, or the system did (SIGSEGV)
    harmless   nothing went wrong that could be seen
    twice      the same memory was handed out twice
    wild       an address that the mistake wrote into a block was handed out

Where runs differ, all outcomes stand there. Needs a C compiler; Linux.
"""
import ctypes
import ctypes.util
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent))        # for shared

from shared import processes
from shared.command import Failure, Parser, number_from, run_guarded

MISTAKES = {"overflow": "overflow into a freed neighbour",
            "double-free": "freed twice at once",
            "late-double-free": "freed twice, 100 frees between",
            "interior-free": "free of an address inside a block",
            "use-after-free": "written to after the free",
            "stale-arena": "freed twice, the arena released between"}
OUTCOMES = ("harmless", "twice", "wild")
PEERS = {"jemalloc": "jemalloc", "mimalloc": "mimalloc", "tcmalloc": "tcmalloc_minimal"}    # to -l
LIMIT = 120                 # seconds for one mistake


def plant(library, mistake, functions):
    """In a child: make the mistake, with the object domain ("python") or malloc; print the outcome."""
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if functions == "python":
        allocate, release = ctypes.pythonapi.PyObject_Malloc, ctypes.pythonapi.PyObject_Free
    else:
        process = ctypes.CDLL(None)
        allocate, release = process.malloc, process.free
    run = ctypes.PyDLL(library).planted
    run.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    outcome = run(mistake.encode(), ctypes.cast(allocate, ctypes.c_void_p),
                  ctypes.cast(release, ctypes.c_void_p))
    print(OUTCOMES[outcome], flush=True)
    os._exit(0)             # what was damaged must not be used again


def outcome_of(command, environment):
    """Return the outcome (str) of one run in a child process."""
    run = subprocess.run(command, env={**os.environ, **environment}, timeout=LIMIT,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if run.returncode < 0:
        died_speaking = run.returncode == -signal.SIGABRT and run.stderr.strip()
        return "found" if died_speaking else "stopped"
    if run.returncode:
        raise Failure(f"{shlex.join(command)} failed: {processes.last_line(run.stderr)}")
    return run.stdout.strip()


def arms_of(options):
    """Return the arms: name, interpreter, functions, and variables of each."""
    arms = [("obmalloc", options.patched, "python", {}),
            ("check=2", options.patched, "python", {"PYTHONOBMALLOC": "check=2"}),
            ("secure=1", options.patched, "python", {"PYTHONOBMALLOC": "secure=1"})]
    if options.stock is not None:
        arms.append(("pymalloc", options.stock, "python", {}))
    arms.append(("glibc", options.patched, "malloc", {}))
    for name, library in PEERS.items():
        file = ctypes.util.find_library(library)
        if file is None:
            print(f"hardening: lib{library} is not there: {name} is left out", file=sys.stderr)
        else:
            arms.append((name, options.patched, "malloc", {"LD_PRELOAD": file}))
    return arms


def compile_library(folder):
    """Compile planted.c; return the path of the library."""
    library = os.path.join(folder, "planted.so")
    # Without optimisation that knows malloc and free, and takes out what it need not do.
    processes.output_of([*processes.compiler(), "-O1", "-fno-builtin", "-fPIC", "-shared",
                         str(HERE / "planted.c"), "-o", library], "compiling planted.c", LIMIT)
    return library


def print_table(options, library):
    arms = arms_of(options)
    print("| mistake | " + " | ".join(name for name, *_ in arms) + " |")
    print("|---" * (len(arms) + 1) + "|")
    for mistake, meaning in MISTAKES.items():
        cells = []
        for _, python, functions, variables in arms:
            command = [python, "-S", str(HERE), "--plant", library, mistake, functions]
            cells.append(", ".join(sorted({outcome_of(command, variables)
                                           for _ in range(options.runs)})))
        print(f"| {meaning} | " + " | ".join(cells) + " |", flush=True)


def main():
    """Print the table; the exit status."""
    parser = Parser(prog="hardening", description=__doc__.splitlines()[0])
    parser.add_argument("--patched", required=True, metavar="PYTHON")
    parser.add_argument("--stock", metavar="PYTHON")
    parser.add_argument("--runs", type=number_from(1), default=5, metavar="N", help="of each mistake (5)")
    options = parser.parse_args()
    for python in filter(None, (options.patched, options.stock)):
        if not os.access(python, os.X_OK):
            raise Failure(f"{python} is not a program")
        if not processes.writes([python, "-S", "-c", "print('python')"], "python\n", LIMIT):
            raise Failure(f"{python} is not a Python interpreter that runs")
    with tempfile.TemporaryDirectory() as folder:
        print_table(options, compile_library(folder))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plant"] and len(sys.argv) == 5:
        plant(*sys.argv[2:])
    sys.exit(run_guarded("hardening", main))
