"""PYTHONOBMALLOC=background, the purger for processes that go idle.

Nothing here says how long something takes: children wait until it has happened,
and a test that waits in vain ends in a time-out.
"""

import os
import subprocess
import sys
import textwrap
import unittest
from test.support import LONG_TIMEOUT

from . import test_embedding
from .compat import import_module, sleeping_retry
from .helpers import INTERPRETERS, ChildTest

# A child retains memory by wanting it again and again, and waits, always in short
# calls that give up the GIL, for what it expects.
PREPARE = f'''
import time, warnings

warned = []     # os.fork() clears the exception that a warning becomes
warnings.simplefilter('always')
warnings.showwarning = lambda message, *rest: warned.append(str(message))

def threads():
    """The system's number of threads of this process."""
    return len(os.listdir('/proc/self/task'))

def dirty_bytes():
    figures = _obmalloc.stats()
    return figures['dirty_pages'] * figures['page_size']

def retain(mib=16):
    while dirty_bytes() < mib * MIB // 2:
        fill(mib)

def wait_until(condition):
    end = time.monotonic() + {LONG_TIMEOUT}
    while not condition():
        assert time.monotonic() < end, (threads(), figures())
        time.sleep(0.01)

def start_thread():
    """Retain memory until the purger was seen to run."""
    def runs():
        retain()
        time.sleep(0)
        return threads() == 2
    wait_until(runs)
'''


@unittest.skipUnless(os.path.isdir('/proc/self/task'), 'needs /proc/self/task')
class BackgroundTests(ChildTest):

    setup = PREPARE
    settings = ''

    def environment(self):
        return {'PYTHONOBMALLOC': 'background=1'}

    def test_off(self):
        self.check_child('''
            for _ in range(20):
                retain()
                kept = [bytes(1000) + bytes(30_000) for _ in range(300)][::10]
                time.sleep(0.01)
                assert threads() == 1
            ''', PYTHONOBMALLOC='background=0')

    def check_it_shrinks(self, work, last, by, **variables):
        """A process works, tells its resident memory and blocks for good in `last`;
        then so many bytes go back."""
        code = self.child_code(work) + f"\nprint(status('VmRSS'), flush=True); {last}\n"
        with subprocess.Popen([sys.executable, '-c', code], env=self.child_environment(variables),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            before = int(child.stdout.readline())
            try:
                self.wait_until_small(child.pid, before - by)
            finally:
                child.kill()

    def test_a_process_that_sleeps_for_ever_shrinks(self):
        self.check_it_shrinks('retain(64)', 'os.read(0, 1)', 24 << 20)

    def test_by_default(self):
        for last in ('time.sleep(1000)', 'select.select([], [], [], 1000)',
                     'threading.Event().wait(1000)'):
            with self.subTest(last):
                self.check_it_shrinks('''
                    import select, threading
                    retain(64)
                    kept = [b'x' * 40_000 for _ in range(2500)][::20]
                    ''', last, 80 << 20, PYTHONOBMALLOC='')

    def test_there_is_no_memory_when_it_looks(self):
        # Of any kind: it cannot make a thread state.  No Python function is called meanwhile.
        import_module('_testcapi')
        self.check_child('''
            import _testcapi
            start_thread()
            def wait(seconds, sleep=time.sleep, refuse=_testcapi.set_nomemory, allow=_testcapi.remove_mem_hooks):
                retain()
                refuse(0, 0)
                sleep(seconds)
                allow()
            wait(2.0)
            wait_until(lambda: dirty_bytes() < 4 * MIB)
            ''')

    def test_only_what_malloc_holds(self):
        # Nothing of ours: buffers, with blocks that stay between them.
        self.check_it_shrinks('''
            big, kept = [], []
            for i in range(1000):
                big.append(bytes(b'x' * 100_000))
                if i % 10 == 0:
                    kept.append(b'x' * 40_000)
            ''', 'del big; os.read(0, 1)', 80 << 20, PYTHONOBMALLOC='')

    # C code takes much of malloc's memory, and the process is idle for long since.
    C_CODE_HELD = '''
            import zlib
            held = [zlib.compressobj() for _ in range(1000)]
            time.sleep(3)
            '''

    def test_what_c_code_frees_long_after_the_process_fell_idle(self):
        import_module('zlib')
        self.check_it_shrinks(self.C_CODE_HELD, 'del held; os.read(0, 1)', 60 << 20,
                              PYTHONOBMALLOC='')

    def test_it_is_back_after_a_fork(self):
        import_module('zlib')
        self.check_it_shrinks(self.C_CODE_HELD + '''
            child = os.fork()
            if child:
                time.sleep(3)
            else:
                os.read(0, 1)
                os._exit(0)
            ''', 'del held; os.read(0, 1)', 60 << 20, PYTHONOBMALLOC='')

    def test_it_lingers_while_c_code_holds_memory_and_ends_with_python(self):
        import_module('zlib')
        self.check_child(self.C_CODE_HELD + '''
            wait_until(lambda: threads() == 2)
            for _ in range(10):
                time.sleep(0.3)
                assert threads() == 2
            ''', PYTHONOBMALLOC='')

    def test_what_threads_leave(self):
        # The free top of a thread's arena does not go back: there is only one arena
        # where there are few processors, or where malloc=one says so.
        self.check_it_shrinks('''
            import threading
            def work():
                buffers = [bytes(b'x' * 400_000) for _ in range(100)]
            work()                          # raises malloc's threshold for mmap()
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            kept = [bytes(b'x' * 100_000) for _ in range(500)][::50]
            ''', 'os.read(0, 1)', 30 << 20, PYTHONOBMALLOC='malloc=one')

    def test_malloc_is_left_alone(self):
        self.check_child('''
            kept = [b'x' * 40_000 for _ in range(2500)][::20]
            for _ in range(20):
                time.sleep(0.01)
                assert threads() == 1
            ''', PYTHONOBMALLOC='malloc=leave')

    def wait_until_small(self, pid, size):
        """Wait until the process's resident memory is at most size bytes, and it has
        one thread again."""
        for _ in sleeping_retry(LONG_TIMEOUT, 'the process keeps its memory'):
            with open(f'/proc/{pid}/status') as file:
                fields = dict(line.split(':', 1) for line in file)
            if (int(fields['VmRSS'].split()[0]) * 1024 <= size
                    and int(fields['Threads']) == 1):
                return

    def test_it_ends_when_there_is_nothing_to_do_and_starts_again(self):
        self.check_child('''
            for _ in range(3):
                start_thread()
                wait_until(lambda: threads() == 1)
                assert dirty_bytes() < 2 * MIB, figures()
            _obmalloc.check(3)
            ''')

    def test_signals_are_not_for_it(self):
        self.check_child('''
            def blocked(thread):
                with open(f'/proc/self/task/{thread}/status') as file:
                    line, = (line for line in file if line.startswith('SigBlk'))
                    return int(line.split()[1], 16)
            start_thread()
            for thread in os.listdir('/proc/self/task'):
                if int(thread) != os.getpid():
                    assert blocked(thread) & 0x7fff == 0x7fff & ~(1 << 8 | 1 << 18), blocked(thread)
            assert blocked(os.getpid()) == 0
            ''')

    def test_while_threads_allocate(self):
        self.check_child('''
            import threading
            stop = threading.Event()
            def busy():
                while not stop.is_set():
                    fill(4)
                    time.sleep(0)
            workers = [threading.Thread(target=busy) for _ in range(3)]
            for worker in workers:
                worker.start()
            wait_until(lambda: threads() == 5)
            time.sleep(1)
            stop.set()
            for worker in workers:
                worker.join()
            _obmalloc.check(3)
            ''')

    def test_subinterpreters(self):
        self.check_child(INTERPRETERS + textwrap.dedent('''
            for kind in KINDS:
                start_thread()
                interpreter = _interpreters.create(*kind)
                problem = _interpreters.run_string(interpreter, """if True:
                    import time
                    for _ in range(4):
                        objects = [bytes(400) for _ in range(20_000)]
                        del objects
                        time.sleep(0.01)
                    """)
                assert problem is None, problem
                start_thread()
                _interpreters.destroy(interpreter)
            wait_until(lambda: threads() == 1)
            _obmalloc.check(3)
            '''))

    def test_an_interpreter_with_its_own_gil_on_the_main_heap(self):
        # CPython's own tests make such a one.  The purger must let its memory be,
        # since the two GILs do not guard the heap from each other.
        import_module('_interpreters')          # 3.13: a GIL of its own
        import_module('_testinternalcapi')
        self.check_child('''
            import _interpreters, _testinternalcapi
            config = _interpreters.new_config('legacy', gil='own')
            code = """if True:
                import time, _obmalloc
                def dirty_bytes():
                    figures = _obmalloc.stats()
                    return figures['dirty_pages'] * figures['page_size']
                while dirty_bytes() < 8 << 20:
                    objects = [bytes(400) for _ in range(40_000)]
                    del objects
                end = time.monotonic() + 3
                while time.monotonic() < end:       # neither blocks nor takes pages
                    pass
                assert dirty_bytes() >= 8 << 20, _obmalloc.stats()
                """
            start_thread()
            assert _testinternalcapi.run_in_subinterp_with_config(code, config) == 0
            wait_until(lambda: threads() == 1)
            _obmalloc.check(3)
            ''')

    def test_the_end_does_not_wait_for_it(self):
        for _ in range(5):
            self.check_child('start_thread()', PYTHONOBMALLOC='background=1,check=1')


@unittest.skipUnless(os.path.isdir('/proc/self/task'), 'needs /proc/self/task')
@unittest.skipUnless(hasattr(os, 'fork'), 'needs os.fork()')
class BackgroundForkTests(ChildTest):

    settings = ''
    setup = PREPARE + '''
def child_ends_well(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
'''

    def environment(self):
        return {'PYTHONOBMALLOC': 'background=1'}

    def test_fork_does_not_warn_and_both_go_on(self):
        self.check_child('''
            for _ in range(5):
                start_thread()
                child = os.fork()
                assert not warned, warned
                if child == 0:
                    start_thread()
                    wait_until(lambda: threads() == 1)
                    _obmalloc.check(3)
                    os._exit(0)
                child_ends_well(child)
            start_thread()
            wait_until(lambda: threads() == 1)
            _obmalloc.check(3)
            ''')

    def test_callbacks_in_the_parent_that_block(self):
        # From 3.13 on they come before os.fork() counts the threads.
        self.check_child('''
            os.register_at_fork(after_in_parent=lambda: (retain(), time.sleep(0)))
            for _ in range(5):
                start_thread()
                child = os.fork()
                assert not warned, warned
                if child == 0:
                    os._exit(0)
                child_ends_well(child)
            ''')

    def test_subprocess(self):
        self.check_child('''
            import subprocess
            for function in None, int:
                start_thread()
                subprocess.run([sys.executable, '-c', ''], preexec_fn=function, check=True)
                assert not warned, warned
            start_thread()
            ''')

    def test_threads_that_fork_at_the_same_time(self):
        self.check_child('''
            import threading, warnings
            warnings.simplefilter('ignore', DeprecationWarning)
            def work():
                for _ in range(5):
                    retain()
                    child = os.fork()
                    if child == 0:
                        fill(4)
                        os._exit(0)
                    child_ends_well(child)
            workers = [threading.Thread(target=work) for _ in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            _obmalloc.check(3)
            ''')

    def test_a_bare_fork(self):
        import_module('ctypes')
        self.check_child('''
            import ctypes
            fork = ctypes.PyDLL(None).fork      # the GIL is held
            for _ in range(3):
                start_thread()
                child = fork()
                if child == 0:
                    start_thread()
                    wait_until(lambda: threads() == 1)
                    _obmalloc.check(3)
                    os._exit(0)
                child_ends_well(child)
            wait_until(lambda: threads() == 1)
            ''')


    def test_every_way_to_fork(self):
        # Each must find one thread, and say nothing; both sides go on.
        self.check_child('''
            import multiprocessing
            def forkpty():
                child, terminal = os.forkpty()
                if child == 0:
                    os._exit(0)
                child_ends_well(child)
                os.close(terminal)
            def daemon():
                child = os.fork()
                if child == 0:
                    if os.fork() == 0:
                        retain()
                        _obmalloc.check(3)
                    os._exit(0)
                child_ends_well(child)
            def process():
                worker = multiprocessing.get_context('fork').Process(target=retain)
                worker.start()
                worker.join()
                assert worker.exitcode == 0
            def spawn():
                child = os.posix_spawn(sys.executable, [sys.executable, '-c', ''], os.environ)
                child_ends_well(child)
            for fork in forkpty, daemon, process, spawn:
                start_thread()
                fork()
                assert not warned, (fork, warned)
            wait_until(lambda: threads() == 1)
            _obmalloc.check(3)
            ''')


@unittest.skipUnless(os.path.isdir('/proc/self/task'), 'needs /proc/self/task')
class BackgroundEmbeddingTests(test_embedding.EmbeddingProgram):

    setup = PREPARE
    settings = ''

    def test_every_life_has_its_own(self):
        self.run_embedding('plain', 4, 'start_thread()', PYTHONOBMALLOC='background=1')

    # Without daemon threads: those crash the next life of Python now and then, with
    # the system's malloc and no purger too.
    def test_a_life_that_ends_while_it_sleeps(self):
        self.run_embedding('plain', 4, '''
            retain()
            time.sleep(0)
            ''', PYTHONOBMALLOC='background=1')


if __name__ == '__main__':
    unittest.main()
