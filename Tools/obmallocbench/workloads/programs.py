"""Ten programs that do little but allocate, each one kind of object, and a mixture of four.

--program NAME says which, --size N how many objects. Half of them live to the end, the others
come in batches, each dropped as soon as the next is made. --size 0 does everything but that.

Runs alone on any CPython from 2.4 on; see measure.py for the line that it writes.
"""
import measure

BATCH = 1000                # objects that live shortly, together


class Slotted(object):
    """An instance without a dictionary."""

    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Plain(object):
    """An instance with a dictionary, or with inline values."""

    def __init__(self, x, y):
        self.x = x
        self.y = y


def closure_over(number):
    """Return a function that remembers number."""
    def remembering():
        return number
    return remembering


SOURCE = ("0123456789abcdef" * 8).encode("ascii")


def tuples(first, last):
    return [(number, number) for number in measure.integers(first, last)]


def slotted(first, last):
    return [Slotted(number, number) for number in measure.integers(first, last)]


def plain(first, last):
    return [Plain(number, number) for number in measure.integers(first, last)]


def strings(first, last):
    return [str(number) for number in measure.integers(first, last)]


def dicts(first, last):
    return [{"x": number, "y": number} for number in measure.integers(first, last)]


def ints(first, last):
    return [number + 1000 for number in measure.integers(first, last)]


def floats(first, last):
    return [number * 0.5 for number in measure.integers(first, last)]


def lists(first, last):
    return [[number, number] for number in measure.integers(first, last)]


def closures(first, last):
    return [closure_over(number) for number in measure.integers(first, last)]


def slices(first, last):
    return [SOURCE[number & 31:64] for number in measure.integers(first, last)]


def mixed(first, last):
    return [(str(number), number * 0.5, {"x": number})
            for number in measure.integers(first, last)]


PROGRAMS = {"tuples": tuples, "slotted": slotted, "plain": plain, "strings": strings,
            "dicts": dicts, "ints": ints, "floats": floats, "lists": lists,
            "closures": closures, "bytes": slices, "mixed": mixed}


def run(make, size):
    """Have make allocate size objects (int): half of them live to the end of this."""
    long_lived = make(0, size // 2)
    batch = None
    for first in measure.integers(size // 2, size, BATCH):
        batch = make(first, min(first + BATCH, size))
    del batch
    return len(long_lived)


measure.run_program("programs", PROGRAMS, "tuples", run)
