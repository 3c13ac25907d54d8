"""obmalloc.keep() and obmalloc.compact(): what becomes of the objects.

It runs alone as well, so that the tests of the loadable library can run it."""

import collections
import decimal
import fractions
import gc
import json
import pickle
import sys
import threading
import unittest
import weakref

import obmalloc


class Plain:
    """Compares by what it holds."""

    def __init__(self, **names):
        self.__dict__.update(names)

    def __eq__(self, other):
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None


class Slotted:
    __slots__ = 'first', 'second'


class Named:
    """A key whose hash and comparison are Python code."""

    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return isinstance(other, Named) and other.name == self.name


class Buffered:
    """Hands its bytes to the pickler beside the pickle."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffered, (pickle.PickleBuffer(self.data),)


class Fragile(Exception):
    """Can be pickled, and not be made again."""

    def __init__(self, one, two):
        super().__init__(one)


def row(number):
    """What a program remembers: strings that are not interned, numbers, a list."""
    return json.loads('{"id": %d, "name": "customer %d", "tags": ["a%d", "b%d"], "price": %d.5}'
                      % (number + 1000, number, number, number, number))


def rows(count):
    return {f'key {number}': row(number) for number in range(count)}


class KeepTests(unittest.TestCase):

    def assertCopied(self, value):
        copy = obmalloc.keep(value)
        self.assertEqual(copy, value)
        self.assertIs(type(copy), type(value))
        self.assertIsNot(copy, value)
        return copy

    def test_values(self):
        for value in (row(1), [row(1)], (1000, 'some text'), {1000, 'some text'}, frozenset([1000]), 12345.5,
                      10**30, 'some text', b'some bytes', bytearray(b'bytes'), Plain(a=[1]),
                      collections.OrderedDict(b=1, a=2), collections.deque([1, 2], 5),
                      collections.defaultdict(list, a=[1]), range(10, 2000), 2j):
            with self.subTest(value):
                self.assertCopied(value)

    def test_all_of_it_is_copied(self):
        value = row(10**6)      # no number that an interpreter keeps, as 3.15 does up to 1024
        copy = self.assertCopied(value)
        for name in 'id', 'name', 'tags', 'price':
            self.assertIsNot(copy[name], value[name])
        self.assertIsNot(copy['tags'][0], value['tags'][0])

    def test_what_is_shared(self):
        class Local:
            pass
        value = ['interned', Local, json, 5, None, True, '', Ellipsis, sys.intern('a b'), print, Plain]
        copy = obmalloc.keep(value)
        for one, other in zip(copy, value):
            self.assertIs(one, other)
        self.assertIs(type(obmalloc.keep(Local())), Local)

    def test_keys_are_not_multiplied(self):
        kept = [obmalloc.keep({'customer': number + 1000, 'amount': number + 0.5, 'state': 'paid'})
                for number in range(1600)]
        self.assertEqual(len({id(key) for one in kept for key in one}), 3)
        self.assertEqual(len({id(one['state']) for one in kept}), 1)
        instances = [obmalloc.keep(Plain(one=number, two=number)) for number in range(1600)]
        self.assertEqual(len({id(name) for one in instances for name in vars(one)}), 2)

    def test_strings_that_nobody_interned_stay_so(self):
        # Interned ones would stay until the interpreter ends, in some versions.
        text = ''.join(['not', ' interned'])
        copy = obmalloc.keep([text])[0]
        self.assertIsNot(copy, text)
        self.assertIsNot(sys.intern(''.join(['not', ' interned'])), copy)

    def test_references_inside(self):
        one = ['one']
        value = {'one': one, 'same': one}
        value['self'] = value
        copy = obmalloc.keep(value)
        self.assertIs(copy['one'], copy['same'])
        self.assertIs(copy['self'], copy)
        self.assertIsNot(copy['one'], one)

    def test_buffers(self):
        for data in bytearray(b'0123456789' * 1000), b'0123456789' * 1000:
            for kept in obmalloc.keep(Buffered(data)), obmalloc.keep([Plain, Buffered(data)])[1]:
                self.assertEqual(kept.data, data)
                self.assertIsNot(kept.data, data)
                self.assertIs(type(kept.data), type(data))

    def test_a_function_of_the_callers(self):
        value = threading.Lock()
        self.assertEqual(obmalloc.keep(value, copy=lambda it: (it, 'kept')), (value, 'kept'))
        self.assertRaises(ZeroDivisionError, obmalloc.keep, value, copy=lambda it: 1 / 0)

    def assertRefused(self, value, *words):
        with self.assertRaises(TypeError) as caught:
            obmalloc.keep(value)
        message = str(caught.exception)
        for word in words:
            self.assertIn(word, message)
        self.assertIn('copy=', message)
        self.assertNotIn('\n', message)

    def test_what_pickle_refuses_is_named(self):
        lock, slotted = threading.Lock(), Slotted()
        slotted.second = [1, lock]
        name = '_thread.lock, which'
        self.assertRefused(lock, 'value is of type', name)
        self.assertRefused({'user': [0, lock]}, "value['user'][1] is", name)
        self.assertRefused(Plain(a=1, lock=lock), 'value.lock is', name)
        self.assertRefused([slotted], 'value[0].second[1] is', name)
        self.assertRefused({(1, lock): 2}, 'key', name)
        self.assertRefused(collections.deque([(lock,)]), 'value[0][0] is', name)
        self.assertRefused([(n for n in ())], 'value[0] is of type generator')
        self.assertRefused([1, Fragile(1, 2)], 'value[1] is of type', 'Fragile', 'missing 1 required')
        itself = {'lock': lock}
        itself['again'] = itself
        self.assertRefused(itself, 'which pickle refuses')

    def test_what_refuses_to_be_looked_at_too(self):
        def refuse(self, protocol=None):
            raise Unspeakable('no')

        class Unspeakable(Exception):
            def __str__(self):
                raise ValueError
        class Talkative(Exception):
            def __str__(self):
                return 'one line\n  and another'
        class Pretender:
            __class__ = dict
            __reduce_ex__ = refuse
        class Hidden:
            __dict__ = property(refuse)
            __reduce_ex__ = refuse
        class Slot:
            __slots__ = 'name'
            __reduce_ex__ = refuse
            def __getattribute__(self, name):
                return refuse(self) if name == 'name' else object.__getattribute__(self, name)
        class Long:
            def __reduce_ex__(self, protocol):
                raise Talkative
        for kind in Pretender, Hidden, Slot:
            self.assertRefused([5, kind()], 'value[1] is of type', kind.__name__, '(Unspeakable: ?)')
        self.assertRefused([5, Long()], 'value[1] is of type', '(Talkative: one line and another)')

    def test_it_goes_on_after_a_refusal(self):
        for _ in range(20):
            self.assertRaises(TypeError, obmalloc.keep, ['interned', threading.Lock()])
            self.assertCopied(row(1))

    def test_nothing_of_the_value_stays_behind(self):
        class Local:
            pass
        for wrap in list, lambda items: ['interned', *items]:
            value = Local()
            gone = weakref.ref(value)
            copy = obmalloc.keep(wrap([value]))[-1]
            copy_gone = weakref.ref(copy)
            del value, copy
            self.assertIsNone(gone())
            self.assertIsNone(copy_gone())

    def test_from_within(self):
        class Within:
            def __reduce__(self):
                return list, (obmalloc.keep(['interned', 12345]),)
        self.assertEqual(obmalloc.keep(['interned', Within()]), ['interned', ['interned', 12345]])

    def test_in_threads(self):
        values = [[Named(f'{number} of {thread}') for number in range(50)] for thread in range(8)]
        copies = [None] * len(values)
        def work(thread):
            for _ in range(50):
                copies[thread] = obmalloc.keep(values[thread])
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(values))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(copies, values)




class CompactTests(unittest.TestCase):

    def containers(self, count=100):
        """Of each kind, one with so many rows."""
        values = [row(number) for number in range(count)]
        yield dict(enumerate(values))
        yield {Named(str(number)): value for number, value in enumerate(values)}
        yield collections.OrderedDict((str(number), value) for number, value in enumerate(values))
        yield collections.defaultdict(list, enumerate(values))
        yield list(values)
        yield collections.deque(values, count)
        yield {(number, f'text {number}') for number in range(count)}

    @staticmethod
    def contents(container):
        return list(container.items() if isinstance(container, dict) else container)

    @staticmethod
    def values(container):
        return list(container.values() if isinstance(container, dict) else container)

    def test_values_are_replaced(self):
        for container in self.containers():
            with self.subTest(type(container)):
                before, old = self.contents(container), self.values(container)
                moved = obmalloc.compact(container)
                after, new = self.contents(container), self.values(container)
                if isinstance(container, set):
                    before.sort(), after.sort(), old.sort(), new.sort()
                self.assertEqual(after, before)
                self.assertFalse(set(map(id, old)) & set(map(id, new)))
                self.assertEqual((moved.count, moved.finished), (100, True))
                self.assertGreater(moved.bytes, 1000)
                if isinstance(container, dict):
                    for (one, _), (other, _) in zip(before, after):
                        self.assertIs(one, other)

    def test_empty(self):
        for container in {}, [], set(), collections.deque():
            self.assertEqual(obmalloc.compact(container)[:3], (0, 0, True))

    def test_subclasses(self):
        class Strange(dict):
            def unexpected(self, *args):
                raise AssertionError('not to be called')
            __getitem__ = __setitem__ = __iter__ = keys = items = get = update = __missing__ = unexpected
        container = Strange(rows(50))
        self.assertEqual(obmalloc.compact(container).count, 50)
        self.assertEqual(dict(dict.items(container)), rows(50))

        class Log(list):
            __getitem__ = __setitem__ = __len__ = __iter__ = Strange.unexpected
        container = Log([row(1), row(2)])
        self.assertEqual(obmalloc.compact(container).count, 2)

    def test_other_types(self):
        class Pretender:
            __class__ = dict
        container = collections.OrderedDict(a=[1])
        for container in ((1, 2), frozenset([1]), 'text', 5, None, Plain(a=1), range(3), {}.values(),
                          Pretender(), weakref.proxy(container)):
            with self.assertRaisesRegex(TypeError, 'must be a dict, list, deque or set, not'):
                obmalloc.compact(container)

    def test_bad_bounds(self):
        for bounds in {'limit': 0}, {'limit': -1}, {'budget': 0}, {'budget': -1.5}, {'budget': float('nan')}:
            with self.assertRaisesRegex(ValueError, 'compact: '):
                obmalloc.compact({}, **bounds)
        for name, wanted, values in ('limit', 'an integer', ('all', 1.5)), ('budget', 'a number', ('all', [1], 1j)):
            for value in values:
                message = f'^compact: {name} must be {wanted}, not {type(value).__name__}$'
                with self.assertRaisesRegex(TypeError, message):
                    obmalloc.compact({}, **{name: value})
        for after in 5, (1, 2, True, None), 'first':
            with self.assertRaisesRegex(TypeError, '^compact: after must be what compact.. returned, not '):
                obmalloc.compact({}, after=after)
        with self.assertRaisesRegex(ValueError, 'another container'):
            obmalloc.compact({}, after=obmalloc.compact({}))
        for budget in fractions.Fraction(60), decimal.Decimal(60):
            self.assertEqual(obmalloc.compact({1: [2]}, budget=budget).count, 1)

    def test_what_was_refused_does_not_wait_for_the_collector(self):
        class Refused:
            def __reduce__(self):
                raise ValueError
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for take in obmalloc.keep, obmalloc.compact:
            container = [{'deep': (Refused(),)}]
            refused = weakref.ref(container[0]['deep'][0])
            try:
                take(container)
            except TypeError as error:
                self.assertIn("['deep'][0] is of type ", str(error))
            del container
            self.assertIsNone(refused())

    def test_what_copy_may_be(self):
        with self.assertRaisesRegex(TypeError, '^keep: copy must be a function, not int$'):
            obmalloc.keep([], copy=5)
        for container in [], [[1]], {}:
            with self.assertRaisesRegex(TypeError, '^compact: copy must be a function, not str$'):
                obmalloc.compact(container, copy='deepcopy')

    def test_bit_by_bit(self):
        for container in self.containers():
            for bounds in {'limit': 7}, {'limit': 1}, {'budget': 1e-9}, {'limit': 7, 'budget': float('inf')}:
                with self.subTest(type(container), **bounds):
                    old = self.values(container)
                    moved, count, steps = None, 0, 0
                    while moved is None or not moved.finished:
                        moved = obmalloc.compact(container, after=moved, **bounds)
                        self.assertGreater(moved.count, 0)
                        self.assertLessEqual(moved.count, bounds.get('limit', 100))
                        count, steps = count + moved.count, steps + 1
                    self.assertEqual(count, 100)
                    self.assertGreater(steps, 1)
                    self.assertFalse(set(map(id, old)) & set(map(id, self.values(container))))
                    again = obmalloc.compact(container, after=moved, limit=3)
                    self.assertEqual((again.count, again.finished), (3, False))

    def test_what_values_share(self):
        common = row(1)
        container = {'own': row(2), 'one': common, 'two': [common], 'three': common}
        container['all'] = [container]
        obmalloc.compact(container)
        self.assertIsNot(container['one'], common)
        self.assertIs(container['one'], container['two'][0])
        self.assertIs(container['one'], container['three'])
        self.assertIs(container['all'][0], container)

    def test_what_need_not_be_copied(self):
        container = ['interned', 5, None, len, Plain, row(1)]
        before = list(container)
        self.assertEqual(obmalloc.compact(container).count, 1)
        for one, other in zip(before[:-1], container):
            self.assertIs(one, other)

    def test_a_function_of_the_callers(self):
        for container in self.containers():
            if not isinstance(container, set):
                moved = obmalloc.compact(container, copy=lambda value: [value['id']])
                self.assertEqual((moved.count, moved.bytes), (100, 0))
                self.assertEqual(self.values(container), [[number + 1000] for number in range(100)])
        self.assertEqual(obmalloc.compact(container, copy=lambda value: value).count, 0)

    def test_a_value_that_hides_its_class(self):
        class Hidden:
            __class__ = property(lambda self: 1 / 0)
        container = [[Hidden()]]
        self.assertEqual(obmalloc.compact(container, copy=list).count, 1)

    def test_a_value_that_refuses(self):
        for number in 0, 1, 17, 98, 99:
            container = rows(100)
            container[f'key {number}']['lock'] = lock = threading.Lock()
            old = list(container.values())
            with self.assertRaises(TypeError) as caught:
                obmalloc.compact(container)
            self.assertRegex(str(caught.exception),
                             fr"^compact: the value of 'key {number}'\['lock'\] is of type _thread.lock, which")
            self.assertEqual(list(container.values()), old)
            self.assertIs(container[f'key {number}']['lock'], lock)
            before = caught.exception.moved
            self.assertEqual((before.count, before.finished), (number, number == 99))
            if not before.finished:
                self.assertEqual(obmalloc.compact(container, after=before).count, 99 - number)
            for index, value in enumerate(container.values()):
                self.assertEqual(value is old[index], index == number)
        for container in [[row(1), lock]], [collections.deque([row(1), lock])]:
            with self.assertRaisesRegex(TypeError, r'the value of 1 is of type _thread.lock'):
                obmalloc.compact(container[0])
        with self.assertRaisesRegex(TypeError, r'the element .*lock.* is of type _thread.lock'):
            obmalloc.compact({lock})

    def test_an_element_that_is_equal_only_to_itself(self):
        class Element:
            def __init__(self, number):
                self.number = number
            def __hash__(self):
                return self.number
        for number in range(8):     # it comes before the other element, behind it, and in its place
            element = Element(number)
            container = {element, (1, 'one')}
            moved = error = None
            while moved is None or not moved.finished:
                try:
                    moved = obmalloc.compact(container, after=moved)
                except TypeError as caught:
                    error, moved = caught, caught.moved
            self.assertRegex(str(error), 'a copy of the element .*Element.* is not equal to it')
            self.assertIn(element, container)
            self.assertEqual(len(container), 2)

    def test_others_change_the_container_meanwhile(self):
        # They do so while a value is copied.
        new = row(5)
        def copier(change):
            def copy(value):
                change()
                return dict(value)
            return copy
        container = rows(3)
        self.assertEqual(obmalloc.compact(container, copy=copier(
            lambda: container.__setitem__('key 1', new))).count, 2)
        self.assertIs(container['key 1'], new)
        self.assertEqual(obmalloc.compact(container, copy=copier(lambda: container.pop('key 1', None))).count, 2)
        self.assertEqual(list(container), ['key 0', 'key 2'])
        self.assertEqual(obmalloc.compact(container, copy=copier(
            lambda: container.update(rows(len(container) + 1)))).count, 0)
        for kind in list, collections.deque:
            container = kind(rows(10).values())
            obmalloc.compact(container, copy=copier(lambda: len(container) > 4 and container.pop()))
            self.assertEqual(container, kind(rows(4).values()))
            container = kind(rows(4).values())
            obmalloc.compact(container, copy=copier(container.clear))
            self.assertEqual(len(container), 0)
        container = {(1, 'one'), (2, 'two'), (3, 'three')}
        first = []
        def discard(value):
            first.append(value)
            container.discard(value)
            return tuple(list(value))
        self.assertEqual(obmalloc.compact(container, copy=discard).count, 0)
        self.assertEqual((len(first), container), (3, set()))

    def test_others_change_it_between_two_steps(self):
        container = rows(20)
        moved = obmalloc.compact(container, limit=5)
        for number in range(0, 20, 2):
            del container[f'key {number}']
        container['new'] = row(100)
        self.assertEqual(obmalloc.compact(container, after=moved).count, 8)
        container = list(rows(20).values())
        moved = obmalloc.compact(container, limit=15)
        del container[10:]
        self.assertEqual(obmalloc.compact(container, after=moved)[:3], (0, 0, True))

    def test_no_change_of_another_thread_is_lost(self):
        # Each is sure that what it has stored is there until it stores the next.
        for make in str, Named:
            container = {make(str(number)): [0] for number in range(20)}
            keys, wrong, done = list(container), [], threading.Event()
            def work(mine):
                try:
                    for count in range(1, 2000):
                        for key in mine:
                            if container[key] != [count - 1]:
                                wrong.append((key, count, container[key]))
                            container[key] = [count]
                finally:
                    done.set()
            threads = [threading.Thread(target=work, args=(keys[part::2],)) for part in range(2)]
            interval = sys.getswitchinterval()
            self.addCleanup(sys.setswitchinterval, interval)
            sys.setswitchinterval(1e-5)
            for thread in threads:
                thread.start()
            while not done.is_set():
                obmalloc.compact(container)
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])
            self.assertEqual(set(map(tuple, container.values())), {(1999,)})

    def test_no_change_by_a_collection_is_lost(self):
        # Whichever collection it is that runs Python code, such as a finalizer.
        def compact(container, keys, new, number):
            """Whether so many collections came."""
            count = 0
            def collected(phase, info):
                nonlocal count
                count += phase == 'start'
                if count == number and phase == 'start':
                    gc.set_threshold(0)
                    for key in keys:
                        container[key] = new
            threshold = gc.get_threshold()
            gc.callbacks.append(collected)
            try:
                gc.set_threshold(1)
                obmalloc.compact(container, copy=lambda value: tuple(list(value)))
            finally:
                gc.set_threshold(*threshold)
                gc.callbacks.remove(collected)
            return count >= number

        for size in 1, 2, 3:
            old, new = (tuple([value] * size) for value in ('old', 'new'))
            keys = range(5)
            for make in dict.fromkeys, lambda keys, old: [old] * 5, lambda keys, old: collections.deque([old] * 5):
                number, came = 0, True
                while came:
                    number += 1
                    container = make(keys, old)
                    came = compact(container, keys, new, number)
                    self.assertEqual([container[key] for key in keys], [new if came else old] * 5)
                self.assertGreater(number, 2)

    def test_a_set_grows_meanwhile(self):
        # With each collection: one may come between any two steps of the interpreter.
        container, added = {(number, 'old') for number in range(20)}, []
        def collected(phase, info):
            added.append((len(added), 'new'))
            container.add(added[-1])
        threshold = gc.get_threshold()
        gc.callbacks.append(collected)
        try:
            gc.set_threshold(1)
            moved = obmalloc.compact(container)
        finally:
            gc.set_threshold(*threshold)
            gc.callbacks.remove(collected)
        self.assertTrue(moved.finished)
        self.assertEqual(container, {(number, 'old') for number in range(20)}.union(added))

    def test_an_element_is_never_missing(self):
        # Not even where its hash is Python code, during which other threads may run.
        container, seen = set(), set()
        class Watching(Named):
            def __hash__(self):
                seen.add(len(container))
                return super().__hash__()
        container.update(Watching(str(number)) for number in range(20))
        seen.clear()
        moved = obmalloc.compact(container, copy=lambda element: Watching(element.name))
        self.assertEqual((moved.count, seen), (20, {20}))

    def test_an_interrupt_at_any_line(self):
        # KeyboardInterrupt comes between two lines of Python, or within a function of C that
        # looks for signals, which none of ours does.
        for container in self.containers(5):
            expected = self.contents(container)
            if isinstance(container, set):
                expected.sort()
            line, interrupted = 0, True
            while interrupted:
                line, interrupted, left = line + 1, False, line
                def trace(frame, event, argument):
                    nonlocal left
                    if not frame.f_code.co_filename.endswith('_moving.py'):
                        return None
                    if event == 'line':
                        left -= 1
                        if left < 0:
                            sys.settrace(None)
                            raise KeyboardInterrupt
                    return trace
                before = sys.gettrace()
                sys.settrace(trace)
                try:
                    obmalloc.compact(container)
                except KeyboardInterrupt:
                    interrupted = True
                finally:
                    sys.settrace(before)
                found = self.contents(container)
                if isinstance(container, set):
                    found.sort()
                self.assertEqual(found, expected, line)
            self.assertGreater(line, 100)

    def test_an_exception_of_the_copying(self):
        container = rows(20)
        old = list(container.values())
        def copy(value):
            if value['id'] == 1010:
                raise KeyboardInterrupt
            return dict(value)
        self.assertRaises(KeyboardInterrupt, obmalloc.compact, container, copy=copy)
        self.assertEqual([one is other for one, other in zip(old, container.values())],
                         [False] * 10 + [True] * 10)

    def test_mistakes_in_calls_of_the_functions_in_c(self):
        module = obmalloc.loading._obmalloc
        for shared in [], (), None:
            self.assertRaises(TypeError, module.sharer, shared)
        one = [1]
        self.assertRaises(TypeError, module.replace, one.__getitem__, 0, 1, one.__setitem__)
        self.assertRaises(TypeError, module.replace, one.__getitem__, 0, 1, one.__setitem__, [0, 2])
        self.assertRaises(TypeError, module.replace, one.__getitem__, 'key', 1, one.__setitem__, (0, 2))
        self.assertRaises(TypeError, module.replace, one.__getitem__, 0, 1, one.__setitem__, ())
        self.assertIs(module.replace(one.__getitem__, 5, 1, one.__setitem__, (5, 2)), False)
        self.assertIs(module.replace(one.__getitem__, 0, 2, one.__setitem__, (0, 3)), False)
        self.assertEqual(one, [1])
        element = {1000}
        self.assertRaises(TypeError, module.replace_element, element, [], element.update, ({2},))
        self.assertRaises(TypeError, module.replace_element, element, 1000, element.update)
        self.assertRaises(TypeError, module.replace_element, element, 1000, element.update, [{2}])
        self.assertRaises(TypeError, module.replace_element, element, 1000, element.update, ([[]],))
        self.assertEqual(element, {1000})
        self.assertIs(module.replace_element(element, 5, element.update, ({6},)), False)
        self.assertEqual(element, {1000})

    def test_what_is_returned(self):
        container = rows(20)
        moved = obmalloc.compact(container, limit=5)
        self.assertEqual(moved._fields, ('count', 'bytes', 'finished', 'position'))
        self.assertIn('<position in a dict>', repr(moved))
        self.assertFalse(moved.finished)


if __name__ == '__main__':
    unittest.main()
