"""What the scripts share that run small programs under obmalloc's library: arenas.py, moving.py, pause.py.

They stand alone (`python3 Tools/obmallocbench/pause.py ...`), so each imports this as its neighbour.
"""
import os
import subprocess
import sys

LIMIT_SECONDS = 900


def check_paths(script, paths, made_by):
    """End with one line if a path is not there. made_by: the command that makes it."""
    for path in paths:
        if not os.path.exists(path):
            sys.exit(f"{script}: {path} is not there; {made_by} makes it")


def rounds_of(script, words, default):
    """Return the number of rounds that the words behind the paths ask for."""
    try:
        return max(int(words[0]), 1) if words else default
    except ValueError:
        sys.exit(f"{script}: {words[0]} is not a number of rounds")


def run(script, what, python, library, code, *words, folders=(), **variables):
    """Return the words that a program prints; end with one line if it fails.

    library: of obmalloc, preloaded; "-": none. folders: more of them for PYTHONPATH. variables: of the
    environment, which has no others of Python's or of the C library's malloc.
    """
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PYTHON", "MALLOC_"))}
    if library != "-":
        package = os.path.dirname(os.path.dirname(library))
        environment.update(LD_PRELOAD=library, PYTHONPATH=os.pathsep.join([package, *folders]))
    done = subprocess.run([python, "-c", code, *words], env={**environment, **variables},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=LIMIT_SECONDS, check=False)
    if done.returncode != 0 or done.stderr:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        sys.exit(f"{script}: {what} ended with status {done.returncode}: {last}")
    return done.stdout.split()
