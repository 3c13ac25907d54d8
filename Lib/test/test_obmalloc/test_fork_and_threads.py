"""fork() with and without threads; threads that free what others made."""

import os
import threading
import unittest

import _obmalloc

from .compat import requires_working_threading, start_threads
from .helpers import INTERPRETERS, ChildTest

IN_FORK = '''
import warnings
warnings.simplefilter('ignore', DeprecationWarning)

def in_fork(work):
    """Run work in a fork of this process, and see that it ends well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            _obmalloc.check(3)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
'''


@unittest.skipUnless(hasattr(os, 'fork'), 'needs os.fork()')
class ForkTests(ChildTest):

    setup = IN_FORK + INTERPRETERS
    settings = ''

    def test_child_allocates_and_frees(self):
        self.check_child('''
            inherited = fill(8)
            def work():
                own = fill(8)
                assert not any(map(any, inherited[::50]))
                inherited.clear()
                own += fill(8)
                assert not any(map(any, own[::50]))
                del own
                _obmalloc.trim()
                fill(8)
            for _ in range(3):
                in_fork(work)
                _obmalloc.check(3)
            assert not any(map(any, inherited[::50]))
            ''')

    def test_what_the_child_purges_stays_with_the_parent(self):
        self.check_child('''
            inherited = [b'%400d' % i for i in range(40_000)]
            keep = inherited[::50]
            def work():
                inherited.clear()
                _obmalloc.trim()
                assert keep == [b'%400d' % i for i in range(0, 40_000, 50)]
            in_fork(work)
            assert inherited == [b'%400d' % i for i in range(40_000)]
            inherited.clear()
            _obmalloc.trim()
            in_fork(work)
            assert keep == [b'%400d' % i for i in range(0, 40_000, 50)]
            ''', PYTHONOBMALLOC='retain=none')

    def test_grandchildren(self):
        self.check_child('''
            def descend(generations):
                objects = fill(3)
                if generations:
                    in_fork(lambda: descend(generations - 1))
                del objects[::2]
            descend(4)
            ''')

    def test_while_threads_allocate(self):
        self.check_child('''
            import threading
            done = threading.Event()
            def busy():
                while not done.is_set():
                    fill(1)
            threads = [threading.Thread(target=busy) for _ in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(10):
                    in_fork(lambda: fill(4))
            finally:
                done.set()
                for thread in threads:
                    thread.join()
            _obmalloc.check(3)
            ''')

    def test_with_checks(self):
        self.check_child('''
            inherited = fill(3)
            def work():
                inherited.clear()
                fill(3)
            in_fork(work)
            ''', PYTHONOBMALLOC='check=3')

    def test_after_interpreters_have_ended(self):
        # While one is alive, or in one, the child of a fork does not survive
        # CPython's own clean-up; their heaps that were left behind it must.
        self.check_child('''
            code = 'objects = [bytes(400) for _ in range(10_000)]'
            def work():
                fill(4)
                life(code, *KINDS[0])
                fill(4)
            for kind in KINDS + KINDS[:1]:
                life(code, *kind)
                in_fork(work)
            _obmalloc.check(3)
            ''')


class ThreadTests(unittest.TestCase):

    @requires_working_threading()
    def test_threads_free_what_others_made(self):
        # Every round a thread replaces part of what its neighbour made.
        threads, rounds, length = 4, 15, 2000
        shelves = [[None] * length for _ in range(threads)]
        wrong = []

        def work(number):
            for turn in range(rounds):
                shelf = shelves[(number + turn) % threads]
                for place in range(turn % 3, length, 3):
                    shelf[place] = [place, bytes([place % 256]) * (turn * 40 + place % 40)]
                wrong.extend(item for item in list(shelf)
                             if item and set(item[1]) - {item[0] % 256})
        with start_threads(
                threading.Thread(target=work, args=(n,)) for n in range(threads)):
            pass
        self.assertEqual(wrong, [])
        _obmalloc.check(3)
        del shelves
        _obmalloc.trim()
        _obmalloc.check(3)

    @requires_working_threading()
    def test_threads_that_end_leave_nothing_behind(self):
        def blocks_after_threads():
            with start_threads(
                    threading.Thread(target=lambda: [bytes(400) for _ in range(5000)])
                    for _ in range(8)):
                pass
            return _obmalloc.stats()['live_blocks']
        blocks_after_threads()
        first = blocks_after_threads()
        last = max(blocks_after_threads() for _ in range(3))
        self.assertLess(last, first + 2000)
        _obmalloc.check(3)


if __name__ == '__main__':
    unittest.main()
