"""Large sessions: blobs of 0.6 to 32 KB and lists come and go at random, ramp up and drain.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import random

SEED = 2005
PEAK = 1500
REPLACED = 3000
LEFT = 45


def new_session(chance, number):
    """Return an answer in a cache, a page, and a history that grew."""
    seen = []
    for step in range(chance.randrange(80, 2000)):
        seen.append(step & 255)
    return {"number": number, "answer": chance.randbytes(int(2 ** chance.uniform(9.3, 15))),
            "page": "p" * int(2 ** chance.uniform(9.3, 15)), "seen": seen}


def main():
    """Open sessions, replace them, and close all but a few."""
    chance = random.Random(SEED)
    opened = [new_session(chance, number) for number in range(PEAK)]
    for number in range(REPLACED):
        opened[chance.randrange(PEAK)] = new_session(chance, PEAK + number)
    while len(opened) > LEFT:
        last = opened.pop()
        if chance.random() < 0.9:
            opened[chance.randrange(len(opened))] = last
    assert len(opened) == LEFT and all(session["seen"] for session in opened)


main()
