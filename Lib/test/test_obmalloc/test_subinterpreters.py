"""Interpreters with a heap of their own, and with the main one's."""

import unittest

from .building import ExtensionTest
from .compat import import_module
from .helpers import MIB, ChildTest, has_proc

import_module('_interpreters')

SETUP = '''
import _interpreters

def new(name, **changes):
    return _interpreters.create(_interpreters.new_config(name, **changes))

def run(interpreter, code):
    problem = _interpreters.run_string(interpreter, code)
    assert problem is None, problem.formatted

def life(code, name, **changes):
    """A whole life of an interpreter that runs the code."""
    interpreter = new(name, **changes)
    run(interpreter, code)
    _interpreters.destroy(interpreter)

# The predefined kinds: a heap and a GIL of its own, or neither;
# and a heap of its own under the common GIL.
KINDS = [('isolated', {}), ('legacy', {}),
         ('isolated', {'gil': 'shared'})]
FILL = "objects = [bytes(400) for _ in range(40_000)]"
'''


class HeapTests(ChildTest):

    setup = SETUP

    def test_own_heap(self):
        # What one does does not show in the figures of the other.
        self.check_child('''
            for name, changes in KINDS[::2]:
                before = figures()
                interpreter = new(name, **changes)
                run(interpreter, FILL + "; import _obmalloc; _obmalloc.check(3)\\n"
                    "assert _obmalloc.stats()['live_blocks'] > 40_000")
                after = figures()
                assert after['live_blocks'] - before['live_blocks'] < 20_000, after
                _obmalloc.check(3)
                _interpreters.destroy(interpreter)
                _obmalloc.check(3)
            ''')

    def test_shared_heap(self):
        self.check_child('''
            before = figures()
            interpreter = new('legacy')
            run(interpreter, FILL)
            full = figures()
            assert full['live_blocks'] - before['live_blocks'] > 40_000, full
            _obmalloc.check(3)
            _interpreters.destroy(interpreter)
            after = figures()
            assert after['live_blocks'] - before['live_blocks'] < 20_000, after
            _obmalloc.check(3)
            ''')

    def test_many_at_a_time(self):
        self.check_child('''
            alive = [new(*KINDS[i % 3][:1], **KINDS[i % 3][1]) for i in range(12)]
            for _ in range(2):
                for interpreter in alive:
                    run(interpreter, FILL + "; import _obmalloc; _obmalloc.check(3)")
                fill(8)
            for interpreter in alive[::2] + alive[1::2]:
                _interpreters.destroy(interpreter)
            _obmalloc.check(3)
            ''')

    def test_gil_of_its_own_in_threads(self):
        # Heaps at work at the same moment: windows are claimed without a lock.
        self.check_child('''
            import threading
            problems = []
            def work():
                try:
                    for _ in range(3):
                        life("for _ in range(3): " + FILL
                             + "\\nimport _obmalloc; _obmalloc.check(3)", 'isolated')
                except BaseException as problem:
                    problems.append(problem)
            threads = [threading.Thread(target=work) for _ in range(6)]
            for thread in threads:
                thread.start()
            fill(16)
            for thread in threads:
                thread.join()
            assert not problems, problems
            _obmalloc.check(3)
            ''')

    def test_settings_hold_for_every_heap(self):
        out = self.check_child('''
            for name, changes in KINDS:
                life("import _obmalloc; "
                     "print(_obmalloc.stats()['allowance_pages'], flush=True)",
                     name, **changes)
            ''', PYTHONOBMALLOC='retain=none')
        self.assertEqual(out, ['0', '0', '0'])

    def test_with_checks(self):
        self.check_child('''
            for name, changes in KINDS:
                life("objects = [bytes(400) for _ in range(8_000)]; del objects[::2]",
                     name, **changes)
            ''', PYTHONOBMALLOC='check=3,retain=none')

    def test_through_the_debug_hooks(self):
        self.check_child('''
            for name, changes in KINDS:
                life(FILL, name, **changes)
            ''', PYTHONMALLOC='debug')

    def test_statistics_on_each_new_arena(self):
        _, err = self.run_child('life(FILL, "isolated")', PYTHONMALLOCSTATS='1')
        shown = sum(line.startswith('Small block threshold') for line in err)
        self.assertGreater(shown, 8)

    def test_main_allocator_of_another_kind(self):
        for name in 'malloc', 'malloc_debug':
            with self.subTest(allocator=name):
                self.check_child('life(FILL, "isolated")', PYTHONMALLOC=name)


class LeakTests(ChildTest):
    """CPython itself leaves some thousand blocks behind in every interpreter
    with a heap of its own; what the program made in it must not add to them.
    """

    setup = SETUP + '''
def blocks_left(code, name, **changes):
    """Blocks that each life of such an interpreter leaves behind."""
    life(code, name, **changes)
    life(code, name, **changes)
    before = sys.getallocatedblocks()
    for _ in range(4):
        life(code, name, **changes)
    return (sys.getallocatedblocks() - before) / 4

def growth(field, code, name, **changes):
    """By how much each life of such an interpreter makes the process grow."""
    def lives(count):
        for _ in range(count):
            life(code, name, **changes)
        # What this heap retains because it learns to is not meant here.
        _obmalloc.trim()
        return status(field)
    before = lives(2)
    return (lives(5) - before) / 5
'''

    def test_allocated_blocks(self):
        self.check_child('''
            for name, changes in KINDS:
                empty = blocks_left('pass', name, **changes)
                filled = blocks_left(FILL, name, **changes)
                assert abs(filled - empty) < 100, (name, changes, empty, filled)
            ''')

    def test_shared_heap_leaves_nothing(self):
        self.check_child('''
            left = blocks_left(FILL, 'legacy')
            assert left < 20, left
            ''')

    @has_proc
    def test_resident_memory_is_flat_with_a_shared_heap(self):
        self.check_child('''
            grown = growth('VmRSS', FILL, 'legacy')
            assert grown < MIB, grown
            ''')

    @has_proc
    def test_resident_memory_with_an_own_heap(self):
        # 17 MiB were filled.  What stays is what CPython left in use.
        self.check_child('''
            for changes in {}, {'gil': 'shared'}:
                grown = growth('VmRSS', FILL, 'isolated', **changes)
                assert grown < 6 * MIB, grown
            ''')

    @has_proc
    def test_an_abandoned_heap_keeps_no_free_pages(self):
        # A heap in which CPython left blocks stays for ever, so that its free
        # pages go back when its interpreter ends, or never.  However much was
        # retained until then: what is left is what retain=none leaves.
        grown = {}
        for retain in 'none', '64M', 'all':
            line, = self.check_child("print(growth('VmRSS', FILL, 'isolated'))",
                                     PYTHONOBMALLOC=f'retain={retain}')
            grown[retain] = float(line)
        self.assertLess(max(grown.values()), grown['none'] + 2 * MIB, grown)


class WrongInterpreterTests(ExtensionTest, ChildTest):
    """A block belongs to the heap that gave it."""

    setup = SETUP + 'import _testobmalloc'

    MESSAGE = r'^obmalloc: block 0x[0-9a-f]+ .* wrong interpreter'

    def check_death(self, code, **env):
        err = self.run_dying_child(code, **env)
        self.assertEqual(len(err), 1, err)
        self.assertRegex(err[0], self.MESSAGE)

    def test_block_of_main_freed_by_another(self):
        for size in 16, 100, 512, 513, 32_768:
            with self.subTest(size=size):
                self.check_death(f'''
            _testobmalloc.stash({size})
            run(new('isolated'), "import _testobmalloc; _testobmalloc.free_stash()")
            ''')

    def test_block_of_another_freed_by_main(self):
        self.check_death('''
            interpreter = new('isolated')
            run(interpreter, "import _testobmalloc; _testobmalloc.stash(100)")
            _testobmalloc.free_stash()
            ''')

    def test_block_of_one_freed_by_another(self):
        self.check_death('''
            run(new('isolated'), "import _testobmalloc; _testobmalloc.stash(100)")
            run(new('isolated'), "import _testobmalloc; _testobmalloc.free_stash()")
            ''')

    def test_reallocated_by_another(self):
        for size in 90, 300, 5000:
            with self.subTest(size=size):
                self.check_death(f'''
            _testobmalloc.stash(100)
            run(new('isolated'),
                "import _testobmalloc; _testobmalloc.realloc_stash({size})")
            ''')

    def test_in_an_arena_outside_the_window(self):
        # From a foreign arena allocator; the heap is fresh, so that the block
        # does not lie in an arena that was there before.
        self.check_death('''
            _testobmalloc.install_source(0)
            interpreter = new('isolated')
            run(interpreter, "import _testobmalloc; _testobmalloc.stash(100)")
            _testobmalloc.free_stash()
            ''')

    def test_shared_heap_has_no_wrong_interpreter(self):
        self.check_child('''
            _testobmalloc.stash(100)
            life("import _testobmalloc; _testobmalloc.free_stash(); "
                 "_testobmalloc.stash(100)", 'legacy')
            _testobmalloc.free_stash()
            _obmalloc.check(3)
            ''')


if __name__ == '__main__':
    unittest.main()
