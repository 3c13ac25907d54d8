"""MemoryError leaves a valid heap, and address space is not squandered."""

import sys
import unittest

from .compat import import_module
from .helpers import MIB, ChildTest, has_proc

resource = import_module('resource')


class NoMemoryTests(ChildTest):

    def test_each_call_may_fail(self):
        # Whatever call fails, and whatever the interpreter makes of it, the
        # heap must be valid after it.  The step is odd, to hit both of pairs.
        out = self.check_child('''
            import _testcapi
            def work():
                rows = [(i, str(i) * 30, [i] * 20, {i: i}) for i in range(40)]
                return ''.join([text for _, text, _, _ in rows])
            work()
            failed = 0
            for start in range(0, 1200, 7):
                _testcapi.set_nomemory(start, start + 3)
                try:
                    work()
                except MemoryError:
                    failed += 1
                finally:
                    _testcapi.remove_mem_hooks()
                _obmalloc.check(3)
            print(failed > 5)
            ''')
        self.assertEqual(out, ['True'])

    def test_everything_fails_from_here_on(self):
        out = self.check_child('''
            import _testcapi
            for start in range(20, 400, 19):
                kept = []
                _testcapi.set_nomemory(start)
                try:
                    while True:
                        kept.append(b' ' * len(kept))
                except MemoryError:
                    _testcapi.remove_mem_hooks()
                _obmalloc.check(3)
            print('done')
            ''')
        self.assertEqual(out, ['done'])


@has_proc
class AddressSpaceTests(ChildTest):

    setup = '''
        import resource

        def limit(mib):
            """Leave so much address space above what is in use."""
            most = status('VmSize') + mib * MIB
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))

        def exhaust():
            """Make small blocks until there is no memory; return how many."""
            # The list comes first, so that it is a block that finds none.
            objects = [None] * 400_000
            count = 0
            try:
                for count in range(len(objects)):
                    objects[count] = bytes(400)
            except MemoryError:
                return count
            raise AssertionError('the limit does not hold')
        '''

    def test_virtual_size_is_not_inflated(self):
        # Against the same program with the system's malloc only.
        code = "print(status('VmSize'))"
        ours, = self.check_child(code)
        plain, = self.check_child(code, PYTHONMALLOC='malloc')
        self.assertLess(int(ours), int(plain) + 16 * MIB)

    def test_virtual_size_does_not_run_ahead(self):
        # Nothing is mapped long before it is needed.
        self.check_child('''
            before = status('VmSize')
            objects = fill(32)
            grown = status('VmSize') - before
            assert grown < 48 * MIB, grown
            ''')

    def test_a_normal_program_under_a_limit(self):
        self.check_child('''
            limit(64)
            import json, decimal, email.message
            rows = [{'number': i, 'text': str(i)} for i in range(20_000)]
            assert json.loads(json.dumps(rows)) == rows
            _obmalloc.check(3)
            ''')

    def test_started_under_a_limit(self):
        self.check_child('''
            import subprocess
            def limited():
                hard = resource.getrlimit(resource.RLIMIT_AS)[1]
                resource.setrlimit(resource.RLIMIT_AS, (96 * MIB, hard))
            subprocess.run([sys.executable, '-c', 'import json, decimal, _obmalloc;'
                            '[str(i) for i in range(100_000)]; _obmalloc.check(3)'],
                           check=True, preexec_fn=limited)
            ''')

    def test_heap_is_valid_after_memory_error(self):
        self.check_child('''
            limit(48)
            for _ in range(3):
                assert exhaust() > 50_000
                _obmalloc.check(3)
            ''')

    def test_memory_comes_back_after_memory_error(self):
        self.check_child('''
            limit(48)
            counts = [exhaust() for _ in range(4)]
            assert min(counts) > max(counts) * 0.7, counts
            fill(16)
            ''')

    @unittest.skipIf(hasattr(sys, 'gettotalrefcount'), 'debug hooks stand before malloc in a debug build')
    def test_what_is_retained_makes_room_for_others(self):
        # Address space that the heap retains is missing where it is limited.
        self.check_child('''
            limit(160)
            def retain():
                objects = [bytes(400) for _ in range(300_000)]
                assert status('VmSize') > before + 110 * MIB
                del objects
                assert status('VmSize') > before + 110 * MIB
            before = status('VmSize')
            retain()
            buffer = bytearray(80 * MIB)
            buffer = None
            retain()
            buffer = bytes(80 * MIB)
            buffer = None
            retain()
            buffer = bytearray(10 * MIB)
            buffer *= 8
            _obmalloc.check(3)
            ''', PYTHONOBMALLOC='retain=all')

    def test_a_list_pops_without_memory(self):
        # It asks for a smaller block, and there is none, not even at the system's malloc.
        self.check_child('''
            queue = [None] * 4000
            limit(1)
            kept = []
            size = 30_000
            while size > 16:
                try:
                    while True:
                        kept = (bytes(size), kept)
                except MemoryError:
                    size //= 2
            while len(queue) > 100:
                queue.pop()
            kept = None
            _obmalloc.check(3)
            ''')

    def test_memory_error_with_a_foreign_heap_of_large_blocks(self):
        # Large blocks are the system's malloc's, and compete with the arenas.
        self.check_child('''
            limit(48)
            objects = []
            for _ in range(3):
                try:
                    while True:
                        objects.append(bytes(400))
                        objects.append(bytes(4000))
                except MemoryError:
                    del objects[:]
                _obmalloc.check(3)
            ''')


if __name__ == '__main__':
    unittest.main()
