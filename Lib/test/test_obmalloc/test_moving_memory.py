"""obmalloc.keep() and obmalloc.compact(): what becomes of the memory."""

import unittest

from .helpers import ChildTest

# A burst of triples of which one in a hundred stays, far from the others.
SETUP = '''
import obmalloc
obmalloc.compact([(number + 0.5, str(number)) for number in range(100)])

def survivors(count, wrap=list):
    rows = [(number + 1000, str(number)) for number in range(count)]
    return wrap(rows[50::100])

def pages():
    obmalloc.trim()
    return figures()['floor_pages']
'''


class CompactTests(ChildTest):
    setup = SETUP

    def test_pages_go_back(self):
        # The survivors of 400 000 keep 7 000 to 12 000 pages, and fill 150.
        for wrap in 'list', 'lambda rows: dict(enumerate(rows))', 'set':
            with self.subTest(wrap):
                self.check_child(f'''
                    base = pages()
                    kept = survivors(400_000, {wrap})
                    before = pages() - base
                    moved = obmalloc.compact(kept)
                    after = pages() - base
                    assert moved.count == len(kept) == 4000, moved
                    assert before > 6000 and after < 400, (before, after)
                    obmalloc.check()
                    ''')

    def test_bit_by_bit(self):
        self.check_child('''
            base = pages()
            kept = survivors(400_000)
            moved = obmalloc.compact(kept, limit=100)
            while not moved.finished:
                moved = obmalloc.compact(kept, limit=100, after=moved)
            after = pages() - base
            assert after < 600, after
            obmalloc.check()
            ''')

    def test_with_other_allocators(self):
        for name in 'pymalloc_debug', 'malloc', 'malloc_debug':
            with self.subTest(name):
                self.check_child('''
                    kept = survivors(10_000)
                    assert obmalloc.compact(kept).count == 100
                    assert obmalloc.keep(kept) == kept
                    ''', PYTHONMALLOC=name)

    def test_in_a_secure_heap_that_is_checked(self):
        self.check_child('''
            kept = survivors(50_000, lambda rows: dict(enumerate(rows)))
            expected = dict(kept)
            assert obmalloc.compact(kept).count == 500
            assert obmalloc.keep(kept) == kept == expected
            ''', PYTHONOBMALLOC='secure=1,check=3')

    def test_each_call_of_a_copy_may_fail(self):
        # As often as there are calls.  Nothing of an unfinished copy stays, nor does the mark of the
        # thread: what is made afterwards does not lie in the runs of what lives long.
        self.check_child('''
            import _testcapi
            from test.test_obmalloc.test_longlived import fill, runs
            with obmalloc.longlived():
                filling = fill(100)
            inner = [1000, 'some text'.upper()]
            value = {'one': [inner, (inner, 12.5)], 'two': {b'bytes', frozenset([inner[1]])}, inner[1]: 10**30}
            value['more'] = [[number] for number in range(1000, 1040)]
            value['more'] += value['more']
            value['self'] = value
            def counts():
                return [sys.getrefcount(part) for part in (value, inner, inner[1], *value.values())]
            gc.disable()
            gc.collect()
            before, objects, failed = counts(), len(gc.get_objects()), 0
            while True:
                copy = None
                _testcapi.set_nomemory(failed, failed + 1)
                try:
                    copy = _obmalloc.copy(value)
                except MemoryError:
                    failed += 1
                finally:
                    _testcapi.remove_mem_hooks()
                assert copy is not NotImplemented
                if copy is not None:
                    break
                assert len(gc.get_objects()) < objects + 5, failed
                assert not runs([bytes(100)]) & runs(filling), failed
            assert counts() == before
            assert failed > 50, failed
            assert copy['self'] is copy and copy['one'] == value['one'] and copy['more'] == value['more']
            _obmalloc.check(3)
            ''')


if __name__ == '__main__':
    unittest.main()
