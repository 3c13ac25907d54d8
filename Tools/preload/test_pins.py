"""obmalloc.pins() under the library: from what it verifies in the process itself."""

import json
import os
import runpy
import tempfile
import textwrap
import unittest

from helpers import ROOT, Programs, for_each_interpreter

PROGRAMS = runpy.run_path(str(ROOT / "Lib/test/test_obmalloc/pins_programs.py"))
PLANTED = PROGRAMS["SURVIVORS"] + """
import pickle, sys
from obmalloc import _layout, _pins
"""

# A part of a layout that is not there, by version.
NOT_THERE = {"instance_values": lambda version: not (3, 11) <= version < (3, 13),
             "instance_values_tag": lambda version: not (3, 12) <= version < (3, 13),
             "instance_dict": lambda version: version < (3, 11)}


class PinsPrograms(Programs):

    def setUp(self):
        self.needs(not self.python.free_threaded, "a free-threaded Python has its own allocator")

    def run_planted(self, text, **variables):
        return self.run_preloaded(PLANTED + textwrap.dedent(text), **variables)


@for_each_interpreter
class Pins(PinsPrograms):

    def test_names_the_planted_culprits(self):
        self.run_planted("""
            kept = plant(300_000)
            pins = obmalloc.pins()
            names, = rows(pins, 'str', '__main__.Culprit')
            assert names.blocks == len(kept), names
            assert names.wasted_bytes > 0.1 * len(kept) * pins.page_size, names
            culprits, = rows(pins, '__main__.Culprit')
            assert culprits.blocks == len(kept) and culprits.holder == 'list', culprits
            lists, = rows(pins, 'list', '__main__.Culprit')
            assert lists.blocks == len(kept), lists
            items = rows(pins, 'list', beside=True)
            assert sum(row.blocks for row in items) >= len(kept), items
            """)

    def test_every_block_is_what_it_is_said_to_be(self):
        self.run_planted(PROGRAMS["EVERY_BLOCK"])

    def test_the_sums(self):
        self.run_planted(PROGRAMS["SUMS"])

    def test_most_of_a_program_is_known(self):
        self.run_planted("""
            import argparse, json, logging, unittest
            assert 2 / 3 < obmalloc.pins().known < 1, obmalloc.pins()
            """)

    def test_survives_strange_types(self):
        self.run_planted(PROGRAMS["STRANGE_TYPES"])

    def test_references_are_given_back(self):
        self.run_planted("""
            kept = plant(10_000)
            one = kept[0]
            def counts():
                gc.collect()
                return [sys.getrefcount(thing) for thing in (one, one.name, one.numbers, Culprit, kept)]
            before = counts()
            for _ in range(3):
                obmalloc.pins(1_000_000)
                obmalloc.pins(10, objects=True)
            assert counts() == before, (before, counts())
            """)

    def test_nothing_waits_for_the_collector(self):
        self.run_planted(PROGRAMS["NO_CYCLES"])

    def test_while_threads_allocate(self):
        self.run_planted(PROGRAMS["THREADS"])

    def test_with_other_allocators(self):
        for name in "debug", "pymalloc_debug", "malloc", "malloc_debug":
            with self.subTest(name):
                self.run_planted("""
                    kept = burst(10_000, 500, Session)
                    pins = obmalloc.pins(1000)
                    assert all(row.blocks > 0 for row in pins.types)
                    """, PYTHONMALLOC=name, errors=None)

    def test_objects_from_before_install(self):
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        self.run_code(PLANTED + textwrap.dedent("""
            older = [Session(number) for number in range(2000)]
            assert obmalloc.pins().types == []
            assert obmalloc.install()
            kept = burst(20_000, 100, Session)
            pins = obmalloc.pins()
            sessions, = rows(pins, '__main__.Session')
            assert sessions.blocks <= 200 + 2000, sessions
            assert sessions.blocks >= 100, sessions
            obmalloc.check()
            """))

    def test_a_damaged_heap_is_named(self):
        self.needs_module("ctypes")
        self.needs(not self.python.debug, "the hooks of a debug build lie between")
        self.run_planted(PROGRAMS["DAMAGED"])


@for_each_interpreter
class Layout(PinsPrograms):

    def setUp(self):
        super().setUp()
        self.needs(not self.python.debug, "the hooks of a debug build lie between")

    def test_all_of_it_is_found(self):
        missing = json.loads(self.run_planted("""
            import json
            layout = _layout.find()
            assert len(layout['code_fields']) >= 9, layout
            print(json.dumps([name for name, value in layout.items() if value == 0]))
            """))
        self.assertEqual(missing, [name for name, is_absent in NOT_THERE.items()
                                   if is_absent(self.python.version)])

    def test_the_memory_beside_objects(self):
        self.run_planted("""
            class Plain:
                pass
            def plain(number):
                made = Plain()
                made.first, made.second = number, [number]
                return made
            count = 500
            lists = [[number] * 9 for number in range(count)]
            dicts = [{f'key {number}': number} for number in range(count)]
            sets = [{*range(number, number + 6)} for number in range(count)]
            arrays = [bytearray(100 + number % 100) for number in range(count)]
            texts = [type(f'caf\\xe9 {number}', (), {}).__name__ for number in range(count)]
            instances = [plain(number) for number in range(count)]
            pins = obmalloc.pins(10_000_000, objects=True)
            beside = {id(block.object) for arena in pins.arenas for page in arena.pages
                      for block in page.blocks if block.beside}
            with_memory = [lists, dicts, sets, arrays, texts]
            if (3, 11) <= sys.version_info < (3, 13):       # the values, beside the instance
                with_memory.append(instances)
            for things in with_memory:
                found = sum(id(thing) in beside for thing in things)
                assert found == count, (type(things[0]), found)
            """)

    def test_what_is_not_verified_is_unknown(self):
        # The same heap, seen with less and less of the layout.
        self.run_planted("""
            kept = burst(20_000, 100, Session)
            layout = _layout.find()
            for name, kind in (('list_items', 'list'), ('dict_keys', 'dict'), ('dict_values', 'dict'),
                               ('set_table', 'set')):
                _layout._known = layout = {**layout, name: 0}
                pins = obmalloc.pins()
                assert not rows(pins, kind, beside=True) or name == 'dict_keys', (name, pins.types)
                assert rows(pins, kind), name
            known = pins.known
            _layout._known = {**layout, 'type_traverse': 0}
            assert obmalloc.pins().known < known - 0.1, (obmalloc.pins().known, known)
            obmalloc.check()
            """)

    def test_a_wrong_offset_is_not_believed(self):
        # A version that has its pointers elsewhere: what is read there is no such block.
        self.run_planted("""
            real = _layout._word
            _layout._word = lambda thing, number: real(thing, number + 1)
            layout = _layout.find()
            for name in 'list_items', 'dict_keys', 'set_table', 'str_state', 'type_traverse':
                assert layout[name] == 0, (name, layout)
            _layout._word, _layout._known = real, None
            assert _layout.find()['list_items']
            """)

    def test_nothing_else_is_read(self):
        self.run_planted("""
            module = obmalloc._obmalloc
            thing = [1, 2, 3]
            assert module.words(thing, 0, 3)[1] == id(list)
            for first, count in (0, 1000), (-1000, 3), (1 << 60, 1), (0, 1 << 60), (-(1 << 60), 1), (0, -1):
                assert module.words(thing, first, count) is None, (first, count)
            assert module.words(print, -2, 1) is None or module.block(id(print))
            for address in 0, 1, 4096, (1 << 64) - 1, id(int):
                assert module.block(address) is None, address
            text = 'a text of some length' * 3
            start, content = module.block(id(text))
            assert start <= id(text) < start + len(content) and text.encode() in content
            for wrong in {}, {'code_type': int}, dict.fromkeys(_layout.find(), 'x'):
                try:
                    module.owned(0, wrong, (), ())
                except (TypeError, KeyError):
                    continue
                raise AssertionError(wrong)
            for wrong in int, 3:
                try:
                    module.traverse(wrong)
                except TypeError:
                    continue
                raise AssertionError(wrong)
            """)


@for_each_interpreter
class Copies(PinsPrograms):

    def test_survivors_of_a_burst(self):
        # All of a container is copied, then its values only, in place.
        for every in 100, 20:
            self.run_planted(f"""
                def copied(kept):
                    before = used()
                    copy = pickle.loads(pickle.dumps(kept[0], 5))
                    kept[0] = None
                    kept[0] = copy
                    del copy
                    return before - used()
                kept = [burst(100_000, {every}, lambda n: (n + 1000, f'row {{n}}', n / 3, [n]))]
                row = obmalloc.pins(0).copies[0]
                assert (row.type, row.holder) == ('tuple', 'list') and not row.others, row
                assert row.largest == len(kept[0]) <= row.values < len(kept[0]) + 100, row
                check_estimate(row.gives_back, copied(kept))

                sessions = {{f'key {{session.name}}': session
                            for session in burst(50_000, {every}, Session)}}
                row = obmalloc.pins(0).copies[0]
                assert (row.type, row.holder, row.name) == ('__main__.Session', 'dict', 'sessions'), row
                assert row.call == 'obmalloc.compact(sessions)', row
                before = used()
                copies = [pickle.loads(pickle.dumps(session, 5)) for session in sessions.values()]
                for key, copy in zip(sessions, copies):
                    sessions[key] = copy
                del copies, copy
                check_estimate(row.gives_back, before - used())
                """)


@for_each_interpreter
class Commands(PinsPrograms):

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.script = os.path.join(folder.name, "program.py")
        self.page = os.path.join(folder.name, "page.html")
        with open(self.script, "w") as file:
            file.write(PLANTED + "sessions = burst(50_000, 100, Session)\n")

    SENTENCE = (r"copying these 500 `__main__\.Session` in list \([0-9.]+ KiB\) "
                r"would give back about [0-9.]+ MiB: obmalloc\.compact\(sessions\)")

    def test_pins(self):
        self.assertRegex(self.run_python("-m", "obmalloc", "pins", self.script), self.SENTENCE)
        data = json.loads(self.run_python("-m", "obmalloc", "pins", "--json", self.script))
        row, = [row for row in data["copies"] if row["type"] == "__main__.Session"]
        self.assertEqual((row["values"], row["name"]), (500, "sessions"))

    def test_report(self):
        self.run_python("-m", "obmalloc", "report", "--output", self.page, self.script,
                        errors=f"obmalloc: the report is in {self.page}")
        with open(self.page, encoding="utf-8") as file:
            self.assertRegex(file.read(), self.SENTENCE)


if __name__ == "__main__":
    unittest.main()
