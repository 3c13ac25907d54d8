"""How long obmalloc.trim() keeps a thread that works from going on.

    python3 Tools/obmallocbench/pause.py PYTHON LIBRARY [ROUNDS]

runs PYTHON under obmalloc's LIBRARY, ROUNDS times (9) for each of two cases. A thread notes the longest
time between two steps of a loop, once while nothing else happens and once while another thread
calls trim():

    gil      the loop allocates nothing but floats; the heap holds some 190 MiB of free pages between live ones
             (PYTHONOBMALLOC=retain=all), so trim() purges in as many steps as it needs
    malloc   the loop makes a bytearray of 50 000 bytes, which is the system malloc's; that one holds
             some 270 MiB free between live blocks, which malloc_trim(0) gives back

Prints, for each, the median, least and greatest of the longest times in milliseconds. Whatever else the
machine does makes a time longer, never shorter: so trim() itself takes no longer than the least.

Linux only; Python 3.8 or newer.
"""
import statistics

import preloaded

ROUNDS = 9
CASES = {"gil": ("retain=all", """
rows = [(i, str(i)) for i in range(1_500_000)]
kept = rows[::300]
del rows
def step(): pass
"""), "malloc": ("malloc=one,background=0", """
rows = [bytearray(100_000) if i % 40 else bytearray(40_000) for i in range(2800)]
kept = rows[::40]
del rows
def step(): bytearray(50_000)
""")}
FRAME = """
import threading, time, obmalloc
{prepare}
begin, ended = threading.Event(), threading.Event()
def trim():
    begin.wait()
    obmalloc.trim()
    ended.set()
thread = threading.Thread(target=trim)
thread.start()
def longest(until):
    most, last = 0.0, time.perf_counter()
    while not until(last):
        step()
        now = time.perf_counter()
        most = max(most, now - last)
        last = now
    return most * 1e3
end = time.perf_counter() + 0.5
alone = longest(lambda now: now > end)
with open("/proc/self/smaps_rollup") as file:
    before = next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
begin.set()
beside = longest(lambda now: ended.is_set())
thread.join()
with open("/proc/self/smaps_rollup") as file:
    after = next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
print(alone, beside, (before - after) / 1024)
"""


def run(python, library, case):
    """Return the longest times without trim() and with it, ms, and the MiB that it gave back."""
    settings, prepare = CASES[case]
    return [float(word) for word in preloaded.run(
        case, python, library, FRAME.format(prepare=prepare), PYTHONOBMALLOC=settings)]


def main(python, library, rounds):
    print(preloaded.load())
    print(f"{'case':8} {'longest alone, ms':>24} {'beside trim(), ms':>24} {'given back, MiB':>16}")
    for case in CASES:
        alone, beside, given = zip(*(run(python, library, case) for _ in range(rounds)))
        print(f"{case:8} {preloaded.with_ends(alone):>24} {preloaded.with_ends(beside):>24} "
              f"{statistics.median(given):16.0f}", flush=True)


if __name__ == "__main__":
    preloaded.run_script("pause.py", __doc__.splitlines()[0], {
        "python": {}, "library": {"type": preloaded.existing("make preload")},
        "rounds": preloaded.rounds(ROUNDS)}, main)
