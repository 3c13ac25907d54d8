"""The module obmalloc: what people import."""

import platform
import unittest

import obmalloc

from . import helpers


class ModuleTests(helpers.ChildTest):

    settings = ''

    def test_everything_is_documented(self):
        for name in obmalloc.__all__:
            self.assertTrue(getattr(obmalloc, name).__doc__, name)

    def test_active(self):
        for value, active in (('pymalloc', True), ('debug', True), ('malloc', False), ('malloc_debug', False)):
            with self.subTest(value):
                out, _ = self.run_child('import obmalloc; print(obmalloc.active())', PYTHONMALLOC=value)
                self.assertEqual(out, [str(active)])

    def test_active_behind_hooks(self):
        self.assertEqual(self.check_child("""
            import obmalloc, tracemalloc
            tracemalloc.start()
            print(obmalloc.active())
            """), ['True'])

    def test_active_in_an_interpreter(self):
        self.assertEqual(self.check_child(helpers.INTERPRETERS + """
for kind in KINDS:
    life('import obmalloc; print(obmalloc.active(), flush=True)', *kind)
"""), ['True'] * len(self.check_child(helpers.INTERPRETERS + "\nfor kind in KINDS: print()")))

    def test_settings(self):
        default = {'retain': 'auto', 'hugepages': 'auto', 'background': 'auto', 'malloc': 'auto',
                   'medium': 1, 'check': 0, 'secure': 0}
        for text, different in (('', {}),
                                ('retain=none,check=1', {'retain': 'none', 'check': 1}),
                                ('retain=all', {'retain': 'all'}),
                                ('retain=3M', {'retain': 3 << 20}),
                                ('hugepages=never', {'hugepages': 'never'}),
                                ('hugepages=always', {'hugepages': 'always'}),
                                ('background=1', {'background': 1}),
                                ('background=0', {'background': 0}),
                                ('malloc=leave', {'malloc': 'leave'}),
                                ('malloc=one', {'malloc': 'one'}),
                                ('medium=0', {'medium': 0}),
                                ('secure=1', {'secure': 1, 'hugepages': 'never'})):
            expected = {**default, **different}
            with self.subTest(text):
                self.check_child(f'''
                    import obmalloc
                    assert obmalloc.settings() == {expected!r}, obmalloc.settings()
                    ''', PYTHONOBMALLOC=text)


class TrimTests(helpers.ChildTest):

    def test_trim_says_what_went_back(self):
        self.check_child('''
            import obmalloc
            obmalloc.trim()
            kept = fill(8)[::50]    # a survivor in every fifth page or so
            before = figures()
            went = obmalloc.trim()
            after = figures()
            dirty = before['dirty_pages'] * before['page_size']
            assert went >= dirty > 4 * MIB, (went, before)
            assert after['dirty_pages'] == 0, after
            assert obmalloc.trim() < went / 10
            obmalloc.check(3)
            ''', PYTHONOBMALLOC='retain=all')

    def test_trim_empties_the_free_lists(self):
        self.check_child('''
            import obmalloc
            kept = [(n, n) for n in range(4000)]
            del kept                # half of them stay on the free list of tuples
            blocks = obmalloc.stats()['live_blocks']
            obmalloc.trim()
            assert obmalloc.stats()['live_blocks'] < blocks - 1000, blocks
            ''', PYTHONOBMALLOC='retain=all')

    @helpers.has_proc
    def test_trim_makes_the_process_smaller(self):
        self.check_child('''
            import obmalloc
            fill(50)
            before = status('VmRSS')
            went = obmalloc.trim()
            shrunk = before - status('VmRSS')
            assert went > 45 * MIB and abs(shrunk - went) < 4 * MIB, (went, shrunk)
            ''', PYTHONOBMALLOC='retain=all')

    @helpers.has_proc
    @unittest.skipUnless(platform.libc_ver()[0] == 'glibc', "needs glibc's malloc_trim()")
    def test_trim_reaches_the_systems_malloc(self):
        self.check_child('''
            import obmalloc
            kept = fill(40, 40_000)[::20]      # too large for the heap
            before = status('VmRSS')
            obmalloc.trim()
            shrunk = before - status('VmRSS')
            assert shrunk > 20 * MIB, shrunk
            ''')


if __name__ == '__main__':
    unittest.main()
