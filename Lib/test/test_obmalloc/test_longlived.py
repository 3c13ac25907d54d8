"""obmalloc.longlived(): whose blocks lie apart.

It runs alone as well, so that the tests of the loadable library can run it."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import unittest

import obmalloc

FAR_SECONDS = 600
SIZES = 100, 600            # of bytes objects, which have no free list: a small and a medium one
FEW = 5                     # of each size


def make():
    return [bytes(size) for size in SIZES for _ in range(FEW)]


def runs(objects):
    """The runs that objects lie in, by their addresses."""
    run_size = obmalloc.stats()['run_size']
    return {id(thing) // run_size for thing in objects}


def fill(size):
    """Long-lived objects of one size, so many that what a test makes has room in their runs."""
    filling = []
    while True:
        more = [bytes(size) for _ in range(20 * FEW)]
        if len(runs(more)) == 1:
            return filling + more[:1]
        filling += more


@unittest.skipUnless(obmalloc.active(), 'obmalloc is not in force')
class Longlived(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        with obmalloc.longlived():
            cls.filling = [fill(size) for size in SIZES]
        cls.runs = set().union(*map(runs, cls.filling))

    @classmethod
    def tearDownClass(cls):
        del cls.filling

    def tearDown(self):
        self.assert_outside(make())
        obmalloc.check()

    def assert_inside(self, objects):
        self.assertLessEqual(runs(objects), self.runs)

    def assert_outside(self, objects):
        self.assertFalse(runs(objects) & self.runs)

    def test_what_lies_apart(self):
        with obmalloc.longlived() as entered:
            self.assertIsInstance(entered, obmalloc.longlived)
            self.assert_inside(make())
            obmalloc.check()
        self.assert_outside(make())

    def test_statistics_add_both_kinds_up(self):
        def figures():
            stats = obmalloc.stats()
            self.assertEqual(sum(row['live_blocks'] * row['size']
                                 for row in stats['classes']), stats['live_bytes'])
            self.assertEqual(sum(row['pools'] for row in stats['classes']), stats['used_pages'])
            return max((row['size'], row['live_blocks']) for row in stats['classes'])
        size, before = figures()
        with obmalloc.longlived():
            block = bytes(size - 100)
            self.assertEqual(figures(), (size, before + 1))
        del block
        self.assertEqual(figures(), (size, before))

    def test_readers_from_outside_add_both_kinds_up(self):
        from obmalloc import _outside
        size = obmalloc.stats()['classes'][-1]['size']
        with obmalloc.longlived():
            blocks = [bytes(size - 100) for _ in range(3)]
        reader = _outside.open_process(os.getpid())
        stats, heap_map = reader.read()
        live = obmalloc.stats()['classes'][-1]['live_blocks']
        self.assertGreaterEqual(live, len(blocks))
        self.assertEqual(stats['classes'][-1]['live_blocks'], live)
        self.assertEqual(sum(page.live_blocks for arena in heap_map.arenas for page in arena
                             if page.block_size == size), live)
    if sys.platform != 'linux':
        del test_readers_from_outside_add_both_kinds_up

    def test_nesting(self):
        mark = obmalloc.longlived()
        with mark:
            with mark, obmalloc.longlived():
                self.assert_inside(make())
            self.assert_inside(make())
        self.assert_outside(make())

    def test_an_exception_ends_it(self):
        with self.assertRaises(ZeroDivisionError):
            with obmalloc.longlived():
                1 / 0
        self.assert_outside(make())

    def test_left_more_often_than_entered(self):
        mark = obmalloc.longlived()
        with mark:
            pass
        with self.assertRaisesRegex(RuntimeError, '^longlived: it was left more often than entered$'):
            mark.__exit__(None, None, None)

    def test_decorator(self):
        @obmalloc.longlived()
        def load(how, *, deeper=False):
            "Docstring."
            if deeper:
                load(make)
            return how()
        self.assertEqual((load.__name__, load.__doc__), ('load', 'Docstring.'))
        self.assert_inside(load(make, deeper=True))
        self.assert_outside(make())

    def test_decorator_without_parentheses(self):
        class Table:
            @obmalloc.longlived
            def load(self, how):
                "Docstring."
                return how()
        self.assertEqual((Table.load.__name__, Table.load.__doc__), ('load', 'Docstring.'))
        self.assert_inside(Table().load(make))
        self.assert_outside(make())
        with self.assertRaisesRegex(TypeError, '^longlived: 3 is no function: '):
            obmalloc.longlived(3)

    def test_functions_that_suspend_are_refused(self):
        def generator():
            yield

        async def coroutine():
            pass

        async def asynchronous_generator():
            yield
        for function in generator, coroutine, asynchronous_generator:
            with self.subTest(function.__name__):
                with self.assertRaisesRegex(TypeError, f'^longlived: .*{function.__name__} can be suspended, '):
                    obmalloc.longlived()(function)
        with self.assertRaisesRegex(TypeError, '^longlived: functools.partial.* can be suspended, '):
            obmalloc.longlived()(functools.partial(coroutine))

    def test_what_is_no_function(self):
        for other in 3, dict, type('C', (), {}):
            with self.assertRaisesRegex(TypeError, '^longlived: .* is no function: '):
                obmalloc.longlived()(other)

    def test_an_object_whose_call_can_be_suspended(self):
        class Handler:
            async def __call__(self):
                pass
        with self.assertRaisesRegex(TypeError, '^longlived: .*Handler.* can be suspended, '):
            obmalloc.longlived()(Handler())

    def test_an_object_that_goes_away_ends_it(self):
        inside = obmalloc.longlived()
        inside.__enter__()
        inside.__enter__()
        self.assert_inside(make())
        del inside
        self.assert_outside(make())
        obmalloc.longlived().__enter__()
        self.assert_outside(make())

    # Before 3.10 Python itself may lose the exit of a `with`, that of a lock, too.
    @unittest.skipIf(sys.version_info < (3, 10), 'needs a `with` that always leaves')
    @unittest.skipUnless(hasattr(signal, 'setitimer'), 'needs signal.setitimer()')
    def test_a_signal_handler_that_raises_leaves_nobody_inside(self):
        class Stop(Exception):
            pass

        def stop(*_):
            raise Stop
        old = signal.signal(signal.SIGALRM, stop)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        inside = obmalloc.longlived()
        for number in range(300):
            with contextlib.suppress(Stop):
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + 1e-6 * number)
                while True:
                    with inside:
                        pass
            with self.assertRaisesRegex(RuntimeError, 'left more often than entered'):
                inside.__exit__(None, None, None)
        self.assert_outside(make())

    def test_a_generator_that_is_suspended_inside(self):
        def generator():
            with obmalloc.longlived():
                yield make()
        suspended = generator()
        self.assert_inside(next(suspended))
        self.assert_inside(make())          # as documented
        suspended.close()
        self.assert_outside(make())

    def test_a_coroutine_that_is_suspended_inside(self):
        class Pause:
            def __await__(self):
                yield

        async def coroutine():
            with obmalloc.longlived():
                await Pause()
                return make()
        suspended = coroutine()
        suspended.send(None)
        self.assert_inside(make())
        with self.assertRaises(StopIteration) as ended:
            suspended.send(None)
        self.assert_inside(ended.exception.value)
        self.assert_outside(make())

    # --- Threads -----------------------------------------------------------------------

    def in_thread(self, function):
        """What function returns in another thread."""
        found = []
        thread = threading.Thread(target=lambda: found.append(function()))
        thread.start()
        thread.join(FAR_SECONDS)
        self.assertEqual(len(found), 1)
        return found[0]

    def test_other_threads_are_not_inside(self):
        with obmalloc.longlived():
            self.assert_outside(self.in_thread(make))
            self.assert_inside(make())

    def test_threads_inside_and_not_at_a_time(self):
        mark = obmalloc.longlived()         # one for all of them
        met = threading.Barrier(4)
        found = {}

        def work(number):
            if number % 2:
                met.wait(FAR_SECONDS)
                found[number] = make()
                met.wait(FAR_SECONDS)
                return
            with mark:
                met.wait(FAR_SECONDS)
                found[number] = make()
                met.wait(FAR_SECONDS)
                if number:
                    found[number] += make()
            found[-number - 1] = make()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(FAR_SECONDS)
        self.assertEqual(len(found), 6)
        for number, objects in found.items():
            with self.subTest(number):
                (self.assert_inside if number in (0, 2) else self.assert_outside)(objects)

    def test_a_generator_that_another_thread_closes(self):
        def generator():
            with obmalloc.longlived():
                yield
        suspended = generator()
        next(suspended)
        self.assert_inside(make())
        self.in_thread(suspended.close)
        self.assert_outside(make())

    def test_a_thread_that_ends_inside(self):
        mark = obmalloc.longlived()
        self.in_thread(mark.__enter__)
        self.assert_outside(self.in_thread(make))
        self.assert_outside(make())
        mark.__exit__(None, None, None)

    # --- Processes ----------------------------------------------------------------------

    def child(self, look):
        """Whether look() is true in a child process."""
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if look() else 1)
            finally:
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    @unittest.skipUnless(hasattr(os, 'fork'), 'needs os.fork()')
    def test_fork_inside(self):
        with obmalloc.longlived():
            self.assertTrue(self.child(lambda: runs(make()) <= self.runs))
        self.assertTrue(self.child(lambda: not runs(make()) & self.runs))

    @unittest.skipUnless(hasattr(os, 'fork'), 'needs os.fork()')
    def test_fork_while_another_thread_keeps(self):
        self.run_program("""
            import os, threading
            import obmalloc
            from obmalloc.loading import _obmalloc
            entered, leave = threading.Event(), threading.Event()
            def copy(value):
                entered.set()
                leave.wait()
                return value
            def live_blocks():
                return [row['live_blocks'] for row in _obmalloc.stats()['classes']][32 // 16 - 1]
            thread = threading.Thread(target=obmalloc.keep, args=([],), kwargs={'copy': copy})
            thread.start()
            entered.wait()
            child = os.fork()
            if child == 0:
                before = [live_blocks() for _ in range(5)]
                _obmalloc.only_this_thread()
                os._exit(live_blocks() < before[-1])    # its mark was still there
            leave.set()
            thread.join()
            status = os.waitpid(child, 0)[1]
            assert status == 0, status
            """)

    @unittest.skipUnless(hasattr(os, 'fork'), 'needs os.fork()')
    def test_fork_while_another_thread_is_inside(self):
        self.run_program("""
            import os, threading
            import obmalloc
            from obmalloc.loading import _obmalloc
            entered, leave = threading.Event(), threading.Event()
            def work():
                with obmalloc.longlived():
                    entered.set()
                    leave.wait()
            thread = threading.Thread(target=work)
            thread.start()
            entered.wait()
            child = os.fork()
            if child == 0:
                # Nobody is inside: one entry and exit of our own leaves nothing behind.
                with obmalloc.longlived():
                    inside = [bytes(100) for _ in range(20)]
                outside = bytes(100)
                obmalloc.check()
                run = obmalloc.stats()['run_size']
                os._exit(id(outside) // run in {id(block) // run for block in inside})
            leave.set()
            thread.join()
            status = os.waitpid(child, 0)[1]
            assert status == 0, status
            """)

    PROGRAM = """
        import obmalloc
        def runs(size):
            return {id(block) // obmalloc.stats()['run_size'] for block in [bytes(size) for _ in range(20)]}
        for size in 100, 400:
            before = runs(size)
            with obmalloc.longlived():
                inside = runs(size)
                obmalloc.check()
            assert not inside & (before | runs(size)), size
        obmalloc.trim()
        obmalloc.check()
        """

    def run_program(self, program, **variables):
        done = subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(program)],
                              env={**os.environ, **variables}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=FAR_SECONDS)
        self.assertEqual((done.stderr, done.returncode), ('', 0))

    def test_settings(self):
        for setting in 'secure=1', 'check=3', 'medium=0', 'retain=none':
            with self.subTest(setting):
                self.run_program(self.PROGRAM, PYTHONOBMALLOC=setting)

    def test_hooks(self):
        self.run_program(self.PROGRAM, PYTHONMALLOC='debug')
        self.run_program(self.PROGRAM, PYTHONTRACEMALLOC='1')


class NotInForce(unittest.TestCase):

    @unittest.skipIf(obmalloc.active(), 'obmalloc is in force')
    def test_one_clear_error(self):
        with self.assertRaisesRegex(RuntimeError, '^longlived: obmalloc is not in force'):
            with obmalloc.longlived():
                self.fail('entered')

    @unittest.skipIf(obmalloc.active(), 'obmalloc is in force')
    def test_decorated_functions_are_made_all_the_same(self):
        function = obmalloc.longlived()(lambda: None)
        with self.assertRaisesRegex(RuntimeError, '^longlived: '):
            function()


if __name__ == '__main__':
    unittest.main()
