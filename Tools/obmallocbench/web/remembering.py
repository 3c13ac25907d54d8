"""What a service that is measured remembers, and how obmalloc moves it.

OBMALLOCBENCH_MOVE in the environment, which two arms have, is keep: a service remembers copies that
obmalloc.keep() makes; or compact: a thread calls obmalloc.compact(), as docs/compacting.md advises.
Any other service remembers what it made, where it lies.
"""

import contextlib
import gc
import os
import sys
import threading
import time

COMPACT_SECONDS = 2
BUDGET_SECONDS = 0.002

MOVE = os.environ.get("OBMALLOCBENCH_MOVE")
if MOVE:
    library = os.environ["LD_PRELOAD"].split(":")[0]
    sys.path.append(os.path.dirname(os.path.dirname(library)))
    import obmalloc


def keep(value):
    """Return what the service remembers of a value that it made."""
    return obmalloc.keep(value) if MOVE == "keep" else value


def compact(container, lock):
    """Compact a container bit by bit, for ever. lock: guards its values."""
    moved = None
    while True:
        with lock:
            moved = obmalloc.compact(container, budget=BUDGET_SECONDS, after=moved)
        time.sleep(COMPACT_SECONDS)


def begin(container, lock=None):
    """Start what the arm asks for. container: the values are what is remembered. lock: guards them,
    None if only one thread changes them, or none does once they are stored."""
    keep(None)      # what the first call imports is part of the base
    if MOVE == "compact":
        threading.Thread(target=compact, args=(container, lock or contextlib.nullcontext()),
                         daemon=True).start()


def size(values):
    """Return the bytes of objects and of all that they refer to, each once, classes aside."""
    waiting, seen, total = list(values), set(), 0
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, type):
            seen.add(id(one))
            total += sys.getsizeof(one)
            waiting += gc.get_referents(one)
            if isinstance(one, dict):
                waiting += one          # the collector passes over keys that are strings
    return total
