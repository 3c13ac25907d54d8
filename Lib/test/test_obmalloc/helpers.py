"""What the tests of obmalloc share."""

import os
import signal
import subprocess
import sys
import textwrap
import unittest
from test.support import LONG_TIMEOUT, script_helper

MIB = 1 << 20

# Code that every child process may use.
PRELUDE = f'''
import _obmalloc, gc, os, sys
MIB = {MIB}

def status(field):
    """A field of /proc/self/status, such as VmRSS, in bytes."""
    with open('/proc/self/status') as file:
        for line in file:
            if line.startswith(field + ':'):
                return int(line.split()[1]) * 1024

def figures():
    """The statistics, fit to be shown by a failed assertion."""
    stats = _obmalloc.stats()
    del stats['classes']
    return stats

def fill(mib, size=400):
    """About so many MiB of blocks of one size class."""
    return [bytes(size) for _ in range(mib * MIB // (size + 33))]
'''

# Code for children that start interpreters: of each kind that there is.
INTERPRETERS = '''
try:
    import _interpreters
    KINDS = [('isolated',), ('legacy',)]
except ImportError:     # before 3.13, when all had the same heap
    import _xxsubinterpreters as _interpreters
    KINDS = [()]

def life(code, *kind):
    """A whole life of an interpreter that runs the code."""
    interpreter = _interpreters.create(*kind)
    problem = _interpreters.run_string(interpreter, code)
    assert problem is None, problem
    _interpreters.destroy(interpreter)
'''

has_proc = unittest.skipUnless(os.path.exists('/proc/self/status'),
                               'needs /proc/self/status')


def default_signals():
    """What a child does first that is to end by a signal: under nohup, and behind the & of a script,
    it would inherit that these are ignored."""
    for number in signal.SIGHUP, signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)


class ChildTest(unittest.TestCase):
    """Tests that run code in child processes."""

    # Code that the children of this class run first.
    setup = ''

    # Settings that hold in the children before those that a test gives.  The purger
    # would move figures between two looks at them, so it runs only in children of a
    # test that is about it, or that looks at no such figures.
    settings = 'background=0'

    def child_code(self, code):
        return '\n'.join([PRELUDE, textwrap.dedent(self.setup), textwrap.dedent(code)])

    def environment(self):
        """Variables for every child."""
        return {}

    def variables(self, env):
        """What the parent happens to be tested with must not matter, nor that a debug
        build has hooks by default: they ask for 24 bytes more."""
        cleared = {'PYTHONOBMALLOC': '', 'PYTHONMALLOC': 'pymalloc', 'PYTHONMALLOCSTATS': '',
                   'PYTHONTRACEMALLOC': ''}
        variables = {**cleared, **self.environment(), **env}
        settings = self.settings, variables['PYTHONOBMALLOC']
        return {**variables, 'PYTHONOBMALLOC': ','.join(filter(None, settings))}

    def child_environment(self, env):
        return {**os.environ, **self.variables(env)}

    def run_child(self, code, *options, **env):
        """Run code, which must succeed; return its lines on both streams."""
        done = script_helper.assert_python_ok(
            *options, '-c', self.child_code(code), **self.variables(env))
        return done.out.decode().splitlines(), done.err.decode().splitlines()

    def check_child(self, code, *options, **env):
        """Run code, which must succeed and write nothing on stderr."""
        out, err = self.run_child(code, *options, **env)
        self.assertEqual(err, [])
        return out

    def run_dying_child(self, code, *options, **env):
        """Run code, which must end with SIGABRT; return the lines on stderr."""
        no_core = 'import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n'
        done = subprocess.run(
            [sys.executable, *options, '-c', no_core + self.child_code(code)],
            env=self.child_environment(env), timeout=LONG_TIMEOUT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, -signal.SIGABRT, done.stderr)
        return done.stderr.splitlines()
