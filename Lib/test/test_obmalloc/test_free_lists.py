"""What waits on the free lists of the basic types must not hold back memory."""

import unittest

from .helpers import ChildTest

SETUP = '''
import random, time

def free_at_random(count):
    """Free tuples of many sizes so that those that wait on free lists, the
    last 2000 of each size, are all over the arenas."""
    tuples = [(None,) * (1 + i % 19) for i in range(count)]
    order = list(range(count))
    random.Random(2005).shuffle(order)
    for i in order:
        tuples[i] = None

gc.disable()        # a full collection empties the lists too
'''


class FreeListTests(ChildTest):

    setup = SETUP

    def test_emptied_before_a_thread_blocks(self):
        self.check_child('''
            free_at_random(400_000)
            before = figures()
            time.sleep(0.001)
            after = figures()
            assert before['live_blocks'] - after['live_blocks'] > 30_000, (before, after)
            assert after['used_pages'] < before['used_pages'] / 4, (before, after)
            _obmalloc.check(3)
            ''')

    def test_left_alone_when_little_went_back(self):
        self.check_child('''
            time.sleep(0.001)
            free_at_random(40_000)      # 5 MiB
            before = figures()
            time.sleep(0.001)
            after = figures()
            assert before['live_blocks'] - after['live_blocks'] < 2_000, (before, after)
            ''')

    def test_left_alone_when_all_is_retained(self):
        self.check_child('''
            free_at_random(400_000)
            before = figures()
            time.sleep(0.001)
            after = figures()
            assert before['live_blocks'] - after['live_blocks'] < 2_000, (before, after)
            ''', PYTHONOBMALLOC='retain=all')

    def test_emptied_by_trim(self):
        self.check_child('''
            free_at_random(400_000)
            before = figures()
            assert _obmalloc.trim() > 30_000 // 40 * before['page_size']
            after = figures()
            assert before['live_blocks'] - after['live_blocks'] > 30_000, (before, after)
            ''', PYTHONOBMALLOC='retain=all')


if __name__ == '__main__':
    unittest.main()
