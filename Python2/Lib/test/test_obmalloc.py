"""Regression tests of obmalloc, the allocator of small objects that gives
memory back, in the words of Python 2.4.

Skipped on an interpreter without it: a stock one, or one that was built with
-DWITH_OBMALLOC_ARENAS=0.
"""

import gc
import os
import subprocess
import sys
import unittest
from test import test_support

try:
    import _obmalloc
except ImportError:
    skip = getattr(unittest, 'SkipTest', None) or test_support.TestSkipped
    raise skip('this interpreter was built without obmalloc')

MIB = 1 << 20

PRELUDE = '''
import _obmalloc, gc, sys
MIB = 1 << 20

def resident():
    """Bytes of memory that this process has."""
    for line in open('/proc/self/status'):
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024

def fill(mib, size=400):
    """About so many MiB of blocks of one size class."""
    return [str(i).zfill(size - 64) for i in xrange(mib * MIB // size)]
'''


def figures():
    """The statistics, fit to be shown by a failed assertion."""
    stats = _obmalloc.stats()
    del stats['classes']
    return stats


class ChildTest(unittest.TestCase):
    """Tests that run code in child processes."""

    def run_child(self, code, *options, **variables):
        """Run code; return its exit status, stdout and stderr."""
        environment = dict(os.environ)
        environment.update({'PYTHONOBMALLOC': '', 'PYTHONMALLOCSTATS': ''})
        environment.update(variables)
        child = subprocess.Popen([sys.executable] + list(options) + ['-c', PRELUDE + code],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=environment)
        out, err = child.communicate()
        # A debug build counts references at the end.
        lines = [line for line in err.splitlines() if not line.startswith('[')]
        return child.returncode, out.split(), lines

    def check_child(self, code, *options, **variables):
        """Run code, which must succeed and write nothing on stderr; return
        the words on stdout."""
        status, words, errors = self.run_child(code, *options, **variables)
        self.assertEqual((status, errors), (0, []))
        return words


class GivingBackTests(ChildTest):
    """What comes from the pools, and goes back to the system."""

    def check_goes_back(self, make, at_most):
        """Make objects of some 100 MiB and drop them; MiB that may stay."""
        words = self.check_child('''
base = resident()
objects = %s
full = resident()
del objects
gc.collect()
after = resident()
_obmalloc.check(3)
print full - base, after - base
''' % make)
        full, after = map(int, words)
        self.assert_(full > 60 * MIB, words)
        self.assert_(after < at_most * MIB, words)

    def test_strings(self):
        self.check_goes_back('fill(96)', 4)

    def test_ints(self):
        self.check_goes_back('range(3 * 10**6)', 4)

    def test_floats(self):
        self.check_goes_back('[i + 0.5 for i in xrange(3 * 10**6)]', 4)

    def test_ints_without_a_collection(self):
        # Stock Python 2 keeps the blocks of ints until a full collection.
        words = self.check_child('''
gc.disable()
base = resident()
objects = range(3 * 10**6)
del objects
print resident() - base
''')
        self.assert_(int(words[0]) < 4 * MIB, words)

    def test_scattered_survivors(self):
        # One int in two hundred survives: its page stays, the others go.
        words = self.check_child('''
objects = range(1000, 3 * 10**6)
kept = objects[::200]
del objects
_obmalloc.trim()
stats = _obmalloc.stats()
print stats['used_pages'] - stats['floor_pages'], stats['floor_pages']
_obmalloc.check(3)
assert kept[77] == 1000 + 77 * 200
''')
        self.assert_(int(words[0]) < 64, words)
        self.assert_(int(words[1]) > 5000, words)

    def test_trim_empties_the_free_lists(self):
        # 2000 tuples of each size wait on lists, in this version as in others.
        words = self.check_child('''
gc.disable()
tuples = [(i,) * (1 + i % 19) for i in xrange(30000)]
del tuples
before = _obmalloc.stats()['live_blocks']
gave = _obmalloc.trim()
print before - _obmalloc.stats()['live_blocks'], gave
''')
        self.assert_(int(words[0]) > 10000, words)
        self.assert_(int(words[1]) > MIB, words)


class NumberTests(unittest.TestCase):
    """Ints and floats, which have a free list of their own."""

    def test_values_survive(self):
        ints, floats = range(-1000, 200000), [i * 0.5 for i in xrange(100000)]
        del ints[::3], floats[::3]
        for i in xrange(1000, 60000):
            i + 1, i * 0.25
        _obmalloc.check(3)
        self.assertEqual(ints[:4], [-999, -998, -996, -995])
        self.assertEqual(sum(floats), sum([i * 0.5 for i in xrange(100000) if i % 3]))
        self.assertEqual(ints[-1], [i for i in range(199990, 200000) if (i + 1000) % 3][-1])

    def test_subclasses(self):
        class Int(int):
            pass

        class Float(float):
            pass
        numbers = [Int(i) for i in xrange(30000)] + [Float(i) for i in xrange(30000)]
        self.assertEqual(sum(numbers), 2 * sum(xrange(30000)))
        del numbers
        _obmalloc.check(3)

    def test_the_list_is_bounded(self):
        def blocks():
            return _obmalloc.stats()['live_blocks']
        gc.collect()
        before = blocks()
        numbers = range(1000, 50000)
        self.assert_(blocks() - before > 48000, blocks() - before)
        del numbers
        self.assert_(blocks() - before < 300, blocks() - before)


class SettingsTests(ChildTest):

    def test_defaults_and_trim(self):
        self.assert_('check' in _obmalloc.settings() and 'retain' in _obmalloc.settings())
        keep = [str(i).zfill(300) for i in xrange(50000)]
        del keep
        self.assert_(_obmalloc.trim() >= 0)
        _obmalloc.check(3)
        self.assertRaises(ValueError, _obmalloc.check, 4)

    def test_the_module_for_people(self):
        import obmalloc
        self.assert_(not hasattr(_obmalloc, 'heap_map'))    # it needs what only Python 3 has
        self.assert_(obmalloc.stats()['arenas'] > 0, figures())
        self.assert_('floor_pages' in obmalloc.stats.__doc__)

    def test_environment(self):
        code = 'print _obmalloc.settings()["retain"], _obmalloc.settings()["check"]'
        for value, expected in [('', ['auto', '0']), ('retain=all', ['all', '0']),
                                ('retain=3M,check=2', [str(3 * MIB), '2'])]:
            self.assertEqual(self.check_child(code, PYTHONOBMALLOC=value), expected)
        self.assertEqual(self.check_child(code, '-E', PYTHONOBMALLOC='retain=all'),
                         ['auto', '0'])

    def test_nonsense_is_one_line(self):
        status, words, errors = self.run_child('pass', PYTHONOBMALLOC='retain=much')
        self.assertEqual((status, len(errors)), (0, 1), errors)
        self.assert_(errors[0].startswith('PYTHONOBMALLOC: retain cannot be'), errors)

    def test_all_checks_at_every_step(self):
        self.check_child('''
rows = [(i, str(i) * (i % 50), [i], {i: i * 0.5}) for i in xrange(3000)]
del rows[::3]
''', PYTHONOBMALLOC='check=3,retain=none')

    def test_retain_all(self):
        words = self.check_child('''
full = fill(32); arenas = _obmalloc.stats()['arenas']; del full
print arenas, _obmalloc.stats()['arenas']
''', PYTHONOBMALLOC='retain=all')
        self.assertEqual(words[0], words[1])


class ForkTests(ChildTest):

    def test_both_sides_go_on(self):
        self.check_child('''
import os
objects = fill(8)
child = os.fork()
del objects[::2]
objects += fill(4)
_obmalloc.check(3)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
''')


class FreeListTests(unittest.TestCase):
    """What waits on free lists when much was freed is bounded."""

    def test_methods(self):
        def blocks():
            return _obmalloc.stats()['live_blocks']

        class C:
            def method(self):
                pass
        c = C()
        gc.collect()
        before = blocks()
        methods = [c.method for _ in xrange(50000)]
        functions = [[].append for _ in xrange(50000)]
        del methods, functions
        self.assert_(blocks() - before < 3000, blocks() - before)


def test_main():
    test_support.run_unittest(GivingBackTests, NumberTests, SettingsTests, ForkTests,
                              FreeListTests)


if __name__ == '__main__':
    test_main()
