"""JSON: one big document is loaded from a file, summed up, and dropped; little of it is kept.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import json
import os
import random
import tempfile

import measure

SEED = 2005
KEPT = 100                  # one of so many orders is remembered


def new_order(number, draw):
    """Return an order as a shop would send it; draw gives random numbers below 1."""
    items = [{"article": int(draw() * 100000), "quantity": 1 + int(draw() * 5),
              "price": round(draw() * 200, 2), "tags": ["tag-%d" % int(draw() * 500), "new"],
              "note": "n" * int(draw() * 60)} for item in measure.integers(1 + int(draw() * 9))]
    return {"order": 10000 + number, "customer": {"name": "customer %d" % (number % 4000),
            "mail": "c%d@example.org" % number}, "items": items}


def write_document(path, orders):
    """Write the document to a file, order by order, so that little memory is used."""
    draw = random.Random(SEED).random
    stream = open(path, "w")
    try:
        stream.write("[")
        for number in measure.integers(orders):
            stream.write(", " * (number > 0) + json.dumps(new_order(number, draw)))
        stream.write("]")
    finally:
        stream.close()


def load(path):
    """Return the document in a file."""
    stream = open(path)
    try:
        return json.load(stream)
    finally:
        stream.close()


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"orders": 40000, "idle": ""})
    descriptor, path = tempfile.mkstemp(".json")
    os.close(descriptor)
    try:
        write_document(path, parameters["orders"])
        recorder = measure.begin("json_document")
        document = load(path)
    finally:
        os.remove(path)
    recorder.mark("loaded")
    total = sum([item["price"] * item["quantity"] for order in document
                 for item in order["items"]])
    kept = [order["customer"]["mail"] for order in document[::KEPT]]
    del document
    recorder.mark("dropped")
    recorder.end(parameters, {"kept": len(kept), "total": total})


main()
