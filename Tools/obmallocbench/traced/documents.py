"""Documents: texts are joined, packed, written as JSON and pickles, searched and read again.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import collections
import io
import json
import pickle
import random
import re

SEED = 2005
DOCUMENTS = 240
KEPT = 120                  # the oldest goes first
WORD = re.compile("[a-z]+[0-9]*")


def new_document(chance, number):
    """Return paragraphs, an attachment, and an index of words."""
    paragraphs = [" ".join("word%d" % int(chance.random() ** 3 * 900)
                           for _ in range(chance.randrange(40, 300))) for _ in range(8)]
    index = {}
    for place, text in enumerate(paragraphs):
        for word in WORD.findall(text):
            index.setdefault(word, []).append(place)
    return {"number": number, "paragraphs": paragraphs, "index": index}


def main():
    """Make documents, pass them on in several forms, and keep the newest."""
    chance = random.Random(SEED)
    kept = collections.deque(maxlen=KEPT)
    for number in range(DOCUMENTS):
        document = new_document(chance, number)
        text = json.dumps(document)
        stream = io.BytesIO()
        for paragraph in document["paragraphs"]:
            stream.write(paragraph.encode("ascii"))
            stream.write(b"\n")
        packed = pickle.dumps((text, stream.getvalue()), 4)
        again, body = pickle.loads(packed)
        assert body.count(b"\n") == 8
        kept.append((json.loads(again), body, WORD.sub("-", text)))
    assert kept[-1][0]["number"] == DOCUMENTS - 1


main()
