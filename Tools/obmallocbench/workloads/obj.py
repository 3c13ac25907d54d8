"""Obj: the benchmark of Evan Jones's message to python-dev of 23 January 2005.

Objects of one class with one attribute are allocated and kept in a list, freed, allocated again,
and freed. How much memory remains after the free is the message's first question, what giving it
back costs when it is wanted again its second. What an allocator kept because it was wanted twice
should go back after all: with --quiet-milliseconds the program then does little for a while, and
with --asleep-milliseconds nothing at all.

Runs alone on any CPython from 2.4 on; see measure.py for the line that it writes.
"""
import time

import measure

PAUSE_SECONDS = 0.02        # between two objects while the program is quiet


class Obj:
    """An instance and its dictionary (or inline values): what one such object costs."""

    def __init__(self):
        self.dumb = "hello"


def allocate(objects):
    """Return a list of that many (int) new instances."""
    return [Obj() for number in measure.integers(objects)]


def be_quiet(seconds):
    """Allocate an object now and then, for so many seconds (number)."""
    end = measure.clock() + seconds
    while measure.clock() < end:
        allocate(1)
        time.sleep(PAUSE_SECONDS)


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"objects": 1000000, "quiet_milliseconds": 0,
                                  "asleep_milliseconds": 0, "idle": ""})
    recorder = measure.Recorder("obj")
    recorder.mark("start")
    kept = allocate(parameters["objects"])
    recorder.mark("allocated")
    del kept
    recorder.mark("freed")
    kept = allocate(parameters["objects"])
    recorder.mark("allocated again")
    del kept
    recorder.mark("freed again")
    be_quiet(parameters["quiet_milliseconds"] / 1000.0)
    recorder.sleep(parameters["asleep_milliseconds"] / 1000.0, "idle")
    recorder.rest(parameters)
    recorder.finish(parameters)


main()
