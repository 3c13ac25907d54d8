"""What Linux and the dynamic loader tell of a process: its Python, the malloc that
serves everything else, and the processors that it may use.

pid is a number, or 'self'; mapped, an _outside.Mapped.  Nothing here needs an interpreter with obmalloc.
"""

import contextlib
import os
import struct

from obmalloc import _kernel, _outside

_DT_DEBUG = 21              # of <elf.h>: where the loader's list of objects begins
_MOST_OBJECTS = 10_000
_ATTEMPTS = 20

# Symbols by which a malloc is known, and what it is called.
_MALLOCS = {'mallctl': 'jemalloc', 'mi_malloc': 'mimalloc', 'tc_malloc': 'tcmalloc',
            '__asan_init': 'AddressSanitizer', 'gnu_get_libc_version': 'glibc'}
_SYMBOLS = frozenset([*_MALLOCS, 'malloc', 'Py_GetVersion', 'Py_Version', '__libc_start_main'])


def environment(pid):
    """The environment that the process was started with."""
    with open(f'/proc/{pid}/environ', 'rb') as file:
        entries = os.fsdecode(file.read()).split('\0')
    return dict(entry.split('=', 1) for entry in entries if '=' in entry)


# The objects of a process, as its dynamic loader has them ------------------------------

def _text(memory, address):
    """The text, ended by a zero byte, at an address."""
    text = b''
    while b'\0' not in text:
        text += memory(address + len(text), 4096 - (address + len(text)) % 4096)
    return os.fsdecode(text[:text.index(b'\0')])


def _loader_list(memory, elf, program):
    """The address of the loader's list.  elf is the program's, program its first byte."""
    table, word = elf.dynamic_address(), struct.Struct(elf.word)
    if table is None:
        return 0                                    # a static program
    entry = program - elf.first_address() + table
    for _ in range(_MOST_OBJECTS):
        tag, = word.unpack(memory(entry, word.size))
        value, = word.unpack(memory(entry + word.size, word.size))
        if tag == _DT_DEBUG and value != 0:
            return word.unpack(memory(value + word.size, word.size))[0]
        if tag == 0:
            break
        entry += 2 * word.size
    return 0


def _objects(mapped):
    """(what is added to its addresses, path in the process, path to open) of each object,
    in the order in which the loader looks for symbols: the program, what is preloaded,
    the libraries, and what was loaded later."""
    memory = _outside.memory_of(mapped.pid)
    if not mapped.files:
        return []                                   # it is about to end, or to become another program
    address, path, to_open = mapped.files[0]
    with open(to_open, 'rb') as file:
        elf = _outside.Elf(file)
        item, word = _loader_list(memory, elf, address), struct.Struct(elf.word)
        objects = [(address - elf.first_address(), path, to_open)]
    first, to_open_at = True, {address: to_open for address, _, to_open in mapped.files if to_open is not None}
    while item and len(objects) < _MOST_OBJECTS:
        base, name, _, following = (word.unpack(memory(item + i * word.size, word.size))[0]
                                    for i in range(4))
        if not first:
            path = _absolute(mapped.pid, _text(memory, name))
            objects.append((base, path, to_open_at.get(base, f'/proc/{mapped.pid}/root{path}')))
        first, item = False, following
    return objects


def _absolute(pid, path):
    """A path that may start from the working directory of the process, as LD_PRELOAD may name it.
    The kernel's own object has a name without a slash, and no file."""
    if '/' not in path or path.startswith('/'):
        return path
    root, folder = (os.readlink(f'/proc/{pid}/{name}') for name in ('root', 'cwd'))
    return os.path.normpath(os.path.join(_outside._in_root(root, folder), path))


class Objects:
    """What the loader has put into a process."""

    def __init__(self, mapped):
        for attempt in range(_ATTEMPTS):
            try:
                found = _objects(mapped)
                break
            except _outside.Torn:       # it loads an object, or unloads one
                if attempt == _ATTEMPTS - 1:
                    raise
        self._objects = [(path, to_open, _symbols(base, to_open)) for base, path, to_open in found]

    def find(self, symbol):
        """(path, path to open, addresses of the symbols that matter here) of the first
        object that defines a symbol, which is the one that serves; None: there is none."""
        return next((found for found in self._objects if symbol in found[2]), None)

    def is_preloaded(self, path):
        """Whether the object of a path was loaded before the C library, as LD_PRELOAD has it."""
        for here, _, symbols in self._objects:
            if '/' in here and os.path.realpath(here) == path:
                return True
            if '__libc_start_main' in symbols:
                break
        return False


def _symbols(base, to_open):
    try:
        with open(to_open, 'rb') as file:
            found = _outside.Elf(file).symbols(_SYMBOLS)
    except _outside.ELF_ERRORS:
        return {}                   # the kernel's own has no file
    return {name: base + address for name, address in found.items()}


# Python -------------------------------------------------------------------------------

def python(mapped, objects):
    """(file, version, whether it is free-threaded) of the Python in a process; None:
    there is none.  The version has two or three numbers, or is None."""
    found = objects.find('Py_GetVersion')
    if found is None:
        return None
    path, _, addresses = found
    names = [name for _, name, _ in mapped.files]
    named = [numbers for numbers in map(_numbers_of_name, [path, *names]) if numbers is not None]
    version = named[0][:2] if named else None
    if 'Py_Version' in addresses:       # from 3.11 on
        number = _long(_outside.memory_of(mapped.pid), addresses['Py_Version'])
        if number >> 24 == 3:           # else its file is another one since
            version = (number >> 24, number >> 16 & 0xff, number >> 8 & 0xff)
    return path, version, bool(named and named[0][2])


def _long(memory, address):
    """The unsigned long at an address; 0: there is none."""
    with contextlib.suppress(_outside.Torn):
        return struct.unpack('L', memory(address, struct.calcsize('L')))[0]
    return 0


def _numbers_of_name(path):
    """(3, 13, whether it is free-threaded) of a path with 'python3.13' in it; None: it has
    none.  By hand, since the module re costs more than all the rest of the doctor."""
    for part in path.split('python')[1:]:
        major, dot, rest = part.partition('.')
        minor = rest[:len(rest) - len(rest.lstrip('0123456789'))]
        if len(major) == 1 and major.isdecimal() and dot and minor:
            return int(major), int(minor), rest[len(minor):][:1] == 't'
    return None


# The system's malloc ---------------------------------------------------------------------

def system_malloc(pid, objects):
    """A dict with 'name', 'version' (None: not known) and 'file' of the malloc that serves
    a process; None: it cannot be told."""
    found = objects.find('malloc')
    if found is None:
        return None
    path, to_open, addresses = found
    name, version = next((name for symbol, name in _MALLOCS.items() if symbol in addresses), None), None
    if name in (None, 'glibc'):
        with open(to_open, 'rb') as file:
            data = file.read()
        if name == 'glibc':
            version = _glibc_version(data)
        else:       # its file may have any name; what it says of itself as a program is in it
            name = 'musl' if b'musl libc' in data else 'another malloc'
    return {'name': name, 'version': version, 'file': path}


def _glibc_version(data):
    banner = data.find(b'GNU C Library ')
    line = data[banner:banner + 200].split(b'\n')[0] if banner >= 0 else b''
    # Such as '... stable release version 2.36.' or '... version 2.17, by'.
    return line.partition(b'release version ')[2].split(b',')[0].rstrip(b'.').decode('latin-1') or None


def thread_arenas(mapped):
    """How many arenas glibc has made for threads, besides the main one.

    Each begins in a heap: memory that is aligned at its greatest size, of which
    the first words are the address of the arena (in the first heap, right behind
    them), the previous heap, the size in use and the size that was ever so."""
    word = struct.Struct('=Q' if struct.calcsize('P') == 8 else '=I')
    heap_max = 64 << 20 if word.size == 8 else 1 << 20
    page = os.sysconf('SC_PAGE_SIZE')
    memory, arenas = _outside.memory_of(mapped.pid), 0
    for start, end in _anonymous(mapped):
        for heap in range(-(-start // heap_max) * heap_max, end, heap_max):
            try:
                arena, previous, size, touched = (
                    word.unpack(memory(heap + i * word.size, word.size))[0] for i in range(4))
            except _outside.Torn:       # it was unmapped meanwhile
                continue
            arenas += (0 < arena - heap <= 32 * word.size and previous == 0
                       and 0 < size <= touched <= heap_max and size % page == touched % page == 0)
    return arenas


def _anonymous(mapped):
    """(start, end) of the memory that belongs to no file, and may be written."""
    for start, end, permissions, _, path in mapped.parts:
        if permissions.startswith('rw') and (not path or 'glibc' in path):
            yield start, end


# Processors ---------------------------------------------------------------------------

def affinity(pid):
    """How many processors the affinity mask allows."""
    return len(os.sched_getaffinity(0 if pid == 'self' else pid))


def quota(pid):
    """How many processors' time the control groups allow (float); None: no limit."""
    limits = []
    for line in _kernel.read_file(pid, 'cgroup').splitlines():
        _, controllers, path = line.split(':', 2)
        if not controllers:
            limits += _quotas('/sys/fs/cgroup', path, _quota_of_second_version)
        elif 'cpu' in controllers.split(','):
            limits += _quotas('/sys/fs/cgroup/cpu', path, _quota_of_first_version)
    return min(limits, default=None)


def _quotas(root, path, read):
    """The limits of a control group and of those around it."""
    names = [name for name in path.split('/') if name and name != '..']
    for count in range(len(names) + 1):
        try:
            limit = read(os.path.join(root, *names[:count]))
        except (OSError, ValueError):       # not there, or not seen from this container
            continue
        if limit is not None:
            yield limit


def _numbers(folder, name):
    with open(os.path.join(folder, name)) as file:
        return file.read().split()


def _quota_of_second_version(folder):
    limit, period = _numbers(folder, 'cpu.max')
    return None if limit == 'max' else int(limit) / int(period)


def _quota_of_first_version(folder):
    limit, = _numbers(folder, 'cpu.cfs_quota_us')
    period, = _numbers(folder, 'cpu.cfs_period_us')
    return None if int(limit) < 0 else int(limit) / int(period)
