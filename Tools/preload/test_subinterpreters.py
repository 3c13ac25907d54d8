"""Subinterpreters: those that share the GIL, and those with their own."""

import unittest

from helpers import Programs, for_each_interpreter

# create(own_gil) -> id, run(id, code), destroy(id), by whatever name they have.
_INTERPRETERS = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as api
    def create(own_gil): return api.create('isolated' if own_gil else 'legacy')
elif sys.version_info >= (3, 12):
    import _xxsubinterpreters as api
    def create(own_gil): return api.create(isolated=own_gil)
else:
    import _xxsubinterpreters as api
    def create(own_gil): return api.create()
def run(interpreter, code):
    problem = api.run_string(interpreter, code)
    assert problem is None, problem
destroy = api.destroy
WORK = "objects = [(i, str(i), [i]) for i in range(20_000)]; del objects[::3]"
"""


@for_each_interpreter
class Subinterpreters(Programs):

    def run_preloaded(self, text, *options, **variables):
        self.needs_module("_interpreters" if self.python.version >= (3, 13) else "_xxsubinterpreters")
        return super().run_preloaded(text, *options, **variables)

    def code(self, text):
        return _INTERPRETERS + super().code(text)

    def test_sharing_the_gil(self):
        printed = self.run_preloaded("""
            import obmalloc
            for life in range(20):
                interpreter = create(False)
                run(interpreter, WORK)
                destroy(interpreter)
            obmalloc.check()
            print(serves())
            """, PYTHONOBMALLOC="check=2")
        self.assertEqual(printed, "True")

    def test_own_gil_is_not_served_and_works(self):
        self.needs(self.python.version >= (3, 12), "no interpreters with a GIL of their own")
        printed = self.run_preloaded("""
            import obmalloc
            interpreter = create(True)
            before = figures()['live_blocks']
            run(interpreter, WORK)
            print(figures()['live_blocks'] - before < 1000)
            destroy(interpreter)
            obmalloc.check()
            """)
        self.assertEqual(printed, "True")

    def test_own_gils_in_parallel(self):
        self.needs(self.python.version >= (3, 12), "no interpreters with a GIL of their own")
        printed = self.run_preloaded("""
            import obmalloc, threading
            def live():
                for _ in range(4):
                    interpreter = create(True)
                    run(interpreter, WORK + '; del objects')
                    destroy(interpreter)
            threads = [threading.Thread(target=live) for _ in range(4)]
            for thread in threads: thread.start()
            while any(thread.is_alive() for thread in threads):
                [(i, str(i), [i]) for i in range(5_000)]
            obmalloc.check()
            print(serves())
            """)
        self.assertEqual(printed, "True")

    def test_import_in_an_interpreter_with_its_own_gil_is_refused(self):
        self.needs(self.python.version >= (3, 12), "no interpreters with a GIL of their own")
        self.run_preloaded("""
            interpreter = create(True)
            run(interpreter, 'try: import obmalloc\\nexcept ImportError: pass\\nelse: raise SystemExit(1)')
            destroy(interpreter)
            """)

    def test_install_after_the_first_one_declines(self):
        self.needs_module("_interpreters" if self.python.version >= (3, 13) else "_xxsubinterpreters")
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        printed = self.run_code("""
            import obmalloc, warnings
            interpreter = create(False)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                print(obmalloc.install(), 'subinterpreter' in str(caught[0].message))
            destroy(interpreter)
            print(obmalloc.install(), serves())
            """)
        self.assertEqual(printed.split(), ["False", "True", "True", "True"])


if __name__ == "__main__":
    unittest.main()
