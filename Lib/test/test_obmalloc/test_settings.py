"""PYTHONOBMALLOC, the environment variable: retain, hugepages, check, and mistakes."""

import os
import shutil
import subprocess
import sys
import unittest
from test.support import LONG_TIMEOUT

import _obmalloc

from .compat import temp_dir
from .helpers import ChildTest, has_proc

NOBODY = 65534      # a user without rights
# The setting, not the allowance: a start may learn some pages.
SHOW_RETAIN = "print(_obmalloc.settings()['retain'])"


class RetainTests(ChildTest):

    # Fill 32 MiB, free all but a few, and look.
    CYCLE = '''
        base = figures()
        objects = fill(32)
        keep = objects[::1000]
        full = figures()
        del objects
        after = figures()
        page = base['page_size']
        assert full['arenas'] > base['arenas'] + 10
        _obmalloc.check(3)
        {condition}
        '''

    def check_cycle(self, retain, condition):
        setting = f'retain={retain}' if retain else ''
        self.check_child(self.CYCLE.format(condition=condition), PYTHONOBMALLOC=setting)

    def test_none(self):
        self.check_cycle('none', 'assert after["dirty_pages"] == 0, after')

    def test_none_releases_empty_arenas(self):
        self.check_child('''
            base = figures()
            fill(32)
            after = figures()
            assert after['arenas'] <= base['arenas'] + 2, (base, after)
            assert after['dirty_pages'] == 0, after
            ''', PYTHONOBMALLOC='retain=none')

    def test_auto(self):
        condition = 'assert after["dirty_pages"] * page < 8 * MIB, after'
        for setting in 'auto', '':
            with self.subTest(retain=setting):
                self.check_cycle(setting, condition)

    def test_all(self):
        self.check_cycle('all', '''
        assert after['arenas'] == full['arenas'], (full, after)
        assert after['arenas_released'] == after['pages_purged'] == 0, after
        assert after['dirty_pages'] * page > 24 * MIB, after
        ''')

    def test_all_holds_whole_arenas_too(self):
        self.check_child('''
            fill(32)
            first = figures()
            fill(32)
            second = figures()
            assert second['arenas_released'] == 0, second
            assert second['arenas_mapped'] <= first['arenas_mapped'] + 1, (first, second)
            ''', PYTHONOBMALLOC='retain=all')

    @has_proc
    def test_none_and_all_show_in_resident_memory(self):
        code = '''
            before = status('VmRSS')
            fill(32)
            print(status('VmRSS') - before)
            '''
        for retain, least, most in [('none', -64, 4), ('all', 24, 64)]:
            with self.subTest(retain=retain):
                line, = self.check_child(code, PYTHONOBMALLOC=f'retain={retain}')
                self.assertGreater(int(line), least << 20)
                self.assertLess(int(line), most << 20)

    def test_a_size(self):
        self.check_cycle('8M', '''
        assert after["dirty_pages"] * page <= 12 * MIB, after
        assert after["dirty_pages"] * page >= 7 * MIB, after
        ''')

    def test_sizes(self):
        for text, size in [('0', 0), ('1048576', 1 << 20), ('2048k', 2 << 20),
                           ('2048K', 2 << 20), ('3m', 3 << 20), ('1G', 1 << 30)]:
            with self.subTest(retain=text):
                out = self.check_child("print(_obmalloc.settings()['retain'])",
                                       PYTHONOBMALLOC=f'retain={text}')
                self.assertEqual(out, [str(size)])


def has_huge_arenas():
    """Whether the system has huge pages on request, of the size of an arena."""
    folder = '/sys/kernel/mm/transparent_hugepage/'
    try:
        with open(folder + 'enabled') as enabled, open(folder + 'hpage_pmd_size') as size:
            return ('[never]' not in enabled.read()
                    and int(size.read()) == _obmalloc.stats()['arena_size'])
    except OSError:
        return False


class HugePageTests(ChildTest):

    setup = '''
        def huge_bytes():
            with open('/proc/self/smaps_rollup') as file:
                for line in file:
                    if line.startswith('AnonHugePages:'):
                        return int(line.split()[1]) * 1024
        '''

    # Objects whose bytes say whether they survived.
    SURVIVE = '''
        objects = [b'%400d' % i for i in range(60_000)]
        keep = objects[::{every}]
        full = figures()
        del objects
        _obmalloc.trim()
        # The objects made to compare are freed again, and their pages may be retained.
        after = figures()
        assert keep == [b'%400d' % i for i in range(0, 60_000, {every})]
        _obmalloc.check(3)
        '''

    def test_never(self):
        self.check_child('''
            for _ in range(3):
                fill(16)
                _obmalloc.trim()
            assert figures()['arenas_huge'] == 0, figures()
            ''', PYTHONOBMALLOC='hugepages=never')

    def test_a_small_program_has_none_by_default(self):
        self.check_child('''
            keep = fill(16)
            assert figures()['arenas_huge'] == 0, figures()
            ''')

    @unittest.skipUnless(has_huge_arenas(), 'needs huge pages as large as an arena')
    def test_what_is_wanted_again_at_once_is_huge_by_default(self):
        # On a machine so busy that a second passes in between it is not.
        self.check_child(f'''
            import time
            end = time.monotonic() + {LONG_TIMEOUT}
            while not figures()['arenas_huge']:
                assert time.monotonic() < end, figures()
                fill(16)
                _obmalloc.trim()
            _obmalloc.check(3)
            ''')

    @unittest.skipUnless(has_huge_arenas(), 'needs huge pages as large as an arena')
    def test_always(self):
        self.check_child('''
            keep = fill(16)
            after = figures()
            assert after['arenas_huge'] == after['arenas_mapped'] > 8, after
            # The first one is split if pages that the start has left go back.
            assert after['huge_arenas'] >= after['arenas'] - 1, after
            ''', PYTHONOBMALLOC='hugepages=always')

    def test_survivors_keep_their_bytes(self):
        for retain in 'auto', 'none', 'all', '4M':
            with self.subTest(retain=retain):
                self.check_child(self.SURVIVE.format(every=100) + '''
        # What takes a page after trim() has up to 16 backed by memory with one call.
        assert after['dirty_pages'] < 16, after
        assert after['arenas_split'] <= after['arenas_huge'], after
        ''', PYTHONOBMALLOC=f'hugepages=always,retain={retain},check=1')

    @has_proc
    def test_what_is_given_back_is_no_huge_page_any_more(self):
        self.check_child(self.SURVIVE.format(every=1000) + '''
        used = (after['used_pages'] + 512) * after['page_size']
        assert huge_bytes() <= after['huge_arenas'] * after['arena_size'], (huge_bytes(), after)
        assert status('RssAnon') < 16 * MIB + used, (status('RssAnon'), after)
        ''', PYTHONOBMALLOC='hugepages=always')

    @unittest.skipUnless(hasattr(os, 'fork'), 'needs os.fork()')
    def test_fork(self):
        self.check_child('''
            objects = [b'%400d' % i for i in range(60_000)]
            keep = objects[::100]
            child = os.fork()
            del objects
            _obmalloc.trim()
            fill(16)
            assert keep == [b'%400d' % i for i in range(0, 60_000, 100)]
            _obmalloc.check(3)
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            ''', PYTHONOBMALLOC='hugepages=always')


class CheckTests(ChildTest):

    def test_every_level_lets_a_good_program_run(self):
        for level in 0, 1, 2, 3:
            with self.subTest(check=level):
                self.check_child('''
                    import json
                    rows = [{'number': i, 'text': str(i) * 5} for i in range(4000)]
                    assert json.loads(json.dumps(rows)) == rows
                    del rows[::3]
                    objects = fill(4)
                    del rows, objects
                    gc.collect()
                    _obmalloc.trim()
                    ''', PYTHONOBMALLOC=f'check={level}')

    def test_with_retain(self):
        for retain in 'none', 'auto', 'all', '4M':
            with self.subTest(retain=retain):
                self.check_child('''
                    for _ in range(3):
                        del fill(6)[::2]
                    ''', PYTHONOBMALLOC=f'retain={retain},check=3')


class MistakeTests(ChildTest):
    """A mistake is answered by one line on stderr, and the default holds."""

    def check_warning(self, setting, *expected):
        default, = self.check_child(SHOW_RETAIN)
        out, err = self.run_child(SHOW_RETAIN, PYTHONOBMALLOC=setting)
        self.assertEqual(out, [default])
        self.assertEqual(len(err), 1, err)
        self.assertTrue(err[0].startswith('PYTHONOBMALLOC: '), err)
        for text in expected:
            self.assertIn(text, err[0])

    def test_unknown_key(self):
        self.check_warning('retian=none', 'retian', 'retain', 'hugepages', 'background',
                           'check', 'secure')

    def test_unknown_value(self):
        for value in 'some', '', 'NONE', 'all ', '-1', '1T', '12MM', '0x10':
            with self.subTest(value=value):
                self.check_warning(f'retain={value}', 'retain', 'auto', 'none', 'all')

    def test_unknown_level(self):
        for value in '', '4', '-1', '12', 'yes':
            with self.subTest(value=value):
                self.check_warning(f'check={value}', 'check', '3')

    def test_unknown_switch(self):
        for value in '', '2', 'yes', '01':
            with self.subTest(value=value):
                self.check_warning(f'background={value}', 'background', '0 or 1')
                self.check_warning(f'secure={value}', 'secure', '0 or 1')

    def test_key_without_value(self):
        self.check_warning('retain', 'retain')
        self.check_warning('check', 'check')
        self.check_warning('hugepages', 'auto', 'never', 'always')

    def test_size_beyond_the_address_space(self):
        self.check_warning('retain=99999999999999999999G', 'retain')
        self.check_warning('retain=17179869184G', 'retain')

    def test_long_text(self):
        self.check_warning('retain=' + 'x' * 5000, 'retain')

    def test_long_text_that_begins_like_a_size(self):
        # What does not fit a buffer must not be cut to something that does.
        self.check_warning('retain=' + '0' * 80 + 'x', 'retain')
        self.check_warning('retain=' + '0' * 52 + '1M' + ' ' * 80, 'retain')

    def test_the_other_settings_hold(self):
        out, err = self.run_child(SHOW_RETAIN,
                                  PYTHONOBMALLOC='check=7,retain=none,color=red')
        self.assertEqual(out, ['none'])
        self.assertEqual(len(err), 2, err)

    def test_empty_items_are_no_mistake(self):
        for setting in '', ',', ',retain=none,,check=1,':
            with self.subTest(setting=setting):
                self.check_child('pass', PYTHONOBMALLOC=setting)

    def test_ignored_on_request(self):
        default, = self.check_child(SHOW_RETAIN)
        for option in '-E', '-I':
            for setting in 'retain=none', 'nonsense':
                with self.subTest(option=option, setting=setting):
                    out = self.check_child(SHOW_RETAIN, option, PYTHONOBMALLOC=setting)
                    self.assertEqual(out, [default])

    @unittest.skipUnless(hasattr(os, 'geteuid') and os.geteuid() == 0,
                         'only root can make a program that belongs to another user')
    def test_ignored_by_a_set_uid_program(self):
        default, = self.check_child(SHOW_RETAIN)
        with temp_dir() as folder:
            os.chmod(folder, 0o755)
            program = os.path.join(folder, 'python')
            shutil.copy(sys.executable, program)
            os.chown(program, NOBODY, NOBODY)
            os.chmod(program, 0o4755)

            def run(setting):
                env = self.child_environment({
                    'PYTHONOBMALLOC': setting, 'PYTHONHOME': sys.prefix,
                    'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
                code = self.child_code(SHOW_RETAIN + '; print(os.geteuid())')
                return subprocess.run([program, '-S', '-c', code], env=env, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if run('').stdout.split()[1:] != [str(NOBODY)]:
                self.skipTest('this file system takes no set-uid programs, or that user cannot '
                              'read the library')
            for setting in 'retain=none', 'nonsense':
                done = run(setting)
                self.assertEqual(done.stdout.split(), [default, str(NOBODY)], done.stderr)
                self.assertNotIn('PYTHONOBMALLOC', done.stderr)


if __name__ == '__main__':
    unittest.main()
