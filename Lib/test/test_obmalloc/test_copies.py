"""Copies of values of the basic types, which obmalloc.keep() and compact() make without pickle.

It runs alone as well, so that the tests of the loadable library can run it."""

import collections
import contextlib
import datetime
import gc
import json
import os
import pickle
import random
import struct
import sys
import threading
import time
import unittest
import weakref

import obmalloc
from obmalloc.loading import _obmalloc

DEEPEST = 100               # COPY_DEEPEST
STRINGS = ('', 'a', '\0', '\x7f', '\xe9', '\u20ac', '\U0001f600', 'ascii text', 'caf\xe9 \xff', '5 \u20ac',
           'smile \U0001f600', '\ud800', 'lone \udfff', '\ud83d\ude00',
           'x' * 10_000, '\xe9' * 10_000, '\u20ac' * 10_000, '\U0001f600' * 10_000)
BITS = 0, 3, 8, 9, 15, 29, 30, 31, 32, 60, 62, 63, 64, 90, 1000, 100_000
NUMBERS = tuple(sign * (1 << bits) + more for bits in BITS for sign in (1, -1) for more in (-1, 0, 1))
FLOATS = (0.0, -0.0, 1.5, -1e300, 5e-324, float('inf'), float('-inf'), float('nan'),
          struct.unpack('<d', b'\1\2\3\4\5\6\xf8\x7f')[0])


def copied(value):
    """A copy that was not made by pickle."""
    copy = _obmalloc.copy(value)
    assert copy is not NotImplemented, value
    return copy


def fresh(text):
    """The same text as a new string, unless Python has only one."""
    return ''.join(map(chr, map(ord, text)))


def shape(value, seen=None):
    """What two copies must agree in: types, values, order, and what is the same object.

    pickle makes several of one number, so numbers are only compared."""
    seen = {} if seen is None else seen
    kind = type(value)
    if kind is float:
        return 'float', struct.pack('d', value)
    if kind is complex:
        return 'complex', struct.pack('dd', value.real, value.imag)
    if kind is int:
        return 'int', hex(value)
    if kind in (bool, str, bytes, type(None), type):
        return kind.__name__, value
    if id(value) in seen and value:
        return 'again', seen[id(value)]
    seen[id(value)] = len(seen)
    if kind is dict:
        return 'dict', [(shape(key, seen), shape(part, seen)) for key, part in value.items()]
    if kind in (list, tuple):
        return kind.__name__, [shape(part, seen) for part in value]
    if kind in (set, frozenset):
        return kind.__name__, sorted(map(repr, map(shape, value)))
    return kind.__name__, value


class Random:
    """Values of all basic types, that refer to each other at random."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.made = []

    def atom(self):
        return self.random.choice([
            lambda: fresh(self.random.choice(STRINGS[:-4])), lambda: self.random.choice(NUMBERS),
            lambda: self.random.choice(FLOATS), lambda: self.random.choice([None, True, False, int, 'interned']),
            lambda: bytes(self.random.randrange(5)), lambda: self.random.random(),
            lambda: complex(self.random.choice(FLOATS[:3]), self.random.random()),
            lambda: str(self.random.random())])()

    def key(self, depth=2):
        if depth and self.random.random() < 0.2:
            return tuple(self.key(depth - 1) for _ in range(self.random.randrange(4)))
        if depth and self.random.random() < 0.1:
            return frozenset(self.key(depth - 1) for _ in range(self.random.randrange(4)))
        return self.atom()

    def value(self, depth):
        if self.made and self.random.random() < 0.15:
            return self.random.choice(self.made)
        if depth == 0 or self.random.random() < 0.3:
            value = self.random.choice([self.atom, lambda: bytearray(self.atom_bytes())])()
        else:
            value = self.container(depth)
        self.made.append(value)
        return value

    def atom_bytes(self):
        return bytes(self.random.randrange(256) for _ in range(self.random.randrange(40)))

    def container(self, depth):
        size = self.random.choice([0, 1, 2, 3, 5, 10])
        kind = self.random.randrange(5)
        if kind == 0:
            return tuple(self.value(depth - 1) for _ in range(size))
        if kind == 1:
            return self.random.choice([set, frozenset])(self.key() for _ in range(size))
        if kind == 2:
            container = {}
            self.made.append(container)     # so that it may refer to itself
            for _ in range(size):
                container[self.key()] = self.value(depth - 1)
            return container
        container = []
        self.made.append(container)
        container.extend(self.value(depth - 1) for _ in range(size))
        return container


@contextlib.contextmanager
def at_each_collection(function, threshold=1):
    """Call function(number) whenever a collection begins, and let as many begin as can."""
    number, before = 0, gc.get_threshold()

    def begins(phase, info):
        nonlocal number
        if phase == 'start':
            number += 1
            function(number)
    gc.callbacks.append(begins)
    gc.set_threshold(threshold)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(begins)


class CopyTests(unittest.TestCase):

    def test_as_pickle_does_it(self):
        first = int(os.environ.get('OBMALLOC_TEST_SEED') or time.time_ns() % 10**9)
        without_pickle = 0
        for seed in range(first, first + 300):
            value = Random(seed).container(4)
            expected = shape(pickle.loads(pickle.dumps(value, 5)))
            self.assertEqual(shape(obmalloc.keep(value)), expected, f'OBMALLOC_TEST_SEED={seed}')
            copy = _obmalloc.copy(value)
            if copy is not NotImplemented:      # for a tuple within itself
                without_pickle += 1
                self.assertEqual(shape(copy), expected, f'OBMALLOC_TEST_SEED={seed}')
        self.assertGreater(without_pickle, 200)

    def test_strings(self):
        for text in STRINGS:
            original = fresh(text)
            bytes_before = sys.getsizeof(original)
            copy = copied([original])[0]
            with self.subTest(ascii(text[:20])):
                self.assertTrue(copy == text and hash(copy) == hash(text))
                self.assertEqual(sys.getsizeof(copy), bytes_before)
                self.assertEqual(sys.getsizeof(original), bytes_before)
                if len(text) > 1:
                    self.assertFalse(copy is original)
        self.assertIs(copied(''), '')
        self.assertIs(copied('\xe9'), chr(0xe9))

    def test_the_copy_has_no_utf8_beside_it(self):
        text = fresh('caf\xe9 and more')
        before = sys.getsizeof(text)
        pickle.dumps(text)                      # in most versions this leaves it there
        self.assertEqual(sys.getsizeof(copied(text)), before)

    def test_numbers(self):
        for number in NUMBERS:
            copy = copied([number])[0]
            self.assertEqual(copy, number)
            self.assertIs(type(copy), int)
            if abs(number) > 10_000:
                self.assertIsNot(copy, number)
        for number in FLOATS:
            copy = copied(number)
            self.assertEqual(struct.pack('d', copy), struct.pack('d', number))
            self.assertIsNot(copy, number)
            both = copied(complex(number, -0.0))
            self.assertEqual(struct.pack('dd', both.real, both.imag), struct.pack('dd', number, -0.0))
        self.assertIs(copied(True), True)
        self.assertIs(copied(None), None)

    def test_bytes(self):
        for size in 0, 1, 2, 100, 10**6:
            data = os.urandom(size)
            for kind in bytes, bytearray:
                original = kind(data)
                copy = copied(original)
                self.assertEqual(copy, data)
                self.assertIs(type(copy), kind)
                if size > 1:
                    self.assertIsNot(copy, original)
        copy = copied(bytearray(b'text'))
        copy += b' and more'
        self.assertEqual(copy, b'text and more')

    def test_empty_ones_inside_each_other(self):
        value = [[], {}, (), set(), frozenset(), [[]], ([],), ({},), {(): []}, {frozenset()}, '', b'', bytearray()]
        self.assertEqual(shape(copied(value)), shape(value))

    def test_what_is_shared(self):
        value = [sys.intern(fresh('some text')), json, Random, type(None), None, 5, 'literal']
        for one, other in zip(copied(value), value):
            self.assertIs(one, other)
        self.assertIs(next(iter(copied({'literal': 1}))), next(iter({'literal': 1})))

    def test_what_is_there_once_stays_so(self):
        text, number, inner = fresh('some text'), 12.5, [1000]
        value = {'list': [text, number, inner], 'tuple': (text, number, inner), text: frozenset([text, number])}
        copy = copied(value)
        for one, other in zip(copy['list'], copy['tuple']):
            self.assertIs(one, other)
        self.assertIn(copy['list'][0], map(lambda key: key if key == text else None, copy))
        key = next(key for key in copy if key == text)
        self.assertIs(key, copy['list'][0])
        self.assertEqual({id(part) for part in copy[text]}, {id(part) for part in copy['list'][:2]})
        many = [[number] for number in range(1000, 2000)]
        copy = copied(many + many)
        self.assertEqual(list(map(id, copy[:1000])), list(map(id, copy[1000:])))
        self.assertEqual(copy, many + many)

    def test_keys_that_dicts_of_instances_share(self):
        # There is one reference for all of the dicts where they share their keys.
        class Row:
            pass
        def row(number):
            names = vars(Row())
            names[fresh('not interned')] = number
            return names
        value = list(map(row, range(100)))
        copy = copied(value)
        self.assertEqual(copy, value)
        self.assertEqual(len({id(key) for row in copy for key in row}),
                         len({id(key) for row in value for key in row}))

    def test_a_class_that_calls_python_is_left_to_pickle(self):
        calls = []
        class Meta(type):
            def __hash__(cls):
                if calls:
                    calls.pop()()
                return 1
        class Some(metaclass=Meta):
            pass
        def interrupt():
            raise KeyboardInterrupt
        for value in {Some: [1000]}, {Some}, [{(5, Some): 1000}]:
            self.assertIs(_obmalloc.copy(value), NotImplemented)
            calls.append(interrupt)
            with self.assertRaises(KeyboardInterrupt):
                obmalloc.keep(value)
            self.assertEqual(calls, [])
            self.assertEqual(obmalloc.keep(value), value)

    def test_a_not_a_number_is_found_again(self):
        nan = float('nan')
        copy = copied({'key': nan, 'in': {nan: 1}, 'set': {nan}, 'list': [nan]})
        self.assertIn(copy['key'], copy['in'])
        self.assertIn(copy['key'], copy['set'])
        self.assertIn(copy['key'], copy['list'])

    def test_what_refers_to_itself(self):
        value = {'list': []}
        value['list'].append(value)
        value['tuple'] = (value, value['list'])
        copy = copied(value)
        self.assertIs(copy['list'][0], copy)
        self.assertIs(copy['tuple'][0], copy)
        self.assertIs(copy['tuple'][1], copy['list'])
        self.assertIsNot(copy['list'], value['list'])
        copy.clear(), value.clear()

        inner = []
        value = (inner,)
        inner.append(value)
        self.assertIs(_obmalloc.copy(value), NotImplemented)
        copy = obmalloc.keep(value)
        self.assertIs(copy[0][0], copy)
        self.assertIsNot(copy, value)
        copy = copied(inner)                    # the way to the tuple begins elsewhere
        self.assertIs(copy[0][0], copy)
        inner.clear(), copy.clear()

    def test_depth(self):
        for wrap in lambda value: [value], lambda value: (value,), lambda value: {'key': value}:
            value = 12.5
            for _ in range(DEEPEST):
                value = wrap(value)
            self.assertEqual(copied(value), value)
            value = wrap(value)
            self.assertIs(_obmalloc.copy(value), NotImplemented)
            self.assertEqual(obmalloc.keep(value), value)

    def test_what_is_left_to_pickle(self):
        class Text(str):
            pass
        class Number(int):
            pass
        class Items(list):
            pass
        for other in (Text('text'), Number(5), Items(), collections.OrderedDict(), collections.deque(), range(5), ...,
                      NotImplemented, print, datetime.datetime.now(), slice(1), object(), lambda: 5):
            for value in other, [1000, other], {'key': (other,)}, [[1000], {'key': [{1000}, other]}]:
                self.assertIs(_obmalloc.copy(value), NotImplemented)
        for other in Text('text'), Number(5), datetime.datetime.now(), print:
            for value in {other}, frozenset([other]), {other: 1}:
                self.assertIs(_obmalloc.copy(value), NotImplemented)
        now = datetime.datetime.now()
        self.assertEqual(obmalloc.keep({'at': [now, now]}), {'at': [now, now]})
        self.assertIs(obmalloc.keep(NotImplemented), NotImplemented)

    def test_nothing_stays_behind(self):
        texts, inner = [fresh(text) for text in STRINGS[7:]], [1000]
        value = {'texts': texts, 'inner': inner, 'set': {1000, texts[0]}, 'tuple': (inner, texts),
                 'list': [inner, inner]}
        value['self'] = value
        refused = [value, ({1000},), object()]
        originals = [value, *value.values(), *texts, inner, int, 'literal']
        self.addCleanup(value.clear)

        def counts():
            return list(map(sys.getrefcount, originals))
        enabled = gc.isenabled()
        gc.collect()
        gc.disable()
        before = counts()
        try:
            objects = len(gc.get_objects())
            for _ in range(100):
                copied(value).clear()
                self.assertTrue(_obmalloc.copy(refused) is NotImplemented)
                self.assertTrue(_obmalloc.copy_values([value, refused], {}) is None)
            self.assertEqual(counts(), before)
            self.assertLess(len(gc.get_objects()) - objects, 50)
        finally:
            if enabled:
                gc.enable()
        copy = copied([frozenset([1000]), {2000}])
        gone = list(map(weakref.ref, copy))
        del copy
        self.assertEqual([one() for one in gone], [None, None])

    def test_the_container_stays(self):
        container = {}
        value = [container, (container,)]
        container['value'] = value
        self.addCleanup(container.clear)
        copies, size = _obmalloc.copy_values([value], container)
        self.assertIs(copies[0][0], container)
        self.assertIs(copies[0][1][0], container)
        self.assertIsNot(copies[0], value)
        self.assertEqual(list(container), ['value'])

    def test_mistakes_in_calls(self):
        for arguments in (), ([],), ((), {}), ({}, []), ([], {}, 1):
            self.assertRaises(TypeError, _obmalloc.copy_values, *arguments)
        self.assertRaises(TypeError, _obmalloc.copy)

    def test_bytes_are_about_those_of_the_copies(self):
        def size(value):
            return sys.getsizeof(value) + sum(map(size, (
                [*value, *value.values()] if isinstance(value, dict)
                else value if isinstance(value, (list, tuple, set)) else ())))
        for make in (lambda number: number, lambda number: f'some text {number}', lambda number: number + 0.5,
                     lambda number: [number], lambda number: (number, f'{number} \u20ac'), lambda number: {number},
                     lambda number: {number: str(number)}, lambda number: 10**100 + number,
                     lambda number: {str(item): item for item in range(number, number + 10)},
                     lambda number: set(range(number, number + 30)), lambda number: bytes(300) + b'%d' % number):
            values = [make(number) for number in range(10_000, 10_200)]
            copies, told = _obmalloc.copy_values(values, {})
            self.assertEqual(copies, values)
            self.assertLess(size(copies) / told, 2, values[0])
            self.assertGreater(size(copies) / told, 0.5, values[0])

    def test_compact_says_how_many_bytes(self):
        container = [[f'some text {number}'] for number in range(1000)]
        moved = obmalloc.compact(container)
        self.assertEqual(moved.count, 1000)
        self.assertGreater(moved.bytes, 50_000)
        self.assertLess(moved.bytes, 500_000)

    def test_compact_leaves_the_rest_to_pickle(self):
        now = datetime.datetime.now()
        container = [[number + 1000] if number % 7 else [now, number] for number in range(100)]
        expected, old = list(map(list, container)), list(container)
        self.assertEqual(obmalloc.compact(container).count, 100)
        self.assertEqual(container, expected)
        self.assertFalse(set(map(id, old)) & set(map(id, container)))


class ChangedMeanwhileTests(unittest.TestCase):
    """Before 3.12 a collection may come in the middle of a copy, and with it any code."""

    def value(self):
        return [[[number, str(number)] for number in range(20)], {str(number): [number] for number in range(20)},
                {(number, str(number)) for number in range(20)}, tuple([number] for number in range(20))]

    def test_what_is_copied_changes(self):
        whole = self.value()
        for change in (lambda value: value[0].clear(), lambda value: value[0].append(5), lambda value: value[0].pop(),
                       lambda value: value[1].clear(), lambda value: value[1].popitem(),
                       lambda value: value[1].update(more=5), lambda value: value[2].clear(),
                       lambda value: value[2].pop(), lambda value: value[2].add('more'), list.clear,
                       lambda value: value[0].__setitem__(slice(None), [None] * 20),
                       lambda value: [value[1].__setitem__(key, None) for key in value[1]]):
            for when in range(1, 60, 2):
                value = self.value()
                with at_each_collection(lambda number: change(value) if number == when and value else None):
                    try:
                        copy = obmalloc.keep(value)
                    except TypeError as error:          # as pickle refuses it
                        self.assertIn('changed size during iteration', str(error))
                        continue
                for part, kind in zip(copy, whole):
                    self.assertIs(type(part), type(kind))

    def test_unfinished_copies_can_be_looked_at(self):
        value, seen = self.value(), 0
        value.append((value, value[0]))
        self.addCleanup(value.clear)

        def look(number):
            nonlocal seen
            for thing in gc.get_objects():
                if type(thing) in (list, tuple):
                    seen += thing.count(None)
        with at_each_collection(look, 40):
            copy = obmalloc.keep(value)
        self.assertEqual(copy[:4], value[:4])
        self.assertIs(copy[4][0], copy)
        copy.clear()

    def test_a_finalizer_lets_go_of_everything(self):
        class Last:
            def __del__(self):
                value.clear()
                gone.append(True)
        gone = []
        for _ in range(20):
            value = self.value()
            cycle = [Last()]
            cycle.append(cycle)
            before = gc.get_threshold()
            gc.set_threshold(1)
            try:
                del cycle
                try:
                    copy = obmalloc.keep(value)
                except TypeError as error:
                    self.assertIn('changed size during iteration', str(error))
                else:
                    self.assertIn(copy, (self.value(), []))
            finally:
                gc.set_threshold(*before)
        gc.collect()
        self.assertEqual(len(gone), 20)

    def test_in_threads(self):
        # All copy the same value, which one of them goes on changing.
        value, wrong, done = self.value(), [], threading.Event()

        def work():
            for _ in range(300):
                try:
                    copy = obmalloc.keep(value)
                except TypeError as error:
                    if 'changed size' not in str(error):
                        wrong.append(error)
                else:
                    if len(copy[0]) not in (20, 21) or copy[2] != value[2]:
                        wrong.append(copy)
        def change():
            while not done.is_set():
                value[0].append([5])
                value[0].pop()
        workers = [threading.Thread(target=work) for _ in range(4)]
        changer = threading.Thread(target=change)
        changer.start()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        done.set()
        changer.join()
        self.assertEqual(wrong, [])


if __name__ == '__main__':
    unittest.main()
