"""Churn: objects of many sizes come and go all the time, their number in waves.

As the load of a service rises and falls, the number of open items climbs to a peak and sinks to a
tenth of it, again and again, while new ones go on coming at the same pace. The one that goes is
chosen at random. A few items stay much longer than a wave. Each wave has its own mixture of sizes.
So there is most of the time more room in partly used pages than is needed, and which of them is
used next decides which others become empty.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import random

import live
import measure

SEED = 2005
PEAK = 60000                # open items at the top of a wave, those that stay long apart
TROUGH = 0.1                # of the peak at the bottom
WAVES = 4
LONG_PLACES = 6000          # for items that stay: each goes when its place is wanted again
LONG_SHARE = 0.03           # of the items that come
SORTS = 24                  # that there are
SORTS_OF_WAVE = 12


def new_item(sort, number):
    """Return an item of a sort (int below SORTS): strings of many lengths, tuples, lists,
    dictionaries, floats."""
    kind = sort % 6
    if kind < 2:
        return "s" * (8 * sort + number % 8) + str(number)
    if kind == 2:
        return (number, "t" * sort) + (None,) * (sort // 2)
    if kind == 3:
        return [number + step for step in measure.integers(2 + sort // 2)]
    if kind == 4:
        return {"number": number, "half": number * 0.5}
    return float(number)


class Items:
    """The open items: the first count of the places, and those that stay long. Neither list ever
    grows, and nothing is remembered beside the items."""

    def __init__(self):
        self.places = [None] * (PEAK + 1)
        self.long_places = [None] * LONG_PLACES
        self.count = 0
        self.draw = random.Random(SEED).random

    def arrive(self, item, most):
        """Let an item come, and random ones go until at most so many (int) are open."""
        if self.draw() < LONG_SHARE:
            self.long_places[int(self.draw() * LONG_PLACES)] = item
        else:
            self.places[self.count] = item
            self.count += 1
        while self.count > most:
            leaving = int(self.draw() * self.count)
            self.count -= 1
            self.places[leaving] = self.places[self.count]
            self.places[self.count] = None


def make_wave(items, sorts, first, last):
    """Let the items numbered from first to before last come: up to the peak, and down again."""
    half = (last - first) / 2.0
    for number in measure.integers(first, last):
        height = 1 - abs((number - first) / half - 1)
        most = int(PEAK * (TROUGH + (1 - TROUGH) * height))
        items.arrive(new_item(sorts[int(items.draw() * len(sorts))], number), most)


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"items": 600000, "idle": ""})
    items = Items()
    chance = random.Random(SEED)
    recorder = measure.begin("churn")
    size = parameters["items"] // WAVES
    for wave in measure.integers(WAVES):
        sorts = chance.sample(list(measure.integers(SORTS)), SORTS_OF_WAVE)
        make_wave(items, sorts, 1000 + wave * size, 1000 + (wave + 1) * size)
    recorder.mark("ebbed")
    recorder.rest(parameters)
    recorder.end(parameters, live.figures_of(items.places + items.long_places))


main()
