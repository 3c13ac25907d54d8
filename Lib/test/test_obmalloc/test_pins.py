"""obmalloc.pins(): it names the planted culprits, and no others."""

import json
import textwrap
import unittest

import obmalloc
from obmalloc import _pins, _text

from . import pins_programs
from .helpers import INTERPRETERS, ChildTest


class PinsTests(ChildTest):
    setup = pins_programs.PLANTED

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
        self.check_child(pins_programs.EVERY_BLOCK)

    def test_the_sums(self):
        self.check_child(pins_programs.SUMS + textwrap.dedent('''
            held = sum(row.held_bytes for row in pins.types)
            assert abs(held - len(shown) * pins.page_size) <= len(pins.types), held
            for arena in pins.arenas:
                assert arena.live_bytes == sum(len(page.blocks) * page.block_size
                                               for page in arena.pages)
                assert len(arena.pages) <= arena.used_pages
            # In use without a live block: one page of a small class, those of a block of
            # a medium one.
            spare = sum(1 if row['size'] <= 512 else row['size'] // pins.page_size + 2
                        for row in _obmalloc.stats()['classes'])
            used = sum(arena.used_pages for arena in pins.arenas)
            assert used - len(shown) <= spare, (used, len(shown), spare)
            '''))

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
            obmalloc.pins()             # what it imports and compiles is there from now on
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
            pins = obmalloc.pins(1 << 30)
            sizes = [arena.live_bytes for arena in pins.arenas]
            assert sizes == sorted(sizes) and len(sizes) > 5, sizes
            for arena in pins.arenas:
                # A block is listed where it starts, and counts where it lies.
                on_page = {page.address: 0 for page in arena.pages}
                for page in arena.pages:
                    for block in page.blocks:
                        start, end = block.address, block.address + page.block_size
                        while start < end:
                            address = start - start % pins.page_size
                            stop = min(end, address + pins.page_size)
                            on_page[address] += stop - start
                            start = stop
                sizes = [*on_page.values()]
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
        self.check_child(pins_programs.STRANGE_TYPES)

    def test_types_without_a_module(self):
        # As SWIG makes them.
        self.check_child('''
            import json
            made = {}
            exec('Homeless = type("Homeless", (), {})', made)
            class Elsewhere:
                __module__ = 5
            things = [made['Homeless']() for _ in range(10)], [Elsewhere() for _ in range(20)]
            pins = obmalloc.pins()
            assert rows(pins, 'Homeless')[0].blocks == 10, pins.types
            assert rows(pins, 'Elsewhere')[0].blocks == 20, pins.types
            json.dumps(pins.as_dict())
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

    def test_nothing_waits_for_the_collector(self):
        self.check_child(pins_programs.NO_CYCLES)

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
                mine = [row for row in pins.types if row.type == '__main__.Mine' and not row.beside]
                assert sum(row.blocks for row in mine) == 500, mine
                assert sum(row.blocks for row in pins.types) == sum(arena.live_blocks for arena in pins.arenas)
                assert obmalloc.heap_map().kinds()['used'] > 0
                obmalloc.check()
                ''')
            for kind in KINDS:
                life(code, *kind)
            """))

    def test_while_threads_allocate(self):
        self.check_child(pins_programs.THREADS)

    def test_with_other_allocators(self):
        for name in 'pymalloc_debug', 'malloc', 'malloc_debug':
            with self.subTest(name):
                self.check_child('''
                    kept = plant(10_000)
                    pins = obmalloc.pins()
                    assert all(row.blocks > 0 for row in pins.types)
                    ''', PYTHONMALLOC=name)

    def test_a_damaged_heap_is_named(self):
        self.check_child(pins_programs.DAMAGED)

    def test_out_of_memory(self):
        # Whichever request is refused: each of the first, and then some.
        self.check_child('''
            import gc
            try:
                import _testcapi
            except ImportError:
                raise SystemExit
            from obmalloc import _layout, _pins
            from obmalloc.loading import _obmalloc
            class Mine:
                pass
            kept = [Mine() for _ in range(100)]
            arguments = 50, _layout.find(), _pins.COPIED_BY_REFERENCE, _pins.container_types()
            gc.collect()
            count, number, refused = sys.getrefcount(Mine), 0, True
            while refused:
                _testcapi.set_nomemory(number, number + 1)
                try:
                    _obmalloc.owned(*arguments)
                    refused = False
                except MemoryError:
                    number += 1 if number < 200 else 50
                finally:
                    _testcapi.remove_mem_hooks()
            assert number > 200, number
            assert sys.getrefcount(Mine) == count
            obmalloc.check()
            ''')

    def test_fit_for_json(self):
        pins = obmalloc.pins(100)
        data = json.loads(json.dumps(pins.as_dict()))
        self.assertEqual(data['version'], 1)
        self.assertEqual(len(data['types']), len(pins.types))
        self.assertEqual(data['types'][0]['type'], pins.types[0].type)
        self.assertIn('arenas', repr(pins))


# What copies bring, and a place for what is copied, which no frame holds beside it.
COPIED = pins_programs.SURVIVORS + '''
import pickle

def row_of(number):
    return number + 1000, f'row {number}', number / 3, [number]

def copied(place):
    """Bytes that a copy of all that place[0] is gives back."""
    before = used()
    copy = pickle.loads(pickle.dumps(place[0], 5))
    place[0] = None
    place[0] = copy
    del copy
    return before - used()

def copies(kind, holder):
    gc.collect()
    return next(row for row in obmalloc.pins(0).copies if (row.type, row.holder) == (kind, holder))
'''


class CopiesTests(ChildTest):
    setup = COPIED

    def test_survivors_in_a_list(self):
        for every in 100, 20:
            self.check_child(f'''
                kept = [burst(300_000, {every}, row_of)]
                row = copies('tuple', 'list')
                assert row.largest == len(kept[0]) and not row.others, row
                check_estimate(row.gives_back, copied(kept))
                ''')

    def test_survivors_in_a_dict(self):
        # Its values only, as obmalloc.compact() does it.
        self.check_child('''
            sessions = {f'key {session.name}': session for session in burst(100_000, 100, Session)}
            row = copies('__main__.Session', 'dict')
            assert row.largest == row.values == len(sessions), row
            assert (row.name, row.call) == ('sessions', 'obmalloc.compact(sessions)'), row
            before = used()
            made = [pickle.loads(pickle.dumps(session, 5)) for session in sessions.values()]
            for key, copy in zip(sessions, made):
                sessions[key] = copy
            del made, copy
            check_estimate(row.gives_back, before - used())
            ''')

    def test_keys_stay(self):
        # An int is the key and the first item of each row: only with the keys it goes.
        self.check_child('''
            kept = [{row[0]: row for row in burst(300_000, 100, row_of)}]
            row = copies('tuple', 'dict')
            assert row.gives_back_with_keys > 1.1 * row.gives_back, row
            check_estimate(row.gives_back_with_keys, copied(kept))
            ''')

    def test_what_others_refer_to_stays(self):
        self.check_child('''
            kept = burst(200_000, 100, row_of)
            alone = copies('tuple', 'list')
            names = tuple(row[1] for row in kept)           # the strings are not the rows' alone
            shared = copies('tuple', 'list')
            assert shared.values == alone.values, (alone, shared)
            assert shared.blocks <= alone.blocks - len(kept), (alone, shared)
            assert shared.gives_back < 0.9 * alone.gives_back, (alone, shared)
            rows = tuple(kept)                              # nor are the rows the list's
            assert not [row for row in obmalloc.pins(0).copies
                        if row.type == 'tuple' and row.values >= len(kept)]
            del rows, names
            again = copies('tuple', 'list')
            assert again.blocks == alone.blocks, (alone, again)
            ''')

    def test_a_variable_of_c_code_keeps_its_object(self):
        self.check_child('''
            import itertools
            kept = burst(100_000, 100, row_of)
            alone = copies('tuple', 'list').values
            # A generator's local is seen; an iterator of C code is, too; a count of
            # references that nothing accounts for is not.
            import ctypes
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept[5]))
            assert copies('tuple', 'list').values == alone - 1
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(kept[5]))
            ''')

    def test_cycles_and_nesting(self):
        self.check_child('''
            class Node:
                def __init__(self, number):
                    self.name = f'node {number}'
                    self.children = [Child(self, number + more) for more in range(3)]
            class Child:
                def __init__(self, parent, number):
                    self.parent = parent
                    self.name = f'child {number}'
            application = {'name': 'application', 'nodes': {}, 'other': []}
            application['nodes'].update(enumerate(burst(50_000, 50, Node)))
            row = copies('__main__.Node', 'dict')
            assert row.values == row.largest == 1000, row
            # The node, its name and list; three children with their names; on top the
            # memory of lists and of attributes.
            assert row.blocks >= 1000 * 9, row
            assert not [row for row in obmalloc.pins(0).copies if row.type == '__main__.Child']
            ''')

    def test_containers(self):
        self.check_child('''
            import collections
            for make in list, set, collections.deque, lambda rows: dict(enumerate(rows)), \\
                        lambda rows: collections.OrderedDict(enumerate(rows)):
                kept = make([(row[0], row[1]) for row in burst(50_000, 50, row_of)])
                found = [row for row in obmalloc.pins(0, objects=True).copies if row.container is kept]
                assert found[0].largest == 1000, (type(kept), found)
            few = [burst(50_000, 5000, row_of) for _ in range(3)]   # each has ten
            assert not [row for row in obmalloc.pins(0).copies if row.largest == 10]
            ''')

    def test_what_is_copied_by_reference(self):
        self.check_child('''
            def burst_of(make):
                return burst(20_000, 20, make)
            classes = burst(2000, 20, lambda number: type(f'Class{number}', (), {}))
            functions = burst_of(lambda number: lambda: number)
            generators = burst_of(lambda number: (n for n in [number]))
            types = {row.type for row in obmalloc.pins(0).copies}
            assert not types & {'type', 'function', 'generator', 'cell'}, types
            ''')

    def test_nothing_to_gain(self):
        self.check_child('''
            kept = [row_of(number) for number in range(100_000)]
            found = [row for row in obmalloc.pins(0).copies if row.type == 'tuple']
            assert sum(row.gives_back for row in found) < MIB / 4, found
            ''')

    def test_names(self):
        self.check_child('''
            import types
            shop = types.ModuleType('shop')
            sys.modules['shop'] = shop
            class Pretender:
                __class__ = types.ModuleType
            class Hidden:
                __class__ = property(lambda self: 1 / 0)
            sys.modules.update(strange=object(), pretender=Pretender(), hidden=Hidden())
            shop.sessions = burst(50_000, 50, Session)
            assert copies('__main__.Session', 'list').name == 'shop.sessions'
            place = [shop.sessions]
            del shop.sessions
            row = copies('__main__.Session', 'list')
            assert (row.name, row.call) == ('', 'obmalloc.compact(container)'), row
            ''')

    def test_as_sentences_and_json(self):
        pins = _pins.Pins(4096, [], [], [_pins.Copies(
            type='shop.Session', others=False, holder='dict', containers=1, values=1600, largest=1600,
            blocks=9600, bytes=491_520, pages=4200, gives_back=16 << 20, gives_back_with_keys=20 << 20,
            name='shop.sessions', call='obmalloc.compact(shop.sessions)')])
        self.assertEqual(
            _text.copies_text(pins.copies[0]),
            'copying these 1,600 `shop.Session` in dict (480 KiB) would give back about 16.0 MiB: '
            'obmalloc.compact(shop.sessions)')
        several = pins.copies[0]._replace(containers=30, largest=90, others=True,
                                          gives_back_with_keys=22 << 20)
        self.assertEqual(
            _text.copies_text(several),
            'copying these 1,600 values in 30 containers of type dict, most of them `shop.Session` '
            '(480 KiB) would give back about 16.0 MiB: obmalloc.compact(container) for each, of which '
            'shop.sessions is the largest; with the keys about 22.0 MiB: container = '
            'obmalloc.keep(container) for each')
        again = _pins.from_dict(json.loads(json.dumps(pins.as_dict())))
        self.assertEqual(again.copies, pins.copies)
        self.assertEqual(_text.copies_worth_it(again), pins.copies)
        small = pins.copies[0]._replace(gives_back=4096, gives_back_with_keys=4096)
        self.assertEqual(_text.copies_worth_it(_pins.Pins(4096, [], [], [small])), [])


if __name__ == '__main__':
    unittest.main()
