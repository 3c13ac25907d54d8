"""Survivors: many small objects are made, a few random ones survive, the rest is freed.

What remains resident is compared with the page floor of the survivors. --permille says how many
of a thousand triples survive.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import random

import live
import measure
import triples

SEED = 2005


def free_but_some(places, share):
    """Free the triples but for a random share (float, a part of one) of them."""
    draw = random.Random(SEED).random
    for number in measure.integers(triples.FIRST, len(places)):
        if draw() >= share:
            places[number] = None


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"triples": 2000000, "permille": 10, "idle": ""})
    places = triples.places_for(parameters["triples"])
    recorder = measure.begin("survivors", cgroup=True)
    triples.fill(places)
    recorder.mark("made")
    free_but_some(places, parameters["permille"] / 1000.0)
    recorder.mark("freed")
    recorder.rest(parameters)
    recorder.end(parameters, live.figures_of(places))


main()
