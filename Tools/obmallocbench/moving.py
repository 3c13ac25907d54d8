"""What obmalloc.keep() and obmalloc.compact() bring, in programs like those of docs/compacting.md.

    python3 Tools/obmallocbench/moving.py PYTHON LIBRARY [SHARE]

runs each program under PYTHON with obmalloc's LIBRARY preloaded, in each of its ways, and prints
a table: MiB resident above the start after the work and trim() (prefork, imports: MiB that a child has come
to own by its work), and MiB of what stays: the blocks in use in obmalloc's heap above those of the start.
LIBRARY is - for a PYTHON that was built with obmalloc. SHARE (1) is the part of the work that is done,
such as 0.05 for a test.

Linux only; Python 3.9 or newer.
"""
import argparse
import shutil

import preloaded

# What every program has: sizes, and the line that it writes at the end.
COMMON = """
import collections, gc, os, random, sys
import obmalloc
WAY, SHARE = sys.argv[1], float(sys.argv[2])
numbers = random.Random(20050123)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def rest():
    gc.collect()
    obmalloc.trim()
    return resident(), obmalloc.stats()["live_bytes"]

def row(number):
    return {"id": number + 1000, "name": f"customer {number}", "amount": number + 0.25,
            "tags": [f"tag {number % 977}", str(number + 1000)]}

class Session:
    def __init__(self, user):
        self.user = f"user {user}"
        self.seen = [(article, f"/shop/{article}") for article in numbers.sample(range(1000, 9000), 5)]
        self.basket = {f"article {article}": 1 for article, _ in self.seen[:2]}

def ended(start):
    now = rest()
    print(now[0] - start[0], now[1] - start[1])

def ended_with_child(start, work):
    def own():
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))
    live = rest()[1]
    gc.freeze()
    read, write = os.pipe()
    if os.fork() == 0:
        gc.disable()
        before = own()
        work()
        os.write(write, b"%d" % ((own() - before) * 1024))
        os._exit(0)
    os.wait()
    print(os.read(read, 100).decode(), live - start[1])

obmalloc.compact([row(1), Session(1)])      # what the first call imports and makes is part of the start
start = rest()
"""

# The programs, and the ways of each.
PROGRAMS = {
    "LRU cache": ("as it is", "keep()", "compact()"),
    "sessions": ("as it is", "compact()", "compact(), bit by bit"),
    "identity map": ("as it is", "keep()"),
    "prefork": ("as it is", "keep()"),
    "imports": ("as it is", "longlived()"),
}
CODE = {
    # Requests build 8000 rows each, and remember 20 of them.
    "LRU cache": """
cache = collections.OrderedDict()
for request in range(int(300 * SHARE)):
    rows = [row(numbers.randrange(10**6)) for _ in range(8000)]
    for one in numbers.sample(rows, 20):
        cache[numbers.randrange(10**9)] = obmalloc.keep(one) if WAY == "keep()" else one
        if len(cache) > 5000 * SHARE:
            cache.popitem(last=False)
del rows, one
if WAY == "compact()":
    obmalloc.compact(cache)
ended(start)
""",
    # Bursts of visitors, of whom one in a hundred stays.
    "sessions": """
sessions = {}
for burst in range(4):
    count = int(40_000 * SHARE)
    sessions.update((user, Session(user)) for user in range(burst * count, (burst + 1) * count))
    for user in range(burst * count, (burst + 1) * count):
        if numbers.random() >= 0.01:
            del sessions[user]
if WAY == "compact()":
    obmalloc.compact(sessions)
elif WAY != "as it is":
    moved = None
    while moved is None or not moved.finished:
        moved = obmalloc.compact(sessions, budget=0.002, after=moved)
ended(start)
""",
    # Objects that refer to each other, loaded in one go, most of which are expired.
    "identity map": """
class Customer:
    def __init__(self, number):
        self.number, self.name, self.orders = number + 1000, f"customer {number}", []
class Order:
    def __init__(self, number, customer):
        self.number, self.customer = number + 1000, customer
        self.lines = [(number + part, str(number + part)) for part in range(3)]
        customer.orders.append(self)
identities = {}
for number in range(int(60_000 * SHARE)):
    customer = identities["customer", number] = Customer(number)
    for part in range(3):
        identities["order", number, part] = Order(3 * number + part, customer)
for number in range(int(60_000 * SHARE)):
    if numbers.random() >= 0.02:
        for part in range(3):
            del identities["order", number, part]
        del identities["customer", number]
del customer
gc.collect()
if WAY == "keep()":
    identities = obmalloc.keep(identities)
for key, value in identities.items():
    assert key[0] == "customer" or value.customer is identities["customer", key[1]]
ended(start)
""",
    # A server reads much, keeps little, and forks; a child reads what was kept.
    "prefork": """
table = {}
rows = [row(number) for number in range(int(400_000 * SHARE))]
table = {one["id"]: one for one in numbers.sample(rows, int(8000 * SHARE))}
del rows
if WAY == "keep()":
    table = obmalloc.keep(table)
def work():
    total = 0
    for _ in range(3):
        for key, one in table.items():
            total += one["amount"] + len(one["name"]) + len(one["tags"][0]) + one["id"]
            seen = one["tags"][1]
ended_with_child(start, work)
""",
    # A server imports much, builds and drops rows, and forks; a child answers requests.
    "imports": """
import contextlib
with obmalloc.longlived() if WAY == "longlived()" else contextlib.nullcontext():
    import asyncio, concurrent.futures, csv, decimal, email.mime.text, html.parser, http.server
    import importlib.metadata, io, json, logging.config, multiprocessing, sqlite3, unittest
    import urllib.request, xml.etree.ElementTree, zipfile
json.dumps([row(number) for number in range(int(200_000 * SHARE))])
def work():
    for request in range(int(100 * SHARE)):
        rows = [row(number) for number in range(300)]
        text = json.dumps(rows)
        message = email.mime.text.MIMEText(text).as_string()
        tree = xml.etree.ElementTree.fromstring("<rows>" + "<row/>" * 100 + "</rows>")
        csv.DictWriter(io.StringIO(), list(rows[0])).writerows(rows)
ended_with_child(start, work)
""",
}


def interpreter(text):
    """Return the path of an interpreter, for argparse."""
    if shutil.which(text) is None:
        raise argparse.ArgumentTypeError(f"{text} is not there; make stock makes one")
    return text


def share(text):
    """Return the part of the work that is done, for argparse."""
    if not 0 < float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0, at most 1")
    return float(text)


def main(python, library, share):
    print("| program | way | MiB resident | MiB of blocks |\n|---|---|---:|---:|")
    for program, ways in PROGRAMS.items():
        for way in ways:
            resident, stays = map(int, preloaded.run(f"{program}, {way},", python, library,
                                                     COMMON + CODE[program], way, str(share)))
            print(f"| {program} | {way} | {resident / 2**20:.1f} | {stays / 2**20:.1f} |", flush=True)


if __name__ == "__main__":
    preloaded.run_script("moving.py", __doc__.splitlines()[0], {
        "python": {"type": interpreter}, "library": {"type": preloaded.existing("make preload")},
        "share": {"type": share, "nargs": "?", "default": 1.0}}, main)
