"""Arrays: threads compute with numpy arrays of many sizes and keep small results.

After reports that worker threads with numpy or scipy grow by some MiB each and stay there.
"""

import numpy

import phases

THREADS = 8
SIZES = (1_000, 8_000, 12_000, 60_000, 300_000)     # numbers of 8 bytes


def compute(numbers: range, results: list) -> None:
    """Hold some arrays, compute with them and remember a few figures of each round."""
    held = []
    for place, number in enumerate(numbers):
        values = numpy.random.default_rng(number).random(SIZES[place % len(SIZES)])
        scaled = (values - values.mean()) / values.std()
        held.append(numpy.sort(scaled))
        held.append(numpy.concatenate([scaled[:500], values[-500:]]))
        results.append(numpy.histogram(scaled, bins=8)[0])


def work(rounds: int, _) -> list:
    """Have all threads compute, wait for their end, and return what they remember."""
    results: list = []
    phases.in_threads(*((compute, range(first, rounds, THREADS), results) for first in range(THREADS)))
    return results[::10]


phases.run("arrays", work, {"rounds": 320})
