"""obmalloc.pins(): it names the planted culprits, and no others."""

import json
import textwrap
import unittest

import obmalloc

from .helpers import INTERPRETERS, ChildTest

# Many short-lived objects, and among them some of the same sizes that stay.
PLANTED = '''
import obmalloc

class Culprit:
    __slots__ = 'name', 'numbers'
    def __init__(self, number):
        self.name = f'culprit {number}'
        self.numbers = [number] * 20

def plant(count):
    passing, kept = [], []
    for number in range(count):
        passing.append((number + 1000, f'passing {number}', [number] * 3))
        if number % 2000 == 0:
            kept.append(Culprit(number))
    return kept

def rows(pins, name, holder=None, beside=False):
    return [row for row in pins.types if row.type == name and row.beside == beside
            and holder in (None, row.holder)]
'''


class PinsTests(ChildTest):
    setup = PLANTED

    def test_names_the_planted_culprits(self):
        self.check_child('''
            kept = plant(300_000)
            pins = obmalloc.pins()
            # Their names lie scattered and waste most of all that is known; the
            # culprits are their holders.
            names, = rows(pins, 'str', '__main__.Culprit')
            assert names.blocks == len(kept), names
            assert names.pages > 0.9 * len(kept), names
            assert names.wasted_bytes > 0.2 * len(kept) * pins.page_size, names
            assert names in pins.types[:4], pins.types[:5]
            culprits, = rows(pins, '__main__.Culprit')
            assert culprits.blocks == len(kept) and culprits.holder == 'list', culprits
            lists, = rows(pins, 'list', '__main__.Culprit')
            assert lists.blocks == len(kept), lists
            items = rows(pins, 'list', beside=True)
            assert sum(row.blocks for row in items) >= len(kept), items
            ''')

    def test_every_block_is_what_it_is_said_to_be(self):
        # What is found from the objects must agree with where the objects are.
        self.check_child('''
            kept = plant(100_000)
            pins = obmalloc.pins(1_000_000, objects=True)
            found = {id(block.object): (block, page) for arena in pins.arenas
                     for page in arena.pages for block in page.blocks
                     if block.object is not None and not block.beside}
            for culprit in kept:
                for item in culprit, culprit.name, culprit.numbers:
                    block, page = found[id(item)]
                    assert block.object is item
                    assert 0 <= id(item) - block.address < page.block_size, (block, page)
                    assert page.address <= block.address < page.address + pins.page_size
            del block, page, found, pins
            obmalloc.check()
            ''')

    def test_the_sums(self):
        self.check_child('''
            kept = plant(100_000)
            pins = obmalloc.pins(1_000_000)
            shown = [page for arena in pins.arenas for page in arena.pages]
            blocks = sum(arena.live_blocks for arena in pins.arenas)
            assert sum(row.blocks for row in pins.types) == blocks
            assert sum(len(page.blocks) for page in shown) == blocks
            size = sum(arena.live_bytes for arena in pins.arenas)
            assert sum(row.bytes for row in pins.types) == size
            held = sum(row.held_bytes for row in pins.types)
            assert abs(held - len(shown) * pins.page_size) <= len(pins.types), held
            for arena in pins.arenas:
                assert arena.live_bytes == sum(len(page.blocks) * page.block_size
                                               for page in arena.pages)
                assert arena.used_pages - 33 <= len(arena.pages) <= arena.used_pages
            for row in pins.types:
                in_pages = sum(any((block.type, block.beside, block.holder)
                                   == (row.type, row.beside, row.holder) for block in page.blocks)
                               for page in shown)
                same_name = rows(pins, row.type, row.holder, row.beside)
                assert len(same_name) > 1 or in_pages == row.pages, (row, in_pages)
            ''')

    def test_owners_of_blocks_on_several_pages(self):
        self.check_child('''
            class Culprit:
                pass

            def culprit(number):
                made = Culprit()
                made.items = [None] * 2500              # 20 000 bytes
                made.table = dict.fromkeys(range(number, number + 600))
                made.text = 'x' * (9000 + number)
                made.wide = 'ÿ' * 3000
                made.buffer = bytearray(5000)
                return made
            kept = [culprit(number) for number in range(50)]
            stats = _obmalloc.stats()
            pins = obmalloc.pins(limit=1 << 30)
            for name, beside, least in (('list', True, 20_000), ('dict', True, 10_000),
                                        ('str', False, 9000), ('bytearray', True, 5000)):
                large = [row for row in rows(pins, name, beside=beside)
                         if row.blocks >= 50 and row.bytes >= 50 * least]
                assert large, (name, rows(pins, name, beside=beside))
                assert all(row.pages * pins.page_size >= row.held_bytes for row in large), large
                assert all(row.held_bytes >= row.bytes for row in large), large
            # Each is listed where it begins, once.
            size_of = {}
            for arena in pins.arenas:
                for page in arena.pages:
                    for block in page.blocks:
                        assert page.address <= block.address < page.address + pins.page_size, page
                        assert block.address not in size_of, block
                        size_of[block.address] = page.block_size, block.type, block.beside
            for item in kept:
                assert size_of[id(item.text)][1:] == ('str', False), size_of[id(item.text)]
            pages = sum(row.held_bytes for row in pins.types) / pins.page_size
            assert abs(pages - stats['floor_pages']) < 100, (pages, stats)
            ''', PYTHONOBMALLOC='retain=none')

    def test_the_cheapest_first(self):
        self.check_child('''
            kept = plant(300_000)
            pins = obmalloc.pins()
            sizes = [arena.live_bytes for arena in pins.arenas]
            assert sizes == sorted(sizes) and len(sizes) > 5, sizes
            for arena in pins.arenas:
                sizes = [len(page.blocks) * page.block_size for page in arena.pages]
                assert sizes == sorted(sizes), sizes
            wasted = [row.wasted_bytes for row in pins.types]
            assert wasted == sorted(wasted, reverse=True), wasted
            ''')

    def test_the_limit(self):
        for limit in -1, 0, 1, 50, 5000:
            pins = obmalloc.pins(limit)
            shown = sum(len(page.blocks) for arena in pins.arenas for page in arena.pages)
            self.assertLessEqual(shown, max(limit, 0))
        self.assertGreater(shown, 1000)
        self.assertRaises(TypeError, obmalloc.pins, 'all')

    def test_most_of_a_program_is_known(self):
        self.check_child('''
            import argparse, json, logging, unittest
            assert 0.75 < obmalloc.pins().known < 1
            ''')

    def test_the_line_that_allocated(self):
        self.check_child('''
            kept = plant(20_000)
            line = plant.__code__.co_firstlineno + 5
            pins = obmalloc.pins(1_000_000)
            lines = {block.line for arena in pins.arenas for page in arena.pages
                     for block in page.blocks if block.type == '__main__.Culprit'}
            assert lines == {f'<string>:{line}'}, (lines, line)
            ''', PYTHONTRACEMALLOC='1')

    def test_locals_of_running_functions(self):
        self.check_child('''
            def running():
                mine = [f'local {number:_>70}' for number in range(100)][0]
                pins = obmalloc.pins(1_000_000, objects=True)
                return any(block.object is mine for arena in pins.arenas
                           for page in arena.pages for block in page.blocks)
            assert running()
            ''')

    def test_survives_strange_types(self):
        self.check_child('''
            class Meta(type):
                __qualname__ = 'Meta'
                def __getattribute__(cls, name):
                    raise RuntimeError('not to be asked')
            class Strange(metaclass=Meta):
                pass
            class Twin(dict):
                __slots__ = ()
            things = [object.__new__(Strange) for _ in range(10)], Twin(a=1), [Twin]
            partial = iter([1]), (n for n in range(3)), bytearray(100), {*range(50)}, frozenset('abc')
            text = 'caf\\xe9' * 9
            text.encode()
            pins = obmalloc.pins()
            assert rows(pins, '__main__.Strange')[0].blocks == 10, pins.types
            obmalloc.check()
            ''')

    def test_references_are_given_back(self):
        self.check_child('''
            import gc
            kept = plant(10_000)
            one = kept[0]
            counts = sys.getrefcount(one), sys.getrefcount(one.numbers), sys.getrefcount(type(one))
            for _ in range(3):
                obmalloc.pins(1_000_000)
                obmalloc.pins(10, objects=True)
            gc.collect()
            assert counts == (sys.getrefcount(one), sys.getrefcount(one.numbers),
                              sys.getrefcount(type(one))), counts
            ''')

    def test_in_a_subinterpreter(self):
        # With its own allocator state, and with that of the main interpreter.
        self.check_child(INTERPRETERS + textwrap.dedent("""
            import textwrap
            code = textwrap.dedent('''
                import obmalloc
                class Mine:
                    pass
                kept = [Mine() for _ in range(500)]
                pins = obmalloc.pins()
                mine, = [row for row in pins.types if row.type == '__main__.Mine']
                assert mine.blocks == 500, mine
                assert sum(row.blocks for row in pins.types) == sum(arena.live_blocks for arena in pins.arenas)
                assert obmalloc.heap_map().kinds()['used'] > 0
                obmalloc.check()
                ''')
            for kind in KINDS:
                life(code, *kind)
            """))

    def test_while_threads_allocate(self):
        self.check_child("""
            import threading, time
            class Finalized:
                finalizing = 0
                def __del__(self):
                    Finalized.finalizing += 1
                    if Finalized.finalizing % 20_000 == 0:
                        obmalloc.pins(100)
            def work():
                while not done:
                    rows = [Finalized() for _ in range(50)]
                    rows += [rows, {n: (n, str(n)) for n in range(300)}, (row for row in rows)]
            done = False
            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            for round in range(10):
                obmalloc.pins(200 * round, objects=round % 2)
                time.sleep(0.01)
            done = True
            for thread in threads:
                thread.join()
            obmalloc.check()
            """)

    def test_with_other_allocators(self):
        for name in 'pymalloc_debug', 'malloc', 'malloc_debug':
            with self.subTest(name):
                self.check_child('''
                    kept = plant(10_000)
                    pins = obmalloc.pins()
                    assert all(row.blocks > 0 for row in pins.types)
                    ''', PYTHONMALLOC=name)

    def test_a_damaged_heap_is_named(self):
        self.check_child('''
            import ctypes
            objects = [bytes(400) for _ in range(100)]
            address = id(objects[50])
            del objects[50]
            ctypes.c_void_p.from_address(address).value = 1234
            try:
                obmalloc.pins()
            except RuntimeError as error:
                assert 'free list of page' in str(error), error
            else:
                raise AssertionError('the damage went unnoticed')
            os._exit(0)
            ''')

    def test_fit_for_json(self):
        pins = obmalloc.pins(100)
        data = json.loads(json.dumps(pins.as_dict()))
        self.assertEqual(data['version'], 1)
        self.assertEqual(len(data['types']), len(pins.types))
        self.assertEqual(data['types'][0]['type'], pins.types[0].type)
        self.assertIn('arenas', repr(pins))


if __name__ == '__main__':
    unittest.main()
