"""What C code does wrong with blocks, and what the checks make of it."""

import unittest

from .building import ExtensionTest
from .compat import import_module
from .helpers import ChildTest


class DeathTest(ExtensionTest, ChildTest):
    """Tests of children that end with one line."""

    setup = 'import _testobmalloc'

    def check_death(self, code, message, **env):
        err = self.run_dying_child(code, **env)
        self.assertEqual(len(err), 1, err)
        self.assertRegex(err[0], '^obmalloc: .*' + message)


class MisuseTests(DeathTest):
    """The checks find what C code does wrong, and say so in one line."""

    def test_freed_twice(self):
        for level in 2, 3:
            with self.subTest(level=level):
                self.check_death('_testobmalloc.free_twice(200)', 'free already',
                                 PYTHONOBMALLOC=f'check={level}')

    def test_middle_of_a_block(self):
        for level in 2, 3:
            with self.subTest(level=level):
                self.check_death('_testobmalloc.free_middle(200)',
                                 'not the start of a block',
                                 PYTHONOBMALLOC=f'check={level}')


class GilTests(ChildTest):

    def test_call_without_the_gil(self):
        # A debug build has these hooks by default, any other by this variable.
        import_module('_testcapi')
        for call in 'pymem_malloc_without_gil', 'pyobject_malloc_without_gil':
            with self.subTest(call=call):
                err = self.run_dying_child(f'import _testcapi; _testcapi.{call}()',
                                           PYTHONMALLOC='debug')
                self.assertIn('called without holding the GIL', err[0])


class AlwaysFoundTests(DeathTest):
    """Found without any setting."""

    def test_freed_twice(self):
        self.check_death('_testobmalloc.free_twice(200)', 'is free already')

    def test_middle_of_a_block_of_a_full_page(self):
        # Enough neighbours for every page but the last to be full.
        self.check_death('''
            kept = [bytes(490 - 33) for number in range(1000)]
            _testobmalloc.stash(490)
            kept += [bytes(490 - 33) for number in range(1000)]
            _testobmalloc.free_stash_middle()
            ''', 'is not the start of a block')

    def test_freed_twice_with_the_arena_released_between(self):
        self.check_death('''
            import obmalloc
            kept = fill(20)
            _testobmalloc.stash(440)
            kept += fill(20)
            _testobmalloc.free_stash()
            del kept
            obmalloc.trim()
            _testobmalloc.free_stash()
            ''', 'its arena went back to the system|no block of its page is in use')


class SecureTests(DeathTest):
    """PYTHONOBMALLOC=secure=1 finds more, and a program runs as always."""

    def environment(self):
        return {**super().environment(), 'PYTHONOBMALLOC': 'secure=1'}

    def test_freed_twice(self):
        self.check_death('_testobmalloc.free_twice(200)', 'is free already')

    def test_freed_twice_after_many_others(self):
        self.check_death('''
            _testobmalloc.stash(200)
            _testobmalloc.free_stash()
            for number in range(20000):
                bytes(300)
            _testobmalloc.free_stash()
            ''', 'is free already|no block of which is in use')

    def test_middle_of_a_block(self):
        self.check_death('_testobmalloc.free_middle(200)', 'not the start of a block')

    def test_written_to_after_the_free(self):
        self.check_death('''
            _testobmalloc.stash(200)
            _testobmalloc.free_stash()
            _testobmalloc.write_stash()
            import obmalloc
            obmalloc.trim()
            ''', 'was written to after it was freed, at byte 0')

    def test_programs_run_as_always(self):
        self.check_child('''
            import ast, collections, json, obmalloc
            with open(collections.__file__) as file:
                tree = ast.parse(file.read())
            text = json.dumps([{'n': n, 'text': str(n)} for n in range(20000)])
            kept = json.loads(text)[::100]
            fill(20)
            del tree, text
            assert kept[3] == {'n': 300, 'text': '300'}
            obmalloc.check(3)
            assert obmalloc.stats()['arenas_released'] > 0, figures()
            obmalloc.trim()
            obmalloc.check(3)
            ''', PYTHONOBMALLOC='secure=1,check=1')

    def test_threads_and_forks(self):
        self.check_child('''
            import threading
            def work():
                for number in range(20):
                    kept = [[n] for n in range(2000)]
            threads = [threading.Thread(target=work) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for number in range(3):
                child = os.fork()
                if child == 0:
                    work()
                    _obmalloc.check(3)
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            _obmalloc.check(3)
            ''')

    def test_blocks_in_use_are_counted(self):
        self.check_child('''
            kept = [bytes(100) for number in range(5000)]
            before = sys.getallocatedblocks()
            del kept
            went = before - sys.getallocatedblocks()
            assert 4900 <= went <= 5100, went
            ''')


if __name__ == '__main__':
    unittest.main()
