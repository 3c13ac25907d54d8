"""The map of a heap: what every page of every arena is.

Made of what _obmalloc.heap_map() returns, or of what was read from another
process or a core file; nothing here needs an interpreter with obmalloc.
"""

import struct
from typing import NamedTuple

VERSION = 1

# By the number that stands for it in a map.
FRESH, PURGED, DIRTY, USED = KINDS = ('fresh', 'purged', 'dirty', 'used')

_PAGE = struct.Struct('=BBH')
_NO_CLASS = 0xff


class Page(NamedTuple):
    """One page.

    kind        'used': lent to a size class; or free: 'dirty' (maybe backed by
                memory), 'purged' (given back) or 'fresh' (never touched)
    block_size  bytes of its blocks; 0 in a free page
    live        live blocks
    capacity    blocks that it has room for; 0 in a free page
    resident    whether the kernel backs it with memory; None: not asked
    """
    kind: str
    block_size: int
    live: int
    capacity: int
    resident: 'bool | None' = None

    @property
    def live_bytes(self):
        return self.live * self.block_size


class Arena:
    """One arena.

    number      stays the same as long as the arena is mapped
    address     of its first page
    purgeable   False: its free pages cannot be given back one by one
    page_count  whole pages in it
    """

    def __init__(self, heap, number, address, purgeable, pages, resident=None):
        self.number = number
        self.address = address
        self.purgeable = bool(purgeable)
        self.page_count = len(pages) // _PAGE.size
        self._heap = heap
        self._pages = pages
        self._resident = resident   # one byte a page, 0 or 1

    def __repr__(self):
        kinds = ', '.join(f'{count} {kind}' for kind, count in self.kinds().items() if count)
        return f'<Arena {self.number} at {self.address:#x}: pages {kinds}>'

    def __iter__(self):
        """The pages, in the order of their addresses."""
        heap, resident = self._heap, self._resident
        for number, (kind, size_class, live) in enumerate(_PAGE.iter_unpack(self._pages)):
            block_size, capacity = (0, 0) if size_class == _NO_CLASS else heap.classes[size_class]
            yield Page(KINDS[kind], block_size, live, capacity,
                       None if resident is None else bool(resident[number]))

    def kinds(self):
        """A dict from each kind of page to the number of its pages."""
        numbers = self._pages[::_PAGE.size]
        return {kind: numbers.count(number) for number, kind in enumerate(KINDS)}

    @property
    def live_blocks(self):
        return sum(page.live for page in self)

    @property
    def live_bytes(self):
        return sum(page.live_bytes for page in self)

    @property
    def resident_pages(self):
        """Pages that the kernel backs with memory; None: not asked."""
        return None if self._resident is None else sum(self._resident)

    def address_of(self, page):
        """The address of page number `page`."""
        return self.address + page * self._heap.page_size


def classes_of(stats):
    """HeapMap's `classes` by what obmalloc.stats() says."""
    return [(row['size'], row['capacity']) for row in stats['classes']]


class HeapMap:
    """The arenas of an interpreter at one moment, in the order of their numbers.

    version     of this structure
    page_size, run_size, arena_size     bytes
    classes     of each size class, (bytes of a block, blocks in a page)
    arenas      a list of Arena
    """

    def __init__(self, *, page_size, run_size, arena_size, classes, arenas, resident=None):
        """arenas: tuples as _obmalloc.heap_map() returns them.  resident: a
        function of (address, number of pages) to one byte a page."""
        self.version = VERSION
        self.page_size = page_size
        self.run_size = run_size
        self.arena_size = arena_size
        self.classes = [tuple(row) for row in classes]
        self.arenas = []
        for number, address, purgeable, pages in arenas:
            backed = resident and resident(address, len(pages) // _PAGE.size)
            self.arenas.append(Arena(self, number, address, purgeable, pages, backed))

    def __repr__(self):
        return f'<HeapMap: {len(self.arenas)} arenas of {self.arena_size:,} bytes>'

    def kinds(self):
        """A dict from each kind of page to the number of its pages."""
        total = dict.fromkeys(KINDS, 0)
        for arena in self.arenas:
            for kind, count in arena.kinds().items():
                total[kind] += count
        return total

    def as_dict(self):
        """All of it, fit for JSON: each page is [kind, block_size, live, resident]."""
        return {
            'version': self.version,
            'page_size': self.page_size,
            'run_size': self.run_size,
            'arena_size': self.arena_size,
            'arenas': [{
                'number': arena.number,
                'address': arena.address,
                'purgeable': arena.purgeable,
                'pages': [[page.kind, page.block_size, page.live, page.resident]
                          for page in arena],
            } for arena in self.arenas],
        }


def from_dict(data, classes):
    """The HeapMap of which as_dict() made data.  classes: as in HeapMap."""
    number_of = {size: number for number, (size, _) in enumerate(classes)}
    number_of[0] = _NO_CLASS

    def packed(kind, block_size, live, resident):
        size_class = number_of[block_size]
        return _PAGE.pack(KINDS.index(kind), size_class, live)
    return HeapMap(
        page_size=data['page_size'], run_size=data['run_size'], arena_size=data['arena_size'],
        classes=classes,
        arenas=[(arena['number'], arena['address'], arena['purgeable'],
                 b''.join(packed(*page) for page in arena['pages'])) for arena in data['arenas']])
