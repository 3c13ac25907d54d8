"""Churn: objects of many sizes come in waves and go at different ages, some of them very late.

Each wave makes items of its own mixture of sorts. An item goes to a random place among those for
short, medium or long lives, and what was there goes: lives are random, and nothing is remembered
beside the items. So pages fill up with neighbours of unequal lives, and what is free again lies
scattered: which page is used next decides how much memory the program needs. In the end the items
with short and medium lives go, too.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import gc
import random

import live
import measure

SEED = 2005
# Share of the items, and places: a life lasts places / (share * items) of the whole run.
SHORT, MEDIUM, LONG = (0.80, 10000), (0.15, 60000), (0.05, 60000)
WAVES = 24
SORTS = 24                  # that there are
SORTS_OF_WAVE = 6
STRIDE = 7919               # a prime: the places are emptied in an order unlike that of filling


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


def make_wave(groups, sorts, first, last, draw):
    """Make the items with numbers from first to before last. groups: the lists of places for
    short, medium and long lives. draw gives random numbers in [0, 1)."""
    for number in measure.integers(first, last):
        chance = draw()
        if chance < LONG[0]:
            places = groups[2]
        elif chance < LONG[0] + MEDIUM[0]:
            places = groups[1]
        else:
            places = groups[0]
        places[int(draw() * len(places))] = new_item(sorts[int(draw() * len(sorts))], number)


def empty(places):
    """Let all items of a group go."""
    for number in measure.integers(len(places)):
        places[number * STRIDE % len(places)] = None


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"items": 500000})
    groups = [[None] * count for share, count in (SHORT, MEDIUM, LONG)]
    chance = random.Random(SEED)
    recorder = measure.Recorder("churn", malloc=True)
    gc.collect()
    recorder.mark("base")
    size = parameters["items"] // WAVES
    for wave in measure.integers(WAVES):
        sorts = chance.sample(list(measure.integers(SORTS)), SORTS_OF_WAVE)
        make_wave(groups, sorts, 1000 + wave * size, 1000 + (wave + 1) * size, chance.random)
    recorder.mark("churned")
    empty(groups[0])
    empty(groups[1])
    recorder.mark("drained")
    recorder.finish(parameters, live.figures_of(groups[2]))


main()
