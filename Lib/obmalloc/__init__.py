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
    arenas_huge, arenas_split               ever mapped so; of those, split since
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
                                            size in bytes, capacity (blocks in a
                                            page), pools, live_blocks, free_blocks

What adds up:

    arena_bytes            == (used_pages + free_pages) * page_size
    used_pages * page_size == live_bytes + free_block_bytes + tail_bytes
    arenas                 == arenas_mapped - arenas_released
    used_pages, live_blocks, live_bytes and free_block_bytes are the sums over
    the classes
"""

# Python 2 reads this file too, and has only the module itself.
import sys

if sys.version_info >= (3,):
    from obmalloc.loading import _obmalloc, install
    from obmalloc._looking import heap_map, pins, resident
    __all__ = ['check', 'heap_map', 'install', 'pins', 'resident', 'settings', 'stats', 'trim']
else:
    import _obmalloc
    __all__ = ['check', 'settings', 'stats', 'trim']

check, settings, stats, trim = _obmalloc.check, _obmalloc.settings, _obmalloc.stats, _obmalloc.trim
