"""PYTHONOBMALLOC=background: the purger, in an interpreter that was not built with it.

Programs wait until something has happened; one that waits in vain ends in a time-out.
"""

import os
import subprocess
import textwrap
import time
import types
import unittest

from helpers import LIBRARY, TIMEOUT_SECONDS, Programs, for_each_interpreter

_PREPARE = """
import os, time, warnings
warned = []     # os.fork() clears the exception that a warning becomes
warnings.simplefilter('always')
warnings.showwarning = lambda message, *rest: warned.append(str(message))
def threads():
    return len(os.listdir('/proc/self/task'))
def dirty():
    stats = figures()
    return stats['dirty_pages'] * stats['page_size']
def retain(mib):
    while dirty() < mib << 19:
        kept = [bytes(400) for i in range((mib << 20) // 448)]
        del kept
        [bytes(40_000) for i in range(8)]   # the system's: the library looks about
def fork_a_sleeper():
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
def wait_until(condition, pause=0.01):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, (threads(), figures())
        time.sleep(pause)
def start_thread():
    def runs():
        retain(16)
        return threads() == 2
    wait_until(runs)
"""


@for_each_interpreter
class Background(Programs):

    settings = ""

    def code(self, text):
        return super().code("") + _PREPARE + textwrap.dedent(text)

    def run_background(self, text, **variables):
        return self.run_preloaded(text, **{"PYTHONOBMALLOC": "background=1", **variables})

    def sleeper(self, setting, work="retain(64)", last="os.read(0, 1)"):
        """A process that retains much memory and is in its last blocking call.

        It has told its resident memory before that.  setting None: none at all.
        """
        settings = {} if setting is None else {"PYTHONOBMALLOC": setting}
        child = subprocess.Popen(
            [self.python.path, "-c", self.code(work) + f"\nprint(resident(), flush=True); {last}"],
            env=self.environment(LD_PRELOAD=str(LIBRARY), **settings),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child, int(child.stdout.readline())

    def figures_of(self, process):
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmRSS"].split()[0]) << 10, int(fields["Threads"])

    def wait_until_small(self, child, limit):
        """Wait until its resident memory is at most so many bytes, and it has one thread again."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while True:
            size, threads = self.figures_of(child)
            if size <= limit and threads == 1:
                return
            self.assertLess(time.monotonic(), end, f"{size} bytes, not {limit}; {threads} threads")
            time.sleep(0.05)

    def wait_until_less(self, child, limit):
        """Wait until its resident memory is at most so many bytes; the purger may linger."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while (size := self.figures_of(child)[0]) > limit:
            self.assertLess(time.monotonic(), end, f"{size} bytes, not {limit}")
            time.sleep(0.05)

    def test_a_process_that_sleeps_for_ever_shrinks(self):
        child, before = self.sleeper("background=1")
        self.wait_until_small(child, before - (24 << 20))

    def test_the_systems_malloc_shrinks_too(self):
        self.needs_functions("malloc_trim")
        # Blocks above 32 KiB; those that stay keep glibc from giving back by itself.
        child, before = self.sleeper(
            "background=1", "kept = [b'x' * 40_000 for _ in range(2500)][::20]; retain(4)")
        self.wait_until_small(child, before - (60 << 20))

    def test_off(self):
        child, before = self.sleeper("background=0")
        time.sleep(2)
        size, threads = self.figures_of(child)
        self.assertGreater(size, before - (8 << 20))
        self.assertEqual(threads, 1)

    def test_without_it_medium_requests_look_at_the_clock(self):
        # No page is taken or freed, and the system's malloc is not called.
        for request in "bytearray(3000)", "bytes(3000)":
            with self.subTest(request):
                self.run_background(f"""
                    import obmalloc
                    retain(32)
                    for _ in range(40):
                        for _ in range(2000):
                            {request}
                        time.sleep(0.05)
                    assert dirty() < 2 << 20, figures()
                    obmalloc.check()
                    """, PYTHONOBMALLOC="background=0")

    def test_it_ends_and_starts_again(self):
        self.run_background("""
            import obmalloc
            for _ in range(3):
                start_thread()
                wait_until(lambda: threads() == 1)
                assert dirty() < 2 << 20, figures()
            obmalloc.check()
            """)

    def test_what_started_it_does_not_start_it_again(self):
        # Medium requests look about, but the calls of the system's malloc are those of before.
        self.needs_functions("malloc_trim")         # what that malloc holds starts it
        self.run_background("""
            kept = [b'x' * 40_000 for _ in range(150)]
            def call():
                bytes(40_000)
                return threads() == 2
            for _ in range(2):
                wait_until(call)
                wait_until(lambda: threads() == 1)
            for _ in range(20):
                for _ in range(2000):
                    bytearray(3000)
                time.sleep(0.05)
                assert threads() == 1
            """, PYTHONOBMALLOC="background=auto")

    def test_fork_does_not_warn_and_both_go_on(self):
        # From 3.12 on os.fork() warns when the process has a second thread.
        # There the callbacks in the parent, of which each of these would start the purger, come before that.
        printed = self.run_background("""
            import obmalloc
            retain(16)
            time.sleep(0.1)                 # it has asked to be told of a fork
            os.register_at_fork(after_in_parent=lambda: None)
            os.register_at_fork(after_in_parent=lambda: retain(16))
            for _ in range(5):
                start_thread()
                child = os.fork()
                assert not warned, warned
                if child == 0:
                    start_thread()
                    obmalloc.check()
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            obmalloc.check()
            print('well')
            """)
        self.assertEqual(printed, "well")

    def test_a_parent_that_only_waits_gets_its_purger_back(self):
        # waitpid() is all that it does: no allocation tells that it is idle.
        child, before = self.sleeper("background=auto", """if True:
            start_thread()
            retain(64)
            fork_a_sleeper()
            """)
        self.wait_until_small(child, before - (24 << 20))

    def test_a_child_that_bursts_and_sleeps(self):
        printed = self.run_background("""
            def burst():
                kept = [bytes(20_000) + bytes(1) for _ in range(2000)][::50]
            start_thread()
            child = os.fork()
            if child == 0:
                time.sleep(0.03)
                before = resident()
                kept = burst()
                wait_until(lambda: time.sleep(0.5) or resident() < before + (8 << 20))
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print('well')
            """, PYTHONOBMALLOC="")
        self.assertEqual(printed, "well")

    def test_by_default(self):
        # Without any setting, whatever it waits in.  A malloc that cannot be told to keeps its share.
        least = 24 << 20 if self.python.lacks("malloc_trim") else 80 << 20
        for way in ("time.sleep(1000)", "select.select([], [], [], 1000)", "asyncio.run(asyncio.sleep(1000))",
                    "threading.Event().wait(1000)"):
            with self.subTest(way):
                child, before = self.sleeper(
                    None, "retain(64); kept = [b'x' * 40_000 for _ in range(2500)][::20]",
                    f"import asyncio, select, threading; {way}")
                self.wait_until_small(child, before - least)

    def test_only_what_malloc_holds(self):
        # Nothing of ours: 400 MB of buffers, with blocks that stay between them.
        self.needs_functions("malloc_trim")
        child, before = self.sleeper(None, """if True:
            big, kept = [], []
            for i in range(1000):
                big.append(bytes(b"x" * 100_000))
                if i % 10 == 0:
                    kept.append(b'x' * 40_000)
            """, "del big; os.read(0, 1)")
        self.wait_until_small(child, before - (80 << 20))

    def c_code_held(self):
        """Work for which C code takes much of malloc's memory, and a process that is idle for
        long since."""
        self.needs_functions("malloc_trim")
        return """
            import zlib
            held = [zlib.compressobj() for _ in range(1000)]
            time.sleep(3)
            """

    def test_what_c_code_frees_long_after_the_process_fell_idle(self):
        child, before = self.sleeper(None, self.c_code_held(), "del held; os.read(0, 1)")
        self.wait_until_small(child, before - (60 << 20))

    # C code that keeps the GIL for some 3 seconds of processor time, and how often the purger wakes
    # up meanwhile.
    _KEEP_THE_GIL = """
            import itertools
            def seconds_of(clock, calls):
                start = clock()
                sum(itertools.repeat(1, calls))
                return clock() - start
            calls = 1 << 20
            while (seconds := seconds_of(time.thread_time, calls)) < 0.2:
                calls *= 2
            calls = int(3 / seconds * calls)
            def wake_ups(thread):
                with open(f'/proc/self/task/{thread}/status') as file:
                    return next(int(line.split()[1]) for line in file if line.startswith('voluntary'))
            def wake_ups_meanwhile(start):
                while True:
                    start()
                    try:
                        purger, = set(os.listdir('/proc/self/task')) - {str(os.getpid())}
                        before = wake_ups(purger)
                        seconds = seconds_of(time.monotonic, calls)
                        return wake_ups(purger) - before, seconds
                    except (ValueError, OSError):
                        pass                # it had ended by then
            """

    def test_it_wants_the_gil_for_nothing_while_it_lingers(self):
        # It looks twice a second, whatever may stay in a process that is at work.
        self.run_background(self._KEEP_THE_GIL + self.c_code_held() + """
            def start():
                wait_until(lambda: threads() == 2)
                [bytes(400) for i in range(1500)]
            count, seconds = wake_ups_meanwhile(start)
            assert count < 6 * seconds + 3, (count, seconds)
            """, PYTHONOBMALLOC="")

    def test_it_waits_for_the_gil_without_haste(self):
        # The 5 ms after which Python asks for it are 200 wake-ups a second, and fewer on a busy machine.
        self.run_background(self._KEEP_THE_GIL + """
            count, seconds = wake_ups_meanwhile(start_thread)
            assert count < 25 * seconds + 10, (count, seconds)
            wait_until(lambda: threads() == 1)
            assert dirty() < 2 << 20, figures()
            """)

    def test_what_c_code_frees_while_it_waits_for_the_gil(self):
        # It wants to end, since malloc held little when it looked.
        self.needs_functions("malloc_trim")
        child, before = self.sleeper("retain=16M", self._KEEP_THE_GIL + """
            import collections, mmap, zlib
            held = []
            def touch():
                with mmap.mmap(-1, 4 << 20) as memory:
                    for page in range(0, len(memory), 4096):
                        memory[page] = 1
                bytes(40_000)
                return threads() == 2
            wait_until(touch, pause=0)      # it is at work all the time
            collections.deque(itertools.chain(
                itertools.repeat(None, calls), map(held.append, map(zlib.compressobj, itertools.repeat(1, 300))),
                map(held.pop, itertools.repeat(0, 299))), maxlen=0)
            """)
        self.wait_until_small(child, before - (16 << 20))

    # Blocks with a mapping of their own: freeing some has glibc take larger ones from its heap.
    # What these functions are called for is all that Python allocates.
    _LARGE_BLOCKS = """if True:
            import ctypes
            libc = ctypes.CDLL(None)
            libc.malloc.restype = ctypes.c_void_p
            libc.free.argtypes = [ctypes.c_void_p]
            libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
            def filled(count, size):
                blocks = [libc.malloc(size) for _ in range(count)]
                for block in blocks:
                    libc.memset(block, 1, size)
                return blocks
            def free(blocks):
                for block in blocks:
                    libc.free(block)
            """

    def test_large_blocks_of_c_code_when_the_process_is_idle(self):
        # It holds them as it falls idle.  Then it takes and frees others, and sleeps.
        self.needs_functions("malloc_trim")
        child, before = self.sleeper(None, self._LARGE_BLOCKS + """
            large = filled(8, 8 << 20)
            retain(4)
            time.sleep(3)
            free(large)
            large, kept = [], []
            for _ in range(12):
                large += filled(1, 6 << 20)
                kept += filled(1, 100_000)
            """, "free(large); os.read(0, 1)")
        self.wait_until_less(child, before - (60 << 20))

    def test_large_blocks_of_c_code_while_the_process_is_at_work(self):
        # Those of 33 MiB always have mappings of their own: malloc's heap is small when the purger
        # looks, whether there is one at that moment or not.
        self.needs_functions("malloc_trim")
        child, before = self.sleeper(None, self._LARGE_BLOCKS + """
            free(filled(8, 8 << 20))
            start_thread()
            end = time.monotonic() + 2
            while time.monotonic() < end:
                free(filled(1, 33 << 20))
            large, kept = [], []
            for _ in range(12):
                large += filled(1, 6 << 20)
                kept += filled(1, 100_000)
            """, "free(large); os.read(0, 1)")
        self.wait_until_less(child, before - (60 << 20))

    def test_it_is_back_after_a_fork(self):
        child, before = self.sleeper(None, self.c_code_held() + """
            fork_a_sleeper()
            time.sleep(3)
            """, "del held; os.read(0, 1)")
        self.wait_until_small(child, before - (60 << 20))

    def test_a_daemon_gives_back_what_it_inherited(self):
        # C code frees it, which touches little, long after the process that took it has ended.
        child, before = self.sleeper(None, self.c_code_held() + """
            parent = os.getpid()
            if os.fork():
                os._exit(0)
            wait_until(lambda: os.getppid() != parent)
            time.sleep(0.1)
            kept = [bytes(40_000) for _ in range(8)]
            """, "print(os.getpid(), flush=True); time.sleep(3); del held; os.read(0, 1)")
        daemon = types.SimpleNamespace(pid=int(child.stdout.readline()))
        self.wait_until_small(daemon, before - (60 << 20))

    def test_it_lingers_while_c_code_holds_memory_and_ends_with_python(self):
        self.run_background(self.c_code_held() + """
            wait_until(lambda: threads() == 2)
            for _ in range(10):
                time.sleep(0.3)
                assert threads() == 2
            """, PYTHONOBMALLOC="")

    def test_a_thread_that_is_refused(self):
        printed = self.run_background("""
            import resource
            retain(64)                      # before modules may be out of reach
            if os.getuid() == 0:
                os.setuid(65534)            # the limit does not hold for root
            _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
            resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
            wait_until(lambda: threads() == 1)
            for _ in range(20):
                retain(8)
                time.sleep(0.05)
                assert threads() == 1
            resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
            start_thread()
            print('well')
            """)
        self.assertEqual(printed, "well")

    def test_processes_and_threads(self):
        printed = self.run_background("""
            import multiprocessing, subprocess, sys, threading
            context = multiprocessing.get_context('fork')
            def work(n):
                retain(16)
                return n * 2
            start_thread()
            with context.Pool(3) as pool:
                assert pool.map(work, range(10)) == [n * 2 for n in range(10)]
            workers = [threading.Thread(target=retain, args=(4,)) for _ in range(4)]
            for worker in workers: worker.start()
            for worker in workers: worker.join()
            start_thread()
            print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], check=True,
                                 capture_output=True, text=True).stdout.strip())
            """, PYTHONWARNINGS="ignore::DeprecationWarning")
        self.assertEqual(printed, "42")

    def test_the_end_does_not_wait_for_it(self):
        for _ in range(5):
            self.run_background("start_thread()", PYTHONOBMALLOC="background=1,check=1")

    # A thread that waits for the GIL gets it when this one sleeps, no sooner: the purger wants
    # it meanwhile.
    _TRACE_WHILE_IT_WANTS_THE_GIL = """
        import sys, tracemalloc
        sys.setswitchinterval(1000)
        for _ in range(3):
            start_thread()
            tracemalloc.start()
            end = time.monotonic() + 1
            while time.monotonic() < end:
                pass
            tracemalloc.stop()
            time.sleep(0.01)
        wait_until(lambda: threads() == 1)
        assert dirty() < 2 << 20, figures()
        print('well')
        """

    def test_tracemalloc_stops_while_it_wants_the_gil(self):
        self.assertEqual(self.run_background(self._TRACE_WHILE_IT_WANTS_THE_GIL), "well")

    def test_a_process_that_traces_and_sleeps(self):
        # Where tracemalloc.stop() races with a thread that makes its state, not before that.
        races = self.python.version < (3, 12, 9) or (3, 13) <= self.python.version < (3, 13, 2)
        self.assertEqual(self.run_background(f"""
            import tracemalloc
            retain(64)
            start_thread()
            tracemalloc.start()
            retain(16)
            if {races}:
                time.sleep(1)
                tracemalloc.stop()
            wait_until(lambda: threads() == 1 and dirty() < 2 << 20)
            print('well')
            """), "well")

    def test_python_is_not_asked_while_a_thread_waits_for_a_module(self):
        # To ask is to import atexit.  Before 3.12 importlib notes one module that a thread waits
        # for, and another import takes that for its own.
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        printed = self.run_code("""
            import _frozen_importlib, obmalloc, sys, threading
            waiting, thread = _frozen_importlib._blocking_on, threading.get_ident()
            is_dict = type(waiting) is dict
            if is_dict:
                assert thread not in waiting
                waiting[thread] = 'a lock'
            sys.modules.pop('atexit', None)
            assert obmalloc.install()
            for _ in range(20):
                retain(16)
                time.sleep(0.01)
            if is_dict:
                assert threads() == 1 and waiting.pop(thread) == 'a lock'
            start_thread()
            print('well')
            """, PYTHONOBMALLOC="background=1")
        self.assertEqual(printed, "well")

    def test_installed_while_python_runs(self):
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        printed = self.run_code("""
            import obmalloc
            assert obmalloc.install()
            start_thread()
            wait_until(lambda: threads() == 1)
            print(obmalloc.settings()['background'])
            """, PYTHONOBMALLOC="background=1")
        self.assertEqual(printed, "1")


if __name__ == "__main__":
    unittest.main()
