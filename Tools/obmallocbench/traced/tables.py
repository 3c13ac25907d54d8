"""Tables: rows are sorted, grouped, joined and counted in lists, sets and dictionaries that grow.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import collections
import random

SEED = 2005
BATCHES = 700
ROWS = 900
KEPT = 300                  # summaries; the oldest goes first


def main():
    """Work through the batches, and keep the newest summaries."""
    chance = random.Random(SEED)
    kept = collections.deque(maxlen=KEPT)
    for _ in range(BATCHES):
        rows = [(int(chance.random() * 400), chance.random()) for _ in range(ROWS)]
        groups = {}
        for key, value in rows:
            groups.setdefault(key, []).append(value)
        ordered = sorted(groups, key=lambda key: -sum(groups[key]))
        seen = set(ordered[:200]) & set(key for key, value in rows if value > 0.5)
        queue = collections.deque(rows)
        while len(queue) > ROWS // 2:
            queue.append(queue.popleft())
            queue.pop()
        kept.append((ordered, dict.fromkeys(seen, 0), list(queue)))
    assert all(len(ordered) > 300 for ordered, _, _ in kept)


main()
