"""Arenas come and go, the fullest is used first, and memory goes back.

Each scenario runs in a process of its own, so that it begins with a heap of
which little was used.
"""

import sys
import textwrap
import unittest
from test.support import script_helper

from .helpers import ChildTest, has_proc


class ArenaTests(ChildTest):

    def test_arenas_come_and_go(self):
        self.check_child('''
            base = figures()
            objects = fill(24)
            full = figures()
            most = 24 * MIB // base['arena_size']
            assert full['arenas'] - base['arenas'] >= most - 1, (base, full)
            assert full['arenas_highwater'] >= full['arenas']
            assert full['arenas_mapped'] - base['arenas_mapped'] >= most - 1

            del objects
            empty = figures()
            assert empty['arenas_released'] > base['arenas_released'], empty
            assert empty['arenas'] <= base['arenas'] + 4, (base, full, empty)
            assert empty['arenas'] == empty['arenas_mapped'] - empty['arenas_released']
            _obmalloc.check(3)
            ''')

    def test_again_and_again(self):
        # What comes and goes must not add up.
        self.check_child('''
            fill(8)
            first = figures()
            for size in range(1, 460, 30):
                fill(8, size)
                _obmalloc.check(3)
            last = figures()
            assert last['arenas'] <= first['arenas'] + 4, (first, last)
            assert last['metadata_bytes'] < 4 * first['metadata_bytes'], (first, last)
            ''')

    def test_all_size_classes_at_once(self):
        # Interleaved, so that the runs of all classes lie side by side.
        self.check_child('''
            rows = [[bytes(size) for size in range(0, 470, 8)] for _ in range(1000)]
            _obmalloc.check(3)
            del rows[::2]
            _obmalloc.check(3)
            rows += [[bytes(size) for size in range(0, 470, 8)] for _ in range(500)]
            _obmalloc.check(3)
            del rows
            _obmalloc.trim()
            _obmalloc.check(3)
            ''')

    def test_realloc_across_classes_and_limit(self):
        self.check_child('''
            rows = [bytearray() for _ in range(500)]
            for size in [*range(1, 600, 7), *range(600, 1, -7)]:
                for number, row in enumerate(rows):
                    row[:] = bytes([number % 256]) * size
            for number, row in enumerate(rows):
                assert set(row) == {number % 256}
            _obmalloc.check(3)
            ''')


class MostFullTests(ChildTest):
    """A new run is taken from the arena with the fewest free pages."""

    # Fill arenas with blocks of one class; free most of one arena and little
    # of another; then let another class ask for runs.  dense and sparse map a
    # number of a run to the objects in it.
    CODE = '''
        arena_size = figures()['arena_size']
        run_size = arena_size // 16
        arenas = {}
        for item in fill(16, 400):
            runs = arenas.setdefault(id(item) // arena_size, {})
            runs.setdefault(id(item) % arena_size // run_size, []).append(item)
        del item, runs
        # Arenas that hold nothing but our objects.
        whole = [runs for runs in arenas.values()
                 if len(runs) == 16 and min(map(len, runs.values())) * 448 > 0.9 * run_size]
        if len(whole) < 3:
            print('no arena is aligned to its size')
            sys.exit()
        sparse, dense = whole[1], whole[2]
        sparse_number = id(sparse[0][0]) // arena_size
        for run in range(15):
            sparse[run].clear()
        for run in range(12):       # more than are needed: figures() may take some too
            dense[run].clear()
        before = figures()
        '''

    def run_scenario(self, code):
        scenario = textwrap.dedent(self.CODE) + textwrap.dedent(code)
        # Nothing may be released meanwhile for any other reason.
        out = self.check_child(scenario, PYTHONOBMALLOC='retain=all')
        if out:
            self.skipTest(out[0])

    def test_new_runs_come_from_the_fullest_arena(self):
        self.run_scenario('''
            others = [bytes(300) for _ in range(3 * run_size // 336)]
            after = figures()
            assert after['arenas_mapped'] == before['arenas_mapped'], (before, after)
            in_sparse = sum(id(item) // arena_size == sparse_number for item in others)
            assert in_sparse == 0, in_sparse
            _obmalloc.check(3)
            ''')

    def test_so_the_emptiest_arena_can_go(self):
        self.run_scenario('''
            others = [bytes(300) for _ in range(3 * run_size // 336)]
            sparse.clear()
            del whole, sparse
            arenas.pop(sparse_number).clear()
            _obmalloc.trim()
            after = figures()
            assert after['arenas_released'] > before['arenas_released'], (before, after)
            _obmalloc.check(3)
            ''')

    def test_free_runs_are_used_before_a_new_arena_is_mapped(self):
        self.run_scenario('''
            others = [bytes(300) for _ in range(15 * run_size // 336)]
            after = figures()
            assert after['arenas_mapped'] == before['arenas_mapped'], (before, after)
            ''')


@has_proc
class GiveBackTests(ChildTest):
    """By default nearly everything goes back, in the course of freeing."""

    def test_after_a_burst(self):
        self.check_child('''
            before = status('VmRSS')
            objects = fill(48)
            peak = status('VmRSS')
            assert peak - before > 40 * MIB, (before, peak)
            del objects
            after = status('VmRSS')
            assert after - before < 8 * MIB, (before, peak, after)
            ''')

    def test_scattered_survivors_keep_their_pages_only(self):
        self.check_child('''
            import random
            random.seed(20050123)
            before = status('VmRSS')
            floor = figures()['floor_pages']
            objects = fill(64)
            survivors = random.sample(objects, len(objects) // 200)
            peak = status('VmRSS')
            del objects
            stats = figures()
            after = status('VmRSS')
            grown = (stats['floor_pages'] - floor) * stats['page_size']
            assert grown < 10 * MIB, grown
            assert stats['pages_purged'] > 0
            assert after - before < grown + 12 * MIB, (before, peak, after, grown)
            _obmalloc.check(3)
            ''')

    @unittest.skipIf(sys.version_info[:2] == (3, 14), 'there main.c is not patched yet')
    def test_what_the_start_left_free_goes_back(self):
        # Far less than what is purged in the course of freeing.
        code = "import _obmalloc; print(_obmalloc.stats()['pages_purged'])"
        for setting, purges in ('', True), ('retain=all', False), ('retain=64M', False):
            with self.subTest(setting):
                done = script_helper.assert_python_ok(
                    '-c', code, **self.variables({'PYTHONOBMALLOC': setting}))
                self.assertEqual(int(done.out) > 0, purges)

    def test_purged_pages_are_used_again(self):
        self.check_child('''
            objects = fill(24)
            keep = objects[::100]
            del objects
            mapped = figures()['arenas_mapped']
            again = fill(8)
            stats = figures()
            assert stats['refaults'] > 0, stats
            assert stats['arenas_mapped'] <= mapped + 1, (mapped, stats)
            assert all(not any(item) for item in again)
            _obmalloc.check(3)
            ''')

    def test_trim(self):
        self.check_child('''
            objects = fill(24)
            keep = objects[::500]
            del objects
            dirty = figures()['dirty_pages']
            assert dirty > 0
            given = _obmalloc.trim()
            stats = figures()
            assert stats['dirty_pages'] == 0, stats
            assert given >= dirty * stats['page_size'], (given, dirty)
            # The statements since then have freed a little.
            assert _obmalloc.trim() < MIB / 4
            _obmalloc.check(3)
            ''', PYTHONOBMALLOC='retain=all')     # else some of them may go by themselves before

    def test_a_cyclic_program_learns_to_keep(self):
        # Refaults cost: the first cycles have them, the later ones few.
        self.check_child('''
            def refaults_of_a_cycle():
                before = figures()
                fill(8)
                return figures()['refaults'] - before['refaults']
            cycles = [refaults_of_a_cycle() for _ in range(16)]
            assert min(cycles[-8:]) <= max(cycles[:4]) / 2, cycles
            ''')


if __name__ == '__main__':
    unittest.main()
