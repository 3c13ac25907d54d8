"""What several scenarios are made of: triples, each a tuple that holds an int and a str.

They are kept in a list that is made beforehand and never grows, so that its memory belongs to
what was there before, and the system's malloc has no part in what follows.
"""
import measure

FIRST = 1000                # the least number; CPython keeps the smallest ones for ever
TRIPLE_BYTES = 144          # what the three take on 64-bit CPython 3.13, rounded up to blocks
MEBIBYTE = 1 << 20


def count_of(mebibytes):
    """Return how many triples (int) take so many MiB."""
    return mebibytes * MEBIBYTE // TRIPLE_BYTES


def places_for(count):
    """Return the list that count triples fill; all its memory is touched."""
    return [None] * (FIRST + count)


def fill(places):
    """Put a triple into each place from FIRST on."""
    for number in measure.integers(FIRST, len(places)):
        places[number] = (number, str(number))


def empty(places):
    """Free all triples, the first made first."""
    for number in measure.integers(FIRST, len(places)):
        places[number] = None
