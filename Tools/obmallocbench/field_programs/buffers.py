"""Buffers: a thread pool builds answers of many sizes out of pieces, and all are dropped.

After reports on thread pools and asyncio services that receive, join and compress bodies: each
thread has an arena of the system's malloc, and what is free at its end stays.
"""
import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import phases

THREADS = 8
SEED = 2005


def answer(number: int) -> bytes:
    """Return a body of some KiB to a MiB, put together from pieces and compressed."""
    chance = random.Random(SEED + number)
    body = bytearray()
    for _ in range(chance.randrange(2, 24)):
        body += chance.randbytes(chance.randrange(1 << 10, 1 << 16))
    return bytes(body) + zlib.compress(body, 1)


def work(answers: int, _) -> list[int]:
    """Hold all answers at once, then drop them; return some sizes."""
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(answer, range(answers)))
    return [len(body) for body in made[::20]]


phases.run("buffers", work, {"answers": 160})
