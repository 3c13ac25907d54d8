"""obmalloc in gdb: the heap of a process or of a core file.

    (gdb) source .../Lib/obmalloc/gdb.py
    (gdb) obmalloc stats
    (gdb) obmalloc map

It needs the program (or its core file and the program), not its debugging
information; and gdb's Python need not be one with obmalloc.
"""

import importlib.machinery
import os
import sys
import types

import gdb

# The package itself wants an interpreter with obmalloc; the modules used here do not.
if 'obmalloc' not in sys.modules:
    _package = types.ModuleType('obmalloc')
    _package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    _package.__spec__ = importlib.machinery.ModuleSpec('obmalloc', None, is_package=True)
    sys.modules['obmalloc'] = _package

from obmalloc import _outside, _text  # noqa: E402


def _layout():
    """The address of the layout, by gdb's list of sections."""
    for line in gdb.execute('info files', to_string=True).splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[1] == '-' and fields[3] == 'is' \
                and fields[4] == _outside.SECTION:
            return int(fields[0], 16)
    raise gdb.GdbError('obmalloc: this program is no Python with obmalloc')


def _read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise gdb.GdbError(f'obmalloc: the memory at {address:#x} is not there: is the program '
                           'running, or the core file complete?') from None


class _Stream:
    """gdb's own output, as _text.Style asks for it."""
    encoding = 'utf-8'

    @staticmethod
    def isatty():
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


class ObmallocCommand(gdb.Command):
    """The small-object heap of the main interpreter: obmalloc stats|map"""

    def __init__(self):
        super().__init__('obmalloc', gdb.COMMAND_DATA)

    def complete(self, text, word):
        return [name for name in ('stats', 'map') if name.startswith(word)]

    def invoke(self, argument, from_tty):
        if argument.strip() not in ('stats', 'map'):
            raise gdb.GdbError('obmalloc: say obmalloc stats or obmalloc map')
        try:
            reader = _outside.Reader(_read, _layout(), 'this program')
            stats, heap_map = reader.read()
        except _outside.OutsideError as error:
            raise gdb.GdbError(f'obmalloc: {error}') from None
        style = _text.Style(_Stream)
        lines = (_text.stats_lines(stats, None, style) if argument.strip() == 'stats'
                 else _text.map_lines(heap_map, style))
        gdb.write('\n'.join(lines) + '\n')


ObmallocCommand()
