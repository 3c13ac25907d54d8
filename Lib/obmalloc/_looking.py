"""What only Python 3 has of the module obmalloc: looking at the heap in detail."""

from obmalloc.loading import _obmalloc


def heap_map(*, kernel=False):
    """What every page of every arena is: an obmalloc._heap_map.HeapMap.

    Its `arenas` are a list; iterating over an arena gives its pages, each with
    `kind` ('used', 'dirty', 'purged' or 'fresh'), `block_size`, `live` (blocks that
    lie on it), `capacity` and `continues` (one of them begins on a page before).
    as_dict() gives all of it, fit for JSON.

    kernel: ask Linux too which pages are resident (`resident` of each page).
    Raises OSError if it does not tell.
    """
    from obmalloc import _heap_map, _kernel     # here: only these functions need them
    arenas = _obmalloc.heap_map()
    shape = _obmalloc.stats()
    return _heap_map.HeapMap(
        page_size=shape['page_size'], run_size=shape['run_size'],
        arena_size=shape['arena_size'], classes=_heap_map.classes_of(shape),
        arenas=arenas, resident=_kernel.residence() if kernel else None)


def pins(limit=10_000, *, objects=False):
    """Which live objects keep pages and arenas: an obmalloc._pins.Pins.

    `types` says what all blocks of each type keep, those that waste most first;
    `arenas` says what lies in each arena, the cheapest to empty first: arena ->
    pages -> blocks -> type, the type of an object that refers to it, and the line
    that allocated it if tracemalloc is on.  `copies` says what it would give back to
    replace the values of containers by copies, with the call that does it.  as_dict()
    gives all of it, fit for JSON.

    limit: how many blocks to list one by one.
    objects: list the objects themselves too, which keeps them alive.

    Only what is known to be an object counts as one: what the garbage collector
    tracks, and what that refers to.  The memory that lists, dicts, sets,
    bytearrays, strings, instances and classes have beside themselves is found too, where
    the pointers to it could be verified in this process.  Type
    '?' is the rest: memory of C code and of the interpreter, objects that only
    C code or a local of another thread's running function refers to, the free lists
    of the basic types, and objects of another
    interpreter that shares this one's arenas.

    It visits all objects, some 0.3 s for a million on a usual machine.  Meanwhile no other
    thread runs, and 100 to 150 bytes of memory are used for each object.

    Raises RuntimeError if the heap is damaged, as check() does.
    """
    _obmalloc.check()       # before anything is allocated from it
    from obmalloc import _layout, _pins
    stats, layout, frames = _obmalloc.stats(), _layout.find(), _pins.own_frames()
    try:
        # This frame is among the objects that are found: a variable that refers to them would
        # keep them all until the collector finds the cycle.
        return _pins.from_owned(stats, _obmalloc.owned(
            limit, layout, _pins.COPIED_BY_REFERENCE, _pins.container_types()), objects)
    finally:
        frames.clear()


def resident():
    """What Linux says, in bytes: 'arenas', the memory behind the arenas of this
    interpreter; 'process', the resident set of the whole process.  Raises OSError
    if it does not tell."""
    from obmalloc import _kernel
    arenas = heap_map(kernel=True).arenas
    pages = sum(arena.resident_pages for arena in arenas)
    return {'arenas': pages * _obmalloc.stats()['page_size'], 'process': _kernel.process_bytes()}
