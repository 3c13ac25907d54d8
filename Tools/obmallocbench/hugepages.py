"""What the kernel charges for huge pages, and what it gives back of them: no allocator involved.

    python3 Tools/obmallocbench/hugepages.py [ARENAS]

maps ARENAS times 2 MiB (256) as small or huge pages, writes to every page, drops all pages but
every 16th in one of three ways, and ends. The ways: MADV_DONTNEED alone; the same after MADV_FREE
of one page split the huge page; and that again while a forked child shares the memory.
One line for each: CPU time (microseconds) a page and an arena, and in MiB what RSS, AnonHugePages
and the memory charged to the cgroup are more than before. The cgroup may hold other processes.

    python3 Tools/obmallocbench/hugepages.py --at-hand SECONDS [ARENAS]

touches that many huge pages and drops them, several times a second, for so long. The host of a
virtual machine may take free memory away, and to get it back takes longer than all that a huge page
saves; meanwhile it leaves as much alone. So what another command measures on another processor is
what it would on a machine that has its memory for itself.

Linux only; Python 3.8 or newer.
"""
import ctypes
import mmap
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "workloads"), os.path.dirname(HERE)]
import measure
from shared.command import Parser, number_from, run_guarded

ARENA = 2 << 20             # bytes, as a huge page of x86
SURVIVOR_EVERY = 16         # pages
MEBIBYTE = 1 << 20
AT_HAND_PAUSE_SECONDS = 0.3
MOST = 999999               # arenas or seconds


def memory():
    """Return RSS, AnonHugePages and the memory charged to the cgroup (bytes; -1: unknown)."""
    return [-1 if value is None else value
            for value in (measure.rss_bytes(), measure.anon_huge_pages_bytes(),
                          measure.cgroup_memory_bytes())]


def increase(before):
    """Return what memory() says more than before, as text in MiB."""
    return "/".join("%+.0f" % ((now - then) / MEBIBYTE) for now, then in zip(memory(), before))


def cpu_microseconds(action):
    """Return the CPU time (float) that action() takes."""
    start = time.thread_time_ns()
    action()
    return (time.thread_time_ns() - start) / 1000


def write_pages(space, first, arenas):
    """Touch every page of the arenas from offset first on.

    Not with zeros: a kernel that splits a huge page drops pages full of them by itself.
    """
    pages = arenas * ARENA // mmap.PAGESIZE
    space[first:first + arenas * ARENA:mmap.PAGESIZE] = b"\1" * pages


def split_huge(space, first, arenas):
    """Make small pages of each arena's huge one."""
    for start in range(first, first + arenas * ARENA, ARENA):
        space.madvise(mmap.MADV_NOHUGEPAGE, start, ARENA)
        space.madvise(mmap.MADV_FREE, start + mmap.PAGESIZE, mmap.PAGESIZE)


def drop(space, first, arenas):
    """Drop every page but the survivors."""
    step = SURVIVOR_EVERY * mmap.PAGESIZE
    for start in range(first, first + arenas * ARENA, step):
        space.madvise(mmap.MADV_DONTNEED, start + mmap.PAGESIZE, step - mmap.PAGESIZE)


def wait_for(pipe):
    """In the child of a fork: hold the memory until the parent closes its end."""
    os.close(pipe[1])
    os.read(pipe[0], 1)
    os._exit(0)


def run(arenas, advice, is_split, shared):
    """Do it once, and return the figures as text."""
    before = memory()
    space = mmap.mmap(-1, (arenas + 1) * ARENA, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    first = -ctypes.addressof(ctypes.c_char.from_buffer(space)) % ARENA
    space.madvise(advice, first, arenas * ARENA)
    pages = arenas * ARENA // mmap.PAGESIZE
    touched = cpu_microseconds(lambda: write_pages(space, first, arenas)) / pages
    filled = increase(before)
    pipe = os.pipe()
    child = os.fork() if shared else 0
    if shared and child == 0:
        wait_for(pipe)
    split = cpu_microseconds(lambda: split_huge(space, first, arenas)) / arenas if is_split else 0
    dropped = cpu_microseconds(lambda: drop(space, first, arenas)) / pages
    for end in pipe:
        os.close(end)
    if shared:
        os.waitpid(child, 0)
    return ("touch %.2f us a page; %s; split %.0f us an arena; drop %.2f us a page; %s"
            % (touched, filled, split, dropped, increase(before)))


def keep_at_hand(arenas, seconds):
    """Touch and drop so many huge pages again and again for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with mmap.mmap(-1, arenas * ARENA, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as space:
            space.madvise(mmap.MADV_HUGEPAGE)
            for start in range(0, len(space), ARENA):
                space[start] = 1
        time.sleep(AT_HAND_PAUSE_SECONDS)


def main():
    """Write the lines; return the exit status."""
    parser = Parser(description=__doc__.split("\n", 1)[0], allow_abbrev=False)
    parser.add_argument("arenas", metavar="ARENAS", nargs="?", type=number_from(1, MOST), default=256)
    parser.add_argument("--at-hand", metavar="SECONDS", type=number_from(1, MOST),
                        help="touch so many huge pages again and again, and drop them")
    options = parser.parse_args()
    if options.at_hand:
        keep_at_hand(options.arenas, options.at_hand)
        return 0
    print("RSS/AnonHugePages/cgroup in MiB, of %d: filled, and after the drop" % (2 * options.arenas))
    for name, advice, is_split, shared in (
            ("small", mmap.MADV_NOHUGEPAGE, False, False),
            ("huge", mmap.MADV_HUGEPAGE, False, False),
            ("huge, split", mmap.MADV_HUGEPAGE, True, False),
            ("huge, split, shared", mmap.MADV_HUGEPAGE, True, True)):
        print("%-26s %s" % (name, run(options.arenas, advice, is_split, shared)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded("hugepages.py", main))
