"""Threads of buffers: each builds bytes, bytearrays and lists of 1 to 32 KB, and keeps some.

Recorded as a trace by `obmallocbench record`. Standard library only; each thread does the same each time, and
the order among the threads is the interpreter's.
"""
import random
import threading

SEED = 2005
THREADS = 8
BUFFERS = 800               # that each thread builds
HELD = 120
LONG_SHARE = 0.01
LONG_PLACES = 20            # of a thread, for those that stay longer


def new_buffer(chance):
    """Return bytes, a bytearray that grew, or a list that grew."""
    size = int(2 ** chance.uniform(10, 15))
    kind = chance.randrange(3)
    if kind == 0:
        return b"x" * size
    if kind == 1:
        grown = bytearray()
        while len(grown) < size:
            grown += b"a piece of some text that a peer sent" * 8
        return grown
    grown = []
    while len(grown) < size // 8:
        grown.append(kind)
    return grown


def build(number, ready, survivors):
    """Build buffers when all threads are there; the last that stayed longer survive."""
    ready.wait()
    chance = random.Random(SEED + number)
    held = [b""] * HELD
    stay = [b""] * LONG_PLACES
    for _ in range(BUFFERS):
        buffer = new_buffer(chance)
        held[chance.randrange(HELD)] = buffer
        if chance.random() < LONG_SHARE:
            stay[chance.randrange(LONG_PLACES)] = buffer
    survivors += stay


def main():
    """Run the threads, and some small work among what survives."""
    survivors = []
    ready = threading.Barrier(THREADS)
    threads = [threading.Thread(target=build, args=(number, ready, survivors))
               for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(survivors) == THREADS * LONG_PLACES
    chance = random.Random(SEED)
    for _ in range(BUFFERS):
        assert new_buffer(chance)


main()
