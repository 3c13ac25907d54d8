"""The small-object allocator of this interpreter, seen from Python.

Only interpreters with obmalloc have it: elsewhere the import raises ImportError.

    trim()      give back to the system what can go now; how many bytes went
    stats()     what the arenas hold: bytes, pages, blocks, events
    settings()  the settings in force
    check()     verify the heap; RuntimeError says what does not hold

All of them concern the interpreter that calls them.  A subinterpreter with its
own allocator state has its own arenas.
"""

from _obmalloc import check, settings, stats, trim

__all__ = ['check', 'settings', 'stats', 'trim']
