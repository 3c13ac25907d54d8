"""The web service that is measured: reports are built and dropped, a few are remembered.

/report  builds a table as a program does that asks a database: dictionaries of
         numbers, strings and dates, filtered, grouped and written as JSON.
         Some rows stay in a cache, as sessions and memoized results do.
/health  what a load balancer asks for.
"""

import collections
import datetime
import json
import random

from flask import Flask, Response

ROWS = 20_000
REMEMBERED = 20_000

application = Flask(__name__)
remembered = collections.OrderedDict()
start = datetime.datetime(2026, 1, 1)
numbers = random.Random(20050123)


def build_rows(count):
    return [{"id": i, "name": f"customer {i * 7919 % count}", "amount": i * 1.25,
             "when": start + datetime.timedelta(minutes=i), "tags": [f"tag{i % 13}", str(i)]}
            for i in range(count)]


@application.get("/report")
def report():
    rows = build_rows(numbers.randrange(ROWS // 2, ROWS))
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["tags"][0]].append(row["amount"])
    for row in numbers.sample(rows, 20):
        remembered[numbers.randrange(1 << 30)] = row
        if len(remembered) > REMEMBERED:
            remembered.popitem(last=False)
    text = json.dumps({"rows": rows, "sums": {key: sum(group) for key, group in groups.items()}}, default=str)
    return Response(text, mimetype="application/json")


@application.get("/health")
def health():
    return {"remembered": len(remembered)}
