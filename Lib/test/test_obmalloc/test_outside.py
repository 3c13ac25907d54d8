"""Reading a heap from outside: it agrees with what the program says itself."""

import contextlib
import json
import mmap
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from unittest import mock
from test.support import LONG_TIMEOUT

import obmalloc
from obmalloc import _doctor, _heap_map, _kernel, _outside, _process

from .building import ExtensionTest
from .compat import sleeping_retry, temp_dir
from .helpers import ChildTest

GDB_SCRIPT = os.path.join(os.path.dirname(obmalloc.__file__), 'gdb.py')
WAIT = '''
import json, sys
json.dumps(_obmalloc.stats())   # what this needs is there when it counts
for _ in range(2):
    stats = _obmalloc.stats()
    sys.stdout.write(json.dumps(stats) + '\\n')
    sys.stdout.flush()
    sys.stdin.readline()
'''


def readable():
    """Whether the system lets us read another process of ours."""
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    try:
        with open(f'/proc/{child.pid}/mem', 'rb'):
            return True
    except OSError:
        return False
    finally:
        child.communicate(b'\n')


may_read = unittest.skipUnless(os.path.exists('/proc/self/mem') and readable(),
                               'the system does not let us read another process')


def wait_until_it_waits(pid):
    """Until the process sleeps: what it did to write its line is then done."""
    for _ in sleeping_retry(LONG_TIMEOUT, 'the process never sleeps'):
        with open(f'/proc/{pid}/stat') as file:
            if file.read().rpartition(')')[2].split()[0] == 'S':
                return


class ReadingTest(ChildTest):
    """Tests that compare the outside of a child with its inside."""

    def start(self, code, *, waits=True, **env):
        """A child that runs code, and the first line that it writes; by then it waits,
        unless it runs on."""
        child = subprocess.Popen(
            [sys.executable, '-c', self.child_code(textwrap.dedent(code))], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.child_environment(env))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.addCleanup(child.stdin.close)
        line = child.stdout.readline()
        if waits:
            wait_until_it_waits(child.pid)
        return child, line

    def check_agrees(self, code, **env):
        child, line = self.start(code + WAIT, **env)
        before = json.loads(line)
        outside, heap_map = _outside.open_process(child.pid).read()
        used, dirty = _outside.open_process(child.pid).totals()
        child.stdin.write('\n')
        child.stdin.flush()
        after = json.loads(child.stdout.readline())
        self.assertEqual(set(before), set(outside))
        # What it did to write a line moved a few blocks, and what was freed by then
        # may have gone back before it waited: outside lies between its two lines.
        slack = {'live_blocks': 300, 'live_bytes': 100_000, 'free_block_bytes': 100_000,
                 'tail_bytes': 2000, 'system_blocks': 100, 'purge_calls': 6}
        for name in set(before) - {'classes'}:
            allowed = slack.get(name, 6 if name.endswith('_pages') or name.startswith('page') else 1)
            low, high = sorted([before[name], after[name]])
            self.assertTrue(low - allowed <= outside[name] <= high + allowed,
                            (name, before[name], outside[name], after[name]))
        for mine, theirs in zip(before['classes'], outside['classes']):
            self.assertEqual(mine['size'], theirs['size'])
            self.assertLess(abs(mine['live_blocks'] - theirs['live_blocks']), 300)
        self.check_sums(outside, heap_map)
        self.assertEqual(used, outside['used_pages'] * outside['page_size'])
        self.assertEqual(dirty, outside['dirty_pages'] * outside['page_size'])
        return outside, heap_map

    def check_sums(self, stats, heap_map):
        page = stats['page_size']
        self.assertEqual(stats['arena_bytes'], (stats['used_pages'] + stats['free_pages']) * page)
        self.assertEqual(stats['used_pages'] * page, stats['live_bytes']
                         + stats['free_block_bytes'] + stats['tail_bytes'])
        self.assertEqual(stats['arenas'], len(heap_map.arenas))


@may_read
class ProcessTests(ReadingTest):

    def test_agrees_with_inside(self):
        self.check_agrees('objects = fill(24)')

    def test_agrees_about_blocks_on_several_pages(self):
        stats, heap_map = self.check_agrees(
            'objects = [bytes(520 + n * 37 % 32_000) for n in range(3000)]\n'
            'del objects[::3], objects[500:900]')
        self.assertGreater(sum(row['live_blocks'] for row in stats['classes'] if row['size'] > 512), 1500)
        self.assertTrue(any(page.continues for arena in heap_map.arenas for page in arena))

    def test_agrees_after_giving_back(self):
        stats, heap_map = self.check_agrees('objects = fill(48)[::70]\n_obmalloc.trim()')
        self.assertGreater(stats['purged_pages'], 5000)
        self.assertEqual(heap_map.kinds()['purged'], stats['purged_pages'])

    def test_agrees_with_retention(self):
        stats, _ = self.check_agrees('fill(24)', PYTHONOBMALLOC='retain=all')
        self.assertGreater(stats['dirty_pages'], 2000)

    def test_a_program_that_runs_on(self):
        child, _ = self.start('''
            print(flush=True)
            kept = []
            while True:
                kept = [bytes(n % 500) for n in range(20_000)][::7] + kept[:20_000:2]
            ''', waits=False)
        reader = _outside.open_process(child.pid)
        seen = set()
        rounds = 0
        end = time.monotonic() + LONG_TIMEOUT
        while rounds < 30 or len(seen) < 2:
            self.assertLess(time.monotonic(), end, (rounds, seen))
            rounds += 1
            try:
                stats, heap_map = reader.read()
            except _outside.OutsideError as error:
                self.assertIn('try again', str(error))
                continue
            self.check_sums(stats, heap_map)
            seen.add(stats['live_bytes'])

    def test_a_program_that_is_gone(self):
        child, _ = self.start('print(flush=True); input()')
        reader = _outside.open_process(child.pid)
        child.communicate('\n')
        with self.assertRaisesRegex(_outside.OutsideError, 'gone|try again'):
            reader.read()
        with self.assertRaisesRegex(_outside.OutsideError, f'^no process {child.pid}$'):
            _outside.open_process(child.pid)

    def test_another_program(self):
        child = subprocess.Popen(['sleep', '100'])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        with self.assertRaisesRegex(_outside.OutsideError, 'is no Python with obmalloc'):
            _outside.open_process(child.pid)

    def test_another_layout(self):
        says = f'has layout {_outside.LAYOUT_VERSION} .* for layout 77'
        with mock.patch.object(_outside, 'LAYOUT_VERSION', 77):
            with self.assertRaisesRegex(_outside.OutsideError, says):
                _outside.open_process(os.getpid())
        with mock.patch.object(_outside, 'MAGIC', b'something else.\0'):
            with self.assertRaisesRegex(_outside.OutsideError, 'has no layout'):
                _outside.open_process(os.getpid())

    def test_permission_refused(self):
        for function in 'readlink', 'open':
            with mock.patch.object(os, function, side_effect=PermissionError):
                with self.assertRaisesRegex(_outside.OutsideError, 'permission refused'):
                    _outside.open_process(os.getpid())

    def test_failures_that_say_nothing_of_the_process(self):
        pid = os.getpid()
        for error in OSError(24, 'Too many open files', 'x'), FileNotFoundError(2, 'No such file or directory', 'x'):
            with mock.patch.object(_outside, '_reader_of', side_effect=error):
                with self.assertRaisesRegex(_outside.OutsideError,
                                            f'^process {pid} cannot be looked at: x: {error.strerror}$'):
                    _outside.open_process(pid)
        with mock.patch.object(os, 'open', side_effect=OSError(24, 'Too many open files', '/proc/x/mem')):
            with self.assertRaisesRegex(_outside.OutsideError, 'cannot be looked at: /proc/x/mem: Too many open files$'):
                _outside.open_process(pid)

    def test_gdb_reads_a_core_file(self):
        try:
            subprocess.run(['gdb', '--version'], stdout=subprocess.DEVNULL, check=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest('gdb is not installed')
        child, _ = self.start('objects = fill(24)[::70]' + WAIT)
        waiting, _ = _outside.open_process(child.pid).read()
        with temp_dir() as folder:
            core = os.path.join(folder, 'core')
            made = subprocess.run(['gdb', '-nx', '-batch', '-p', str(child.pid), '-ex',
                                   f'generate-core-file {core}'], timeout=LONG_TIMEOUT,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if not os.path.exists(core):
                self.skipTest('gdb cannot attach: ' + made.stdout[-200:])
            done = subprocess.run(['gdb', '-nx', '-batch', '-ex', f'source {GDB_SCRIPT}',
                                   '-ex', 'obmalloc stats', '-ex', 'obmalloc map',
                                   '-ex', 'obmalloc nothing', sys.executable, core],
                                  timeout=LONG_TIMEOUT, env={**os.environ, 'LC_ALL': 'C.UTF-8'},
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        shown = re.search(r'free, given back +[0-9.]+ MiB +([0-9,]+) ', done.stdout)
        self.assertIsNotNone(shown, done.stdout)
        self.assertEqual(int(shown.group(1).replace(',', '')), waiting['purged_pages'], done.stdout)
        self.assertIn('arena 1 at 0x', done.stdout)
        self.assertIn('obmalloc: say obmalloc stats or obmalloc map', done.stderr)


@may_read
class ForeignArenaTests(ExtensionTest, ReadingTest):
    """Arenas outside the window, whose descriptors lie elsewhere."""

    def test_agrees_with_inside(self):
        stats, heap_map = self.check_agrees('''
import _testobmalloc as t
t.install_source(0)
objects = fill(12)[::3] + fill(2)
''')
        self.assertFalse(all(arena.purgeable for arena in heap_map.arenas))
        self.assertGreater(stats['arenas'], 6)


class DamageTests(unittest.TestCase):
    """Whatever is read, the answer is figures that add up, or one line."""

    ROUNDS = 150

    def setUp(self):
        try:
            self.read = _outside.memory_of(os.getpid())
            self.layout, = self.layouts()
        except _outside.OutsideError as error:
            self.skipTest(str(error))

    @staticmethod
    def layouts():
        return [address for _, address in _outside.find_layouts(_outside.Mapped(os.getpid()))]

    @staticmethod
    def alter(data, rng):
        """A word or two, or none, of data become something else."""
        data, size = bytearray(data), len(data)
        for _ in range(rng.randrange(3)):
            word = rng.randrange(size) & -rng.choice((1, 4, 8))
            count = min(rng.choice((1, 4, 8)), size - word)
            data[word:word + count] = rng.choice((
                bytes(count), b'\xff' * count, b'\x7f' * count, rng.randbytes(count),
                bytes([data[word] ^ 1 << rng.randrange(8)]) + data[word + 1:word + count]))
        return bytes(data)

    def lie(self, from_the_layout_on):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        parts, lies = 0, ()

        def lying(address, size):
            nonlocal parts
            parts += 1
            data = self.read(address, size)
            return self.alter(data, rng) if parts in lies else data

        def read():
            nonlocal parts
            parts = 0
            reader = _outside.Reader(lying if from_the_layout_on else self.read,
                                     self.layout, 'the liar')
            reader._read = lying
            stats, heap_map = reader.read()
            self.assertEqual(stats['arenas'], len(heap_map.arenas))
            list(map(list, heap_map.arenas))
            reader.totals()

        outcomes = set()
        with self.subTest(seed=seed):
            read()
            # A few lies each time, however many parts the heap is read in: else a
            # large heap would never be read to its end.
            all_parts = range(1, parts + 1)
            with mock.patch.object(_outside, '_ATTEMPTS', 1):
                for _ in range(self.ROUNDS):
                    lies = rng.sample(all_parts, rng.randrange(1, min(4, parts + 1)))
                    try:
                        read()
                        outcomes.add('figures')
                    except _outside.OutsideError:
                        outcomes.add('refused')
            self.assertEqual(outcomes, {'figures', 'refused'})

    def test_memory_that_lies(self):
        self.lie(from_the_layout_on=False)

    def test_layout_that_lies(self):
        self.lie(from_the_layout_on=True)

    def test_lies_in_a_large_heap(self):
        kept = [bytes(400) for _ in range(100_000)]
        self.lie(from_the_layout_on=True)
        del kept

    def test_arenas_that_come_and_go_while_it_is_described(self):
        # Which takes seconds for a large heap.
        describe = _outside.Reader._describe

        def slowly(*arguments):
            before = obmalloc.stats()['arenas_mapped']
            kept = []
            while obmalloc.stats()['arenas_mapped'] == before:
                kept += [bytes(400) for _ in range(1000)]
            return describe(*arguments)
        with mock.patch.object(_outside.Reader, '_describe', slowly), mock.patch.object(_outside, '_ATTEMPTS', 2):
            stats, heap_map = _outside.Reader(self.read, self.layout, 'this process').read()
        self.assertEqual(stats['arenas'], len(heap_map.arenas))

    def test_files_of_a_process_in_a_chroot(self):
        maps = """\
            1000-2000 r--p 00000000 fe:00 1 /new root/bin/python
            2000-3000 r-xp 00001000 fe:00 1 /new root/bin/python
            3000-4000 r--p 00000000 fe:00 2 /new root/lib/x.so
            5000-6000 r--p 00000000 fe:00 3 /before
            6000-7000 r--p 00000000 fe:00 4 /with \x85 \u2028 in it"""
        links = {'/proc/7/root': '/new root', '/proc/7/exe': '/new root/bin/python'}
        with mock.patch.object(_kernel, 'read_file', return_value=textwrap.dedent(maps)), \
                mock.patch('os.readlink', links.__getitem__):
            self.assertEqual(_outside.Mapped(7).files, [
                (0x1000, '/bin/python', '/proc/7/exe'), (0x3000, '/lib/x.so', '/proc/7/root/lib/x.so'),
                (0x5000, '/before', '/before'),
                (0x6000, '/with \x85 \u2028 in it', '/with \x85 \u2028 in it')])

    def test_shared_memory_is_not_searched(self):
        read = mock.Mock(side_effect=AssertionError)
        with mmap.mmap(-1, 1 << 20), mock.patch.object(_outside, 'memory_of', return_value=read):
            self.assertEqual(self.layouts(), [self.layout])

    def test_many_files_that_are_gone(self):
        # Such as shared memory of its own name each: what is mapped is read as often as for one.
        def reads(count):
            with contextlib.ExitStack() as opened:
                for _ in range(count):
                    file = opened.enter_context(tempfile.TemporaryFile())
                    file.truncate(1)
                    opened.enter_context(mmap.mmap(file.fileno(), 1))
                with mock.patch.object(_kernel, 'read_file', wraps=_kernel.read_file) as read:
                    self.assertEqual(self.layouts(), [self.layout])
                return read.call_count
        self.assertEqual(reads(10), reads(1))

    def test_memory_that_is_unmapped_while_it_is_looked_at(self):
        mapped = _outside.Mapped(os.getpid())
        read = mock.Mock(side_effect=_outside.Torn)
        with mock.patch.object(_outside, 'memory_of', return_value=read), \
                mock.patch.object(_process, '_anonymous', return_value=[(1 << 26, 1 << 28)]):
            self.assertEqual(_process.thread_arenas(mapped), 0)
        self.assertGreaterEqual(read.call_count, 3)
        objects = _process._objects(mapped)
        with mock.patch.object(_process, '_objects', side_effect=[_outside.Torn, objects]):
            self.assertIsNotNone(_process.Objects(mapped).find('malloc'))

    def test_the_doctor_reads_once_what_is_mapped(self):
        with mock.patch.object(_kernel, 'read_file', wraps=_kernel.read_file) as read:
            _doctor.Diagnosis(os.getpid())
        self.assertEqual([name for (_, name), _ in read.call_args_list].count('maps'), 1)

    def test_a_process_that_ends_while_it_is_looked_at(self):
        gone = mock.patch('os.sched_getaffinity', side_effect=ProcessLookupError(3, 'No such process'))
        with gone, self.assertRaisesRegex(_outside.OutsideError, '^process self is gone$'):
            _doctor.Diagnosis()

    def test_pointer_that_no_process_can_have(self):
        for address in (1 << 63, (1 << 64) - 1, 1 << 64):
            with self.subTest(address=address), self.assertRaises(_outside.Torn):
                self.read(address, 8)

    def check_refused(self, **numbers):
        reader = _outside.Reader(self.read, self.layout, 'the liar')
        at = dict(reader._at, **numbers)
        head = self.read(self.layout, _outside._HEAD.size)
        behind = self.layout + len(head)
        size, = struct.unpack_from('=I', head, 24)
        tail = self.read(behind + 4 * len(at), size - len(head) - 4 * len(at))

        def lying(address, size):
            if address == self.layout:
                return head[:size]
            if address == behind:
                return (struct.pack(f'={len(at)}I', *at.values()) + tail)[:size]
            return self.read(address, size)
        with self.subTest(numbers), self.assertRaisesRegex(_outside.OutsideError, 'makes no sense'):
            _outside.Reader(lying, self.layout, 'the liar').read()

    def test_numbers_that_would_never_end(self):
        self.check_refused(sizeof_run=0)
        self.check_refused(runs_per_arena=0xffffffff)
        self.check_refused(sizeof_pool=0)
        self.check_refused(sizeof_pool=0x7fffffff)
        self.check_refused(sizeof_heap=0xffffffff)
        self.check_refused(size_classes=0xffffffff)
        self.check_refused(long_small=0xffffffff)
        self.check_refused(long_medium=0)
        self.check_refused(page_size=0xffffff)

    def test_arenas_without_end(self):
        # Each read is small; together they are more than one may keep.
        kept = [bytes(400) for _ in range(100_000)]
        sizes = []

        def read(address, size):
            sizes.append(size)
            return self.read(address, size)
        reader = _outside.Reader(read, self.layout, 'the liar')
        reader.read()
        with mock.patch.object(_outside, '_MOST_BYTES', max(sizes)), \
                self.assertRaisesRegex(_outside.OutsideError, 'makes no sense'):
            reader.read()
        del kept

    def test_width_that_no_machine_has(self):
        head = bytearray(self.read(self.layout, _outside._HEAD.size))
        head[28:32] = bytes(4)
        with self.assertRaisesRegex(_outside.OutsideError, 'this is for layout'):
            _outside.Reader(lambda address, size: bytes(head[:size]), self.layout, 'the liar')


class StatsOfMapTests(unittest.TestCase):

    def test_a_map_made_by_hand(self):
        pages = b''.join(_heap_map.PAGE.pack(kind, size_class, live, False) for kind, size_class, live
                         in [(3, 0, 10), (0, 255, 0), (1, 255, 0), (2, 255, 0)])
        heap_map = _heap_map.HeapMap(page_size=4096, run_size=1 << 17, arena_size=1 << 21,
                                     classes=[(16, 256)], arenas=[(1, 1 << 21, True, pages)])
        stats = _outside.stats_of_map(heap_map)
        self.assertEqual(stats['live_bytes'], 160)
        self.assertEqual(stats['free_block_bytes'], 4096 - 160)
        self.assertEqual((stats['used_pages'], stats['dirty_pages'], stats['purged_pages'],
                          stats['fresh_pages'], stats['free_pages']), (1, 1, 1, 1, 3))

    def test_a_run_of_blocks_on_several_pages(self):
        # 12 blocks of 10 240 bytes: block 0 lies on pages 0 to 2, block 1 on 2 to 4, and the
        # last on 27 to 29; block 10, which is free, ends on page 27.
        used, free = _heap_map.PAGE.pack(3, 0, 1, False), _heap_map.PAGE.pack(1, 255, 0, False)
        on, both = _heap_map.PAGE.pack(3, 0, 1, True), _heap_map.PAGE.pack(3, 0, 2, True)
        pages = [used, on, both, on, on] + [free] * 22 + [used, on, on] + [free] * 2
        heap_map = _heap_map.HeapMap(page_size=4096, run_size=1 << 17, arena_size=1 << 21,
                                     classes=[(10240, 12)], arenas=[(1, 1 << 21, True, b''.join(pages))])
        stats = _outside.stats_of_map(heap_map)
        row, = stats['classes']
        self.assertEqual((row['pools'], row['live_blocks'], row['free_blocks']), (8, 3, 0))
        self.assertEqual((stats['free_block_bytes'], stats['tail_bytes']), (2048, 0))


if __name__ == '__main__':
    unittest.main()
