"""Bad input to python -m obmalloc and to PYTHONOBMALLOC: one clear line, nothing half written.

Tables of what somebody may type, or have in a file.  Each case is run as a user would
run it, in a folder that must be as it was when the command has ended.  What is bad for
the tools of the repository is in Tools/build/tests/test_bad_input*.py.
"""

import ast
import importlib.util
import io
import os
import re
import subprocess
import sys
import unittest
import zipfile
from test.support import LONG_TIMEOUT

from .compat import temp_dir
from .helpers import ChildTest, has_proc

LONG = 'x' * 5000
DIGITS = '9' * 5000             # more than int() takes


def damaged_archive():
    """An archive whose __main__ is not compressed, and is said to be."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('__main__.py', b'\7')
    data = bytearray(file.getvalue())
    data[data.rindex(b'PK\1\2') + 10] = zipfile.ZIP_DEFLATED
    return bytes(data)


FILES = {
    'good.py': b'kept = list(range(10))\n',
    'syntax.py': b'x = (\n',
    'tabs.py': b'if 1:\n\tx = 1\n        y = 2\n',
    'nul.py': b'x = 1\0\n',
    'latin.py': b'x = "\xff"\n',
    'noise.py': bytes(range(128, 256)),
    'short.pyc': importlib.util.MAGIC_NUMBER,
    'with-nul/__main__.py': b'x = 1\0\n',
    'with-old/__main__.pyc': bytes(16),
    'damaged.zip': damaged_archive(),
    'package/__init__.py': b'',
    'lacking/__init__.py': b'import nothere\n',
    'folder.svg/kept': b'',
    'file': b'',
    'old.html': b'what was there before\n',
}


def listing(folder):
    """The content, or else the kind, of every path below a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        found.update((os.path.join(place, name), None) for name in folders)
        for name in files:
            path = os.path.join(place, name)
            found[path] = os.lstat(path).st_mode
            if os.path.isfile(path):
                with open(path, 'rb') as file:
                    found[path] = file.read()
    return found


class CommandTests(ChildTest):
    """python -m obmalloc.  A row has a pattern that its line must fit, and words."""

    @classmethod
    def setUpClass(cls):
        cls.compiled = temp_dir()
        cls.environment_of_all = {
            'PYTHONIOENCODING': 'utf-8', 'PYTHONDONTWRITEBYTECODE': '',
            'PYTHONPYCACHEPREFIX': cls.compiled.__enter__()}      # not in the folder of the test

    @classmethod
    def tearDownClass(cls):
        cls.compiled.__exit__(None, None, None)

    def setUp(self):
        folder = temp_dir()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        for name, content in FILES.items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as file:
                file.write(content)
        if hasattr(os, 'mkfifo'):
            os.mkfifo(os.path.join(self.folder, 'pipe.svg'))

    def environment(self):
        return self.environment_of_all

    def refuse(self, pattern, *words, stdout=subprocess.PIPE, **options):
        """Run one case, which must end with an error in one line, and change nothing."""
        before = listing(self.folder)
        done = subprocess.run(
            [sys.executable, '-m', 'obmalloc', *words], cwd=self.folder, env=self.child_environment({}),
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, encoding='utf-8',
            timeout=LONG_TIMEOUT, **options)
        self.assertIn(done.returncode, (1, 2), done.stderr)
        self.assertFalse(done.stdout)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertRegex(done.stderr, f'^(obmalloc|{re.escape(sys.executable)})\\b.*: .*(?:{pattern})')
        self.assertNotIn('usage:', done.stderr)
        self.assertEqual(listing(self.folder), before)

    def refuse_all(self, *rows):
        """Run them all; return how many they were."""
        for row in rows:
            with self.subTest(words=[word[:40] for word in row[1:]]):
                self.refuse(*row)
        return len(rows)

    def test_words(self):
        tried = self.refuse_all(
            ('required: COMMAND',),
            ("invalid choice: 'statistics' ", 'statistics'),
            ('required: COMMAND', '--json'),
            ('stats: which program. Name a script, -m MODULE or -c CODE, or --pid', 'stats'),
            ('which program', 'stats', ''),
            ('which program', 'stats', '--'),
            ('which program', 'stats', '-m'),
            ('pins: which program.*only be seen from inside', 'pins'),
            ('unrecognized arguments: --pid', 'trim', '--pid', '1'),
            ('unrecognized arguments: --jsn', 'stats', '--jsn', 'good.py'),
            ('not both', 'stats', '--pid', '1', 'good.py'),
            ('required: --pid', 'watch'),
            ('unrecognized arguments: good.py', 'watch', '--pid', '1', 'good.py'),
            ('unrecognized arguments: good.py', 'doctor', 'good.py'),
            ("--pid: 'x' is not a number", 'doctor', '--pid', 'x'))
        self.assertGreaterEqual(tried, 15)

    def test_numbers(self):
        one = str(os.getpid())
        tried = self.refuse_all(
            *((f"--pid: '{text}' is not a number from 1 to ", 'stats', '--pid', text)
              for text in ('', 'x', '-1', '0', '1.5', '2147483648', '18446744073709551616', DIGITS)),
            ("--pid: '\u00b2' is not a number", 'watch', '--pid', '\u00b2'),
            ("--count: '0' is not a number from 1 to", 'watch', '--pid', one, '--count', '0'),
            ("--count: 'many' is not a number", 'watch', '--pid', one, '--count', 'many'),
            ("--interval: '0' is not a number from 0.01 to", 'watch', '--pid', one, '--interval', '0'),
            ("--interval: '1e300' is not a number", 'watch', '--pid', one, '--interval', '1e300'),
            ("--interval: 'nan' is not a number", 'report', '--pid', one, '--interval', 'nan'),
            ("--seconds: 'inf' is not a number", 'report', '--pid', one, '--seconds', 'inf'),
            ("--seconds: '-1' is not a number from 0 to", 'report', '--pid', one, '--seconds', '-1'),
            ("--types: '0' is not a number from 1 to", 'pins', '--types', '0', 'good.py'),
            ("--arenas: '-1' is not a number from 0 to", 'pins', '--arenas', '-1', 'good.py'),
            (f"--limit: '{2**64}' is not a number", 'pins', '--limit', str(2**64), 'good.py'))
        self.assertGreaterEqual(tried, 19)

    def start(self, *command):
        """The id of a process that waits."""
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.addCleanup(child.stdin.close)
        return str(child.pid)

    @has_proc
    def test_processes(self):
        ended = subprocess.Popen([sys.executable, '-S', '-c', ''])
        ended.wait()
        gone, other, zombie = str(ended.pid), self.start('cat'), self.start('true')
        os.waitid(os.P_PID, int(zombie), os.WEXITED | os.WNOWAIT)
        tried = self.refuse_all(
            *((f'no process {gone}$', *words, '--pid', gone)
              for words in (['stats'], ['map'], ['watch'], ['report'], ['doctor'], ['map', '--output', 'x.png'])),
            *((rf'process {other} is no Python with obmalloc \(obmalloc doctor --pid {other} says why\)$',
               *words, '--pid', other)
              for words in (['stats', '--json'], ['map'], ['watch', '--count', '1'],
                            ['report', '--seconds', '0', '--output', 'old.html'])),
            *((f'process {zombie} has ended, and has no memory any more: only its parent', *words, '--pid', zombie)
              for words in (['stats'], ['watch'], ['doctor'], ['report', '--output', 'old.html'])),
            (f'process {other} is no Python$', 'doctor', '--pid', other),
            ('process 1(: permission refused| is no Python with obmalloc)', 'stats', '--pid', '1'),
            ('no process 2147483647', 'stats', '--pid', '2147483647'))
        self.assertGreaterEqual(tried, 17)

    def test_programs(self):
        tried = self.refuse_all(
            ('nothere.py: No such file', 'stats', 'nothere.py'),
            ('nothere.py: No such file', 'report', '--output', 'old.html', 'nothere.py'),
            ('folder.svg: there is no module __main__ in it', 'stats', 'folder.svg'),
            ('short.pyc: ', 'stats', 'short.pyc'),
            ('with-nul.*: .*null bytes', 'stats', 'with-nul'),
            ('with-old: .*magic number', 'stats', 'with-old'),
            ('damaged.zip: ', 'stats', 'damaged.zip'),
            ('file/x: Not a directory', 'map', 'file/x'),
            ('x: File name too long', 'stats', LONG),
            ('two lines: No such file', 'stats', 'two\nlines'),
            (r'\\udcff.py: No such file', 'stats', os.fsdecode(b'\xff.py')),
            ('syntax.py, line 1: .*Python 3.*cannot compile it', 'stats', 'syntax.py'),
            ('syntax.py, line 1: .*cannot compile it', 'report', '--output', 'old.html', 'syntax.py'),
            ('tabs.py, line 3: .*tabs and spaces', 'pins', 'tabs.py'),
            ('nul.py.*: .*null bytes', 'trim', 'nul.py'),
            ('latin.py, line 1: .*(?i:utf-8)', 'map', 'latin.py'),
            ('noise.py.*: .*cannot compile it', 'stats', 'noise.py'))
        self.assertGreaterEqual(tried, 17)

    def test_modules(self):
        tried = self.refuse_all(
            *((f'no module named {re.escape(name)} that can be run', 'stats', '-m', name)
              for name in ('nothere', 'nothere.sub', 'package', '..', 'a b', 'sys')),
            ('no module named nothere that can be run', 'report', '--output', 'old.html', '-m', 'nothere'),
            ('syntax.py, line 1: .*cannot compile it', 'stats', '-m', 'syntax'),
            ('latin.py, line 1: .*cannot compile it', 'trim', '-m', 'latin'),
            ('nul.*: .*null bytes', 'stats', '-m', 'nul'),
            *((f'{name} cannot be run, since its package cannot be imported: .*nothere', 'stats', '-m', name)
              for name in ('lacking', 'lacking.sub')))
        self.assertGreaterEqual(tried, 12)

    def test_files_to_write(self):
        one = str(os.getpid())
        tried = self.refuse_all(
            *((f"--output: '{name}' must end with .svg or .png", 'map', '--output', name, 'good.py')
              for name in ('', 'x', 'x.gif', 'x.svg.gz')),
            ('no/where.svg cannot be written: No such file', 'map', '--output', 'no/where.svg', 'good.py'),
            ('file/x.png cannot be written: Not a directory', 'map', '--output', 'file/x.png', 'good.py'),
            ('folder.svg cannot be written: .*not a file', 'map', '--output', 'folder.svg', 'good.py'),
            (r'x.svg cannot be written: File name too long', 'map', '--output', LONG + '.svg', 'good.py'),
            ('no/where.html cannot be written: No such', 'report', '--output', 'no/where.html', 'good.py'),
            ('folder.svg cannot be written', 'report', '--output', 'folder.svg', '--pid', one),
            ('file to write is empty', 'report', '--output', '', 'good.py'))
        if hasattr(os, 'mkfifo'):       # a device would have become a file
            tried += self.refuse_all(
                ('pipe.svg cannot be written: .*not a file', 'map', '--output', 'pipe.svg', 'good.py'),
                ('pipe.svg cannot be written: .*not a file', 'report', '--output', 'pipe.svg', 'good.py'))
        self.assertGreaterEqual(tried, 11)

    def test_a_file_is_tried_before_the_program_runs(self):
        with open(os.path.join(self.folder, 'traces.py'), 'w', encoding='utf-8') as file:
            file.write('open("trace", "w").close()')
        tried = self.refuse_all(
            ('cannot be written', 'map', '--output', 'no/where.svg', 'traces.py'),
            ('cannot be written', 'report', '--output', 'no/where.html', 'traces.py'))
        self.assertGreaterEqual(tried, 2)

    @unittest.skipUnless(os.path.exists('/dev/full'), 'needs /dev/full')
    def test_an_output_that_takes_nothing(self):
        shows = [['stats', 'good.py'], ['map', '--json', 'good.py'], ['pins', 'good.py']]
        for words in shows:
            with open('/dev/full', 'w') as full, self.subTest(words=words):
                self.refuse('the output cannot be written: No space left', *words, stdout=full)
            with self.subTest(words=words, closed=True):
                self.refuse('the standard output is closed', *words, stdout=None,
                            preexec_fn=lambda: os.close(1))
        self.assertGreaterEqual(2 * len(shows), 6)

    def test_ways_in(self):
        tried = self.refuse_all(
            ('say what to run', 'run'),
            ('say what to run', 'run', '--no-children'),
            ('say what to run: -m stands alone', 'run', '-m'),
            ('say what to run: -c stands alone', 'run', '-c'),
            ('unknown option --nope', 'run', '--nope', 'good.py'),
            ('No such file or directory, and no program of that name', 'run', 'nothere.py'),
            ("can't open file.*nothere.py", 'run', './nothere.py'),
            ('No module named nothere', 'run', '-m', 'nothere'),
            ('unknown argument x: it takes none', 'path', 'x'))
        self.assertGreaterEqual(tried, 9)


class SettingsTests(ChildTest):
    """PYTHONOBMALLOC: a warning in one line; the program runs, with what was understood."""

    settings = ''

    def warn(self, setting, *parts, holds=None):
        """Run a program with a setting that has one mistake; holds: what differs from the
        default all the same."""
        out, err = self.run_child('print(_obmalloc.settings())', PYTHONOBMALLOC=setting)
        self.assertEqual(ast.literal_eval(out[0]), {**self.default, **(holds or {})})
        self.assertEqual(len(err), 1, err)
        self.assertTrue(err[0].startswith('PYTHONOBMALLOC: '), err)
        self.assertLess(len(err[0]), 256)
        for part in parts:
            self.assertIn(part, err[0])

    def test_settings(self):
        self.default = ast.literal_eval(self.check_child('print(_obmalloc.settings())')[0])
        retain, switch = 'auto, none, all, or a size such as 64M', '0 or 1'
        rows = [
            # (setting, what the line must say, what holds all the same)
            *((f'retain={text}', f"retain cannot be '{text}'", retain) for text in (
                '', 'some', 'NONE', ' none', 'none ', '=none', '-1', '1.5M', '1e6', '0x10', '64MB', '64M=64M',
                '18446744073709551616', '18446744073709551615G', '%s%n')),
            *((f'hugepages={text}', f"hugepages cannot be '{text}'", 'auto, never or always')
              for text in ('', 'yes', 'ALWAYS', '2M')),
            *((f'background={text}', f"background cannot be '{text}'", f'auto, {switch}')
              for text in ('', '2', '-1', 'on')),
            *((f'malloc={text}', f"malloc cannot be '{text}'", 'auto, leave or one')
              for text in ('', '0', 'glibc', 'One')),
            *((f'check={text}', f"check cannot be '{text}'", '0, 1, 2 or 3')
              for text in ('', '4', '-1', '10', 'all', '99999999999999999999')),
            *((f'secure={text}', f"secure cannot be '{text}'", switch) for text in ('', 'yes', '01', '1 ')),
            *((key, f"{key} cannot be ''") for key in ('retain', 'hugepages', 'background', 'malloc', 'check', 'secure')),
            *((f'{key}=1', f"unknown setting '{key}'",
               'there are: retain, hugepages, background, malloc, medium, check, secure')
              for key in ('retian', 'RETAIN', ' check', '', 'é')),
            ('none', "unknown setting 'none'"),
            ('retain=' + LONG, "retain cannot be 'xxx", "...'"),
            ('retain=' + '1' * 5000, "retain cannot be '111", "...'"),
            (LONG + '=1', "unknown setting 'xxx", "...'"),
            ('check=1\n2', "check cannot be '1?2'"),
            ('check=\x1b[31m', "check cannot be '?[31m'"),
            ('\a', "unknown setting '?'"),
            ('retain=none;check=1', "retain cannot be 'none;check=1'"),
        ]
        for setting, *parts in rows:
            with self.subTest(setting=setting[:40]):
                self.warn(setting, *parts)
        self.assertGreaterEqual(len(rows), 50)

    def test_one_mistake_among_others(self):
        self.default = ast.literal_eval(self.check_child('print(_obmalloc.settings())')[0])
        rows = [
            ('retain=none,check=9', "check cannot be '9'", {'retain': 'none'}),
            ('check=1,check=9', "check cannot be '9'", {'check': 1}),
            ('check=9,check=1', "check cannot be '9'", {'check': 1}),
            (',colour=red,,retain=all,', "unknown setting 'colour'", {'retain': 'all'}),
        ]
        for setting, part, holds in rows:
            with self.subTest(setting=setting):
                self.warn(setting, part, holds=holds)
        self.assertGreaterEqual(len(rows), 4)


if __name__ == '__main__':
    unittest.main()
