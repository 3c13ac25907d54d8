"""Medium requests in threads: sixteen build and drop bytes, bytearrays and lists.

Most are of 1 to 32 KB, a few of up to 4 MB. One of a hundred stays longer, and those that stay last survive.
Each thread has an arena of the system's malloc, and survivors keep what is free between them.
"""
import random
import threading

import phases

THREADS = 16
SEED = 2005
HELD = 80                   # buffers that a thread has at a time, each replaced at random
LARGE = 0.004              # of them are of up to 4 MB, and dropped at once
LONG_SHARE = 0.01
ITEMS = range(100)          # small numbers, which are no objects of their own
LONG_PLACES = 8             # of a thread, for those that stay longer


def new_buffer(chance: random.Random):
    """Return bytes, a bytearray or a list that takes 1 to 32 KB, small ones more often."""
    size = int(2 ** chance.uniform(10, 15))
    kind = chance.randrange(3)
    if kind == 0:
        return b"%d " % size * (size // 6)
    if kind == 1:
        grown = bytearray()
        while len(grown) < size:
            grown += b"a piece of some text that a peer sent" * 8
        return grown
    items: list[int] = []
    while len(items) < size // 8:
        items += ITEMS
    return items


def build(number: int, buffers: int, ready: threading.Barrier, kept: list, lengths: list) -> None:
    """Build so many buffers once all threads are ready; note those that survive, and the length
    of all together."""
    ready.wait()
    chance = random.Random(SEED + number)
    held: list = [b""] * HELD
    stay: list = [b""] * LONG_PLACES
    length = 0
    for _ in range(buffers):
        if chance.random() < LARGE:
            length += len(bytearray(int(2 ** chance.uniform(16, 22))))
        buffer = new_buffer(chance)
        length += len(buffer)
        held[chance.randrange(HELD)] = buffer
        if chance.random() < LONG_SHARE:
            stay[chance.randrange(LONG_PLACES)] = buffer
    kept += stay
    lengths.append(length)


def work(buffers: int, _) -> list:
    """Have all threads build; return what survives."""
    kept: list = []
    lengths: list[int] = []
    ready = threading.Barrier(THREADS)
    phases.in_threads(*((build, number, buffers, ready, kept, lengths) for number in range(THREADS)))
    assert len(lengths) == THREADS and sum(lengths) > THREADS * buffers * 128
    return kept


phases.run("buffers_in_threads", work, {"buffers": 12_000})
