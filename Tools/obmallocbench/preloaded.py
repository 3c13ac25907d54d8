"""What the scripts share that run small programs under obmalloc's library: arenas.py, moving.py, pause.py.

They stand alone (`python3 Tools/obmallocbench/pause.py ...`), so each imports this as its neighbour.
"""
import argparse
import os
import statistics
import sys

sys.path.insert(1, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))     # for shared

from shared.command import Parser, number_from, run_guarded
from shared.processes import output_of

LIMIT_SECONDS = 900


def existing(made_by):
    """Return what reads a path that must be there, for argparse; "-" stands for none. made_by: the
    command that makes it."""
    def path(text):
        if text != "-" and not os.path.exists(text):
            raise argparse.ArgumentTypeError(f"{text} is not there; {made_by} makes it")
        return text if text == "-" else os.path.abspath(text)
    return path


def rounds(default):
    """Return the argument that says how often all is run."""
    return {"nargs": "?", "type": number_from(1), "default": default}


def run_script(script, description, arguments, main):
    """Call main with the words of the command line, and end the process. arguments: name to what
    add_argument() takes."""
    def work():
        parser = Parser(prog=script, description=description)
        for name, argument in arguments.items():
            parser.add_argument(name, metavar=name.upper(), **argument)
        main(**vars(parser.parse_args()))
        return 0
    sys.exit(run_guarded(script, work))


def run(what, python, library, code, *words, folders=(), **variables):
    """Return the words that a program prints; Failure if it fails or complains.

    library: of obmalloc, preloaded; "-": none. folders: more of them for PYTHONPATH. variables: of the
    environment, which has no others of Python's or of the C library's malloc.
    """
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PYTHON", "MALLOC_"))}
    if library != "-":
        package = os.path.dirname(os.path.dirname(library))
        environment.update(LD_PRELOAD=library, PYTHONPATH=os.pathsep.join([package, *folders]))
    return output_of([python, "-c", code, *words], what, LIMIT_SECONDS, {**environment, **variables},
                     quiet=True).split()


def load():
    """Return the load of the machine, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def with_ends(values):
    """Return the median of values, their least and their greatest, as text."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
