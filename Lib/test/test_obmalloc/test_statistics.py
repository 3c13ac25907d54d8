"""What can be read off: the module, sys._debugmallocstats(),
PYTHONMALLOCSTATS, sys.getallocatedblocks()."""

import sys
import unittest
from test.support import script_helper

import _obmalloc

from .helpers import ChildTest

HEADER = 'Small block threshold of obmalloc'


class ModuleTests(unittest.TestCase):

    def test_check_levels(self):
        for level in 1, 2, 3:
            self.assertIsNone(_obmalloc.check(level))
        self.assertIsNone(_obmalloc.check())
        for level in -1, 0, 4, 1 << 20:
            with self.assertRaisesRegex(ValueError, 'level'):
                _obmalloc.check(level)
        self.assertRaises(TypeError, _obmalloc.check, 'all')
        self.assertRaises(OverflowError, _obmalloc.check, 1 << 80)

    def test_arguments(self):
        self.assertRaises(TypeError, _obmalloc.stats, 1)
        self.assertRaises(TypeError, _obmalloc.trim, 1)

    def test_trim_returns_bytes(self):
        self.assertEqual(_obmalloc.trim() % _obmalloc.stats()['page_size'], 0)

    @unittest.skipUnless(hasattr(sys, 'stdlib_module_names'), 'this version has no such list')
    def test_in_the_list_of_standard_modules(self):
        self.assertIn('_obmalloc', sys.stdlib_module_names)


class EquationTests(unittest.TestCase):
    """The sums that must hold at any time."""

    def check_sums(self, stats):
        page = stats['page_size']
        self.assertEqual(stats['arena_bytes'],
                         (stats['used_pages'] + stats['free_pages']) * page)
        self.assertEqual(stats['free_pages'], stats['dirty_pages']
                         + stats['purged_pages'] + stats['fresh_pages'])
        self.assertEqual(stats['resident_pages'], stats['used_pages'] + stats['dirty_pages'])
        self.assertEqual(stats['used_pages'] * page, stats['live_bytes']
                         + stats['free_block_bytes'] + stats['tail_bytes'])
        self.assertEqual(stats['arenas'],
                         stats['arenas_mapped'] - stats['arenas_released'])
        self.assertLessEqual(stats['floor_pages'], stats['used_pages'])
        self.assertLessEqual(stats['arenas'], stats['arenas_highwater'])
        self.assertLessEqual(stats['arenas_highwater'], stats['arenas_mapped'])

    def check_classes(self, stats):
        classes = stats['classes']
        for total, of_class in [('live_blocks', 'live_blocks'), ('used_pages', 'pools')]:
            self.assertEqual(stats[total], sum(row[of_class] for row in classes))
        self.assertEqual(stats['live_bytes'],
                         sum(row['size'] * row['live_blocks'] for row in classes))
        small = [row for row in classes if row['size'] <= 512]
        free = sum(row['size'] * row['free_blocks'] for row in small)
        # A used page of a larger class has a part of a free block, or nothing of it.
        pages = sum(row['pools'] for row in classes) - sum(row['pools'] for row in small)
        self.assertLessEqual(free, stats['free_block_bytes'])
        self.assertLessEqual(stats['free_block_bytes'], free + pages * stats['page_size'])
        sizes = [row['size'] for row in classes]
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertEqual((small[-1]['size'], sizes[-1]), (512, 32768))
        for row in classes:
            whole = stats['page_size' if row in small else 'run_size']
            # Blocks of 64 bytes start 48 bytes into their page.
            start = 48 if row['size'] == 64 else 0
            self.assertEqual(row['capacity'], (whole - start) // row['size'])

    def check_all(self):
        stats = _obmalloc.stats()
        self.assertEqual(stats['version'], 2)
        self.check_sums(stats)
        self.check_classes(stats)

    def test_sums(self):
        self.check_all()
        objects = [bytes(i % 500) for i in range(50_000)]
        self.check_all()
        del objects[::3]
        self.check_all()
        _obmalloc.trim()
        self.check_all()
        del objects
        self.check_all()

    def test_sums_with_blocks_on_several_pages(self):
        objects = [bytes(500 + i * 37 % 34_000) for i in range(2000)]
        self.check_all()
        del objects[::3], objects[200:400]
        self.check_all()
        _obmalloc.trim()
        self.check_all()
        del objects
        self.check_all()


class MetadataTests(ChildTest):

    def test_metadata_is_small(self):
        # One percent, once there are enough arenas to share what is fixed.
        self.check_child('''
            objects = fill(24)
            stats = figures()
            assert stats['arena_bytes'] > 20 * MIB, stats
            assert stats['metadata_bytes'] < stats['arena_bytes'] / 100 + (64 << 10), stats
            ''')


class AllocatedBlocksTests(ChildTest):

    def test_blocks_are_found_in_their_class(self):
        # bytes(400) has 433 bytes.
        self.check_child('''
            def live():
                row, = [row for row in _obmalloc.stats()['classes'] if row['size'] == 448]
                return row['live_blocks']
            before = live()
            objects = [bytes(400) for _ in range(20_000)]
            full = live()
            assert abs(full - before - 20_000) < 100, (before, full)
            del objects
            after = live()
            assert abs(after - before) < 100, (before, full, after)
            ''')

    def test_medium_blocks_are_found_in_their_class(self):
        # bytes(20_000) has 20 033 bytes; without medium requests they are the system's.
        for medium in 1, 0:
            self.check_child(f'''
                def live():
                    row, = [row for row in _obmalloc.stats()['classes'] if row['size'] == 20_480]
                    return row['live_blocks']
                wanted = 1000 * {medium}
                before = live()
                objects = [bytes(20_000) for _ in range(1000)]
                full = live()
                assert wanted <= full - before <= wanted + 5, (before, full)
                del objects
                after = live()
                assert abs(after - before) <= 5, (before, full, after)
                assert _obmalloc.settings()['medium'] == {medium}
                ''', PYTHONOBMALLOC=f'medium={medium}')

    def test_counts_small_and_large_blocks(self):
        self.check_child('''
            for size in 40, 400, 4000:
                objects = [None] * 5000
                before = sys.getallocatedblocks()
                for i in range(5000):
                    objects[i] = bytes(size)
                full = sys.getallocatedblocks()
                del objects
                after = sys.getallocatedblocks()
                assert abs(full - before - 5000) < 100, (size, before, full)
                assert abs(after - before) < 100, (size, before, after)
            ''')

    def test_is_the_sum_of_the_statistics(self):
        self.check_child('''
            blocks = sys.getallocatedblocks()
            stats = _obmalloc.stats()
            total = stats['live_blocks'] + stats['system_blocks']
            assert abs(blocks - total) < 100, (blocks, total)
            ''')

    def test_blocks_that_grow_and_shrink_across_the_limit(self):
        # realloc() moves them between the arenas and the system's malloc.
        self.check_child('''
            def exercise():
                rows = [bytearray(10) for _ in range(2000)]
                for size in 100, 2000, 50, 5000, 300, 0:
                    for row in rows:
                        row[:] = bytes(size)
            exercise()
            before = sys.getallocatedblocks()
            for _ in range(5):
                exercise()
            after = sys.getallocatedblocks()
            assert abs(after - before) < 100, (before, after)
            _obmalloc.check(3)
            ''')


class DumpTests(ChildTest):

    def dump(self, code='pass', **env):
        out, err = self.run_child(code, **env)
        return out, err

    def number(self, lines, label):
        """The number in the last line that begins with the label."""
        line = [line for line in lines if line.startswith(label)][-1]
        return int(line.rpartition('=')[2].replace(',', ''))

    def test_debugmallocstats(self):
        out, err = self.dump('''
            objects = fill(8)
            sys._debugmallocstats()
            ''')
        self.assertEqual(out, [])
        self.assertEqual(sum(HEADER in line for line in err), 1)
        self.assertGreater(self.number(err, 'bytes in blocks in use'), 8 << 20)
        parts = ['bytes in blocks in use', 'bytes in free blocks', 'bytes at the ends',
                 'bytes in free pages, resident', 'bytes in free pages, purged',
                 'bytes in free pages, never touched']
        self.assertEqual(sum(self.number(err, part) for part in parts),
                         self.number(err, 'sum: bytes in arenas'))
        # CPython's own lines about its free lists follow.
        self.assertTrue(any('free PyTupleObjects' in line or 'PyFloatObject' in line
                            for line in err), err[-20:])

    def test_printed_on_each_new_arena_and_at_exit(self):
        out, err = self.dump('''
            print(_obmalloc.stats()['arenas_mapped'])
            objects = fill(16)
            print(_obmalloc.stats()['arenas_mapped'])
            ''', PYTHONMALLOCSTATS='1')
        before, after = map(int, out)
        self.assertGreater(after, before + 5)
        self.assertGreater(sum(HEADER in line for line in err), after)

    def test_not_printed_if_nobody_asks(self):
        self.assertEqual(self.dump('fill(16)')[1], [])
        code = '[bytes(400) for _ in range(40_000)]'
        done = script_helper.assert_python_ok('-E', '-c', code, PYTHONMALLOCSTATS='1')
        self.assertEqual(done.err, b'')

    def test_with_every_allocator(self):
        for name in 'pymalloc', 'pymalloc_debug', 'malloc', 'malloc_debug':
            with self.subTest(allocator=name):
                self.dump('sys._debugmallocstats()', PYTHONMALLOC=name)


if __name__ == '__main__':
    unittest.main()
