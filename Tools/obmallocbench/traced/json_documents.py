"""JSON: documents of nested objects are written as text and read again; some are kept.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import json
import random

SEED = 2005
DOCUMENTS = 1500
KEPT = 200                  # of the documents read last


def new_document(number, draw):
    """Return an order as a web shop would send it; draw gives random numbers in [0, 1)."""
    return {
        "order": number,
        "customer": {"name": "customer %d" % (number % 400), "mail": "c%d@example.org" % number,
                     "vip": draw() < 0.1},
        "items": [{"article": int(draw() * 100000), "quantity": 1 + int(draw() * 5),
                   "price": round(draw() * 200, 2), "tags": ["tag-%d" % int(draw() * 50)] * 3,
                   "note": None if draw() < 0.7 else "x" * int(draw() * 80)}
                  for item in range(1 + int(draw() * 20))],
    }


def main():
    """Write and read the documents, and look something up in those that are kept."""
    draw = random.Random(SEED).random
    kept = []
    total = 0.0
    for number in range(DOCUMENTS):
        text = json.dumps(new_document(number, draw), indent=None if number % 3 else 2)
        document = json.loads(text)
        total += sum(item["price"] * item["quantity"] for item in document["items"])
        kept.append(document)
        if len(kept) > KEPT:
            del kept[0]
    assert total > 0 and json.loads(json.dumps(kept[-1])) == kept[-1]


main()
