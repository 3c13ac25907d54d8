"""valgrind watches an interpreter that grows, scatters, frees, forks and trims.

It sees every access to memory that is not mapped or no longer is, and every branch
on a value that was never written, in our code and in CPython's.
"""

import shutil
import subprocess
import sys
import unittest

from .compat import import_module
from .helpers import INTERPRETERS, ChildTest

FAR_SECONDS = 1800      # before a run is said to hang
FOUND = 99              # the status of a run in which valgrind found something
VALGRIND = shutil.which('valgrind')


def works():
    """Whether valgrind can run this machine's programs: it needs the debug information of libc."""
    if VALGRIND is None:
        return False
    done = subprocess.run([VALGRIND, '--quiet', sys.executable, '-S', '-c', ''],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=FAR_SECONDS)
    return done.returncode == 0


class ValgrindTests(ChildTest):

    setup = INTERPRETERS

    life = '''
        def burst(count):
            """A few of many small objects of several size classes."""
            return [(i, str(i), {"x": float(i)}, [i], bytes(i % 500))
                    for i in range(count)][::37]

        def work():
            kept = burst(5000)
            assert _obmalloc.trim() > 0
            kept += burst(5000)
            gc.collect()
            _obmalloc.check(3)
            return kept

        kept = work()
        pid = os.fork()
        if pid == 0:
            del kept
            work()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        for kind in KINDS:
            life('kept = [str(i) for i in range(3000)][::37]', *kind)
        _obmalloc.check(3)
    '''

    @classmethod
    def setUpClass(cls):
        if not works():
            raise unittest.SkipTest('needs valgrind, and what it needs')

    def watch(self, code, **env):
        """Run code under valgrind; return its status and what was written on stderr."""
        done = subprocess.run(
            [VALGRIND, '--quiet', '--trace-children=no', '--num-callers=20',
             f'--error-exitcode={FOUND}', sys.executable, '-c', self.child_code(code)],
            env=self.child_environment(env), timeout=FAR_SECONDS, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stderr

    def assert_silent(self, **env):
        self.assertEqual(self.watch(self.life, **env), (0, ''))

    def test_it_would_see_a_read_of_what_was_released(self):
        import_module('ctypes')
        status, said = self.watch('''
            import ctypes
            libc = ctypes.CDLL(None)
            libc.malloc.restype = ctypes.c_void_p
            block = libc.malloc(ctypes.c_size_t(4000))
            libc.free(ctypes.c_void_p(block))
            ctypes.string_at(block, 16)
        ''')
        self.assertEqual(status, FOUND, said)
        self.assertIn('Invalid read', said)

    def test_by_default(self):
        self.assert_silent()

    def test_nothing_retained(self):
        self.assert_silent(PYTHONOBMALLOC='retain=none')

    def test_secure_mode(self):
        self.assert_silent(PYTHONOBMALLOC='secure=1')


if __name__ == '__main__':
    unittest.main()
