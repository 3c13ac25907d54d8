"""The map of a heap: what every page of every arena is.

Made of what _obmalloc.heap_map() returns, or of what was read from another
process or a core file; nothing here needs an interpreter with obmalloc.
"""

import struct
from typing import NamedTuple

VERSION = 2

# By the number that stands for it in a map.
FRESH, PURGED, DIRTY, USED = KINDS = ('fresh', 'purged', 'dirty', 'used')

# kind, size class, live blocks, whether one of them begins on a page before
PAGE = struct.Struct('=BBHBx')
NO_CLASS = 0xff


class Page(NamedTuple):
    """One page.

    kind        'used': lent to a size class; or free: 'dirty' (maybe backed by
                memory), 'purged' (given back) or 'fresh' (never touched)
    block_size  bytes of its blocks; 0 in a free page
    live        live blocks that lie on it, or touch it: a block above 512 bytes may
                lie on several pages
    capacity    blocks that could; 0 in a free page
    resident    whether the kernel backs it with memory; None: not asked
    continues   whether one of the live blocks begins on a page before
    """
    kind: str
    block_size: int
    live: int
    capacity: int
    resident: 'bool | None' = None
    continues: bool = False

    @property
    def live_blocks(self):
        """Live blocks that begin here, so that each is counted once."""
        return self.live - self.continues

    @property
    def live_bytes(self):
        """Bytes of the live blocks that begin here, to their ends."""
        return self.live_blocks * self.block_size


class Room(NamedTuple):
    """What a page has room for, lent to a size class.

    touch   blocks that would lie on it, or touch it
    begin   those of them that would begin there
    tail    bytes of a small class's page, or behind the last block of a run, that no block has
    """
    touch: int
    begin: int
    tail: int


def room_of(size, capacity, page_size, run_pages, page):
    """The Room of a page lent to a size class.  size: bytes of its blocks.  capacity: of the
    class, as stats() has it.  run_pages: of the run of the page.  page: its number there."""
    if size * capacity <= page_size:                # a small class: blocks of a page
        return Room(capacity, capacity, page_size - size * capacity)
    blocks = run_pages * page_size // size          # a medium one: blocks of a run
    start, end = page * page_size, (page + 1) * page_size
    first, begin, last = start // size, -(-start // size), -(-end // size)
    first, begin, last = min(first, blocks), min(begin, blocks), min(last, blocks)
    tail = max(end - blocks * size, 0) if first < last else 0
    return Room(last - first, last - begin, tail)


class Shape:
    """What is the same in all arenas of a heap.  Arenas refer to it, and not to their HeapMap:
    so no cycle keeps a map until the collector comes.

    page_size, run_size     bytes
    classes                 as in HeapMap
    """

    def __init__(self, page_size, run_size, classes):
        self.page_size = page_size
        self.run_size = run_size
        self.classes = [tuple(row) for row in classes]
        self._rooms = {}

    def room_of(self, size_class, page, page_count):
        """The Room of a page that is lent to a size class.  page: its number in its arena,
        which has page_count pages."""
        per_run = self.run_size // self.page_size
        in_run = page % per_run
        run_pages = min(per_run, page_count - (page - in_run))  # the last run may lack some
        key = size_class, run_pages, in_run
        if key not in self._rooms:
            self._rooms[key] = room_of(*self.classes[size_class], self.page_size, run_pages, in_run)
        return self._rooms[key]


class Arena:
    """One arena.

    number      stays the same as long as the arena is mapped
    address     of its first page
    purgeable   False: its free pages cannot be given back one by one
    page_count  whole pages in it
    """

    def __init__(self, shape, number, address, purgeable, pages, resident=None):
        self.number = number
        self.address = address
        self.purgeable = bool(purgeable)
        self.page_count = len(pages) // PAGE.size
        self._shape = shape
        self._pages = pages
        self._resident = resident   # one byte a page, 0 or 1

    def __repr__(self):
        kinds = ', '.join(f'{count} {kind}' for kind, count in self.kinds().items() if count)
        return f'<Arena {self.number} at {self.address:#x}: pages {kinds}>'

    def __iter__(self):
        """The pages, in the order of their addresses."""
        shape, resident = self._shape, self._resident
        for number, (kind, size_class, live, continues) in enumerate(PAGE.iter_unpack(self._pages)):
            block_size = 0 if size_class == NO_CLASS else shape.classes[size_class][0]
            yield Page(KINDS[kind], block_size, live, self._room(number, size_class).touch,
                       None if resident is None else bool(resident[number]), bool(continues))

    def _room(self, number, size_class):
        if size_class == NO_CLASS:
            return Room(0, 0, 0)
        return self._shape.room_of(size_class, number, self.page_count)

    def rooms(self):
        """The Room of each page; of a free one without any."""
        classes = self._pages[1::PAGE.size]
        return [self._room(number, size_class) for number, size_class in enumerate(classes)]

    def kinds(self):
        """A dict from each kind of page to the number of its pages."""
        numbers = self._pages[::PAGE.size]
        return {kind: numbers.count(number) for number, kind in enumerate(KINDS)}

    @property
    def live_blocks(self):
        return sum(page.live_blocks for page in self)

    @property
    def live_bytes(self):
        return sum(page.live_bytes for page in self)

    @property
    def resident_pages(self):
        """Pages that the kernel backs with memory; None: not asked."""
        return None if self._resident is None else sum(self._resident)

    def address_of(self, page):
        """The address of page number `page`."""
        return self.address + page * self._shape.page_size


def classes_of(stats):
    """HeapMap's `classes` by what obmalloc.stats() says."""
    return [(row['size'], row['capacity']) for row in stats['classes']]


class HeapMap:
    """The arenas of an interpreter at one moment, in the order of their numbers.

    version     of this structure
    page_size, run_size, arena_size     bytes
    classes     of each size class, (bytes of a block, blocks in a page; above 512
                bytes, blocks in a run)
    arenas      a list of Arena
    """

    def __init__(self, *, page_size, run_size, arena_size, classes, arenas, resident=None):
        """arenas: tuples as _obmalloc.heap_map() returns them.  resident: a
        function of (address, number of pages) to one byte a page."""
        self.version = VERSION
        self.page_size = page_size
        self.run_size = run_size
        self.arena_size = arena_size
        shape = Shape(page_size, run_size, classes)
        self.classes = shape.classes
        self.arenas = []
        for number, address, purgeable, pages in arenas:
            backed = resident and resident(address, len(pages) // PAGE.size)
            self.arenas.append(Arena(shape, number, address, purgeable, pages, backed))

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
        """All of it, fit for JSON: each page is [kind, block_size, live, resident,
        continues]."""
        return {
            'version': self.version,
            'page_size': self.page_size,
            'run_size': self.run_size,
            'arena_size': self.arena_size,
            'arenas': [{
                'number': arena.number,
                'address': arena.address,
                'purgeable': arena.purgeable,
                'pages': [[page.kind, page.block_size, page.live, page.resident, page.continues]
                          for page in arena],
            } for arena in self.arenas],
        }


def from_dict(data, classes):
    """The HeapMap of which as_dict() made data.  classes: as in HeapMap."""
    number_of = {size: number for number, (size, _) in enumerate(classes)}
    number_of[0] = NO_CLASS

    def packed(kind, block_size, live, resident, continues):
        return PAGE.pack(KINDS.index(kind), number_of[block_size], live, continues)
    return HeapMap(
        page_size=data['page_size'], run_size=data['run_size'], arena_size=data['arena_size'],
        classes=classes,
        arenas=[(arena['number'], arena['address'], arena['purgeable'],
                 b''.join(packed(*page) for page in arena['pages'])) for arena in data['arenas']])
