"""python -m obmalloc: each command on a real program, and what goes wrong."""

import io
import json
import os
import py_compile
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import types
import unittest
import xml.etree.ElementTree
import zlib
from html.parser import HTMLParser
from test.support import LONG_TIMEOUT

from obmalloc import _heap_map, _picture, _process, _report, _text

from .compat import import_module, temp_dir
from .helpers import ChildTest, default_signals
from .test_outside import may_read, wait_until_it_waits

PROGRAM = '''
import sys
class Culprit:
    def __init__(self, number):
        self.name = f'culprit {number}'
passing, kept = [], []
for number in range(100_000):
    passing.append((number, f'passing {number}'))
    if number % 500 == 0:
        kept.append(Culprit(number))
del passing
print('the program', __name__, sys.argv[1:])
sys.exit(3 if 'fail' in sys.argv else 0)
'''
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


class CommandTest(ChildTest):
    """Tests that run the command in a folder with a program."""

    def setUp(self):
        folder = temp_dir()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.write('program.py', PROGRAM)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(textwrap.dedent(text))
        return path

    def read(self, name, mode='r'):
        with open(os.path.join(self.folder, name), mode,
                  encoding=None if 'b' in mode else 'utf-8') as file:
            return file.read()

    def command(self, *arguments, status=0, env=(), **options):
        variables = self.child_environment(
            {'COLUMNS': '', 'NO_COLOR': '', 'FORCE_COLOR': '', 'PYTHONIOENCODING': 'utf-8', **dict(env)})
        done = subprocess.run(
            [sys.executable, '-m', 'obmalloc', *arguments], cwd=self.folder, env=variables,
            timeout=LONG_TIMEOUT, encoding='utf-8', stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **options)
        self.assertEqual(done.returncode, status, (done.stdout[-2000:], done.stderr[-2000:]))
        return done


class ProgramTests(CommandTest):
    """Commands that run a program and look at its end."""

    def test_stats(self):
        out = self.command('stats', 'program.py', 'one', '--json').stdout
        self.assertTrue(out.startswith("the program __main__ ['one', '--json']\n"), out)
        self.assertRegex(out, r'held for .* blocks: [0-9.]+ times the page floor of ')
        for label in ('blocks in use', 'free, given back', 'all [0-9,]+ arenas'):
            self.assertRegex(out, rf'(?m)^{label} +[0-9.]+ [KM]iB')
        self.assertIn('by the kernel:', out)

    def test_stats_for_programs(self):
        out = self.command('stats', '--json', 'program.py').stdout
        stats = json.loads(out.split('\n', 1)[1])
        page = stats['page_size']
        self.assertEqual(stats['arena_bytes'], (stats['used_pages'] + stats['free_pages']) * page)
        self.assertGreater(stats['kernel']['process'], stats['kernel']['arenas'])

    def test_the_status_of_the_program(self):
        self.assertIn("['fail']", self.command('stats', 'program.py', 'fail', status=3).stdout)

    def test_a_program_that_raises(self):
        self.write('raises.py', 'kept = list(range(10))\nraise ValueError("my own")')
        done = self.command('stats', 'raises.py', status=1)
        self.assertIn('ValueError: my own', done.stderr)
        self.assertIn('the page floor', done.stdout)

    def test_a_traceback_shows_the_program_only(self):
        self.write('raises.py', 'def work():\n    raise ValueError("my own")\nwork()\n')
        self.write('hooked.py', 'import sys\nsys.excepthook = lambda kind, error, traceback: print(\n'
                   '    kind, error.__traceback__ is traceback, traceback.tb_frame.f_code.co_name,\n'
                   '    traceback.tb_lineno, file=sys.stderr)\n1/0\n')
        plain = subprocess.run([sys.executable, 'raises.py'], cwd=self.folder, stderr=subprocess.PIPE,
                               env=self.child_environment({}), encoding='utf-8').stderr
        self.assertRegex(plain, r'(?s)raises.py", line 3.*raises.py", line 2')
        relative = plain.replace(self.folder + '/', '')     # 3.9 and newer show the whole path
        for arguments in ['raises.py'], ['-m', 'raises']:
            errors = self.command('stats', *arguments, status=1).stderr
            self.assertEqual(errors.replace(self.folder + '/', ''), relative)
        self.assertEqual(self.command('stats', 'hooked.py', status=1).stderr,
                         "<class 'ZeroDivisionError'> True <module> 5\n")
        self.assertEqual(self.command('stats', '-c', 'raise SystemExit("why")', status=1).stderr, 'why\n')

    def test_code(self):
        out = self.command('stats', '-c', 'import sys; print(__name__, sys.argv)', '--json').stdout
        self.assertTrue(out.startswith("__main__ ['-c', '--json']\n"), out)
        self.command('report', '--output', 'page.html', '-c', 'kept = list(range(1000))')
        self.assertIn('The heap of -c', self.read('page.html'))

    def test_a_program_with_threads_and_its_own_module(self):
        self.write('threads.py', '''
            import pickle, threading, time, __main__
            class Mine: pass
            assert __main__.Mine is Mine and pickle.loads(pickle.dumps(Mine())).__class__ is Mine
            def work():
                time.sleep(0.3)
                __main__.late = [Mine() for _ in range(500)]
            threading.Thread(target=work).start()
            ''')
        data = json.loads(self.command('pins', '--json', 'threads.py').stdout)
        self.assertEqual([row['blocks'] for row in data['types']
                          if (row['type'], row['holder']) == ('__main__.Mine', 'list')], [500])

    def test_a_module_and_a_package(self):
        os.mkdir(os.path.join(self.folder, 'package'))
        self.write('package/__init__.py', '')
        self.write('package/__main__.py', 'import sys; print(__package__, __name__, sys.argv[1:])')
        self.write('module.py', 'import sys; print(__spec__.name, sys.argv[1:])')
        self.assertIn("package __main__ ['a']", self.command('stats', '-m', 'package', 'a').stdout)
        self.assertIn("module ['-x', 'b']", self.command('stats', '-m', 'module', '-x', 'b').stdout)

    def test_programs_behind_two_dashes(self):
        # Each command takes them as run does.
        self.write('module.py', 'import sys; print("runs", sys.argv[1:])')
        self.write('-x.py', 'import sys; print("runs", sys.argv[1:])')
        code = 'import sys; print("runs", sys.argv[1:])'
        for command in (['run'], ['stats'], ['map'], ['pins'], ['trim'], ['report', '--output', 'page.html']):
            for program in (['-c', code], ['-c' + code], ['-m', 'module'], ['-mmodule'], ['-x.py']):
                for dashes in [['--']] if program == ['-x.py'] else [[], ['--']]:
                    with self.subTest(command=command, program=[*dashes, *program]):
                        done = self.command(*command, *dashes, *program, 'a', '-b', '--', 'c')
                        self.assertEqual(done.stdout.splitlines()[0], "runs ['a', '-b', '--', 'c']")
        for command, status in ('run', 2), ('stats', 1), ('report', 1):
            for option in '-m', '-c':
                self.assertEqual(self.command(command, '--', option, status=status).stderr.count('\n'), 1)

    def test_a_package_that_raises(self):
        # It is shown as Python shows it.
        os.mkdir(os.path.join(self.folder, 'broken'))
        self.write('broken/sub.py', '')
        self.write('broken/__main__.py', '')
        for statement in ('raise ValueError("its own")', 'int.nothere', 'raise OSError(2, "its own")',
                          'raise KeyboardInterrupt', 'raise SystemExit(7)'):
            self.write('broken/__init__.py', f'def fail():\n    {statement}\nfail()\n')
            for name in 'broken', 'broken.sub':
                with self.subTest(statement=statement, name=name):
                    plain = subprocess.run([sys.executable, '-m', name], cwd=self.folder, stderr=subprocess.PIPE,
                                           env=self.child_environment({}), encoding='utf-8')
                    self.assertNotEqual(plain.returncode, 0)
                    done = self.command('stats', '-m', name, status=plain.returncode)
                    whole, rest = (text.partition('  File "' + self.folder) for text in (plain.stderr, done.stderr))
                    self.assertEqual(rest[1:], whole[1:])
                    self.assertNotIn('obmalloc', done.stderr)
        self.write('broken/__init__.py', 'raise ValueError("its own")')
        done = self.command('report', '--output', 'page.html', '-m', 'broken', status=1)
        self.assertIn('ValueError: its own', done.stderr)
        self.assertIn('there is no report', done.stderr)

    def test_all_that_python_runs(self):
        # As it is without us.
        os.mkdir(os.path.join(self.folder, 'folder'))
        self.write('folder/beside.py', '')
        self.write('folder/__main__.py', '''
            import os, sys, types
            import beside
            kind = __loader__.__class__.__name__, __spec__ and (__spec__.name, __spec__.origin, __spec__.parent)
            print(__name__, __file__, kind, __package__, type(__builtins__) is types.ModuleType)
            print(sys.argv, sys.path[0], beside.__file__, sys._getframe().f_code.co_filename)
            assert sys.modules['__main__'].__dict__ is globals()
            ''')
        shutil.make_archive(os.path.join(self.folder, 'archive'), 'zip', os.path.join(self.folder, 'folder'))
        py_compile.compile(os.path.join(self.folder, 'folder/__main__.py'), os.path.join(self.folder, 'folder/main.pyc'))
        os.symlink('folder/__main__.py', os.path.join(self.folder, 'link.py'))
        for program in 'folder', 'archive.zip', 'folder/__main__.py', 'folder/main.pyc', 'link.py':
            for option in [], ['-I'] if program in ('folder', 'archive.zip') else ['-B']:
                plain = subprocess.run([sys.executable, *option, program, 'a'], cwd=self.folder, stdout=subprocess.PIPE,
                                       env=self.child_environment({}), encoding='utf-8', check=True).stdout
                seen = subprocess.run([sys.executable, *option, '-m', 'obmalloc', 'stats', program, 'a'],
                                      cwd=self.folder, stdout=subprocess.PIPE, env=self.child_environment({}),
                                      encoding='utf-8', check=True).stdout
                with self.subTest(program=program, option=option):
                    self.assertEqual(seen.splitlines()[:2], plain.splitlines())

    def test_map(self):
        out = self.command('map', 'program.py', env={'COLUMNS': '70'}).stdout
        self.assertNotIn('\x1b', out)
        self.assertRegex(out, r'(?m)^arena 1 at 0x[0-9a-f]+: ')
        rows = [line for line in out.splitlines() if line.startswith('  ')]
        self.assertGreater(len(rows), 10)
        self.assertTrue(all(len(row) <= 70 for row in rows))
        self.assertTrue(all(set(row) <= set(_text.FILLED + '═▒· ') for row in rows), rows)
        self.assertIn('·', ''.join(rows))

    def test_map_in_colour(self):
        out = self.command('map', 'program.py', env={'FORCE_COLOR': '1'}).stdout
        self.assertIn('\x1b[38;5;33m', out)
        plain = re.sub('\x1b\\[[0-9;]*m', '', out)
        self.assertNotIn('\x1b', plain)
        both = {'FORCE_COLOR': '1', 'NO_COLOR': '1'}
        self.assertNotIn('\x1b', self.command('map', 'program.py', env=both).stdout)

    def test_map_without_unicode(self):
        out = self.command('map', 'program.py', env={'PYTHONIOENCODING': 'ascii'}).stdout
        self.assertTrue(out.isascii())
        self.assertRegex(out, r'(?m)^  [1-8~. ]{32}')

    def test_map_for_programs(self):
        out = self.command('map', '--json', 'program.py').stdout
        data = json.loads(out.split('\n', 1)[1])
        self.assertEqual(data['version'], 2)
        self.assertIn(data['arenas'][0]['pages'][0][0], ('used', 'dirty', 'purged', 'fresh'))

    def test_pins_names_the_culprits(self):
        out = self.command('pins', 'program.py').stdout
        first = [line for line in out.splitlines() if ' in ' in line][:4]
        self.assertTrue(any(line.startswith('str in __main__.Culprit') for line in first), out)
        self.assertRegex(out, r'arena \d+: [0-9,]+ blocks? of .* keep ')
        data = json.loads(self.command('pins', '--json', 'program.py').stdout.split('\n', 1)[1])
        self.assertIn('str', {row['type'] for row in data['types']})

    def test_pins_shows_no_arena_that_no_block_keeps(self):
        # Such an arena holds only pages that the allocator keeps for its next blocks.
        def arena(number, blocks):
            return types.SimpleNamespace(number=number, live_blocks=blocks, live_bytes=32 * blocks, used_pages=1, pages=[])
        pins = types.SimpleNamespace(types=[], known=1.0, copies=[], page_size=4096, arenas=[arena(1, 0), arena(2, 3)])
        lines = _text.pins_lines(pins, _text.Style(io.StringIO(), width=80, colour=False), arenas=1)
        self.assertEqual([line for line in lines if line.startswith('arena')], ['arena 2: 3 blocks of 96 B keep 4.0 KiB'])

    def test_trim(self):
        out = self.command('trim', 'program.py', env={'PYTHONOBMALLOC': 'retain=all'}).stdout
        self.assertRegex(out, r'trim\(\) gave back [0-9.]+ MiB; the process went from .* to ')

    def test_a_program_that_forks(self):
        # Its child ends as a program does, and is not what was asked for.
        self.write('forks.py', """
            import os, sys
            child = os.fork()
            if child != 0:
                sys.exit(os.waitpid(child, 0)[1])
            """)
        for arguments in ['stats'], ['map'], ['pins'], ['trim']:
            json.loads(self.command(*arguments, '--json', 'forks.py').stdout)
        self.command('report', '--output', 'page.html', 'forks.py')
        self.assertIn('forks.py', self.read('page.html'))

    def test_a_program_that_replaces_its_output(self):
        self.write('replaces.py', 'import io, sys\nsys.stdout = io.StringIO()\n')
        json.loads(self.command('stats', '--json', 'replaces.py').stdout)

    def test_a_program_that_closes_its_output(self):
        self.write('closes.py', 'import sys\nsys.stdout.close()\n')
        done = self.command('stats', 'closes.py', status=1)
        self.assertEqual(done.stderr, 'obmalloc: the standard output is closed: there is nowhere to show anything\n')

    def test_a_reader_that_stops_reading(self):
        program = subprocess.Popen(
            [sys.executable, '-m', 'obmalloc', 'map', 'program.py'], cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.child_environment({}))
        program.stdout.readline()
        program.stdout.close()
        errors = program.stderr.read()
        program.stderr.close()
        program.wait()
        self.assertEqual(errors, b'')


class InForceTests(CommandTest):
    """What is said where PYTHONMALLOC keeps obmalloc out."""

    WHY = 'PYTHONMALLOC=malloc sends small requests elsewhere'

    def test_commands_say_it(self):
        for command in 'stats', 'map', 'trim', 'pins':
            done = self.command(command, 'program.py', env={'PYTHONMALLOC': 'malloc'})
            self.assertEqual(done.stderr, 'obmalloc: not in force in program.py: '
                                          f'{self.WHY}: unset PYTHONMALLOC\n')
            self.assertTrue(done.stdout.startswith('the program'), done.stdout[:80])

    def test_run_says_it(self):
        done = self.command('run', 'program.py', env={'PYTHONMALLOC': 'malloc'})
        self.assertEqual(done.stderr, 'obmalloc: not in force in this program: '
                                      f'{self.WHY}: unset PYTHONMALLOC\n')
        self.assertEqual(done.stdout, 'the program __main__ []\n')

    def test_nothing_is_said_otherwise(self):
        for command in 'stats', 'run':
            for value in 'pymalloc', 'debug':
                self.assertEqual(self.command(command, 'program.py', env={'PYTHONMALLOC': value}).stderr, '')


@may_read
class DoctorTests(CommandTest):

    settings = ''

    def doctor(self, *arguments, **options):
        return json.loads(self.command('doctor', '--json', *arguments, **options).stdout)

    def test_in_force(self):
        told = self.doctor(env={'PYTHONOBMALLOC': 'check=1'})
        self.assertEqual((told['in_force'], told['how'], told['why']), (True, 'built in', None))
        self.assertEqual(told['settings']['check'], 1)
        self.assertEqual(told['environment']['PYTHONOBMALLOC'], 'check=1')
        self.assertEqual(told['processors']['affinity'], len(os.sched_getaffinity(0)))

    def test_for_people(self):
        lines = self.command('doctor').stdout.splitlines()
        self.assertRegex(lines[0], r'^obmalloc is in force in this interpreter \(Python 3')
        self.assertTrue(any(line.startswith('served by ') for line in lines), lines)
        self.assertLess(len(lines), 10)

    def test_another_allocator(self):
        env = {'PYTHONMALLOC': 'malloc'}
        told = self.doctor(env=env, status=1)
        self.assertEqual((told['in_force'], told['file'], told['why'], told['remedy']),
                         (False, None, InForceTests.WHY, 'unset PYTHONMALLOC'))
        lines = self.command('doctor', env=env, status=1).stdout
        self.assertTrue(lines.startswith('obmalloc is not in force in this interpreter'), lines)

    def test_without_proc(self):
        alone = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh']
        if shutil.which('unshare') is None or subprocess.run([*alone, 'true'], stderr=subprocess.DEVNULL).returncode:
            self.skipTest('no mount namespace of its own here')
        env = self.child_environment({'PYTHONMALLOC': 'malloc'})
        done = subprocess.run([*alone, sys.executable, '-m', 'obmalloc', 'doctor', '--json'], env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=LONG_TIMEOUT)
        told = json.loads(done.stdout)
        self.assertEqual((done.returncode, told['why'], told['remedy']), (1, InForceTests.WHY, 'unset PYTHONMALLOC'))

    def test_a_process(self):
        for value, in_force in ('pymalloc', True), ('debug', True), ('malloc', False):
            child = subprocess.Popen(
                [sys.executable, '-c', 'print(flush=True); input()'], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=self.child_environment({'PYTHONMALLOC': value}))
            with child:
                child.stdout.readline()
                told = self.doctor('--pid', str(child.pid), status=0 if in_force else 1)
                child.communicate('\n')
            self.assertEqual((told['in_force'], told['why']),
                             (in_force, None if in_force else InForceTests.WHY))

    def test_versions_in_names(self):
        for path, numbers in (('/usr/bin/python3.11', (3, 11, False)), ('/usr/lib/libpython3.13t.so.1.0', (3, 13, True)),
                              ('/opt/python3/bin/python2.7', (2, 7, False)), ('/usr/bin/python3', None),
                              ('/python/bin/x', None), ('/usr/lib/python3.x', None)):
            self.assertEqual(_process._numbers_of_name(path), numbers, path)
        for banner, version in (('GNU C Library (X 2.36-9) stable release version 2.36.\n', '2.36'),
                                ('GNU C Library (X) stable release version 2.17, by Y\n', '2.17'),
                                ('GNU C Library\n', None), ('', None)):
            self.assertEqual(_process._glibc_version(f'\0some {banner}more'.encode()), version)

    def test_quotas_of_control_groups(self):
        for name, text, quota in (('cpu.max', '150000 100000', 1.5), ('cpu.max', 'max 100000', None)):
            self.write(name, text)
            self.assertEqual(_process._quota_of_second_version(self.folder), quota)
        self.write('cpu.cfs_period_us', '100000')
        for text, quota in ('50000', 0.5), ('-1', None):
            self.write('cpu.cfs_quota_us', text)
            self.assertEqual(_process._quota_of_first_version(self.folder), quota)
        # The narrowest of a group and those around it counts.
        for folder, text in ('', 'max 100000'), ('a', '100000 100000'), ('a/b', '300000 100000'):
            os.makedirs(os.path.join(self.folder, folder), exist_ok=True)
            self.write(os.path.join(folder, 'cpu.max'), text)
        limits = _process._quotas(self.folder, '/a/b/not seen', _process._quota_of_second_version)
        self.assertEqual(sorted(limits), [1, 3])


class PictureTests(CommandTest):

    def test_svg(self):
        self.command('map', '--output', 'heap.svg', 'program.py')
        tree = xml.etree.ElementTree.fromstring(self.read('heap.svg'))
        titles = [title.text for title in tree.iter('{http://www.w3.org/2000/svg}title')]
        self.assertIn('program.py', titles[0])
        self.assertTrue(any(re.fullmatch(r'pages? \d+( to \d+)?: free, given back', title)
                            for title in titles))
        self.assertTrue(any(re.fullmatch(r'page \d+: \d+ of \d+ blocks of \d+ bytes in use', title)
                            for title in titles))

    def test_png(self):
        self.command('map', '--output', 'heap.png', 'program.py')
        data = self.read('heap.png', 'rb')
        self.assertEqual(data[:8], b'\x89PNG\r\n\x1a\n')
        chunks, place = {}, 8
        while place < len(data):
            length, name = struct.unpack_from('>I4s', data, place)
            content = data[place + 8:place + 8 + length]
            checksum, = struct.unpack_from('>I', data, place + 8 + length)
            self.assertEqual(checksum, zlib.crc32(name + content))
            chunks[name] = content
            place += 12 + length
        self.assertEqual(list(chunks)[-1], b'IEND')
        width, height = struct.unpack_from('>II', chunks[b'IHDR'])
        pixels = zlib.decompress(chunks[b'IDAT'])
        self.assertEqual(len(pixels), height * (width + 1))
        self.assertLess(max(pixels), len(chunks[b'PLTE']) // 3)
        self.assertGreater(len(set(pixels)), 4)


class _Page(HTMLParser):
    """What an HTML page refers to, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ('src', 'href')]

    def handle_data(self, data):
        self.words.append(data)


class ReportTests(CommandTest):

    def report(self, *arguments, **options):
        done = self.command('report', '--output', 'page.html', *arguments, **options)
        return done, self.read('page.html')

    def test_one_page_with_everything(self):
        # It lasts long enough to be seen more than once, however busy the machine is.
        self.write('program.py', PROGRAM.replace('del passing', 'import time; time.sleep(2); del passing'))
        done, text = self.report('program.py', 'some', 'words')
        self.assertIn("['some', 'words']", done.stdout)
        self.assertIn('the report is in page.html', done.stderr)
        page = _Page(text)
        self.assertEqual(page.links, ['data:,'])
        self.assertNotIn('http', text.replace('http-equiv', '').replace('http://www.w3.org', ''))
        self.assertLess({'h1', 'h2', 'table', 'figure', 'svg', 'rect', 'title'}, set(page.tags))
        words = ' '.join(page.words)
        for wanted in ('program.py', 'Over time', 'str in __main__.Culprit', 'blocks in use'):
            self.assertIn(wanted, words)

    def test_a_program_that_ends_before_the_second_look_has_a_curve(self):
        _, text = self.report('--interval', '60', 'program.py')
        self.assertIn('Over time', ' '.join(_Page(text).words))

    def test_the_status_of_the_program(self):
        self.report('program.py', 'fail', status=3)

    def test_a_program_that_is_killed(self):
        self.write('killed.py', 'import os; os.kill(os.getpid(), 9)')
        done = self.command('report', '--output', 'page.html', 'killed.py', status=1)
        self.assertRegex(done.stderr, r'^obmalloc: killed.py ended with status 137 before .*\n$')
        self.assertEqual(sorted(os.listdir(self.folder)), ['killed.py', 'program.py'])

    def browser(self):
        for name in BROWSERS:
            if shutil.which(name):
                return [name, '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
                        f'--user-data-dir={self.folder}/browser', '--virtual-time-budget=3000']
        self.skipTest('no ' + ', '.join(BROWSERS))

    def test_in_a_browser(self):
        # An arena is reached by the keyboard; its status line is what a screen
        # reader says.  The script at the end stands for somebody's fingers.
        browser = self.browser()
        _, text = self.report('program.py')
        keys = '''<script>
            const arena = document.querySelector('figure svg');
            arena.focus();
            for (const key of ['ArrowRight', 'ArrowRight', 'ArrowLeft'])
              arena.dispatchEvent(new KeyboardEvent('keydown', {key: key, bubbles: true}));
            document.title = document.documentElement.scrollWidth <= window.innerWidth ? 'fits' : 'too wide';
            </script>'''
        self.write('keys.html', text.replace('</body>', keys + '</body>'))
        url = 'file://' + os.path.join(self.folder, 'keys.html')
        for width in 360, 1200:
            with self.subTest(width=width):
                # A window of the browser itself is at least 500 wide.
                frame = (f'<iframe src="{url}" width="{width}" height="3000" style="border:0"></iframe>')
                self.write('frame.html', '<!DOCTYPE html><body style="margin:0">' + frame)
                picture = os.path.join(self.folder, 'shot.png')
                done = subprocess.run(
                    [*browser, f'--window-size={max(width, 500)},3000', f'--screenshot={picture}',
                     'file://' + os.path.join(self.folder, 'frame.html')],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LONG_TIMEOUT)
                self.assertTrue(os.path.exists(picture), done.stderr[-500:])
                self.assertGreater(os.path.getsize(picture), 20_000)
        done = subprocess.run([*browser, '--window-size=1200,2000', '--dump-dom', url],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8',
                              timeout=LONG_TIMEOUT)
        status = re.search(r'<p id="detail"[^>]*>(.*?)</p>', done.stdout)
        self.assertRegex(status.group(1), r'^arena 1, pages? \d+.*: .*(blocks of|free)')
        self.assertEqual(done.stdout.count('class="u3 chosen"')
                         + len(re.findall(r'class="\w+ chosen"', done.stdout)) > 0, True)
        self.assertIn('<title>fits</title>', done.stdout)


@may_read
class OtherProcessTests(CommandTest):

    def start(self):
        self.write('waits.py', PROGRAM.replace('sys.exit', 'sys.stdout.flush(); input(); sys.exit'))
        child = subprocess.Popen([sys.executable, 'waits.py'], cwd=self.folder, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 env=self.child_environment({}))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.addCleanup(child.stdin.close)
        child.stdout.readline()
        wait_until_it_waits(child.pid)
        return str(child.pid)

    def test_stats_and_map(self):
        pid = self.start()
        stats = json.loads(self.command('stats', '--json', '--pid', pid).stdout)
        self.assertGreater(stats['purged_pages'], 1000)
        held = stats['resident_pages'] * stats['page_size']
        self.assertLess(abs(held - stats['kernel']['arenas']), 0.02 * held + 2**20)
        self.assertIn('by the kernel', self.command('stats', '--pid', pid).stdout)
        self.assertIn('arena 1 at', self.command('map', '--pid', pid).stdout)
        self.command('map', '--pid', pid, '--output', 'x.svg')
        self.assertIn(f'process {pid}', self.read('x.svg'))

    def test_watch(self):
        pid = self.start()
        out = self.command('watch', '--pid', pid, '--interval', '0.05', '--count', '3').stdout
        self.assertEqual(len(out.splitlines()), 3)
        self.assertRegex(out, r'resident +[0-9.]+ MiB  arenas hold +[0-9.]+ MiB')

    def watch_in_a_terminal(self, *options, **env):
        """The command in a terminal of its own: the child, and the other end as a file."""
        pty = import_module('pty')
        pid = self.start()
        master, slave = pty.openpty()
        terminal = open(master, 'rb', buffering=0)
        self.addCleanup(terminal.close)
        child = subprocess.Popen([sys.executable, '-m', 'obmalloc', 'watch', '--pid', pid, *options], stdout=slave,
                                 stderr=subprocess.PIPE, env=self.child_environment({'COLUMNS': '90', **env}),
                                 preexec_fn=default_signals)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        os.close(slave)
        return child, terminal

    def shown(self, terminal, last=None):
        """What the terminal gets until this text is there, or until nobody can write to it."""
        shown = b''
        while last is None or last not in shown:
            self.assertTrue(select.select([terminal], [], [], LONG_TIMEOUT)[0], shown)
            try:
                part = terminal.read(65536)
            except OSError:     # the other end was closed
                break
            if not part:
                break
            shown += part
        return shown

    def test_watch_in_a_terminal(self):
        child, terminal = self.watch_in_a_terminal('--interval', '0.05', '--count', '2', NO_COLOR='',
                                                   TERM='xterm-256color', PYTHONIOENCODING='utf-8')
        text = self.shown(terminal).decode()
        self.assertEqual(child.wait(LONG_TIMEOUT), 0)
        self.assertTrue(text.startswith('\x1b[?1049h') and text.endswith('\x1b[?1049l'), text[-50:])
        self.assertIn(f'process {child.args[5]}: ', text)
        self.assertIn('blocks; page flo', text)
        # No size is known of this terminal, so it counts as 24 lines: one an arena.
        self.assertRegex(text, r'arena +1 ')

    def test_watch_in_a_terminal_until_a_signal_ends_it(self):
        for number in signal.SIGTERM, signal.SIGHUP, signal.SIGINT:
            with self.subTest(number):
                child, terminal = self.watch_in_a_terminal('--interval', '60')
                self.shown(terminal, b'\x1b[J')         # the first view is there
                wait_until_it_waits(child.pid)      # a signal just before would wait for the sleep to end
                child.send_signal(number)
                shown = self.shown(terminal)
                self.assertEqual(child.wait(LONG_TIMEOUT), 0 if number == signal.SIGINT else -number)
                self.assertTrue(shown.endswith(b'\x1b[?25h\x1b[?1049l'), shown[-50:])

    def test_watch_in_a_terminal_that_goes_away(self):
        child, terminal = self.watch_in_a_terminal('--interval', '60')
        self.shown(terminal, b'\x1b[J')
        wait_until_it_waits(child.pid)
        terminal.close()
        child.send_signal(signal.SIGHUP)        # as the kernel does where it is the terminal of the session
        errors = child.communicate(timeout=LONG_TIMEOUT)[1]
        self.assertEqual((child.returncode, errors), (-signal.SIGHUP, b''))

    def test_watch_until_it_ends(self):
        self.write('short.py', 'print(flush=True); input()')
        variables = self.child_environment({})
        with subprocess.Popen([sys.executable, 'short.py'], cwd=self.folder, env=variables,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            self.addCleanup(child.kill)
            child.stdout.readline()
            with subprocess.Popen([sys.executable, '-m', 'obmalloc', 'watch', '--pid', str(child.pid),
                                   '--interval', '0.05'], env=variables, stdout=subprocess.PIPE) as watch:
                self.addCleanup(watch.kill)
                for _ in range(2):
                    self.assertIn(b'arenas hold', watch.stdout.readline())
                child.communicate(b'\n')
                watch.communicate(timeout=LONG_TIMEOUT)
        self.assertEqual(watch.returncode, 0)

    def test_report_of_a_process(self):
        pid = self.start()
        self.command('report', '--pid', pid, '--seconds', '0.5', '--output', 'page.html')
        text = self.read('page.html')
        self.assertIn(f'The heap of process {pid}', text)
        self.assertIn('can only be seen from inside', text)


class MistakeTests(CommandTest):
    """One line that says what is wrong; nothing half written."""

    def check_mistake(self, message, *arguments, status=1):
        done = self.command(*arguments, status=status)
        self.assertRegex(done.stderr, message)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)

    def test_mistakes(self):
        self.check_mistake('which program', 'stats')
        self.check_mistake('which program.*inside', 'pins')
        self.check_mistake('not both', 'stats', '--pid', '1', 'program.py')
        self.check_mistake('no process 4190000', 'stats', '--pid', '4190000')
        self.check_mistake('nothere.py: No such file', 'stats', 'nothere.py')
        self.check_mistake('no module named nothere', 'stats', '-m', 'nothere')
        self.check_mistake('no module named nothere.sub', 'stats', '-m', 'nothere.sub')
        self.check_mistake('invalid choice', 'nonsense', status=2)
        self.check_mistake('--pid', 'stats', '--pid', '-3', status=2)
        self.check_mistake('--pid', 'stats', '--pid', 'x', status=2)
        self.check_mistake('must end with .svg or .png', 'map', '--output', 'x.gif', 'program.py', status=2)
        self.check_mistake('required', 'watch', status=2)
        self.check_mistake('no process 4190000', 'doctor', '--pid', '4190000')
        self.check_mistake('--pid', 'doctor', '--pid', 'x', status=2)
        self.check_mistake('--pid', 'doctor', '--pid', '1' * 5000, status=2)
        self.check_mistake('unrecognized arguments', 'doctor', 'program.py', status=2)

    def test_a_picture_that_cannot_be_written(self):
        self.check_mistake('cannot be written: No such file', 'map', '--output', 'no/where.svg', 'program.py')
        self.check_mistake('cannot be written', 'report', '--output', 'no/where.html', 'program.py')

    def test_help(self):
        for arguments in [], ['run'], ['path'], ['enable'], ['disable'], ['stats'], ['map'], ['pins'], ['trim'], ['watch'], ['report'], ['doctor']:
            self.assertIn('usage:', self.command(*arguments, '--help').stdout)


class TextTests(unittest.TestCase):

    def test_a_long_table_has_every_row_once(self):
        for more in 0, 3:
            with self.subTest(more=more):
                rows = [('head',)] + [(f'row {number} ',)
                                      for number in range(_report.FIRST_ROWS + more)]
                text = _report._long_table(rows, 'rows')
                for row, in rows[1:]:
                    self.assertEqual(text.count(row), 1)
                self.assertEqual(f'{more} more' in text, more != 0)

    def heap_map(self, count):
        """Arenas of 512 pages: full, half full, free, given back, never touched."""
        pages = b''.join(_heap_map.PAGE.pack(*page, False) * 100 for page in
                         [(3, 3, 64), (3, 3, 32), (2, 255, 0), (1, 255, 0), (0, 255, 0)])
        return _heap_map.HeapMap(
            page_size=4096, run_size=1 << 17, arena_size=1 << 21, classes=[(16 * n, 256 // n) for n in range(1, 33)],
            arenas=[(number + 1, number << 21, True, pages) for number in range(count)])

    def lines(self, count, rows, width=80, **how):
        style = _text.Style(io.StringIO(), width=width, colour=False, **how)
        return _text.map_lines(self.heap_map(count), style, rows)

    def test_the_map_fits(self):
        for count in 1, 3, 10, 500:
            for rows in 5, 24, 60:
                with self.subTest(count=count, rows=rows):
                    lines = self.lines(count, rows, unicode=True)
                    self.assertLessEqual(len(lines), rows)
                    pages = [line for line in lines if line.startswith('  ') or '  1 ' in line]
                    self.assertTrue(pages or rows == 5, lines)
                    self.assertTrue(all(len(line) <= 80 for line in pages), lines)
        self.assertEqual(len(self.lines(10, 24, unicode=True)), 11)
        self.assertIn('480 more arenas', self.lines(500, 22, unicode=True)[-1])

    def test_the_map_shows_all_kinds(self):
        whole = ''.join(self.lines(1, None, unicode=True)[2:])
        for sign in '█▄▒·':
            self.assertGreaterEqual(whole.count(sign), 96, whole)
        compact = self.lines(10, 24, unicode=True)[1]
        self.assertRegex(compact, r'^arena +1 █+.▄+▒+·+ *$')

    def medium_map(self):
        """An arena with a run of 20 480 bytes a block, of which the first two and the last of
        six are live, and a run of 1536."""
        def page(live, continues=False):
            return _heap_map.PAGE.pack(3, 1, live, continues)
        block = page(1) + page(1, True) * 4
        free, small = _heap_map.PAGE.pack(1, 255, 0, False), _heap_map.PAGE.pack(3, 0, 2, True)
        first = block * 2 + free * 15 + block + free * 2
        return _heap_map.HeapMap(
            page_size=4096, run_size=1 << 17, arena_size=1 << 21, classes=[(1536, 85), (20480, 6)],
            arenas=[(1, 1 << 21, True, first + small * 32)])

    def test_a_block_goes_on_from_page_to_page(self):
        for unicode, whole in (True, '█════█════···············█════··'), (False, '8====8====...............8====..'):
            style = _text.Style(io.StringIO(), width=80, colour=False, unicode=unicode)
            lines = _text.map_lines(self.medium_map(), style)
            self.assertIn('108 KiB live in 47 pages', lines[1])
            self.assertTrue(lines[2].startswith('  ' + whole), lines[2])
        arena, = self.medium_map().arenas
        self.assertEqual(arena.live_blocks, 3 + 32)
        self.assertEqual(arena.live_bytes, 3 * 20480 + 32 * 1536)
        self.assertEqual(_picture.page_text(list(arena)[1]),
                         '1 of 1 blocks of 20480 bytes in use, one of them begins before')

    def test_the_picture_joins_the_pages_of_a_block(self):
        arena, = self.medium_map().arenas
        joints = _picture.joints(arena)
        self.assertEqual(joints.count('M'), 12 + 32)
        # From page 0 to 1: a line across their border, six units from the left.
        self.assertTrue(joints.startswith('<path class="joint" d="M4 3h4M10 3h4'), joints)
        svg = _picture.map_svg(self.medium_map(), 'title')
        self.assertIn(joints, svg)
        xml.etree.ElementTree.fromstring(svg)
        plain = self.heap_map(1)
        self.assertEqual(_picture.joints(plain.arenas[0]), '')
        self.assertNotEqual(_picture.map_png(self.medium_map(), ''), _picture.map_png(
            _heap_map.from_dict({**self.medium_map().as_dict(), 'arenas': [
                {**row, 'pages': [[*page[:4], False] for page in row['pages']]}
                for row in self.medium_map().as_dict()['arenas']]}, [(1536, 85), (20480, 6)]), ''))

    def test_a_map_from_its_dict(self):
        data = self.medium_map().as_dict()
        again = _heap_map.from_dict(data, self.medium_map().classes)
        self.assertEqual(again.as_dict(), data)

    def test_sizes(self):
        for count, text in [(0, '0 B'), (1023, '1023 B'), (1024, '1.0 KiB'), (1536, '1.5 KiB'),
                            (102300, '99.9 KiB'), (102400, '100 KiB'), (1 << 20, '1.0 MiB'),
                            ((1 << 20) - 1, '1.0 MiB'), (5 << 40, '5.0 TiB'), (5 << 50, '5120 TiB')]:
            self.assertEqual(_text.size(count), text)


if __name__ == '__main__':
    unittest.main()
