"""Where live objects lie: the page floor of what survives a scenario.

The page floor is the bytes of all pages that hold at least one live block: the least that an
allocator which moves nothing can hold. It is found from the addresses of the objects, so it means
the same under every allocator. Blocks too large for it are the system malloc's: they are counted
apart.

Knows numbers, strings, tuples, lists and dictionaries of CPython; the tables of the last two, which
lie apart, are found where 64-bit release builds from 3.6 on keep their addresses.
"""
import struct
import sys

import measure

WORD = struct.calcsize("P")
LIST_TABLE_WORD = 3         # ob_item follows ob_refcnt, ob_type, ob_size
DICT_TABLE_WORD = 4         # ma_keys follows ob_refcnt, ob_type, ma_used, a version or tag
TABLES_SINCE = (3, 6)


def _is_shared(item):
    """Return whether the interpreter keeps item (number or str) once for all, with no block of
    its own for us."""
    if isinstance(item, str):
        return len(item) < 2
    return isinstance(item, int) and -6 < item < 257


def _pointer_at(address):
    """Return the pointer (int) stored at an address."""
    import ctypes
    return ctypes.c_void_p.from_address(address).value


class Floor:
    """The pages and bytes of the live blocks noted so far.

    pages: the numbers of the pages of blocks that are not the system malloc's (the keys of a
    dictionary). live_bytes, large_bytes: of these blocks, and of the others, as asked for, before
    rounding. largest: bytes of the largest that is not the system malloc's.
    complete: whether every block could be found.
    """

    def __init__(self):
        self.page = measure.page_size()
        self.pages = {}
        self.largest = measure.largest_served()
        self.live_bytes = self.large_bytes = 0
        self.complete = hasattr(sys, "getsizeof")
        self.has_tables = sys.version_info[:2] >= TABLES_SINCE and WORD == 8

    def add_block(self, start, size):
        """Note a block (address and bytes, int)."""
        if size > self.largest:
            self.large_bytes += size
            return
        self.live_bytes += size
        for number in measure.integers(start // self.page, (start + size - 1) // self.page + 1):
            self.pages[number] = None

    def add_object(self, item, table_word):
        """Note the block of an object, and its table's, whose address lies at a word (int) in it.

        What precedes the object's address in its block, the collector's header, is what getsizeof
        adds to __sizeof__. table_word: None for an object without a table.
        """
        own = item.__sizeof__()
        before = sys.getsizeof(item) - own
        table = 0
        if table_word is not None:
            table = own - type(item).__basicsize__
            own -= table
        self.add_block(id(item) - before, before + own)
        if table and self.has_tables:
            self.add_block(_pointer_at(id(item) + table_word * WORD), table)
        elif table:
            self.complete = False

    def add(self, item):
        """Note item and what it holds. The keys of dictionaries are not followed: in our workloads
        they are constants."""
        if not self.complete or item is None or _is_shared(item):
            return
        if isinstance(item, dict):
            self.add_object(item, DICT_TABLE_WORD)
            parts = item.values()
        elif isinstance(item, list):
            self.add_object(item, LIST_TABLE_WORD)
            parts = item
        else:
            self.add_object(item, None)
            parts = isinstance(item, tuple) and item or ()
        for part in parts:
            self.add(part)

    def figures(self):
        """Return floor_bytes, live_bytes, large_bytes (None when a block could not be found)."""
        if not self.complete:
            return {"floor_bytes": None, "live_bytes": None, "large_bytes": None}
        return {"floor_bytes": len(self.pages) * self.page, "live_bytes": self.live_bytes,
                "large_bytes": self.large_bytes}


def figures_of(items):
    """Return the figures of a list of live items, None among them meaning none."""
    floor = Floor()
    for item in items:
        floor.add(item)
    return floor.figures()
