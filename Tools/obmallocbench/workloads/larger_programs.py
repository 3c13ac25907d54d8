"""Ten programs that allocate much above 512 bytes: texts, tables, items, buffers.

--program NAME says which, --size N how much: a program has so many rounds that all take some 50 to 130
million instructions with 200 000. Of what the rounds make, one in ten lives to the end, and the others until
some rounds later. --size 0 does everything but that.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import collections
import io
import json
import re
import socket

import measure

LONG = 10                   # one result of so many lives to the end
HELD = 40                   # others are held together
SOURCE = ("0123456789abcdef" * 2048).encode("ascii")
WORDS = ["word%d" % (number * 7919 % 1009) for number in measure.integers(1000)]
TEXT = " ".join(WORDS)
PAIR = re.compile("([a-z]+)([0-9]+)")
PEERS = socket.socketpair()


def joins(number):
    """Return lines of text, joined, and split again."""
    text = "\n".join(WORDS[number % 100:number % 100 + 400])
    return text + text[:number % 1000], text.split("\n", 9)


def json_text(number):
    """Return a document as it was read from its text."""
    document = {"id": number, "text": TEXT[:600 + number % 2000],
                "rows": [{"key": key, "name": WORDS[key]} for key in measure.integers(60)]}
    text = json.dumps(document)
    again = json.loads(text)
    assert again == document
    return text, again


def growth(number):
    """Return a list and a dictionary that grew item by item."""
    items, table = [], {}
    for step in measure.integers(200 + number % 1000):
        items.append(step)
        if step % 4 == 0:
            table[step] = number
    assert len(table) == (len(items) + 3) // 4
    return items, table


def sets(number):
    """Return a set, and what it has in common with another."""
    first = set(WORDS[:300 + number % 300])
    return first, first & set(WORDS[100:])


def slices(number):
    """Return slices of 1 to 16 KB."""
    made = [SOURCE[start:start + 1000 + (number * 613 + start * 37) % 15000]
            for start in measure.integers(0, 80)]
    assert made[1][:4] == SOURCE[1:5]
    return made


def deques(number):
    """Return a queue through which some items went."""
    queue = collections.deque(measure.integers(500 + number % 300))
    for step in measure.integers(500):
        queue.append(queue.popleft() + number)
    return queue


def buffers(number):
    """Return what was written to a buffer, piece by piece."""
    stream = io.BytesIO()
    for step in measure.integers(20 + number % 40):
        stream.write(SOURCE[step:step + 300])
    content = stream.getvalue()
    assert len(content) == 300 * (20 + number % 40)
    return content


def expressions(number):
    """Return a text in which a regular expression replaced something, and what it found."""
    text = TEXT[:2000 + number % 3000]
    return PAIR.sub(r"\2-\1", text), PAIR.findall(text)


def sorting(number):
    """Return items in order."""
    items = [(step * 7919 + number) % 4001 for step in measure.integers(400 + number % 1500)]
    ordered = sorted(items)
    assert ordered[0] <= ordered[-1]
    return ordered


def reads(number):
    """Return what was read from a socket, in pieces of up to 16 KiB, each as long as it came."""
    pieces = []
    for step in measure.integers(20):
        PEERS[0].sendall(SOURCE[:600 + (number * 101 + step * 997) % 6000])
        pieces.append(PEERS[1].recv(1 << 14))
    assert len(pieces[0]) == 600 + (number * 101) % 6000
    return pieces


# Each with what a round takes of --size.
PROGRAMS = {"joins": (joins, 200), "json": (json_text, 1000), "growth": (growth, 500),
            "sets": (sets, 1000), "slices": (slices, 2000), "deques": (deques, 1000),
            "buffers": (buffers, 400), "expressions": (expressions, 4000),
            "sorting": (sorting, 1000), "reads": (reads, 400)}


def run(program, size):
    """Run the rounds of a program for a size (int); return how many results live to the end of this."""
    make, size_of_a_round = program
    long_lived = []
    held = [None] * HELD
    for number in measure.integers(size // size_of_a_round):
        made = make(number)
        if number % LONG == 0:
            long_lived.append(made)
        else:
            held[number * 7 % HELD] = made
    return len(long_lived)


measure.run_program("larger_programs", PROGRAMS, "joins", run)
