"""Medium requests that live long: sessions of blobs of 0.6 to 32 KB and of lists.

They are replaced at random, so that old and new lie side by side, and then all but three of a hundred go.
"""
import random

import phases

SEED = 2005
LEFT = 0.03


def new_session(chance: random.Random, number: int) -> dict:
    """Return what a server keeps of a visitor: an answer in its cache, and a history."""
    return {"number": number, "answer": chance.randbytes(int(2 ** chance.uniform(9.3, 15))),
            "page": "p" * int(2 ** chance.uniform(9.3, 15)),
            "seen": [number % 200] * chance.randrange(80, 2700)}


def work(sessions: int, _) -> list[dict]:
    """Open so many sessions, replace as many at random, drain them; return those that are left."""
    chance = random.Random(SEED)
    opened = [new_session(chance, number) for number in range(sessions)]
    for number in range(sessions):
        opened[chance.randrange(sessions)] = new_session(chance, sessions + number)
    chance.shuffle(opened)
    del opened[max(int(sessions * LEFT), 1):]
    assert all(session["seen"][-1] == session["number"] % 200 for session in opened)
    return opened


phases.run("blobs", work, {"sessions": 12_000})
