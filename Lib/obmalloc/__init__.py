"""The small-object allocator of this interpreter, seen from Python.

An interpreter that was built with obmalloc has it.  Others get it from the
package of the same name, with a library for LD_PRELOAD or install(); where that
cannot be, the import raises ImportError.

    install()   put obmalloc in place, if this interpreter was built without it
    active()    whether obmalloc serves the small requests of this interpreter
    stats()     what the arenas hold: bytes, pages, blocks, events
    heap_map()  what every page of every arena is
    pins()      which objects keep pages and arenas that are only partly used
    resident()  what the kernel says
    trim()      give back to the system what can go now; how many bytes went
    longlived() what a thread allocates meanwhile lies apart from what comes and goes
    keep()      a copy of a value that is to stay, whose objects lie together
    compact()   such copies in place of the values of a dict, list, deque or set
    settings()  the settings in force
    check()     verify the heap; RuntimeError says what does not hold

All of them concern the interpreter that calls them.  A subinterpreter with its
own allocator state has its own arenas.  The library serves the main interpreter
only: in such a subinterpreter the import raises ImportError.

Where another copy of the library is preloaded than this package's, and of the
same version, the module is that copy's, which serves the process.  If it is of
another version the import warns (RuntimeWarning), and active() is False: what
the module shows and does concerns this package's copy, which serves no request.
With musl it is so, too, where the file of the copy was removed or replaced
since it was preloaded.

`obmalloc doctor` tells whether obmalloc is in force, and why not.
`obmalloc --help` tells of the commands that show all this in the
terminal, as pictures and as a page.

help(obmalloc.stats) tells the keys of its dict.
"""

__version__ = '1.0'       # setup.py and the command take it from here

from obmalloc.loading import _obmalloc, install, refusal as _refusal
from obmalloc._looking import heap_map, pins, resident

__all__ = ['active', 'check', 'compact', 'heap_map', 'install', 'keep', 'longlived', 'pins', 'resident', 'settings',
           'stats', 'trim']

if _refusal is None:
    active, check, settings, stats, trim = (
        _obmalloc.active, _obmalloc.check, _obmalloc.settings, _obmalloc.stats, _obmalloc.trim)


def __getattr__(name):
    """compact, keep and longlived, whose modules are imported when they are wanted: what these
    import takes longer than all the rest, and each start of an enabled environment imports this."""
    if _refusal is not None and name in __all__:    # only the command gets here then
        raise ImportError(str(_refusal), name='obmalloc')
    if name == 'longlived':
        from obmalloc._longlived import longlived
        globals().update(longlived=longlived)
    elif name in ('compact', 'keep'):
        from obmalloc import _moving
        globals().update(compact=_moving.compact, keep=_moving.keep)
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return globals()[name]


def __dir__():
    return sorted({*globals(), *__all__})
