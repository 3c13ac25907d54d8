"""Every call of the system that the allocator makes fails in turn, under Python.

The core's own unit tests do the same without an interpreter (make check).  Here
it is CPython that must make of it what it always makes of no memory.
"""

import os
import subprocess
import sys
import unittest

from .building import BuildFolder, compiler, run_compiler, words
from .compat import import_module
from .helpers import ChildTest

import_module('ctypes')

ONE_SECONDS = 600       # before one fault is said to hang
ALL_SECONDS = 1800      # and all of a kind
LATER_TOO = 4           # of the calls after these, only the one fails


@unittest.skipUnless(sys.platform == 'linux', 'stands in front of what Linux is asked for')
class FaultTests(BuildFolder, ChildTest):

    setup = f'''
        import ctypes, signal
        faults = ctypes.CDLL(None)
        faults.faults_disarm.restype = ctypes.c_ulong

        def work():
            """Grow, scatter, give back, grow again."""
            kept = fill(8)[::1200]
            _obmalloc.trim()
            kept += fill(3, 100)[::3000]
            rows = [{{i: str(i)}} for i in range(10_000)]
            del rows[100:]
            gc.collect()
            _obmalloc.trim()
            return len(kept) + len(rows)

        def fault(name, number, later):
            """How many calls there were, of which this one failed."""
            faults.faults_arm(name, ctypes.c_ulong(number), later)
            try:
                more = fill(16)     # than there ever was
                work()
                del more
                work()
            except MemoryError:
                pass
            more = None
            calls = faults.faults_disarm()
            _obmalloc.check(3)
            assert work() == wanted
            gc.collect()
            _obmalloc.trim()
            _obmalloc.check(3)
            used = _obmalloc.stats()['used_pages']
            assert used < settled + 100, (used, settled)
            return calls

        def in_a_child(name, number, later):
            """Whether so many calls were reached."""
            pid = os.fork()
            if pid == 0:
                signal.alarm({ONE_SECONDS})
                try:
                    reached = fault(name, number, later) >= number
                except BaseException as problem:
                    sys.stderr.write('%s %d later=%d: %r\\n' % (name, number, later, problem))
                    os._exit(1)
                os._exit(0 if reached else 3)
            status = os.waitpid(pid, 0)[1]
            assert status in (0, 3 << 8), (name, number, later, status)
            return status == 0

        wanted = work()
        settled = _obmalloc.stats()['used_pages']

        def fail_every(name):
            number = 1
            while in_a_child(name.encode(), number, False):
                if number <= {LATER_TOO}:
                    in_a_child(name.encode(), number, True)
                number += 1
            print(number - 1)
        '''

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.make_folder()
        cls.library = os.path.join(folder, 'faults.so')
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'faults.c')
        run_compiler([*compiler(), '-shared', *words('CCSHARED'), '-O1', source, '-o', cls.library,
                      '-ldl'])

    def faults_of(self, name, settings=''):
        """How many calls failed, one at a time."""
        done = subprocess.run(
            [sys.executable, '-c', self.child_code(f'fail_every({name!r})')], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=ALL_SECONDS,
            env=self.child_environment({'LD_PRELOAD': self.library, 'PYTHONOBMALLOC': settings}))
        self.assertEqual((done.returncode, done.stderr), (0, ''), (name, settings))
        return int(done.stdout)

    def check_faults(self, name, *all_settings):
        for settings in all_settings:
            with self.subTest(settings=settings):
                self.assertGreater(self.faults_of(name, settings), 0)

    def test_mmap(self):
        self.check_faults('mmap', '', 'retain=none,check=2', 'secure=1')

    def test_munmap(self):
        self.check_faults('munmap', '', 'secure=1')

    def test_madvise(self):
        self.check_faults('madvise', 'hugepages=always')

    def test_mprotect(self):
        self.check_faults('mprotect', 'secure=1')

    def test_prctl(self):
        self.check_faults('prctl', '')


if __name__ == '__main__':
    unittest.main()
