"""Pickles: a graph of objects that share parts is written and read with several protocols.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import collections
import datetime
import pickle
import random

SEED = 2005
RECORDS = 4000
DISTRICTS = 50
PROTOCOLS = (2, 4, 5)

Address = collections.namedtuple("Address", "street number town")


class Record:
    """A customer with a history; town is shared by many."""

    def __init__(self, number, town, draw):
        self.number = number
        self.address = Address("street %d" % (number % 97), number % 120, town)
        self.since = datetime.date(2005, 1, 23) + datetime.timedelta(days=number % 5000)
        self.orders = [(order, round(draw() * 100, 2), {"paid": draw() < 0.9})
                       for order in range(int(draw() * 10))]


def main():
    """Write and read all records; the copy read last lives beside the next."""
    draw = random.Random(SEED).random
    towns = ["town %d" % district for district in range(DISTRICTS)]
    records = [Record(number, towns[number % DISTRICTS], draw) for number in range(RECORDS)]
    for protocol in PROTOCOLS:
        copy = pickle.loads(pickle.dumps(records, protocol))
        assert len(copy) == RECORDS and copy[-1].address == records[-1].address


main()
