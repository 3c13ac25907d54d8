"""The small-object allocator of this interpreter, seen from Python.

An interpreter that was built with obmalloc has it.  Others get it from the
package of the same name, with a library for LD_PRELOAD or install(); where that
cannot be, the import raises ImportError.

    install()   put obmalloc in place, if this interpreter was built without it
    stats()     what the arenas hold: bytes, pages, blocks, events
    heap_map()  what every page of every arena is
    pins()      which objects keep pages and arenas that are only partly used
    resident()  what the kernel says
    trim()      give back to the system what can go now; how many bytes went
    settings()  the settings in force
    check()     verify the heap; RuntimeError says what does not hold

All of them concern the interpreter that calls them.  A subinterpreter with its
own allocator state has its own arenas.  The library serves the main interpreter
only: in such a subinterpreter the import raises ImportError.

`python -m obmalloc --help` tells of the commands that show all this in the
terminal, as pictures and as a page.

What stats() returns, as integers unless it says otherwise:

    version                                 of this structure: 1
    page_size, run_size, arena_size         bytes
    arenas, arena_bytes                     mapped now; bytes of their whole pages
    arenas_mapped, arenas_released          ever
    arenas_highwater                        the most at a time
    huge_arenas                             mapped now as one huge page each
    arenas_huge, arenas_split               ever mapped so; of those, taken apart since
    used_pages, floor_pages                 lent to a size class; with a live block
    free_pages                              dirty + purged + fresh pages
    dirty_pages, purged_pages, fresh_pages  maybe resident; given back; never touched
    resident_pages                          used + dirty pages: what should be resident
    live_blocks, live_bytes                 in used pages; bytes of blocks
    free_block_bytes, tail_bytes            the rest of the used pages, in bytes
    metadata_bytes                          mapped for descriptors and arrays
    purge_calls, pages_purged               ever
    pages_released                          dirty pages that went with their arena, ever
    refaults                                pages taken again after they were given back
    purge_failures                          refused by the system, ever
    allowance_pages                         dirty pages that may stay
    system_blocks                           blocks of the system's malloc in use
    classes                                 a list with a dict for each size class:
                                            size in bytes, pools, live_blocks,
                                            free_blocks

What adds up:

    arena_bytes            == (used_pages + free_pages) * page_size
    used_pages * page_size == live_bytes + free_block_bytes + tail_bytes
    arenas                 == arenas_mapped - arenas_released
    used_pages, live_blocks, live_bytes and free_block_bytes are the sums over
    the classes
"""

try:
    import _obmalloc
except ImportError:
    try:
        import obmalloc._obmalloc as _obmalloc
    except ModuleNotFoundError:
        import sysconfig
        raise ImportError("a free-threaded Python needs its own allocator, and keeps it"
                          if sysconfig.get_config_var("Py_GIL_DISABLED")
                          else "this interpreter was built without obmalloc") from None

check, settings, stats, trim = _obmalloc.check, _obmalloc.settings, _obmalloc.stats, _obmalloc.trim

from obmalloc import _heap_map, _kernel, _pins
from obmalloc.loading import install

__all__ = ['check', 'heap_map', 'install', 'pins', 'resident', 'settings', 'stats', 'trim']


def heap_map(*, kernel=False):
    """What every page of every arena is: an obmalloc._heap_map.HeapMap.

    Its `arenas` are a list; iterating over an arena gives its pages, each with
    `kind` ('used', 'dirty', 'purged' or 'fresh'), `block_size`, `live` and
    `capacity`.  as_dict() gives all of it, fit for JSON.

    kernel: ask Linux too which pages are resident (`resident` of each page).
    Raises OSError if it does not tell.
    """
    arenas = _obmalloc.heap_map()
    shape = stats()
    return _heap_map.HeapMap(
        page_size=shape['page_size'], run_size=shape['run_size'],
        arena_size=shape['arena_size'], alignment=shape['classes'][0]['size'],
        arenas=arenas, resident=_kernel.residence() if kernel else None)


def pins(limit=10_000, *, objects=False):
    """Which live objects keep pages and arenas: an obmalloc._pins.Pins.

    `types` says what all blocks of each type keep, those that waste most first;
    `arenas` says what lies in each arena, the cheapest to empty first: arena ->
    pages -> blocks -> type, the type of an object that refers to it, and the line
    that allocated it if tracemalloc is on.  as_dict() gives all of it, fit for JSON.

    limit: how many blocks to list one by one.
    objects: list the objects themselves too, which keeps them alive.

    Only what is known to be an object counts as one: what the garbage collector
    tracks, and what that refers to.  The memory that lists, dicts, sets,
    bytearrays, strings and classes have beside themselves is found too.  Type
    '?' is the rest: memory of C code and of the interpreter, objects that only
    C code refers to, the free lists of the basic types, and objects of another
    interpreter that shares this one's arenas.

    It visits all objects: some 0.2 s for a million on a usual machine.  Meanwhile no
    other thread runs, and twelve bytes of memory are used for each live block.

    Raises NotImplementedError where obmalloc is a library: finding the owners
    takes more of Python's structs than an interpreter shows to one.
    """
    if not hasattr(_obmalloc, 'owners'):
        raise NotImplementedError('pins needs an interpreter that was built with obmalloc')
    frames = _pins.all_frames()
    try:
        return _pins.from_owners(stats(), _obmalloc.owners(limit), objects)
    finally:
        frames.clear()


def resident():
    """What Linux says, in bytes: 'arenas', the memory behind the arenas of this
    interpreter; 'process', the resident set of the whole process.  Raises OSError
    if it does not tell."""
    arenas = heap_map(kernel=True).arenas
    pages = sum(arena.resident_pages for arena in arenas)
    return {'arenas': pages * stats()['page_size'], 'process': _kernel.process_bytes()}
