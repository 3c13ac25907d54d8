"""A foreign arena allocator, installed with PyObject_SetArenaAllocator() while
the program runs.  (Before it starts: see test_embedding.)"""

import unittest

from .building import ExtensionTest
from .helpers import ChildTest


class ArenaAllocatorTests(ExtensionTest, ChildTest):

    setup = '''
        import _testobmalloc as t
        from _testobmalloc import source_counts as counts
        '''

    def test_arenas_come_from_it_and_go_back_to_it(self):
        self.check_child('''
            before = figures()['arenas_mapped']
            t.install_source(0)
            objects = fill(24)
            given = counts(0)
            mapped = figures()['arenas_mapped'] - before    # one more by asking, perhaps
            assert mapped - 1 <= given['allocated'] <= mapped, (given, mapped)
            assert given['allocated'] >= 24 * MIB // figures()['arena_size'] - 3, given
            assert given['freed'] == 0
            _obmalloc.check(3)
            del objects
            _obmalloc.trim()
            back = counts(0)
            assert back['live'] <= 4 and back['strange'] == 0, back
            _obmalloc.check(3)
            ''')

    def test_whole_arenas_go_back_without_being_asked_to(self):
        for retain in 'auto', 'none':
            with self.subTest(retain=retain):
                self.check_child('''
                    t.install_source(0)
                    fill(24)
                    back = counts(0)
                    assert back['freed'] >= back['allocated'] / 2, back
                    assert back['strange'] == 0, back
                    ''', PYTHONOBMALLOC=f'retain={retain}')

    def test_they_go_back_to_the_one_that_gave_them(self):
        self.check_child('''
            t.install_source(0)
            first = fill(12)
            t.install_source(1)
            second = fill(12)
            t.restore_arena_allocator()
            third = fill(12)
            assert counts(0)['allocated'] >= 4 and counts(1)['allocated'] >= 4
            _obmalloc.check(3)

            t.install_source(1)
            del first, third
            _obmalloc.trim()
            assert counts(0)['freed'] >= 4, counts(0)
            assert counts(1)['freed'] == 0, counts(1)
            t.restore_arena_allocator()
            del second
            _obmalloc.trim()
            for number in 0, 1:
                end = counts(number)
                assert end['live'] <= 3 and end['strange'] == 0, (number, end)
            _obmalloc.check(3)
            ''')

    def test_arenas_of_the_system_are_not_given_to_it(self):
        # Those mapped before it was installed.
        self.check_child('''
            objects = fill(24)
            released = figures()['arenas_released']
            t.install_source(0)
            del objects
            _obmalloc.trim()
            assert figures()['arenas_released'] > released
            end = counts(0)
            assert end['freed'] == end['strange'] == 0, end
            ''')

    def test_misaligned_memory(self):
        for offset in 1, 8, 16, 1000, 4080, 4096, 5000:
            with self.subTest(offset=offset):
                self.check_child(f'''
            t.install_source(0, {offset})
            objects = fill(12)
            assert counts(0)['allocated'] >= 4
            assert all(not any(item) for item in objects[::100])
            _obmalloc.check(3)
            assert t.calloc_is_zero(20_000, 48)
            del objects[::2]
            _obmalloc.check(3)
            del objects
            _obmalloc.trim()
            assert counts(0)['live'] <= 3 and counts(0)['strange'] == 0, counts(0)
            _obmalloc.check(3)
            ''')

    def test_memory_that_is_not_zero(self):
        # calloc() must not take fresh memory for zeros.
        self.check_child('''
            t.install_source(0)
            for size in 16, 48, 500:
                assert t.calloc_is_zero(30_000, size)
            assert counts(0)['allocated'] > 0
            ''')

    def test_refused_arenas_are_replaced_by_the_system_s_malloc(self):
        self.check_child('''
            t.install_source(0)
            t.fail_source(0)
            before = figures()
            objects = fill(12)
            after = figures()
            assert counts(0)['refused'] > 0 and counts(0)['allocated'] == 0, counts(0)
            assert after['arenas_mapped'] == before['arenas_mapped'], (before, after)
            assert after['system_blocks'] - before['system_blocks'] > 20_000, after
            _obmalloc.check(3)
            assert all(not any(item) for item in objects[::100])
            del objects
            _obmalloc.check(3)
            left = figures()['system_blocks'] - before['system_blocks']
            assert abs(left) < 100, left
            ''')

    def test_refused_now_and_then(self):
        self.check_child('''
            t.install_source(0, 16)
            kept = []
            for failures in 1, 5, 0, 100, 3, 1000:
                t.fail_source(0, failures)
                kept.append(fill(6))
                _obmalloc.check(3)
                del kept[-1][::2]
            t.fail_source(0, 0)
            kept.append(fill(6))
            assert counts(0)['refused'] >= 5 and counts(0)['allocated'] >= 2, counts(0)
            kept.clear()
            _obmalloc.trim()
            _obmalloc.check(3)
            assert counts(0)['live'] <= 3 and counts(0)['strange'] == 0, counts(0)
            ''')

    def test_with_checks(self):
        self.check_child('''
            t.install_source(0, 1000)
            objects = fill(5)
            t.restore_arena_allocator()
            more = fill(3)
            del objects, more
            ''', PYTHONOBMALLOC='check=3,retain=none')

    def test_through_the_debug_hooks(self):
        self.check_child('''
            t.install_source(0, 24)
            objects = fill(8)
            del objects
            _obmalloc.trim()
            assert counts(0)['strange'] == 0
            ''', PYTHONMALLOC='debug')


if __name__ == '__main__':
    unittest.main()
