"""Cycles: the same memory is allocated and freed again and again; then little happens.

The cycles ask what giving back costs a program that wants its memory again, the light activity
whether what was kept for it goes back after all.

Runs alone on any CPython from 2.4 on; see measure.py for the line that it writes.
"""
import time

import measure
import triples

PAUSE_SECONDS = 0.01        # between two spells of light activity
SPELL_TRIPLES = 100         # made and freed in each


def be_lightly_active(seconds):
    """Allocate a little now and then, for so many seconds (number)."""
    places = triples.places_for(SPELL_TRIPLES)
    end = measure.clock() + seconds
    while measure.clock() < end:
        triples.fill(places)
        triples.empty(places)
        time.sleep(PAUSE_SECONDS)


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"mebibytes": 50, "cycles": 20, "light_seconds": 2, "idle": ""})
    places = triples.places_for(triples.count_of(parameters["mebibytes"]))
    recorder = measure.begin("cycles")
    for cycle in measure.integers(parameters["cycles"]):
        triples.fill(places)
        triples.empty(places)
    recorder.mark("cycled")
    be_lightly_active(parameters["light_seconds"])
    recorder.mark("quiet")
    recorder.end(parameters)


main()
