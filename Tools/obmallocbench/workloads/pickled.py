"""Pickles: a graph of objects that share parts is read from a pickle, changed, written again, and
dropped, a few times, as a worker does that takes its jobs from a queue; the results are kept.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import datetime
import pickle
import random

import measure

SEED = 2005
TOWNS = 50
JOBS = 3
PROTOCOL = 2


class Record(object):
    """A customer with a history; the town is shared by many."""

    def __init__(self, number, town, draw):
        self.number = number
        self.address = ("street %d" % (number % 97), number % 120, town)
        self.since = datetime.date(2005, 1, 23) + datetime.timedelta(days=number % 5000)
        self.orders = [(1000 + order, round(draw() * 100, 2), {"paid": draw() < 0.9})
                       for order in measure.integers(int(draw() * 10))]


def new_job(records):
    """Return the pickle (bytes) of so many (int) records."""
    draw = random.Random(SEED).random
    towns = ["town %d" % number for number in measure.integers(TOWNS)]
    return pickle.dumps([Record(number, towns[number % TOWNS], draw)
                         for number in measure.integers(records)], PROTOCOL)


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"records": 30000, "idle": ""})
    job = new_job(parameters["records"])
    recorder = measure.begin("pickled")
    results = []
    for number in measure.integers(JOBS):
        records = pickle.loads(job)
        for record in records[::10]:
            record.orders.append((number, 0.0, {"paid": True}))
        results += [(record.number, len(record.orders)) for record in records[number::1000]]
        if number == 0:
            recorder.mark("loaded")
        answer = pickle.dumps(records, PROTOCOL)
        del records, record
    recorder.mark("dropped")
    recorder.end(parameters, {"results": len(results), "answer_bytes": len(answer)})


main()
