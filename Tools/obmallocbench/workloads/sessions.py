"""Sessions: dictionaries of small lists, dictionaries, strings and ints come and go.

Their number ramps up to a peak and drains to a twentieth of it, while new ones go on coming. One
that goes is chosen at random, so lifetimes are random too.

Runs alone on any CPython from 3.6 on (2.6, without the page floor); see measure.py for the line
that it writes.
"""
import random

import live
import measure

SEED = 2005
LEFT = 0.05                 # of the peak remains in the end
DRAIN_ARRIVALS = 1          # sessions that come while the peak drains, for each one of the peak
ENTRIES = 100               # in a session, on average


def new_entry(number, draw):
    """Return a small thing that a session remembers: a list, a dictionary, a string or an int."""
    kind = int(draw() * 4)
    if kind == 0:
        return [number + step for step in measure.integers(1 + int(draw() * 12))]
    if kind == 1:
        return {"article": number, "price": draw() * 100, "note": "n" * (2 + int(draw() * 90))}
    if kind == 2:
        return "/shop/%d/" % number + "p" * int(draw() * 200)
    return number


def new_session(number, draw):
    """Return a session: a dictionary of entries, some 15 KiB of small objects. draw gives the
    random sizes. Its own table is too large for the small allocator, so the system's malloc has it.
    """
    entries = int(ENTRIES * (0.5 + draw()))
    return dict([(KEYS[entry], new_entry(1000 + number * ENTRIES + entry, draw))
                 for entry in measure.integers(entries)])


KEYS = ["key-%d" % entry for entry in measure.integers(2 * ENTRIES)]


class Site:
    """The sessions that are open: the first count of the places, which never grow."""

    def __init__(self, peak):
        self.places = [None] * (peak + 1)
        self.count = 0
        self.number = 0
        self.draw = random.Random(SEED).random

    def arrive(self, most):
        """Let one session come, and random ones go until at most so many (int) are open."""
        self.places[self.count] = new_session(self.number, self.draw)
        self.count += 1
        self.number += 1
        while self.count > most:
            leaving = int(self.draw() * self.count)
            self.count -= 1
            self.places[leaving] = self.places[self.count]
            self.places[self.count] = None


def ramp_up(site, peak):
    """Let sessions come until peak are open; every second arrival is also a departure."""
    for arrival in measure.integers(2 * peak):
        site.arrive(1 + arrival // 2)


def drain(site, peak):
    """Let the number fall evenly to the part that is left, while sessions still come."""
    arrivals = DRAIN_ARRIVALS * peak
    for arrival in measure.integers(arrivals):
        site.arrive(int(peak - (1 - LEFT) * peak * (arrival + 1) / arrivals))


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"sessions": 1500, "idle": ""})
    peak = parameters["sessions"]
    site = Site(peak)
    recorder = measure.begin("sessions")
    ramp_up(site, peak)
    recorder.mark("peak")
    drain(site, peak)
    recorder.mark("drained")
    recorder.rest(parameters)
    recorder.end(parameters, live.figures_of(site.places))


main()
