"""Which objects keep partly used pages and arenas, and what copies of them would give back."""

import _weakref
import math
import sys
import types
from typing import NamedTuple

VERSION = 1


class TypePins(NamedTuple):
    """What the blocks of one type keep.

    type        its name; '?': their owner is not known
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


class Copies(NamedTuple):
    """What it would give back to replace the values of some containers by copies.

    The containers are lists, dicts, sets and deques of one type, each with some values
    that nothing else refers to, and in no other such container.  With the values go
    what only they refer to.

    type        the name of the type that most values are of
    others      whether some are of other types
    holder      the name of the type of the containers
    containers  how many there are
    values      of them that nothing else refers to
    largest     as many of these values has the container with most
    blocks      that go with the values
    bytes       of these blocks
    pages       in which no other live block lies
    gives_back  bytes: about what is given back, the room that the copies take deducted
    gives_back_with_keys    likewise, if the keys of dicts are copied too
    name        of the container with most values: 'module.variable', or 'variable' of
                __main__; '' if no module has it as one
    call        what to call, where `container` stands for one that has no name
    container   that container, if objects were asked for
    """
    type: str
    others: bool
    holder: str
    containers: int
    values: int
    largest: int
    blocks: int
    bytes: int
    pages: int
    gives_back: int
    gives_back_with_keys: int
    name: str
    call: str
    container: object = None


class Pins:
    """Whose the live blocks are, at one moment.

    version     of this structure
    page_size   bytes
    types       a list of TypePins, those that waste most first; the sums of
                blocks and bytes are those of stats(), and held_bytes comes to
                the pages with a live block
    arenas      a list of PinnedArena, the cheapest to empty first: those with
                the fewest live bytes
    copies      a list of Copies, those that give back most first
    """

    def __init__(self, page_size, types, arenas, copies=()):
        self.version = VERSION
        self.page_size = page_size
        self.types = types
        self.arenas = arenas
        self.copies = list(copies)

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
            'copies': [{key: value for key, value in row._asdict().items() if key != 'container'}
                       for row in self.copies],
        }


def type_name(cls):
    """The name of a type as people write it; '?' for None."""
    if cls is None:
        return '?'
    # Not cls.__qualname__: a metaclass may return anything for it.
    name = type.__dict__['__qualname__'].__get__(cls)
    try:
        module = type.__dict__['__module__'].__get__(cls)
    except AttributeError:      # C code and exec() can make types without
        module = None
    return f'{module}.{name}' if isinstance(module, str) and module != 'builtins' else name


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
    import tracemalloc          # here: it imports much

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


# Copies ---------------------------------------------------------------------------------

# Of these types a copy refers to the very same object, or there is no copy.
COPIED_BY_REFERENCE = (
    types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, types.FrameType,
    types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.TracebackType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType,
    _weakref.ReferenceType, _weakref.ProxyType, property, classmethod, staticmethod)


def container_types():
    """The types of containers that are no lists, dicts or sets."""
    collections = sys.modules.get('collections')        # else there is no deque either
    return (collections.deque,) if collections is not None else ()


def _pages_given_back(page_size, size_class, blocks, full_pages, pages):
    """About how many pages of a class go back when copies of so many blocks are made,
    and then the blocks freed.

    size_class: as in stats()['classes'].  full_pages, pages: those in which no other
    block lives, without and with a free block.  The copies fill free blocks first,
    wherever they are: also on pages that would be given back otherwise.
    """
    free = size_class['free_blocks']
    filled = min(blocks / free, 1) if free else 1
    # Where blocks lie across pages, the capacity is that of more than a page.
    in_page = min(size_class['capacity'], page_size / size_class['size'])
    new_pages = math.ceil(max(blocks - free, 0) / in_page)
    return full_pages + pages * (1 - filled) - new_pages


def _bytes_given_back(stats, classes, which):
    """which: 1, or 2 for the counts with the keys."""
    page_size = stats['page_size']
    pages = sum(_pages_given_back(page_size, stats['classes'][row[0]], *row[which]) for row in classes)
    return max(round(pages), 0) * page_size


def _name_of(container):
    """'module.variable' of a container; '' if no module has it as a variable."""
    own_name = None
    for module_name, module in sorted(sys.modules.copy().items(), key=lambda item: item[0] != '__main__'):
        if not issubclass(type(module), types.ModuleType):     # isinstance() a proxy satisfies, too
            continue
        # Not vars(module): a module may be of a class that answers with anything.
        for name, value in types.ModuleType.__dict__['__dict__'].__get__(module).copy().items():
            if value is container and isinstance(name, str):
                if module_name == '__main__':
                    return name
                own_name = own_name or f'{module_name}.{name}'
    return own_name or ''


def _copies(stats, found, keep_objects):
    """What _obmalloc.owned() says of copies: a list of Copies."""
    rows = []
    for cls, others, holder, container, largest, containers, values, classes in found:
        gives_back, with_keys = (_bytes_given_back(stats, classes, which) for which in (1, 2))
        if not gives_back and not with_keys:
            continue
        name = _name_of(container)
        rows.append(Copies(
            type_name(cls), others, type_name(holder), containers, values, largest,
            blocks=sum(row[1][0] for row in classes),
            bytes=sum(row[1][0] * stats['classes'][row[0]]['size'] for row in classes),
            pages=sum(row[1][1] + row[1][2] for row in classes),
            gives_back=gives_back, gives_back_with_keys=with_keys, name=name,
            call=f'obmalloc.compact({name or "container"})',
            container=container if keep_objects else None))
    rows.sort(key=lambda row: (-row.gives_back, -row.gives_back_with_keys, row.type, row.holder))
    return rows


def from_owned(stats, owned, keep_objects):
    """Pins of the result of _obmalloc.owned()."""
    page_size, line = stats['page_size'], line_finder()

    def block(address, owner, beside, holder):
        return Block(address, type_name(None if owner is None else type(owner)), beside,
                     holder_name(holder), None if owner is None else line(owner),
                     owner if keep_objects else None)

    rows = [TypePins(type_name(cls), beside, holder_name(holder), *sizes, round(held))
            for cls, beside, holder, *sizes, held in owned[0]]
    arenas = [PinnedArena(number, address, page_count, used, blocks, size, [
                  PinnedPage(page, address + page * page_size, block_size,
                             [block(*found) for found in live])
                  for page, block_size, _, live in pages])
              for number, address, page_count, used, blocks, size, pages in owned[1]]
    rows.sort(key=lambda row: (-row.wasted_bytes, row.type, row.beside, row.holder))
    return Pins(page_size, rows, arenas, _copies(stats, owned[2], keep_objects))


def from_dict(data):
    """The Pins of which as_dict() made data."""
    return Pins(data['page_size'], [TypePins(**row) for row in data['types']], [
        PinnedArena(**{**arena, 'pages': [
            PinnedPage(**{**page, 'blocks': [Block(**block) for block in page['blocks']]})
            for page in arena['pages']]})
        for arena in data['arenas']],
        [Copies(**row) for row in data['copies']])
