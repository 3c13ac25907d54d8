"""Who allocates: PYTHONMALLOC, hooks of PyMem_SetAllocator(), tracemalloc."""

import sys
import sysconfig
import unittest

from .building import ExtensionTest
from .helpers import ChildTest

# Small, large and growing blocks, and some that stay.
EXERCISE = '''
def exercise():
    rows = [{'number': i, 'text': str(i) * (i % 50)} for i in range(5000)]
    for row in rows[::2]:
        row['data'] = bytearray(i for i in range(200)) + bytes(1000)
    del rows[::3]
    return rows
'''


class PythonMallocTests(ChildTest):

    setup = EXERCISE

    def check_allocator(self, name, *options, **env):
        """Run with the allocator; return whether the arenas are in use."""
        out = self.check_child('''
            try:
                from _testinternalcapi import pymem_getallocatorsname as name_in_force
            except ImportError:     # before 3.12
                from _testcapi import pymem_getallocatorsname as name_in_force
            before = figures()['live_blocks']
            rows = exercise()
            used = figures()['live_blocks'] - before > 5000
            del rows
            gc.collect()
            _obmalloc.trim()
            _obmalloc.check(3)
            print(name_in_force(), used,
                  sys.getallocatedblocks() > 0)
            ''', *options, **env)
        shown, used, counted = out[0].split()
        self.assertEqual(shown, name)
        self.assertEqual(used, counted)
        return used == 'True'

    def test_arenas(self):
        for name in 'pymalloc', 'pymalloc_debug':
            with self.subTest(allocator=name):
                self.assertTrue(self.check_allocator(name, PYTHONMALLOC=name))

    def test_names_for_it(self):
        default = 'pymalloc_debug' if hasattr(sys, 'gettotalrefcount') else 'pymalloc'
        self.assertTrue(self.check_allocator(default, PYTHONMALLOC='default'))
        self.assertTrue(self.check_allocator('pymalloc_debug', PYTHONMALLOC='debug'))
        self.assertTrue(self.check_allocator('pymalloc_debug', '-X', 'dev',
                                             PYTHONMALLOC=''))

    def test_others(self):
        for name in 'malloc', 'malloc_debug':
            with self.subTest(allocator=name):
                self.assertFalse(self.check_allocator(name, PYTHONMALLOC=name))

    def test_mimalloc(self):
        if not sysconfig.get_config_var('WITH_MIMALLOC'):
            self.skipTest('built without mimalloc')
        # sys.getallocatedblocks() counts for mimalloc too.
        out = self.check_child('''
            rows = exercise()
            print(figures()['live_blocks'], sys.getallocatedblocks() > 0)
            _obmalloc.check(3)
            ''', PYTHONMALLOC='mimalloc')
        self.assertEqual(out, ['0 True'])

    def test_debug_hooks_with_checks(self):
        # They ask for 24 bytes more than their caller, and write around.
        self.check_child('exercise()',
                         PYTHONMALLOC='debug', PYTHONOBMALLOC='check=3,retain=none')

    def test_debug_hooks_find_what_they_should(self):
        for function, message in [('pymem_buffer_overflow', 'bad trailing pad byte'),
                                  ('pymem_api_misuse', 'bad ID')]:
            with self.subTest(function=function):
                err = self.run_dying_child(f'import _testcapi; _testcapi.{function}()',
                                           PYTHONMALLOC='debug')
                self.assertIn(message, '\n'.join(err))


class HookTests(ExtensionTest, ChildTest):
    """Hooks see every call, and may come and go while the program runs."""

    setup = EXERCISE + 'import _testobmalloc'

    def test_every_function_goes_through_the_hook(self):
        # 2 * 4 calls with a free each, in either domain; the interpreter may
        # add a few of its own.
        self.check_child('''
            for size in 1, 16, 200, 256, 257, 512, 513, 5000:
                _testobmalloc.install_hooks()
                before = _testobmalloc.hook_counts('mem'), _testobmalloc.hook_counts('obj')
                _testobmalloc.call_every_function(10_000, size)
                after = _testobmalloc.hook_counts('mem'), _testobmalloc.hook_counts('obj')
                _testobmalloc.remove_hooks()
                for (calls0, blocks0), (calls1, blocks1) in zip(before, after):
                    assert 50_000 <= calls1 - calls0 <= 50_100, (size, before, after)
                    assert abs(blocks1 - blocks0) < 50, (size, before, after)
            _obmalloc.check(3)
            ''')

    def test_no_block_is_made_or_freed_past_the_hook(self):
        self.check_child('''
            def blocks_seen():
                return (_testobmalloc.hook_counts('mem')[1]
                        + _testobmalloc.hook_counts('obj')[1])
            older = exercise()
            _testobmalloc.install_hooks()
            for action in exercise, older.clear, exercise, gc.collect:
                allocated, seen = sys.getallocatedblocks(), blocks_seen()
                kept = action()
                allocated, seen = sys.getallocatedblocks() - allocated, blocks_seen() - seen
                assert abs(allocated - seen) < 50, (action, allocated, seen)
            _testobmalloc.remove_hooks()
            ''')

    def test_blocks_outlive_the_hook_they_came_through(self):
        self.check_child('''
            generations = []
            for _ in range(4):
                generations.append(exercise())
                _testobmalloc.install_hooks()
                generations.append(exercise())
                generations.pop(0)
                _testobmalloc.remove_hooks()
                _obmalloc.check(3)
            generations.clear()
            gc.collect()
            _obmalloc.check(3)
            ''')

    def test_hook_over_the_debug_hooks(self):
        self.check_child('''
            _testobmalloc.install_hooks()
            exercise()
            assert _testobmalloc.hook_counts('obj')[0] > 5000
            _testobmalloc.remove_hooks()
            exercise()
            ''', PYTHONMALLOC='debug')

    def test_cpython_s_own_hook_tests(self):
        self.check_child('''
            import _testcapi
            for _ in range(100):
                _testcapi.test_pymem_setallocators()
                _testcapi.test_pyobject_setallocators()
                _testcapi.test_pymem_setrawallocators()
                _testcapi.test_pymem_alloc0()
            _obmalloc.check(3)
            ''')

    def test_calloc_is_zero(self):
        # Fresh, reused, purged and reused pages, and blocks of the system's.
        for setting in 'retain=auto', 'retain=none', 'retain=all', 'check=2':
            with self.subTest(setting=setting):
                self.check_child('''
                    for size in 8, 16, 24, 500, 512, 600:
                        for _ in range(3):
                            assert _testobmalloc.calloc_is_zero(20_000, size), size
                            _obmalloc.trim()
                    ''', PYTHONOBMALLOC=setting)


class TracemallocTests(ChildTest):

    setup = EXERCISE + 'import tracemalloc'

    CODE = '''
            older = exercise()
            {start}
            before, _ = tracemalloc.get_traced_memory()
            objects = fill(8)
            full, _ = tracemalloc.get_traced_memory()
            assert 8 * MIB * 0.9 < full - before < 8 * MIB * 1.5, (before, full)
            traces = tracemalloc.take_snapshot().statistics('lineno')
            assert max(trace.size for trace in traces) > 7 * MIB
            del objects, traces, older
            after, _ = tracemalloc.get_traced_memory()
            assert after - before < MIB, (before, full, after)
            _obmalloc.check(3)
            newer = exercise()
            tracemalloc.stop()
            del newer
            gc.collect()
            _obmalloc.check(3)
            '''

    def test_started_by_the_program(self):
        self.check_child(self.CODE.format(start='tracemalloc.start()'))

    def test_started_before_the_program(self):
        self.check_child(self.CODE.format(start=''), '-X', 'tracemalloc')

    def test_started_and_stopped_often(self):
        self.check_child('''
            kept = []
            for _ in range(6):
                kept.append(exercise())
                tracemalloc.start(3)
                kept.append(exercise())
                kept.pop(0)
                tracemalloc.stop()
                kept.pop(0)
                _obmalloc.check(3)
            ''')


if __name__ == '__main__':
    unittest.main()
