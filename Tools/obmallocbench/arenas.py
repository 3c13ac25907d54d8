"""What one arena of the C library's malloc costs threads that allocate without the GIL, and saves.

    python3 Tools/obmallocbench/arenas.py PYTHON LIBRARY PACKAGES [ROUNDS]

runs five programs, in 2, 4, 8 and 16 threads, under obmalloc's LIBRARY with one arena
(PYTHONOBMALLOC=malloc=one), with two (MALLOC_ARENA_MAX=2) and with as many as the C library likes
(malloc=leave) in turn, ROUNDS times (5). PYTHON is one with the C library's malloc; PACKAGES is where
`make bench-field` put packages for it. Prints the medians of the paired ratios of CPU and of elapsed
time to malloc=leave, their least and greatest, and the median resident size after
obmalloc.trim() at the end, in MiB.

Linux only; Python 3.8 or newer.
"""
import os
import statistics

import preloaded

THREADS = (2, 4, 8, 16)
ARMS = {"leave": {"PYTHONOBMALLOC": "malloc=leave"}, "one": {"PYTHONOBMALLOC": "malloc=one"},
        "two": {"PYTHONOBMALLOC": "malloc=one", "MALLOC_ARENA_MAX": "2"}}
ROUNDS = 5

# What one thread does: (package, preparation, body).
PROGRAMS = {
    "zlib": ("", "import os, zlib; data = os.urandom(30_000) * 2",
             "for _ in range(60): zlib.decompress(zlib.compress(data, 1))"),
    "pillow": ("pillow", """
import io
from PIL import Image
file = io.BytesIO()
grey = Image.linear_gradient("L").resize((900, 700))
Image.merge("RGB", (grey,) * 3).save(file, "JPEG")""",
               "for _ in range(6):\n"
               "  image = Image.open(io.BytesIO(file.getvalue())); image.rotate(3).resize((300, 200))"),
    "numpy": ("numpy", "import numpy; values = numpy.arange(1500) * 0.5",
              "for _ in range(4000): (values * 2 + values)[::-1].sum()"),
    "lxml": ("lxml", """
from lxml import etree
text = "<r>%s</r>" % "".join(f'<a k="{i}"><b>t{i}</b></a>' for i in range(2000))""",
             "for _ in range(12): etree.fromstring(text)"),
    "sqlite": ("", "import sqlite3; rows = [(i % 100, 'x' * 50) for i in range(6000)]", """
db = sqlite3.connect(":memory:")
db.execute("create table t(a, b)")
db.executemany("insert into t values(?, ?)", rows)
db.execute("select a, group_concat(b) from t group by a").fetchall()
db.close()""")}
FRAME = """
import threading, time
{prepare}
def work():
    {body}
work()
threads = [threading.Thread(target=work) for _ in range({threads})]
cpu, elapsed = time.process_time(), time.perf_counter()
for thread in threads: thread.start()
for thread in threads: thread.join()
cpu, elapsed = time.process_time() - cpu, time.perf_counter() - elapsed
import obmalloc
obmalloc.trim()
with open("/proc/self/smaps_rollup") as file:
    resident = next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
print(cpu, elapsed, resident / 1024)
"""


def run(python, library, packages, name, threads, arm):
    """Return CPU seconds, elapsed seconds and resident MiB of one run; end with one line if it fails."""
    package, prepare, body = PROGRAMS[name]
    folders = [os.path.join(packages, folder) for folder in os.listdir(packages)
               if package and folder.endswith("-" + package)]
    code = FRAME.format(prepare=prepare, body=body.replace("\n", "\n    "), threads=threads)
    return [float(word) for word in preloaded.run(
        f"{name} with {arm}", python, library, code, folders=folders, **ARMS[arm])]


def compare(arguments, name, threads, rounds):
    """Print a line for each arm."""
    runs = {arm: [] for arm in ARMS}
    for number in range(rounds):
        for arm in list(ARMS)[::-1 if number % 2 else 1]:
            runs[arm].append(run(*arguments, name, threads, arm))
    for arm, all_of_it in runs.items():
        cpu, elapsed = (preloaded.with_ends([one[column] / base[column] for one, base
                                             in zip(all_of_it, runs["leave"])]) for column in (0, 1))
        resident = statistics.median(one[2] for one in all_of_it)
        print(f"{name:7} {threads:7} {arm:6} {cpu:>22} {elapsed:>22} {resident:6.1f}", flush=True)


def main(python, library, packages, rounds):
    print(preloaded.load())
    print(f"{'program':7} {'threads':>7} {'arenas':6} {'CPU':>22} {'elapsed':>22} {'RSS':>6}")
    for name in PROGRAMS:
        for threads in THREADS:
            compare((python, library, packages), name, threads, rounds)


if __name__ == "__main__":
    made = {"type": preloaded.existing("make bench-field")}
    preloaded.run_script("arenas.py", __doc__.splitlines()[0], {
        "python": {}, "library": made, "packages": made, "rounds": preloaded.rounds(ROUNDS)}, main)
