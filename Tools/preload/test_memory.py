"""Blocks of two allocators in one process, and memory that goes back."""

import unittest

from helpers import Programs, for_each_interpreter


@for_each_interpreter
class Memory(Programs):

    def test_memory_goes_back(self):
        # 2 % survive, scattered: stock keeps nearly all of it.
        printed = self.run_preloaded("""
            import random
            base = resident()
            kept = [(i, str(i)) for i in range(400_000)]
            peak = resident() - base
            random.seed(7)
            kept = [kept[i] for i in range(0, 1000, 10)]
            print(peak, resident() - base)
            """)
        peak, left = map(int, printed.split())
        self.assertGreater(peak, 30 << 20)
        self.assertLess(left, 4 << 20)

    def test_trim(self):
        printed = self.run_preloaded("""
            import obmalloc
            kept = [bytes(300) for _ in range(100_000)]
            del kept
            dirty = figures()['dirty_pages']
            print(dirty > 0, obmalloc.trim() > 0, figures()['dirty_pages'])
            """, PYTHONOBMALLOC="retain=all")
        self.assertEqual(printed, "True True 0")

    def test_trim_reaches_the_systems_malloc(self):
        self.needs_functions("malloc_trim")
        printed = self.run_preloaded("""
            import obmalloc
            kept = [b'x' * 40_000 for _ in range(1000)][::20]
            before = resident()
            obmalloc.trim()
            print(before - resident())
            """)
        self.assertGreater(int(printed), 30 << 20)

    def test_blocks_from_before_install(self):
        # Freed, grown, shrunk and kept, with the heap checked at every free.
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        self.run_code("""
            import gc, obmalloc
            strings = [str(i) * (i % 40) for i in range(50_000)]
            arrays = [bytearray(i % 700) for i in range(50_000)]
            lists = [[i] * (i % 90) for i in range(20_000)]
            expected = [bytes(array) for array in arrays]
            assert obmalloc.install()
            for i, array in enumerate(arrays):
                array += bytes([i & 255]) * (i % 13)
                del array[: i % 7]
            for i, numbers in enumerate(lists):
                numbers.extend([None] * (i % 17))
                del numbers[i % 50:]
            for i, array in enumerate(arrays):
                assert array == (expected[i] + bytes([i & 255]) * (i % 13))[i % 7:], i
            assert all(text == str(i) * (i % 40) for i, text in enumerate(strings))
            del strings[::2], arrays[::3], lists[::5]
            gc.collect()
            obmalloc.check()
            """, PYTHONOBMALLOC="check=2")

    def test_random_program_with_checks(self):
        code = """
            import obmalloc, random
            random.seed(20050123)
            held = {}
            for step in range(60_000):
                key = random.randrange(2000)
                choice = random.randrange(5)
                if choice == 0:
                    held[key] = bytearray(random.randrange(900))
                elif choice == 1 and isinstance(held.get(key), bytearray):
                    held[key] += bytes(random.randrange(300))
                elif choice == 2:
                    held[key] = {i: str(i) for i in range(random.randrange(30))}
                elif choice == 3:
                    held[key] = [object() for _ in range(random.randrange(60))]
                else:
                    held.pop(key, None)
            obmalloc.check()
            """
        for check in "1", "3":
            self.run_preloaded(code, PYTHONOBMALLOC=f"check={check},retain=none")

    def test_a_bad_free_ends_the_process(self):
        self.needs_module("ctypes")
        self.needs(not self.python.debug, "the hooks of a debug build find it first")
        done = self.run_preloaded("""
            import ctypes
            free = ctypes.pythonapi.PyObject_Free
            malloc = ctypes.pythonapi.PyObject_Malloc
            malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
            block = malloc(100)
            free(block)
            free(block)
            """, status=-6, errors=None, PYTHONOBMALLOC="check=2")
        self.assertEqual(done, "")

    def test_little_address_space(self):
        # MemoryError, and the program goes on.
        self.needs(not self.python.debug, "the hooks of a debug build take too much of it")
        printed = self.run_preloaded("""
            import resource
            used = int(open('/proc/self/statm').read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
            kept = []
            try:
                while True:
                    kept.append((len(kept), [None]))
            except MemoryError:
                kept = None
                print(serves())
            """)
        self.assertEqual(printed, "True")

    def test_what_is_retained_makes_room_for_others(self):
        # Address space that the heap retains is missing where it is limited.
        self.needs(not self.python.debug, "the hooks of a debug build take too much of it")
        printed = self.run_preloaded("""
            import resource
            def size():
                return int(open('/proc/self/statm').read().split()[0]) * 4096
            used = size()
            resource.setrlimit(resource.RLIMIT_AS, (used + (160 << 20),) * 2)
            def retain():
                kept = [bytes(400) for _ in range(300_000)]
                del kept
                return size() > used + (110 << 20)
            retained = [retain()]
            buffer = bytearray(80 << 20)
            buffer = None
            retained.append(retain())
            buffer = bytes(80 << 20)
            buffer = None
            retained.append(retain())
            buffer = bytearray(10 << 20)
            buffer *= 8
            print(*retained, len(buffer) >> 20)
            """, PYTHONOBMALLOC="retain=all,background=0")
        self.assertEqual(printed, "True True True 80")

    def test_a_request_that_nothing_could_serve_gives_nothing_back(self):
        printed = self.run_preloaded("""
            import obmalloc
            kept = [bytes(400) for _ in range(50_000)]
            del kept
            before = obmalloc.stats()
            for _ in range(3):
                try:
                    bytes(10 ** 15)
                except MemoryError:
                    pass
            after = obmalloc.stats()
            print(before['dirty_pages'] > 4000, after['purged_pages'] == before['purged_pages'],
                  after['dirty_pages'] > 4000)
            """, PYTHONOBMALLOC="retain=all,background=0")
        self.assertEqual(printed, "True True True")


if __name__ == "__main__":
    unittest.main()
