"""A heap read from outside: from another process, or from a core file.

The program tells by itself where everything stands: struct obm_layout in the
section .obmalloc (Include/internal/obmalloc/layout.h).  Nothing is believed
before magic text, byte order, version and size are what this module knows.
Only reads happen, and the program runs on meanwhile: what was read while an
arena came or went is thrown away and read again.

Nothing here needs an interpreter with obmalloc.
"""

import contextlib
import os
import struct
import sys

from obmalloc import _kernel

LAYOUT_VERSION = 6
SECTION = '.obmalloc'
MAGIC = b'obmalloc layout\0'

# magic, byte order, version, size, size of a pointer, how many numbers, bytes of names
_HEAD = struct.Struct('=16sIIIIII')

_ATTEMPTS = 20
_MOST_ARENAS = 1 << 22          # more than that is no heap, but something misread
_MOST_BYTES = 1 << 30           # of one read, and of the pages of all arenas, as well


class OutsideError(Exception):
    """The heap cannot be read; the message is one line for people."""


class RefusedError(OutsideError):
    """The system forbids reading its memory."""


class Torn(Exception):
    """The program changed it while it was read."""


@contextlib.contextmanager
def _only_sense(name):
    """Numbers that lead nowhere are no error of ours: the program's memory may hold
    anything at all."""
    try:
        yield
    except (ArithmeticError, LookupError, MemoryError, ValueError, struct.error):
        raise OutsideError(f'the heap of {name} makes no sense: it is damaged, or no heap') from None


# Where the layout stands --------------------------------------------------------

_SHT_DYNSYM = 11
_PT_LOAD, _PT_DYNAMIC = 1, 2


class Elf:
    """The little of an ELF file that is needed: sections, segments, exported symbols.
    word: struct's format of an address."""

    def __init__(self, file):
        self._file = file
        ident = file.read(16)
        if ident[:4] != b'\x7fELF':
            raise OutsideError('not an ELF file')
        order = '<' if ident[5] == 1 else '>'
        self._wide = ident[4] == 2
        self.word = order + ('Q' if self._wide else 'I')
        shape = order + ('HHIQQQIHHHHHH' if self._wide else 'HHIIIIIHHHHHH')
        (_, _, _, _, self._phoff, self._shoff, _, _, self._phsize, self._phcount,
         self._shsize, self._shcount, self._names) = self._unpack(shape, 16)
        self._section = order + ('IIQQQQI' if self._wide else 'IIIIIII')
        self._segment = order + ('IIQQQQ' if self._wide else 'IIIII')
        self._symbol = order + ('IBBHQQ' if self._wide else 'IIIBBH')

    def _unpack(self, shape, offset):
        self._file.seek(offset)
        return struct.unpack(shape, self._file.read(struct.calcsize(shape)))

    def _headers(self):
        """(name, type, address, file offset, size, linked section) of each section."""
        self._file.seek(self._shoff)
        table = self._file.read(self._shcount * self._shsize)
        for i in range(self._shcount):
            name, kind, _, address, offset, size, link = struct.unpack_from(
                self._section, table, i * self._shsize)
            yield name, kind, address, offset, size, link

    def _content(self, header):
        self._file.seek(header[3])
        return self._file.read(header[4])

    def section(self, wanted):
        """Address of a section; None: there is none."""
        if not self._shcount:
            return None
        headers = list(self._headers())
        names = self._content(headers[self._names])
        for name, _, address, *_ in headers:
            if names[name:names.index(b'\0', name)] == wanted.encode():
                return address
        return None

    def symbols(self, wanted):
        """A dict: those of the names that the file defines for the loader, and their
        addresses."""
        headers = list(self._headers())
        table = next((header for header in headers if header[1] == _SHT_DYNSYM), None)
        if table is None:
            return {}
        at = _places(self._content(headers[table[5]]), wanted)
        if not at:
            return {}
        found = {}
        for symbol in struct.iter_unpack(self._symbol, self._content(table)):
            if symbol[0] in at:
                section, address = (symbol[3], symbol[4]) if self._wide else (symbol[5], symbol[1])
                if section:
                    found[at[symbol[0]]] = address
        return found

    def _segments(self):
        """(type, file offset, address) of each segment."""
        for i in range(self._phcount):
            header = self._unpack(self._segment, self._phoff + i * self._phsize)
            yield (header[0], *(header[2:4] if self._wide else header[1:3]))

    def first_address(self):
        """The address that the first loaded byte of the file was linked to."""
        for kind, offset, address in self._segments():
            if kind == _PT_LOAD and offset == 0:
                return address
        raise OutsideError('an ELF file without its first segment')

    def dynamic_address(self):
        """The address that the table for the loader was linked to; None: there is none."""
        return next((address for kind, _, address in self._segments() if kind == _PT_DYNAMIC), None)


def _places(names, wanted):
    """A dict: where in a table of names, each ended by a zero byte, one of those that are
    wanted can begin (it may be the end of a longer one), and that name."""
    at = {}
    for name in wanted:
        text = name.encode() + b'\0'
        place = names.find(text)
        while place >= 0:
            at[place] = name
            place = names.find(text, place + 1)
    return at


# What comes of a file that is no ELF file, or a damaged one.
ELF_ERRORS = (OSError, OutsideError, struct.error, ValueError, IndexError)


_DELETED = ' (deleted)'


def _in_root(root, path):
    """A path as a process with that root has it: after chroot() the kernel shows the whole one."""
    return path[len(root):] if root != '/' and path.startswith(root + '/') else path


class Mapped:
    """What is mapped in a process, as it was when this was made.

    parts: (start, end, permissions such as 'rw-p', offset in the file, path) of each mapping; path:
    '' or a text in brackets, where it belongs to no file.
    files: (address of the first byte, path in the process, path to open) of each mapped file, the
    program first.  Path to open: None of a file that was replaced or removed since; its path is
    the one that it had.
    """

    def __init__(self, pid):
        self.pid = pid
        self.parts = []
        outside_root = set()        # paths of files that only the process could not open any more: it called chroot()
        root = os.readlink(f'/proc/{pid}/root')
        # Not splitlines(): of all that ends a line there the kernel escapes this only in a path.
        for line in filter(None, _kernel.read_file(pid, 'maps').split('\n')):
            addresses, permissions, offset, _, _, *path = line.split(None, 5)
            start, end = (int(address, 16) for address in addresses.split('-'))
            path = ''.join(path)
            self.parts.append((start, end, permissions, int(offset, 16), _in_root(root, path)))
            if root != '/' and not path.startswith(root + '/'):
                outside_root.add(path)
        self.files = self._find_files(_in_root(root, os.readlink(f'/proc/{pid}/exe')), outside_root)

    def _find_files(self, program, outside_root):
        found = {}
        for start, _, _, offset, path in self.parts:
            if offset == 0 and path.startswith('/'):
                found.setdefault(path, start)
        files = [(found.pop(program), program, f'/proc/{self.pid}/exe')] if program in found else []
        for path, address in found.items():
            to_open = path if path in outside_root else f'/proc/{self.pid}/root{path}'
            if path.endswith(_DELETED) and not os.path.exists(to_open):
                path, to_open = path[:-len(_DELETED)], None
            files.append((address, path, to_open))
        return files


def _layout_in_file(start, to_open):
    """The address of the layout of a file whose first byte is at start; None: there is none."""
    try:
        with open(to_open, 'rb') as file:
            elf = Elf(file)
            address = elf.section(SECTION)
            return None if address is None else start - elf.first_address() + address
    except ELF_ERRORS:
        return None         # data files are mapped too


def _layout_in_memory(pid, parts):
    """The address of the layout in a file that is gone, by its magic text; None: there is none.
    parts: (start, end, permissions) of its mappings.  Only a library is looked at: shared memory,
    which may be large, has names of this kind, too."""
    if not any('x' in permissions for _, _, permissions in parts):
        return None
    memory = memory_of(pid)
    for start, end, permissions in parts:
        if permissions == 'rw-p' and end - start <= _MOST_BYTES:
            with contextlib.suppress(Torn):
                place = memory(start, end - start).find(MAGIC)
                if place >= 0:
                    return start + place
    return None


def find_layouts(mapped):
    """(path, address) of each layout in the process: as a rule there is one."""
    found, gone = [], {}
    for start, end, permissions, _, path in mapped.parts:
        if path.startswith('/') and path.endswith(_DELETED):
            gone.setdefault(path[:-len(_DELETED)], []).append((start, end, permissions))
    for start, path, to_open in mapped.files:
        address = (_layout_in_memory(mapped.pid, gone.get(path, [])) if to_open is None else
                   _layout_in_file(start, to_open))
        if address is not None:
            found.append((path, address))
    return found


# Reading ---------------------------------------------------------------------------

class Reader:
    """The heap of the main interpreter of a program.

    read: a function of (address, size) to so many bytes; layout: where struct
    obm_layout stands; name: of the program, for messages.
    """

    def __init__(self, read, layout, name):
        self._read = read
        self._name = name
        with _only_sense(name):
            self._take_layout(layout)

    def _take_layout(self, layout):
        read, name = self._read, self._name
        magic, order, version, size, width, count, length = _HEAD.unpack(read(layout, _HEAD.size))
        if magic != MAGIC:
            raise OutsideError(f'{name} has no layout of obmalloc where its file says')
        if order != 0x01020304:
            raise OutsideError(f'{name} has another byte order: read it on such a machine')
        whole = _HEAD.size + 4 * count + length
        if (version != LAYOUT_VERSION or width not in (4, 8)
                or size != whole + (-whole) % width + width):
            raise OutsideError(f'{name} has layout {version} of obmalloc, this is for layout '
                               f'{LAYOUT_VERSION}: use the obmalloc that belongs to it')
        rest = self._read_some(layout + _HEAD.size, size - _HEAD.size)
        names = rest[4 * count:4 * count + length].rstrip(b'\0').decode('ascii').split()
        if len(names) != count:
            raise ValueError(names)
        self._at = dict(zip(names, struct.unpack_from(f'={count}I', rest)))
        at = self._at
        sizes = [at[name] for name in names if name.startswith('sizeof_')]
        if (not 0 < min(sizes) <= max(sizes) < 1 << 20 or at['sizeof_pool'] % 2
                or at['arena_runs'] + at['runs_per_arena'] * at['sizeof_run'] > at['sizeof_arena']
                or at['classes'] + at['size_classes'] * at['sizeof_class'] > at['sizeof_heap']
                or not (at['small_classes'] <= at['size_classes'] == at['long_medium']
                        <= at['long_small'] <= at['all_classes'] < 1 << 8)
                or at['max_arena_pages'] >= 1 << 16):
            raise ValueError(at)
        self._word = '=Q' if width == 8 else '=I'
        self._signed_word = '=q' if width == 8 else '=i'
        self._heap, = struct.unpack_from(self._word, rest, len(rest) - width)

    def _read_some(self, address, size):
        if size > _MOST_BYTES:
            raise ValueError(size)
        return self._read(address, size)

    def _field(self, data, name, shape=None, base=0):
        return struct.unpack_from(shape or self._word, data, base + self._at[name])[0]

    def _head(self):
        """The heap itself, and the arena objects."""
        at = self._at
        heap = self._read_some(self._heap, at['sizeof_heap'])
        ever = self._field(heap, 'arenas_ever', '=I')
        if self._field(heap, 'page_size') == 0 or ever == 0:
            raise OutsideError(f'{self._name} has not set up its heap yet')
        if not 0 < ever < _MOST_ARENAS:
            raise Torn
        arenas = self._field(heap, 'arenas')
        return heap, self._read_some(arenas, ever * at['sizeof_arena']) if arenas else b''

    def _classes(self, heap):
        """[(bytes of a block, blocks in a page or run)] of each size class."""
        at, page_size = self._at, self._field(heap, 'page_size')
        starts = [number * at['sizeof_class'] + at['classes'] for number in range(at['size_classes'])]
        classes = [tuple(self._field(heap, name, '=I', start)
                         for name in ('class_size', 'class_capacity')) for start in starts]
        small = at['small_classes']
        limits = [page_size] * small + [self._field(heap, 'run_size')] * (len(classes) - small)
        if any(not 0 < size <= size * capacity <= limit
               for (size, capacity), limit in zip(classes, limits)):
            raise ValueError(classes)
        return classes

    def _describe(self, kinds, classes, live, runs, run_pages, table, page_size):
        """The pages of an arena, as _heap_map.HeapMap takes them."""
        from obmalloc import _heap_map      # which the doctor does without
        at, pack = self._at, _heap_map.PAGE.pack
        pages = bytearray()
        for number, (state, size_class) in enumerate(zip(kinds, classes)):
            run, bit = divmod(number, run_pages)
            dirty, purged, free_blocks = runs[run]
            if state == at['FREE']:
                kind = 2 if dirty >> bit & 1 else 1 if purged >> bit & 1 else 0
                pages += pack(kind, _heap_map.NO_CLASS, 0, False)
                continue
            if size_class >= at['all_classes']:
                raise Torn
            if size_class >= at['size_classes']:    # a long-lived one: as the ordinary one
                size_class -= (at['long_small'] if size_class >= at['long_small']
                               else at['long_medium'] - at['small_classes'])
            if state == at['MEDIUM']:
                if size_class < at['small_classes']:
                    raise Torn
                size, in_run = table[size_class][0], min(run_pages, len(kinds) - run * run_pages)
                room = _heap_map.room_of(*table[size_class], page_size, in_run, bit)
                first = bit * page_size // size
                held = ~free_blocks >> first & (1 << room.touch) - 1
                pages += pack(3, size_class, bin(held).count('1'),
                              room.begin < room.touch and bool(held & 1))
                continue
            if size_class >= at['small_classes']:
                raise Torn
            capacity = table[size_class][1]
            count = live[number] + (capacity - (capacity >> at['refill_shift'])
                                    if state == at['FULL'] else 1)
            if state not in (at['PARTIAL'], at['CURRENT'], at['FULL']) or not 0 <= count <= capacity:
                raise Torn
            pages += pack(3, size_class, count, False)
        return bytes(pages)

    def _read_arena(self, number, heap, objects):
        """(descriptors, bitmaps of free blocks) of an arena, as they lie in memory."""
        at = self._at
        base = number * at['sizeof_arena']
        count = self._field(objects, 'arena_page_count', '=H', base)
        if not 0 < count <= at['max_arena_pages']:
            raise Torn
        bitmaps = at['runs_per_arena'] * self._field(heap, 'run_words', '=H') * 8
        return (self._read_some(self._field(objects, 'arena_pools', base=base), count * at['sizeof_pool']),
                self._read_some(self._field(heap, 'blocks') + number * bitmaps, bitmaps))

    def _free_blocks(self, number, heap, data):
        """The bitmap of each run of an arena, of the free blocks of a medium class, as a number."""
        runs, words = self._at['runs_per_arena'], self._field(heap, 'run_words', '=H')
        bits = struct.unpack(f'={runs * words}Q', data)
        free = [sum(word << 64 * place for place, word in enumerate(bits[run * words:][:words]))
                for run in range(runs)]
        for run, block in self._kept_blocks(heap):
            if run // runs == number and block < 64 * words:
                free[run % runs] |= 1 << block
        return free

    def _kept_blocks(self, heap):
        """(number of its run, number in it) of the block of each medium class of both kinds that
        was freed last, and is kept for the next request."""
        at = self._at
        starts = [at['kept_blocks'] + number * at['sizeof_kept']
                  for number in range(at['long_small'] - at['small_classes'])]
        found = [tuple(struct.unpack_from('=I', heap, start + at[name])[0]
                       for name in ('kept_run', 'kept_number')) for start in starts]
        return [(run, block & ~at['KEPT_IDLE']) for run, block in found if run]

    def _arena(self, number, heap, objects, run_pages, table, data, bitmaps):
        """An arena as _obmalloc.heap_map() tells it.  data, bitmaps: of _read_arena()."""
        at = self._at
        base = number * at['sizeof_arena']
        size = at['sizeof_pool']
        low = 0 if sys.byteorder == 'little' else 4
        states = [byte >> low & 15 for byte in data[at['pool_state']::size]]
        classes = data[at['pool_size_class']::size]
        countdowns = memoryview(data).cast('h')[at['pool_countdown'] // 2::size // 2].tolist()

        def run_words(name):
            return [self._field(objects, name, '=Q',
                                base + at['arena_runs'] + run * at['sizeof_run'])
                    for run in range(at['runs_per_arena'])]
        runs = list(zip(run_words('run_dirty'), run_words('run_purged'),
                        self._free_blocks(number, heap, bitmaps)))
        pages = self._describe(states, classes, countdowns, runs, run_pages, table,
                               self._field(heap, 'page_size'))
        return (number, self._field(objects, 'arena_first_page', base=base),
                self._field(objects, 'arena_purgeable', '=B', base) != 0, pages)

    def _mapped_arenas(self, heap, objects):
        """The numbers of the arenas that are mapped."""
        ever = self._field(heap, 'arenas_ever', '=I')
        size = self._at['sizeof_arena']
        return [number for number in range(1, ever if objects else 1)
                if self._field(objects, 'arena_address', base=number * size)]

    def _snapshot(self):
        """(the heap, arena objects, arenas as _obmalloc.heap_map() tells them)."""
        for _ in range(_ATTEMPTS):
            try:
                heap, objects = self._head()
                parts, total = [], 0
                for number in self._mapped_arenas(heap, objects):
                    parts.append((number, self._read_arena(number, heap, objects)))
                    total += sum(map(len, parts[-1][1]))
                    if total > _MOST_BYTES:
                        raise ValueError(total)
                again, _ = self._head()
                if any(self._field(heap, name) != self._field(again, name)
                       for name in ('arenas', 'blocks', 'arenas_mapped', 'arenas_released')):
                    continue
                # To describe a large heap takes seconds, in which an arena comes or goes: so
                # all of it was read before.
                run_pages, table = self._field(heap, 'run_pages', '=H'), self._classes(heap)
                return heap, objects, [self._arena(number, heap, objects, run_pages, table, *read)
                                       for number, read in parts]
            except Torn:
                pass
        raise OutsideError(f'the heap of {self._name} changes faster than it can be read: '
                           'try again')

    def _map_of(self, heap, arenas, resident=None):
        from obmalloc import _heap_map
        return _heap_map.HeapMap(
            page_size=self._field(heap, 'page_size'), run_size=self._field(heap, 'run_size'),
            arena_size=self._field(heap, 'arena_size'), classes=self._classes(heap),
            arenas=arenas, resident=resident)

    def read(self, resident=None):
        """(statistics as obmalloc.stats() has them, an obmalloc._heap_map.HeapMap), of
        one moment.  resident: as in HeapMap."""
        with _only_sense(self._name):
            heap, objects, arenas = self._snapshot()
            heap_map = self._map_of(heap, arenas, resident)
            return self._stats(heap, objects, heap_map), heap_map

    def has_arenas(self):
        """Whether the heap has arenas: it serves an interpreter, or holds blocks of one."""
        with _only_sense(self._name):
            for _ in range(_ATTEMPTS):
                try:
                    return bool(self._mapped_arenas(*self._head()))
                except Torn:
                    continue
        raise OutsideError(f'the heap of {self._name} cannot be read: try again')

    def totals(self):
        """(used pages, dirty pages) of all arenas, in bytes, from what the arenas count
        themselves: cheap enough to be asked many times a second."""
        with _only_sense(self._name):
            return self._totals()

    def _totals(self):
        for _ in range(_ATTEMPTS):
            try:
                heap, objects = self._head()
            except Torn:
                continue
            size, used, dirty = self._at['sizeof_arena'], 0, 0
            for number in self._mapped_arenas(heap, objects):
                count, free, dirty_here = (
                    self._field(objects, name, '=H', number * size)
                    for name in ('arena_page_count', 'arena_free_pages', 'arena_dirty_pages'))
                used += count - free
                dirty += dirty_here
            page_size = self._field(heap, 'page_size')
            return used * page_size, dirty * page_size
        raise OutsideError(f'the heap of {self._name} cannot be read: try again')

    def _metadata(self, heap, objects):
        at, page_size = self._at, self._field(heap, 'page_size')
        arena_pages = self._field(heap, 'arena_pages', '=H')
        inside = arena_pages * at['sizeof_pool']
        outside = 4 * inside        # aligned memory, with room for more than descriptors
        bitmaps = at['runs_per_arena'] * self._field(heap, 'run_words', '=H') * 8
        total = (self._field(heap, 'arena_capacity') * (at['sizeof_arena'] + bitmaps)
                 + self._field(heap, 'map_capacity') * at['sizeof_map_entry'])
        for number in self._mapped_arenas(heap, objects):
            in_window = self._field(objects, 'arena_in_window', '=B', number * at['sizeof_arena'])
            total += inside if in_window else outside
        return total

    def _stats(self, heap, objects, heap_map):
        counted = ('arenas_mapped', 'arenas_released', 'arenas_highwater', 'purge_calls',
                   'pages_purged', 'pages_released', 'refaults', 'purge_failures',
                   'arenas_huge', 'arenas_split', 'allowance_pages')
        stats = stats_of_map(heap_map)
        stats.update((name, self._field(heap, name)) for name in counted)
        stats['huge_arenas'] = sum(
            self._field(objects, 'arena_huge', '=B', number * self._at['sizeof_arena'])
            for number in self._mapped_arenas(heap, objects))
        stats['metadata_bytes'] = self._metadata(heap, objects)
        stats['system_blocks'] = self._field(heap, 'system_blocks', self._signed_word)
        return stats


def stats_of_map(heap_map):
    """What of obmalloc.stats() follows from a map."""
    from obmalloc import _heap_map
    kinds = heap_map.kinds()
    classes = [{'size': size, 'capacity': capacity, 'pools': 0, 'live_blocks': 0, 'free_blocks': 0}
               for size, capacity in heap_map.classes]
    by_size = {row['size']: row for row in classes}
    floor = tail = 0
    for arena in heap_map.arenas:
        for page, room in zip(arena, arena.rooms()):
            if page.kind == _heap_map.USED:
                row = by_size[page.block_size]
                row['pools'] += 1
                row['live_blocks'] += page.live_blocks
                row['free_blocks'] += room.begin - page.live_blocks
                floor += page.live != 0
                tail += room.tail
    live = sum(row['live_blocks'] * row['size'] for row in classes)
    used = kinds['used']
    return {
        'version': 2,
        'page_size': heap_map.page_size, 'run_size': heap_map.run_size,
        'arena_size': heap_map.arena_size,
        'arenas': len(heap_map.arenas),
        'arena_bytes': sum(kinds.values()) * heap_map.page_size,
        'used_pages': used, 'floor_pages': floor,
        'free_pages': sum(kinds.values()) - used,
        'dirty_pages': kinds['dirty'], 'purged_pages': kinds['purged'],
        'fresh_pages': kinds['fresh'], 'resident_pages': used + kinds['dirty'],
        'live_blocks': sum(row['live_blocks'] for row in classes), 'live_bytes': live,
        'free_block_bytes': used * heap_map.page_size - live - tail, 'tail_bytes': tail,
        'classes': classes,
    }


# Another process --------------------------------------------------------------------

def memory_of(pid):
    """A function of (address, size) to the bytes of the process."""
    try:
        file = os.open(f'/proc/{pid}/mem', os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise RefusedError(refused(pid)) from None
    except (FileNotFoundError, ProcessLookupError):
        raise OutsideError(f'process {pid} is gone') from None

    class Memory:
        def __call__(self, address, size):
            parts = b''
            while len(parts) < size:
                try:
                    part = os.pread(file, size - len(parts), address + len(parts))
                except (OSError, OverflowError):    # unmapped meanwhile, or never mapped
                    raise Torn from None
                if not part:
                    raise OutsideError(f'process {pid} is gone')
                parts += part
            return parts

        def __del__(self, close=os.close):
            close(file)
    return Memory()


def refused(pid):
    """The remedy, when the system forbids reading the process."""
    return (f'process {pid}: permission refused; only its user or root may read it, and only as far as '
            'kernel.yama.ptrace_scope and the container (capability SYS_PTRACE) allow')


def _reader_of(pid):
    layouts = find_layouts(Mapped(pid))
    if not layouts:
        raise OutsideError(f'process {pid} is no Python with obmalloc (obmalloc doctor --pid {pid} says why)')
    memory, name = memory_of(pid), f'process {pid}'
    for _, layout in layouts if len(layouts) > 1 else []:
        with contextlib.suppress(OutsideError):         # of another version, or not set up
            reader = Reader(memory, layout, name)
            if reader.has_arenas():
                return reader
    return Reader(memory, layouts[0][1], name)


def _why_no_file(pid, error):
    """What to say of a process after the FileNotFoundError that looking at it raised."""
    if not os.path.exists('/proc/self/exe'):
        return 'this system has no /proc: other processes cannot be read'
    try:
        state = _kernel.read_file(pid, 'stat').rpartition(')')[2].split()[0]
    except _kernel.KernelError:
        return f'no process {pid}'
    if state in ('Z', 'X', 'x'):
        return f'process {pid} has ended, and has no memory any more: only its parent has not waited for it yet'
    if error.filename == f'/proc/{pid}/exe':
        return f'process {pid} is a thread of the kernel, which runs no program'
    return _cannot_look(pid, error)


def _cannot_look(pid, error):
    return f'process {pid} cannot be looked at: {error.filename}: {error.strerror}'


@contextlib.contextmanager
def looking_at(pid):
    """Turn what goes wrong in the block into an OutsideError of one line."""
    try:
        os.readlink(f'/proc/{pid}/exe')
        yield
    except PermissionError:
        raise OutsideError(refused(pid)) from None
    except FileNotFoundError as error:
        raise OutsideError(_why_no_file(pid, error)) from None
    except ProcessLookupError:      # of a file of /proc that was opened in time
        raise OutsideError(f'process {pid} is gone') from None
    except _kernel.KernelError as error:
        raise OutsideError(str(error)) from None
    except OSError as error:
        raise OutsideError(_cannot_look(pid, error)) from None
    except Torn:
        raise OutsideError(f'process {pid} has no layout of obmalloc where its file says') from None


def open_process(pid):
    """A Reader of a live process.  Raises OutsideError."""
    with looking_at(pid):
        return _reader_of(pid)
