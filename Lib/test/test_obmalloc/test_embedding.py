"""Python started and ended again and again by a program that embeds it."""

import subprocess
import sys
import textwrap
import unittest
from test.support import LONG_TIMEOUT

from .building import BuildFolder, build_embedding
from .helpers import INTERPRETERS, ChildTest, has_proc


class EmbeddingProgram(BuildFolder, ChildTest):
    """Tests that run code in several lives of Python in one process."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = build_embedding(cls.make_folder())

    def run_embedding(self, scenario, cycles, code, **env):
        """Run the program; return the words of each line it wrote."""
        done = subprocess.run(
            [self.program, sys.executable, scenario, str(cycles), self.child_code(code)],
            env=self.child_environment(env), timeout=LONG_TIMEOUT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, ''), done.stdout)
        return [line.split() for line in done.stdout.splitlines()]


class EmbeddingTests(EmbeddingProgram):

    @has_proc
    def test_resident_memory_is_flat(self):
        # Twelve lives, 8 MiB in each.  CPython itself leaves some hundred KiB
        # behind in every one.
        lines = self.run_embedding('plain', 12, 'kept = fill(8); _obmalloc.check(3)')
        resident = [int(line[0]) for line in lines]
        growth = (resident[-1] - resident[3]) / (len(resident) - 4)
        self.assertLess(growth, 1024, resident)

    def test_settings_hold_in_every_life(self):
        code = "print(figures()['allowance_pages'], flush=True)"
        lines = self.run_embedding('plain', 3, code, PYTHONOBMALLOC='retain=none')
        self.assertEqual([line[0] for line in lines[::2]], ['0', '0', '0'])

    def test_with_checks(self):
        self.run_embedding('plain', 3, 'kept = fill(2)',
                           PYTHONOBMALLOC='check=3,retain=none')

    def test_through_the_debug_hooks(self):
        self.run_embedding('plain', 3, 'kept = fill(2)', PYTHONMALLOC='debug')

    def test_blocks_alive_after_the_end(self):
        # Their contents stay, and the next life can free them.
        for setting in '', 'retain=none', 'retain=all', 'check=3':
            with self.subTest(setting=setting):
                self.run_embedding('keep', 4, 'fill(4); _obmalloc.check(3)',
                                   PYTHONOBMALLOC=setting)

    def test_arena_allocator_before_the_start(self):
        code = '''
            fill(8)
            assert figures()['arenas_mapped'] > 0
            _obmalloc.check(3)
            '''
        lines = self.run_embedding('arenas', 3, code)
        allocated, freed, strange = map(int, lines[-1])
        self.assertGreater(allocated, 4)
        self.assertGreater(freed, 0)
        self.assertEqual(strange, 0)

    def test_subinterpreters_in_every_life(self):
        self.run_embedding('plain', 3, INTERPRETERS + textwrap.dedent('''
            for kind in KINDS:
                life("objects = [bytes(400) for _ in range(10_000)]", *kind)
            import warnings
            warnings.simplefilter('ignore', RuntimeWarning)     # 3.14 warns of the next one
            _interpreters.create()      # destroyed by the end of Python
            _obmalloc.check(3)
            '''))

    @unittest.skipIf(sys.version_info < (3, 12), 'this version has one heap for all interpreters')
    def test_interpreter_made_by_a_thread_without_a_thread_state(self):
        # Other threads of the main interpreter are on the hot path meanwhile.
        self.run_embedding('detached', 1, '''
            import threading
            going = True
            def allocate():
                while going:
                    kept = [bytes(400) for _ in range(1000)]
            threads = [threading.Thread(target=allocate) for _ in range(2)]
            for thread in threads:
                thread.start()
            def stop():
                global going
                going = False
                for thread in threads:
                    thread.join()
                _obmalloc.check(3)
            ''')


if __name__ == '__main__':
    unittest.main()
