"""Reports: what the services that are measured build and drop, and the little that they remember."""

import collections
import datetime
import json
import random

import remembering

ROWS = 20_000
FEW_ROWS = 100
REMEMBERED = 20_000

remembered = collections.OrderedDict()
start = datetime.datetime(2026, 1, 1)
numbers = random.Random(20050123)


def build_rows(count):
    return [{"id": i, "name": f"customer {i * 7919 % count}", "amount": i * 1.25,
             "when": start + datetime.timedelta(minutes=i), "tags": [f"tag{i % 13}", str(i)]}
            for i in range(count)]


def report(most=ROWS):
    """Return a table as JSON, as a program does that asks a database: dictionaries of numbers,
    strings and dates, filtered and grouped. Some rows stay in a cache, as memoized results do.

    most: rows; there are at least half as many.
    """
    rows = build_rows(numbers.randrange(most // 2, most))
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["tags"][0]].append(row["amount"])
    for row in numbers.sample(rows, 20):
        remembered[numbers.randrange(1 << 30)] = remembering.keep(row)
        if len(remembered) > REMEMBERED:
            remembered.popitem(last=False)
    return json.dumps({"rows": rows, "sums": {key: sum(group) for key, group in groups.items()}}, default=str)
