"""Burst: small objects are allocated once, all freed, and the program goes to sleep at once.

Runs alone on any CPython from 2.4 on; see measure.py for the line that it writes.
"""
import time

import measure
import triples

SLEEP_SECONDS = 0.05        # before the resident set is read


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"mebibytes": 200, "idle": ""})
    places = triples.places_for(triples.count_of(parameters["mebibytes"]))
    recorder = measure.begin("burst")
    triples.fill(places)
    recorder.mark("allocated")
    triples.empty(places)
    time.sleep(SLEEP_SECONDS)
    recorder.mark("asleep")
    recorder.end(parameters)


main()
