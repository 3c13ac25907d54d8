"""The small-object allocator of this interpreter, seen from Python.

    stats()     what the arenas hold: bytes, pages, blocks, events
    trim()      give back to the system what can go now; how many bytes went
    settings()  the settings in force
    check()     verify the heap; RuntimeError says what does not hold

help(obmalloc.stats) tells the keys of its dict.  An interpreter that was built
without obmalloc raises ImportError.
"""

from _obmalloc import check, settings, stats, trim

__all__ = ['check', 'settings', 'stats', 'trim']
