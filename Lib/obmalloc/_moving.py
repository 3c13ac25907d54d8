"""Moving what stays: copies that lie together, in place of originals that lie scattered.

An allocator cannot move Python's objects.  A program can copy them: the copies fill pages
one after another, and the pages that the originals alone kept go back.
"""

import collections
import gc
import io
import itertools
import math
import operator
import pickle
import reprlib
import time
import types
from typing import NamedTuple

from obmalloc._longlived import call as _inside
from obmalloc._pins import type_name
from obmalloc.loading import _obmalloc

PROTOCOL = 5
_COPIER_BYTES = 1 << 16     # a copier whose pickle was longer is not used again
_BATCH_BYTES = 1 << 20      # of copies or pickles that a batch aims at
_BATCH_FIRST = 16           # entries
_BATCH_MOST = 10_000        # entries
_DEEPEST = 100              # steps into a value to name what pickle refuses
_GONE = object()            # stands for the value of an entry that is no more
_copy_basic = _obmalloc.copy
_loads, _Pickler, _Unpickler = pickle.loads, pickle.Pickler, pickle.Unpickler
try:
    _Pickler(io.BytesIO()).persistent_id = len
except AttributeError:      # 3.13.0 has these attributes read-only, but in instances of subclasses

    class _Pickler(pickle.Pickler):
        pass

    class _Unpickler(pickle.Unpickler):
        pass


# --- Copies ----------------------------------------------------------------------------

def _new_copier(container=None):
    """What copies a value, with the list of what copies share and that of the buffers.

    Making a pickler takes longer than copying a small value, so copiers are used again,
    each by one thread at a time.
    """
    shared, buffers, file = [container], [], io.BytesIO()
    pickler = _Pickler(file, PROTOCOL, buffer_callback=buffers.append)
    pickler.persistent_id = _obmalloc.sharer(shared)
    return (file, file.seek, file.tell, file.read, pickler.dump, pickler.clear_memo,
            shared, shared.__getitem__, buffers)


_copiers = [_new_copier()]


def _with_buffers(data, shared, buffers):
    """The value of a pickle with buffers beside it, each copied once."""
    copies = []
    for buffer in buffers:
        with buffer.raw() as raw:
            copies.append(_inside(bytes if raw.readonly else bytearray, (raw,)))
    unpickler = _Unpickler(io.BytesIO(data), buffers=copies)
    unpickler.persistent_load = shared.__getitem__
    return _inside(unpickler.load, ()), sum(map(len, copies))


def _copy(value, copier):
    """A copy of value by pickle, and the bytes of the pickle."""
    file, seek, tell, read, dump, clear_memo, shared, shared_at, buffers = copier
    dump(value)
    clear_memo()
    size = tell()
    seek(0)
    if buffers:
        copy, more = _with_buffers(read(size), shared, buffers)
        size += more
        buffers.clear()
    elif len(shared) == 1:
        copy = _inside(_loads, (read(size),))
    else:
        unpickler = _Unpickler(file)
        unpickler.persistent_load = shared_at
        copy = _inside(unpickler.load, ())
    del shared[1:]
    seek(0)
    return copy, size


def _check_copy(function, copy):
    """TypeError unless copy can be called, or is None."""
    if not callable(copy) and copy is not None:
        raise TypeError(f'{function}: copy must be a function, not {type_name(type(copy))}')


def keep(value, *, copy=None):
    """Return a copy of value for what is to stay: a cache, a session.

        cache[key] = obmalloc.keep(row)

    The copy is made at once, in long-lived pages (see longlived()), so its objects lie together
    and keep no page that others have left.  Classes, modules and interned strings (names, literals,
    keys of instances) are shared with the original, as are small ints and other objects of
    which Python has only one.  All else is copied, whatever value refers to, and is
    equal but not identical: `is` tells original and copy apart.

    A value that consists of dicts, lists, tuples, sets, strings, bytes, bytearrays, ints, floats,
    complex numbers, bools and None only (no subclasses), and of what is shared, is copied directly,
    which takes about half of pickle's time.  With anything else in it, or nested more than 100
    deep, it is copied by pickle (protocol 5): that takes somewhat longer than pickling and
    unpickling, and memory for a pickle meanwhile.

    copy: a function (value -> its copy) to be called instead of pickle.

    TypeError: pickle refuses something in value; the message names its type and where in
    value it is.  Where obmalloc does not serve the program (see active()) it is a copy all
    the same, and lies where the allocator in force puts it.
    """
    if copy is not None:
        _check_copy('keep', copy)
        return _inside(copy, (value,))
    kept = _copy_basic(value)
    return kept if kept is not NotImplemented else _keep_by_pickle(value)


def _keep_by_pickle(value):
    try:
        copier = _copiers.pop()
    except IndexError:
        copier = _new_copier()
    try:
        kept, size = _copy(value, copier)
    except MemoryError:
        raise
    except Exception as error:
        raise _refusal('keep', 'value', value, error) from error
    if size <= _COPIER_BYTES:
        _copiers.append(copier)
    return kept


# --- What pickle refuses -----------------------------------------------------------------

def _shown(key):
    try:
        return reprlib.repr(key)
    except Exception:
        return f'<{type_name(type(key))}>'


def _words(error):
    """What an exception says, in one line."""
    try:
        return ' '.join(str(error).split())
    except Exception:
        return '?'


def _is(value, *classes):
    """Whether value is of one of the classes.  Not isinstance(), which a proxy satisfies, too."""
    return issubclass(type(value), classes)


def _parts(value):
    """What value consists of: (where, part), as far as it is known.  Raises what its own
    methods raise."""
    if _is(value, dict):
        for key, part in list(dict.items(value)):
            yield f'[{_shown(key)}]', part
        for key in list(dict.keys(value)):
            yield f' key {_shown(key)}', key
    elif _is(value, list, tuple, collections.deque):
        for number, part in enumerate(list(value)):
            yield f'[{number}]', part
    elif _is(value, set, frozenset):
        for part in list(value):
            yield f' element {_shown(part)}', part
    names = getattr(value, '__dict__', None)
    if _is(names, dict):
        for name, part in list(dict.items(names)):
            yield f'.{name}', part
    for cls in type(value).__mro__:
        slots = cls.__dict__.get('__slots__', ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ('__dict__', '__weakref__') and hasattr(value, name):
                yield f'.{name}', getattr(value, name)


def _refusing_part(value, container):
    """The first part of value that cannot be copied by itself: (where, part, why), or None."""
    parts = _parts(value)
    while True:
        try:
            where, part = next(parts)
        except MemoryError:
            raise
        except Exception:       # StopIteration, or value does not let itself be looked at
            return None
        try:
            _copy(part, _new_copier(container))
        except MemoryError:
            raise
        except Exception as error:
            return where, part, error


def _refusal(function, where, value, error, container=None):
    """The TypeError that names the least part of value that pickle refuses."""
    try:
        for _ in range(_DEEPEST):
            smaller = _refusing_part(value, container)
            if smaller is None:
                break
            where, value, error = where + smaller[0], *smaller[1:]
        return TypeError(
            f'{function}: {where} is of type {type_name(type(value))}, which pickle refuses '
            f'({type(error).__name__}: {_words(error)}): pass copy=, a function that returns a copy')
    finally:
        # The frames of an error lead to this one: with these variables they would be a cycle.
        value = error = smaller = None


# --- Free lists --------------------------------------------------------------------------

# What Python frees of some types it uses again before it asks the allocator, so copies would
# lie where the last originals lay.  A patched interpreter empties its free lists.  Elsewhere
# all that they can hold of the types that the values are made of is taken out while a batch is
# copied.  The types are those of a sample.
_FREE_TUPLES = 2000         # that wait at most, of each size
_FREE_TUPLE_MOST = 20       # items
_FREE_OTHERS = 100
_LARGE_INT = 1 << 29        # none that an interpreter keeps, of one digit as most are
_SAMPLE_VALUES = 8
_SAMPLE_OBJECTS = 300
_clear_free_lists = getattr(_obmalloc, 'clear_free_lists', None)


def _sample(values):
    """Some of the objects that values consist of."""
    level, found = values[::len(values) // _SAMPLE_VALUES + 1], []
    while level and len(found) < _SAMPLE_OBJECTS:
        found += level
        level = [part for part in gc.get_referents(*level)
                 if not _is(part, type, types.ModuleType, types.FunctionType)][:_SAMPLE_OBJECTS]
    return found


def _take_free_objects(values):
    """What keeps the free lists empty while values are copied."""
    if _clear_free_lists is not None:
        _clear_free_lists()
        return None
    taken, seen = [], set()
    for part in _sample(values):
        kind = type(part)
        if kind is tuple and 0 < len(part) <= _FREE_TUPLE_MOST:
            kind = len(part)
        if kind in seen:
            continue
        seen.add(kind)
        if isinstance(kind, int):
            taken.append(list(map(tuple, itertools.repeat([None] * kind, _FREE_TUPLES))))
        elif kind is list:
            taken.append([[] for _ in range(_FREE_OTHERS)])
        elif kind is float:
            taken.append([number + 0.5 for number in range(_FREE_OTHERS)])
        elif kind is int:
            taken.append([number + _LARGE_INT for number in range(_FREE_OTHERS)])
        elif kind is dict:
            taken.append([{None: None} for _ in range(_FREE_OTHERS)])
    return taken


# --- Containers --------------------------------------------------------------------------

class _Values:
    """The entries of a container whose values are replaced, in some order."""

    def __init__(self, container, get, set):
        """get, set: methods of the base class, bound to the container.  get may be None."""
        self.container, self.get, self.set = container, get, set
        self.may_be_basic = True    # until pickle had to copy a batch

    def __repr__(self):
        return f'<position in a {type_name(type(self.container))}>'

    def name(self, key):
        """How a message names the value of a key."""
        return f'the value of {_shown(key)}'


class _DictValues(_Values):
    """Of a dict: its keys of the beginning that are still to come, the next ones last."""

    def __init__(self, container):
        super().__init__(container, dict.get.__get__(container), dict.update.__get__(container))
        self.keys = list(dict.keys(container))
        self.keys.reverse()

    def next(self, number):
        keys = self.keys[:-number - 1:-1]
        return keys, [self.get(key, _GONE) for key in keys]

    def advance(self, number):
        del self.keys[-number:]

    def finished(self):
        return not self.keys

    def replace(self, key, old, new):
        # Neither compares nor hashes by Python code between the look and the store:
        # update() takes the hash from the dict that it is given.
        return _obmalloc.replace(self.get, key, old, self.set, ({key: new},))


class _ListValues(_Values):
    """Of a list or deque: an index."""

    def __init__(self, container, base):
        super().__init__(container, base.__getitem__.__get__(container), base.__setitem__.__get__(container))
        self.length, self.index = base.__len__.__get__(container), 0

    def next(self, number):
        keys, values = [], []
        for index in range(self.index, min(self.index + number, self.length())):
            try:
                values.append(self.get(index))
            except IndexError:      # another thread made it shorter
                break
            keys.append(index)
        return keys, values

    def advance(self, number):
        self.index += number

    def finished(self):
        return self.index >= self.length()

    def replace(self, key, old, new):
        return _obmalloc.replace(self.get, key, old, self.set, (key, new))


class _SetElements(_DictValues):
    """Of a set: its elements of the beginning that are still to come."""

    def __init__(self, container):
        _Values.__init__(self, container, None, set.update.__get__(container))
        # A set of our own, since others may change this one while it is iterated over.
        self.keys = list(set().union(container))

    def name(self, key):
        return f'the element {_shown(key)}'

    def next(self, number):
        keys = self.keys[:-number - 1:-1]
        return keys, keys

    def replace(self, key, old, new):
        if hash(new) != hash(old) or new != old:
            raise TypeError(f'compact: a copy of {self.name(key)} of type {type_name(type(old))} is not equal '
                            'to it, so it cannot take its place in a set')
        return _obmalloc.replace_element(self.container, old, self.set, ({new},))


def _position(container):
    if _is(container, dict):
        return _DictValues(container)
    for base in list, collections.deque:
        if _is(container, base):
            return _ListValues(container, base)
    if _is(container, set):
        return _SetElements(container)
    raise TypeError('compact: container must be a dict, list, deque or set, '
                    f'not {type_name(type(container))}')


class Moved(NamedTuple):
    """What compact() did.

    count       values that were replaced by their copies
    bytes       that their copies take, about, or their pickles where pickle copied them;
                0 if the caller's function did
    finished    whether it came to the end of the container
    position    where it stopped
    """
    count: int
    bytes: int
    finished: bool
    position: object


def _copies(values, position, copier):
    """Copies of a list of values, what keeps the free lists empty, and the bytes of the copies
    or of their pickle."""
    if position.may_be_basic:
        taken = _take_free_objects(values)
        copied = _obmalloc.copy_values(values, position.container)
        if copied is not None:
            return copied[0], taken, copied[1]
        position.may_be_basic = False
        del taken
    _, seek, tell, read, dump, clear_memo, shared, _, buffers = copier
    dump(values)
    clear_memo()
    size = tell()
    seek(0)
    data = read(size)
    seek(0)
    taken = _take_free_objects(values)
    copies, more = _with_buffers(data, shared, buffers)
    del shared[1:]
    buffers.clear()
    return copies, taken, size + more


class _Compaction:
    """One call of compact()."""

    def __init__(self, position, copy):
        self.position, self.copy = position, copy
        self.copier = _new_copier(position.container)
        self.looked = self.count = self.bytes = 0

    def moved(self):
        return Moved(self.count, self.bytes, self.position.finished(), self.position)

    def step(self, number):
        """Replace the next values, at most so many, or fewer if pickle refuses one of them.
        Returns how many entries were looked at."""
        keys, values = self.position.next(number)
        if self.copy is not None:
            taken, size = _take_free_objects(values), 0
            self.replace(keys, values, self.copied(values))
        else:
            try:
                copies, taken, size = _copies([None if value is _GONE else value for value in values],
                                              self.position, self.copier)
            except MemoryError:
                raise
            except Exception as error:
                self.copier = _new_copier(self.position.container)
                if len(values) > 1:
                    return self.step(len(values) // 2)
                self.position.advance(1)
                raise _refusal('compact', self.position.name(keys[0]), values[0], error,
                               self.position.container) from error
            self.replace(keys, values, copies)
        self.bytes += size
        # Before the originals: then these fill the free lists, and the originals go.
        del taken
        return len(keys)

    def copied(self, values):
        for value in values:
            yield None if value is _GONE else _inside(self.copy, (value,))

    def replace(self, keys, values, copies):
        for key, old, new in zip(keys, values, copies):
            self.position.advance(1)
            self.looked += 1
            if old is not _GONE and new is not old:
                self.count += self.position.replace(key, old, new)


def _bound(name, wanted, value, convert):
    try:
        return None if value is None else convert(value)
    except TypeError:
        raise TypeError(f'compact: {name} must be {wanted}, not {type_name(type(value))}') from None


def compact(container, *, limit=None, budget=None, copy=None, after=None):
    """Replace the values of a container in place by copies that lie together.

    container: a dict (also OrderedDict, defaultdict ...), whose keys stay; a list, a
        collections.deque or a set, whose elements are replaced.  Of a subclass the stored
        values are replaced; its own methods are not called.
    limit: look at so many entries at most (int).
    budget: begin nothing after so many seconds (float).
    copy: a function (value -> its copy) to be called instead of pickle.
    after: what an earlier call for this container returned; it goes on there.

    Returns a Moved: `count` (int), the values that were replaced; `bytes` (int), that their copies
    take, about, or their pickles where keep() would pickle; `finished` (bool), whether it came to
    the end.  A service that runs on does it bit by bit; one that is finished begins anew:

        moved = None
        while True:
            time.sleep(2)
            moved = obmalloc.compact(cache, budget=0.002, after=moved)

    The copies are those of keep().  Values are copied in batches, of about a MiB or as many as
    fit the budget.  What several values of one batch refer to stays common to their
    copies; what values of different batches refer to, or something else in the program,
    becomes several.  References to the container itself stay.  A value that someone else
    refers to goes on to exist beside its copy, so what this one changes later, or while the
    copy is made, is lost to the container: hold the lock that guards the values.  The container
    itself needs no lock: an entry that another thread has removed or set anew meanwhile
    stays as this thread left it.  (The look and the store are one step, unless keys or
    elements have the same hash() and compare by Python code.)

    An element of a set is replaced if its copy has the same hash and is equal; one that is
    equal only to itself is refused.

    Raises TypeError for arguments of other types, and when pickle refuses a value or a set refuses a copy:
    the message names it, every other entry is as it was or is replaced, and `moved` of the
    exception goes on behind that entry.  Exceptions of copy= pass through, and
    MemoryError and KeyboardInterrupt; no entry is ever lost or half replaced.  ValueError: limit
    or budget is not above 0, or `after` is of another container.

    `after` holds a list of the keys (or elements) that are still to come.  In the middle of a
    long deque each step takes time proportional to its length.
    """
    limit = _bound('limit', 'an integer', limit, operator.index)
    budget = _bound('budget', 'a number', budget, lambda seconds: math.fsum([seconds]))
    _check_copy('compact', copy)
    if limit is not None and limit < 1:
        raise ValueError(f'compact: limit must be at least 1, not {limit}')
    if budget is not None and not budget > 0:
        raise ValueError(f'compact: budget must be above 0 seconds, not {budget}')
    if after is not None and not isinstance(after, Moved):
        raise TypeError(f'compact: after must be what compact() returned, not {type_name(type(after))}')
    if after is None or after.finished and after.position.container is container:
        position = _position(container)
    else:
        position = after.position
        if position.container is not container:
            raise ValueError('compact: after is what compact() returned for another container')
    call = _Compaction(position, copy)
    begin = now = time.monotonic()
    number = _BATCH_FIRST
    try:
        while not position.finished():
            number = min(number, _BATCH_MOST, limit - call.looked if limit is not None else _BATCH_MOST)
            if number < 1:
                break
            before, last = call.bytes, now
            done = call.step(number)
            now = time.monotonic()
            number = max(1, min(2 * done, _BATCH_BYTES * done // (call.bytes - before + 1)))
            if budget is not None:
                left = begin + budget - now
                if left <= 0:
                    break
                number = max(1, int(min(number, done * left / (now - last + 1e-9))))
    except TypeError as error:
        error.moved = call.moved()
        raise
    return call.moved()
