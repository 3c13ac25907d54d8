"""Who keeps the pages and arenas that are only partly used?"""

import sys
from typing import NamedTuple

VERSION = 1


class TypePins(NamedTuple):
    """What the blocks of one type keep.

    type        its name; '?': nobody knows whose they are
    beside      whether they are memory that such objects have beside themselves
                (the items of a list, the keys of a dict)
    holder      the name of the type of an object that refers to them, such as
                'list'; '' if none is known
    blocks      how many there are
    bytes       of these blocks
    pages       in which at least one of them lies
    held_bytes  of these pages: each is divided among its live blocks, by the bytes
                that they have there
    """
    type: str
    beside: bool
    holder: str
    blocks: int
    bytes: int
    pages: int
    held_bytes: int

    @property
    def wasted_bytes(self):
        """What these blocks keep beyond themselves."""
        return self.held_bytes - self.bytes


class Block(NamedTuple):
    """A live block.

    address     of the block; the object, if it is one, may begin a little later
    type        as in TypePins
    beside      likewise
    holder      likewise
    line        'file:line' that allocated the object, if tracemalloc knows
    object      the object, or the one whose memory it is, if it was asked for
    """
    address: int
    type: str
    beside: bool
    holder: str
    line: 'str | None' = None
    object: object = None


class PinnedPage(NamedTuple):
    """A used page: its number in the arena, its address, the bytes of its blocks,
    and those of the live ones that begin there."""
    number: int
    address: int
    block_size: int
    blocks: list


class PinnedArena(NamedTuple):
    """An arena with a live block.

    pages       those that are listed, the emptiest first
    """
    number: int
    address: int
    page_count: int
    used_pages: int
    live_blocks: int
    live_bytes: int
    pages: list


class Pins:
    """Whose the live blocks are, at one moment.

    version     of this structure
    page_size   bytes
    types       a list of TypePins, those that waste most first; the sums of
                blocks and bytes are those of stats(), and held_bytes comes to
                the pages with a live block
    arenas      a list of PinnedArena, the cheapest to empty first: those with
                the fewest live bytes
    """

    def __init__(self, page_size, types, arenas):
        self.version = VERSION
        self.page_size = page_size
        self.types = types
        self.arenas = arenas

    def __repr__(self):
        return f'<Pins: {len(self.types)} types in {len(self.arenas)} arenas>'

    @property
    def known(self):
        """The part of the live bytes whose owner is known, 0 to 1."""
        total = sum(row.bytes for row in self.types)
        unknown = sum(row.bytes for row in self.types if row.type == '?')
        return 1 - unknown / total if total else 1.0

    def as_dict(self):
        """All of it but the objects, fit for JSON."""
        return {
            'version': self.version,
            'page_size': self.page_size,
            'types': [row._asdict() for row in self.types],
            'arenas': [{**arena._asdict(), 'pages': [
                {**page._asdict(), 'blocks': [
                    {'address': block.address, 'type': block.type,
                     'beside': block.beside, 'holder': block.holder, 'line': block.line}
                    for block in page.blocks]}
                for page in arena.pages]}
                for arena in self.arenas],
        }


def type_name(cls):
    """The name of a type as people write it; '?' for None."""
    if cls is None:
        return '?'
    # Not cls.__qualname__: a metaclass may answer with anything.
    name = type.__dict__['__qualname__'].__get__(cls)
    module = type.__dict__['__module__'].__get__(cls)
    return name if module == 'builtins' else f'{module}.{name}'


def holder_name(cls):
    """The name of the type of a holder; '' for None."""
    return '' if cls is None else type_name(cls)


def line_finder():
    """A function from an object to the line that allocated it, or to None."""
    try:
        import _tracemalloc
    except ImportError:         # a subinterpreter cannot have it
        return lambda found: None
    if not _tracemalloc.is_tracing():
        return lambda found: None
    import tracemalloc          # not before it is wanted: it imports much

    def line(found):
        traceback = tracemalloc.get_object_traceback(found)
        return f'{traceback[-1].filename}:{traceback[-1].lineno}' if traceback else None
    return line


def own_frames():
    """The frames of this thread.  While they exist, the collector knows of the
    locals of running functions.  Not sys._current_frames(): that makes frames of
    other interpreters too, in the wrong one."""
    frames, frame = [], sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def from_owners(stats, owners, keep_objects):
    """Pins of the result of _obmalloc.owners()."""
    page_size, line = stats['page_size'], line_finder()

    def block(address, owner, beside, holder):
        return Block(address, type_name(None if owner is None else type(owner)), beside,
                     holder_name(holder), None if owner is None else line(owner),
                     owner if keep_objects else None)

    types = [TypePins(type_name(cls), beside, holder_name(holder), *sizes, round(held))
             for cls, beside, holder, *sizes, held in owners[0]]
    arenas = [PinnedArena(number, address, page_count, used, blocks, size, [
                  PinnedPage(page, address + page * page_size, block_size,
                             [block(*found) for found in live])
                  for page, block_size, _, live in pages])
              for number, address, page_count, used, blocks, size, pages in owners[1]]
    types.sort(key=lambda row: (-row.wasted_bytes, row.type, row.beside, row.holder))
    return Pins(page_size, types, arenas)


def from_dict(data):
    """The Pins of which as_dict() made data."""
    return Pins(data['page_size'], [TypePins(**row) for row in data['types']], [
        PinnedArena(**{**arena, 'pages': [
            PinnedPage(**{**page, 'blocks': [Block(**block) for block in page['blocks']]})
            for page in arena['pages']]})
        for arena in data['arenas']])
