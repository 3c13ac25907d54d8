"""Other people's hooks, before us and after us."""

import unittest

from helpers import Programs, for_each_interpreter


@for_each_interpreter
class Hooks(Programs):

    def test_pymalloc_by_name(self):
        self.assertEqual(self.run_preloaded("print(serves())", PYTHONMALLOC="pymalloc"), "True")

    def test_malloc_by_name_is_left_alone(self):
        for name in "malloc", "malloc_debug":
            self.assertEqual(self.run_preloaded("print(serves())", PYTHONMALLOC=name, OBMALLOC_QUIET="1"), "False")

    def test_debug_hooks(self):
        for option in ["-X", "dev"], ["-X", "dev", "-X", "tracemalloc"]:
            self.assertEqual(self.run_preloaded("print(serves())", *option), "True")
        self.assertEqual(self.run_preloaded("print(serves())", PYTHONMALLOC="debug"), "True")
        self.assertEqual(self.run_preloaded("print(serves())", PYTHONMALLOC="pymalloc_debug"), "True")

    def test_debug_hooks_see_an_overflow(self):
        self.needs_module("ctypes")
        code = """
            import ctypes
            api = ctypes.pythonapi
            api.PyObject_Malloc.restype = ctypes.c_void_p
            api.PyObject_Malloc.argtypes, api.PyObject_Free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
            block = api.PyObject_Malloc(16)
            ctypes.memset(block, 0, 17)
            print(serves(), flush=True)
            api.PyObject_Free(block)
            """
        printed = self.run_preloaded(code, status=-6, errors=None, PYTHONMALLOC="debug")
        self.assertEqual(printed, "True")

    def test_install_under_debug_hooks_declines(self):
        printed = self.run_code("""
            import obmalloc, warnings
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                print(obmalloc.install(), len(caught), serves())
            """, PYTHONMALLOC="debug")
        self.assertEqual(printed, "False 1 False")

    def test_tracemalloc_after(self):
        printed = self.run_preloaded("""
            import tracemalloc
            tracemalloc.start()
            kept = [bytes(100) for _ in range(10_000)]
            size, _ = tracemalloc.get_traced_memory()
            traced = serves()
            tracemalloc.stop()
            del kept
            print(1_300_000 < size < 2_000_000, traced, serves())
            """)
        self.assertEqual(printed, "True True True")

    def test_tracemalloc_from_the_start(self):
        printed = self.run_preloaded("""
            import tracemalloc
            kept = [bytes(100) for _ in range(10_000)]
            print(tracemalloc.get_object_traceback(kept[-1]) is not None, serves())
            tracemalloc.stop()
            kept = None
            print(serves())
            """, "-X", "tracemalloc=5")
        self.assertEqual(printed.split(), ["True"] * 3)

    def test_install_under_tracemalloc_declines(self):
        self.needs(not self.python.debug, "a debug build has its hooks in force anyway")
        printed = self.run_code("""
            import obmalloc, tracemalloc, warnings
            warnings.simplefilter('ignore')
            tracemalloc.start()
            first = obmalloc.install()
            tracemalloc.stop()
            print(first, obmalloc.install(), serves())
            """)
        self.assertEqual(printed, "False True True")

    def test_memory_errors_of_a_test_hook(self):
        # _testcapi puts a hook in front that fails the n-th call.
        self.needs_module("_testcapi")
        printed = self.run_preloaded("""
            import _testcapi
            failed = 0
            for n in range(1, 60):
                _testcapi.set_nomemory(n, n + 1)
                try:
                    [bytes(50) for _ in range(20)]
                except MemoryError:
                    failed += 1
                finally:
                    _testcapi.remove_mem_hooks()
            print(failed > 0, serves())
            """)
        self.assertEqual(printed, "True True")


if __name__ == "__main__":
    unittest.main()
