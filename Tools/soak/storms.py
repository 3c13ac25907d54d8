"""PYTHON storms.py NAME SEED SECONDS: one storm, under an interpreter with obmalloc.

A storm repeats its round until the seconds are over.  After each round the whole
heap is checked, whatever the settings are.  The last line that it prints is a
JSON object with the number of rounds.  Anything wrong is an exception, or the
allocator's own fatal message; the seed draws the same storm again, as far as
threads and processes allow.

Python 3.9 and later, Linux.
"""

import collections
import gc
import json
import multiprocessing
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import _obmalloc

MIB = 1 << 20
ROUND_SECONDS = 0.5             # of rounds that last as long as they are told to
CHILD_SECONDS = 300             # before a child that hangs is an error
MANY_LIVES = 1000               # of Python in one process, in a storm of FULL_SECONDS
FULL_SECONDS = 300
NESTING = 20_000
DEEP_STACK = 512 * MIB


def make(rng, number):
    """One of the things that programs are made of, and what it must look like."""
    kind = number % 6
    if kind == 0:
        size = rng.randrange(600)
        return bytes([number & 255]) * size
    if kind == 1:
        return str(number) * rng.randrange(1, 40)
    if kind == 2:
        return tuple(range(number, number + rng.randrange(12)))
    if kind == 3:
        return [float(number + i) for i in range(rng.randrange(20))]
    if kind == 4:
        return {number + i: str(i) for i in range(rng.randrange(10))}
    return {'number': number, 'text': f'item {number}', 'more': [number] * rng.randrange(30)}


def in_child(work, seed):
    """Call work with a seed in a child of fork(), and wait until it has done it."""
    pid = os.fork()
    if pid == 0:
        try:
            work(seed)
            os._exit(0)
        except BaseException as problem:
            print(f'in the child: {problem!r}', file=sys.stderr, flush=True)
        os._exit(1)
    deadline = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f'a child ended with status {status}, seed {seed}'
            return
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f'child {pid} hung')


class Worker(threading.Thread):
    """A thread of a storm, begun at once; what goes wrong in it is raised by join()."""

    def __init__(self, work, *arguments):
        super().__init__()
        self.work = lambda: work(*arguments)
        self.problem = None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as problem:
            self.problem = problem

    def join(self, timeout=None):
        super().join(timeout)
        if self.problem is not None:
            raise self.problem


class Storm:
    """What storms share.  round() is called again and again."""

    def __init__(self, rng, seconds):
        self.rng = rng
        self.seconds = seconds

    def round(self):
        raise NotImplementedError

    def run(self):
        """The number of rounds until the time is up: one at least."""
        deadline = time.monotonic() + self.seconds
        rounds = 0
        while rounds == 0 or time.monotonic() < deadline:
            self.round()
            _obmalloc.check(3)
            rounds += 1
        return rounds


class Fragments(Storm):
    """Bursts of mixed objects of which few survive, in every order of freeing; then all
    of it goes, and so must the memory."""

    BURST = 12_000

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.alive = []         # (number, seed of its making, object)
        self.rounds = 0
        self.base = None

    def one(self, number):
        seed = self.rng.randrange(1 << 30)
        return number, seed, make(random.Random(seed), number)

    def drop(self):
        count, rng = len(self.alive), self.rng
        way = rng.randrange(4)
        if way == 0:
            step = rng.randrange(2, 500)
            self.alive = self.alive[::step]
        elif way == 1:
            self.alive = self.alive[rng.randrange(count):]
        elif way == 2:
            del self.alive[rng.randrange(count):]
        else:
            rng.shuffle(self.alive)
            del self.alive[count // rng.randrange(2, 50):]

    def verify(self):
        for number, seed, thing in self.alive:
            assert thing == make(random.Random(seed), number), (number, seed, thing)

    def round(self):
        for _ in range(self.rng.randrange(1, 4)):
            self.alive += [self.one(number) for number in range(self.BURST)]
            self.drop()
        if self.rng.randrange(3) == 0:
            _obmalloc.trim()
        self.verify()
        self.rounds += 1
        if self.rounds % 8 == 0:
            self.alive = []
            gc.collect()
            _obmalloc.trim()
            stats = _obmalloc.stats()
            self.base = stats['used_pages'] if self.base is None else self.base
            assert stats['used_pages'] < 1.5 * self.base + 256, (self.base, stats)
            assert stats['dirty_pages'] == 0, stats


class Sessions(Storm):
    """A server: some clients stay, most go; what they do goes through json, pickle and
    str methods."""

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.sessions = {}

    def round(self):
        rng = self.rng
        for _ in range(300):
            number = rng.randrange(1 << 40)
            data = {'id': number, 'basket': [make(rng, 6 * i + 5) for i in range(rng.randrange(20))],
                    'history': [str(number + i) for i in range(rng.randrange(60))]}
            text = json.dumps(data)
            assert json.loads(text) == data
            self.sessions[number] = pickle.loads(pickle.dumps(data))
            assert ' '.join(data['history']).split() == data['history']
        for number in rng.sample(sorted(self.sessions), len(self.sessions) * 2 // 3):
            del self.sessions[number]
        assert all(number == data['id'] for number, data in self.sessions.items())


class Interpreters(Storm):
    """Interpreters with a heap and a GIL of their own come, work and go, several at a time."""

    THREADS = 3
    CODE = '''
import _obmalloc, json
kept = []
for turn in range(3):
    rows = [{'number': i, 'text': str(i) * 8, 'bytes': bytes(i % 500)} for i in range(3000)]
    kept.append(rows[::97])
    assert json.loads(json.dumps(kept[0], default=len))[1]['number'] == 97
    del rows
    _obmalloc.trim() if turn == 1 else None
_obmalloc.check(3)
'''

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        try:
            import _interpreters
            self.new = lambda: _interpreters.create('isolated')
        except ImportError:     # before 3.13; before 3.12 they share one heap
            import _xxsubinterpreters as _interpreters
            self.new = _interpreters.create
        self.module = _interpreters

    def work(self):
        for _ in range(2):
            interpreter = self.new()
            problem = self.module.run_string(interpreter, self.CODE)
            assert problem is None, getattr(problem, 'formatted', problem)
            self.module.destroy(interpreter)

    def round(self):
        workers = [Worker(self.work) for _ in range(self.THREADS)]
        rows = [make(self.rng, number) for number in range(20_000)]
        for worker in workers:
            worker.join()
        assert len(rows) == 20_000


class Forks(Storm):
    """fork() while threads allocate; the child goes on with the heap that it found."""

    THREADS = 3
    FORKS = 8

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.going = False

    def allocate(self, seed):
        rng = random.Random(seed)
        kept = collections.deque(maxlen=4000)
        while self.going:
            kept.extend(make(rng, number) for number in range(500))

    def child(self, seed):
        rng = random.Random(seed)
        rows = [make(rng, number) for number in range(2000)]
        del rows[::3]
        _obmalloc.check(3)
        _obmalloc.trim()
        gc.collect()
        _obmalloc.check(3)

    def round(self):
        self.going = True
        workers = [Worker(self.allocate, self.rng.randrange(1 << 30)) for _ in range(self.THREADS)]
        try:
            for _ in range(self.FORKS):
                in_child(self.child, self.rng.randrange(1 << 30))
        finally:
            self.going = False
            for worker in workers:
                worker.join()


def pool_work(seed):
    """In a process of a pool."""
    rng = random.Random(seed)
    rows = [make(rng, number) for number in range(3000)]
    del rows[1::2]
    _obmalloc.check(3)
    return len(pickle.dumps(rows))


class Processes(Storm):
    """multiprocessing, by all of its start methods."""

    def round(self):
        seeds = [self.rng.randrange(1 << 30) for _ in range(4)]
        results = []
        for method in multiprocessing.get_all_start_methods():
            with multiprocessing.get_context(method).Pool(2) as pool:
                results.append(pool.map(pool_work, seeds))
        assert all(result == results[0] for result in results), results


class Lives(Storm):
    """Python is started and ended in one process, again and again, and memory stays flat:
    it grows no more than where blocks come from the system's malloc.

    Growth is that of small pages: when 2 MiB become one page, and all of them resident, is
    the kernel's choice, and it may choose in the middle of the lives.  Where the settings
    allow huge pages, there are some lives with them too.
    """

    CODE = ("import json, _obmalloc; rows = [{'n': i, 't': str(i) * 9} for i in range(4000)]; "
            "kept = rows[::50]; del rows; _obmalloc.check(3)")
    SETTLED = 10                # lives that come before
    SLACK_KIB = 24              # a life

    def resident(self, program, lives, allocator, *settings):
        """KiB after each life; settings: what is added to those in force."""
        settings = [os.environ.get('PYTHONOBMALLOC', ''), *settings]
        environment = {**os.environ, 'PYTHONMALLOC': allocator,
                       'PYTHONOBMALLOC': ','.join(filter(None, settings))}
        done = subprocess.run([program, sys.executable, 'plain', str(lives), self.CODE],
                              env=environment, stdout=subprocess.PIPE, check=True)
        return [int(line) for line in done.stdout.split()]

    def growth(self, program, lives, allocator):
        resident = self.resident(program, lives, allocator, 'hugepages=never')
        return (resident[-1] - resident[self.SETTLED]) / (lives - self.SETTLED - 1)

    def run(self):
        from test.test_obmalloc.building import build_embedding
        lives = MANY_LIVES if self.seconds >= FULL_SECONDS else 3 * self.SETTLED
        with tempfile.TemporaryDirectory() as folder:
            program = build_embedding(folder)
            if _obmalloc.settings()['hugepages'] != 'never':
                self.resident(program, self.SETTLED, 'pymalloc')
            usual = self.growth(program, min(lives, 10 * self.SETTLED), 'malloc')
            ours = self.growth(program, lives, 'pymalloc')
        assert ours <= 1.1 * usual + self.SLACK_KIB, (ours, usual)
        print(f'{lives} lives: {ours:.1f} KiB more with each, {usual:.1f} with malloc')
        return lives


class Signals(Storm):
    """Handlers that allocate and free, a thousand times a second."""

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.kept = collections.deque(maxlen=200)
        self.handled = 0
        signal.signal(signal.SIGALRM, self.handle)

    def handle(self, number, frame):
        self.handled += 1
        self.kept.append(make(self.rng, self.handled))

    def round(self):
        before = self.handled
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.monotonic() + ROUND_SECONDS
        rng = random.Random(self.rng.randrange(1 << 30))
        while time.monotonic() < end:
            rows = [make(rng, number) for number in range(2000)]
            del rows[::2]
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert self.handled > before


class Depths(Storm):
    """Deep recursion, and things nested so deeply that only the trashcan can free them."""

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        sys.setrecursionlimit(NESTING)

    def descend(self, depth):
        rows = [depth] * (depth % 50)
        return len(rows) if depth == 0 else self.descend(depth - 1)

    def forever(self, depth=0):
        return [self.forever(depth + 1), depth]

    def nest(self):
        for wrap in (lambda inner: [inner], lambda inner: (inner, 1), lambda inner: {1: inner},
                     lambda inner: iter([inner])):
            thing = None
            for _ in range(5 * NESTING):
                thing = wrap(thing)
            del thing

    def must_not(self, recurse, *errors):
        """See that a call that recurses for ever fails with one of these errors."""
        try:
            recurse()
        except errors:
            return
        raise AssertionError('no RecursionError')

    def work(self):
        self.descend(NESTING // 2)
        self.must_not(self.forever, RecursionError)
        self.nest()
        self.must_not(lambda: json.loads('[' * NESTING * 5), RecursionError, ValueError)

    def round(self):
        threading.stack_size(DEEP_STACK)
        Worker(self.work).join()


class Exhaustion(Storm):
    """A process whose address space ends: MemoryError, a valid heap, and on it goes."""

    def child(self, seed):
        rng = random.Random(seed)
        with open('/proc/self/statm') as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (size + rng.randrange(8, 48) * MIB, hard))
        for _ in range(3):
            kept = []
            try:
                while True:
                    kept.append(make(rng, rng.randrange(1 << 20)))
            except MemoryError:
                kept.clear()    # any other way to delete may need memory itself
            _obmalloc.check(3)
            assert make(random.Random(7), 5) == make(random.Random(7), 5)
            _obmalloc.trim()
            _obmalloc.check(3)

    def round(self):
        in_child(self.child, self.rng.randrange(1 << 30))


class Refusals(Storm):
    """One allocation fails, or some, or all from one on, by _testcapi.set_nomemory().  The
    work calls no Python function: CPython 3.13 itself does not survive a call whose
    frame finds no memory.
    """

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        import _testcapi
        self.testcapi = _testcapi

    def work(self, number):
        rows = [(i, str(i) * 30, [i] * 20, {i: float(i)}, bytes(i)) for i in range(number, number + 60)]
        text = ','.join([repr(row) for row in rows])
        parts = {part: len(part) for part in text.split(',')}
        return sorted(parts)[-1], len(rows)

    def round(self):
        number = self.rng.randrange(500)
        expected = self.work(number)
        for _ in range(20):
            start = self.rng.randrange(2500)
            stop = self.rng.choice((start + 1, start + 2, start + 10, 0))
            result = None
            allow = self.testcapi.remove_mem_hooks
            self.testcapi.set_nomemory(start, stop)
            try:
                result = self.work(number)
            except MemoryError:
                pass
            allow()
            assert result is None or result == expected
            _obmalloc.check(3)


STORMS = {
    'fragments': Fragments, 'sessions': Sessions, 'interpreters': Interpreters,
    'forks': Forks, 'processes': Processes, 'lives': Lives, 'signals': Signals,
    'depths': Depths, 'exhaustion': Exhaustion, 'refusals': Refusals,
}


def main(arguments):
    """Run one storm; the exit status is 0 if all went well."""
    name, seed, seconds = arguments
    warnings.simplefilter('ignore', DeprecationWarning)     # fork() with threads
    rounds = STORMS[name](random.Random(int(seed)), float(seconds)).run()
    print(json.dumps({'rounds': rounds}))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
