"""Programs that ask obmalloc.pins(), for patched interpreters and for the library.

Tools/preload/test_pins.py runs them too.
"""

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

# What is found from the objects must agree with where the objects are.
EVERY_BLOCK = '''
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
'''

# The parts make up the whole.
SUMS = '''
kept = plant(100_000)
pins = obmalloc.pins(1_000_000)
shown = [page for arena in pins.arenas for page in arena.pages]
blocks = sum(arena.live_blocks for arena in pins.arenas)
assert sum(row.blocks for row in pins.types) == blocks
assert sum(len(page.blocks) for page in shown) == blocks
size = sum(arena.live_bytes for arena in pins.arenas)
assert sum(row.bytes for row in pins.types) == size
for row in pins.types:
    touched = {number for page in shown for block in page.blocks
               if (block.type, block.beside, block.holder) == (row.type, row.beside, row.holder)
               for number in range(block.address // pins.page_size,
                                   (block.address + page.block_size - 1) // pins.page_size + 1)}
    same_name = rows(pins, row.type, row.holder, row.beside)
    assert len(same_name) > 1 or len(touched) == row.pages, (row, len(touched))
'''

# Types that answer no question, and objects of many kinds.
STRANGE_TYPES = '''
class Meta(type):
    __qualname__ = 'Meta'
    def __getattribute__(cls, name):
        raise RuntimeError('not to be asked')
class Strange(metaclass=Meta):
    pass
class Twin(dict):
    __slots__ = ()
class Items(list):
    pass
class Numbers(int):
    pass
import collections
things = [object.__new__(Strange) for _ in range(10)], Twin(a=1), [Twin], Items('abc')
more = collections.OrderedDict(a=1), collections.deque('abc'), Numbers(7), ValueError(things)
partial = iter([1]), (n for n in range(3)), bytearray(100), {*range(50)}, frozenset('abc')
text = 'caf\\xe9' * 9
text.encode()
pins = obmalloc.pins()
assert rows(pins, '__main__.Strange')[0].blocks == 10, pins.types
obmalloc.check()
'''

# Other threads and finalizers allocate, and ask as well, meanwhile.
THREADS = '''
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
obmalloc.pins(0)        # a finalizer must not run in the middle of what it imports
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
'''

# What pins() has found goes when it returns.
NO_CYCLES = '''
import gc
kept = plant(10_000)
one = kept[0]
def counts():
    return [sys.getrefcount(thing) for thing in (one, one.name, one.numbers, Culprit, kept)]
obmalloc.pins()         # what it imports
gc.collect()
gc.disable()
before = counts()
for arguments in {}, {'limit': 1_000_000}, {'limit': 1_000_000, 'objects': True}:
    obmalloc.pins(**arguments)
    assert counts() == before, (arguments, before, counts())
'''

# The link of a free block was overwritten.
DAMAGED = '''
import os
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
'''

# Survivors of a burst, and what is checked of copies of them.
SURVIVORS = PLANTED + '''
import gc

class Session:
    def __init__(self, number):
        self.name = f'session {number}'
        self.amounts = [float(number + more) for more in range(5)]
        self.data = {'number': number + 100_000, 'text': str(number)}

def burst(count, every, make):
    passing, kept = [], []
    for number in range(count):
        passing.append(make(number))
        if number % every == 0:
            kept.append(passing[-1])
    return kept

def used():
    gc.collect()
    obmalloc.trim()
    stats = obmalloc.stats()
    return stats['used_pages'] * stats['page_size']

def check_estimate(estimate, brought):
    assert brought > 1 << 20, brought
    assert estimate / 1.5 < brought < 1.5 * estimate, (estimate, brought)
'''
