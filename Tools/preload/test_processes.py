"""Forks, children of all kinds, threads, and processes that are not Python."""

import os
import shutil
import subprocess
import tempfile
import unittest

from helpers import LIBRARY, Programs, for_each_interpreter


@for_each_interpreter
class Processes(Programs):

    settings = ""

    def test_fork(self):
        printed = self.run_preloaded("""
            import obmalloc, os
            kept = [str(i) for i in range(100_000)]
            if pid := os.fork():
                status = os.waitpid(pid, 0)[1]
                obmalloc.check()
                print(status, kept[99_999])
            else:
                del kept[::2]
                kept += [[i] for i in range(100_000)]
                obmalloc.check()
                os._exit(not serves())
            """)
        self.assertEqual(printed, "0 99999")

    def test_fork_while_threads_allocate(self):
        printed = self.run_preloaded("""
            import obmalloc, os, threading, warnings
            warnings.simplefilter('ignore')
            stop = threading.Event()
            def work():
                while not stop.is_set():
                    [str(i) for i in range(1000)]
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads: thread.start()
            statuses = set()
            for _ in range(20):
                pid = os.fork()
                if not pid:
                    obmalloc.check()
                    os._exit(not serves())
                statuses.add(os.waitpid(pid, 0)[1])
            stop.set()
            for thread in threads: thread.join()
            obmalloc.check()
            print(statuses)
            """)
        self.assertEqual(printed, "{0}")

    def test_multiprocessing(self):
        program = """
            import multiprocessing, sys
            sys.path.insert(0, FOLDER)
            import work
            if __name__ == '__main__':
                context = multiprocessing.get_context(METHOD)
                with context.Pool(2) as pool:
                    print(pool.map(work.double, range(5)), pool.apply(work.is_served))
            """
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "work.py"), "w") as file:
                file.write("import obmalloc\n\ndef double(x):\n    return 2 * x\n\n"
                           "def is_served():\n    return obmalloc.stats()['arenas'] > 0\n")
            for method in "fork", "spawn", "forkserver":
                script = os.path.join(folder, f"{method}.py")
                with open(script, "w") as file:
                    file.write(self.code(program.replace("FOLDER", repr(folder)).replace("METHOD", repr(method))))
                printed = self.run_python(script, LD_PRELOAD=str(LIBRARY), errors=None)
                self.assertEqual(printed, "[0, 2, 4, 6, 8] True", method)

    def test_interpreter_that_ends_with_much_alive(self):
        self.run_preloaded("""
            import atexit, sys, threading
            class Keeper:
                def __del__(self):
                    self.more = [str(i) for i in range(100)]
            sys.kept = [Keeper() for _ in range(1000)]
            atexit.register(lambda: [bytes(i) for i in range(1000)])
            threading.Thread(target=__import__('time').sleep, args=(60,), daemon=True).start()
            """)

    def test_other_programs_are_left_alone(self):
        self.needs_same_c_library("/bin/sh", shutil.which("sort"), shutil.which("tr"))
        environment = self.environment(LD_PRELOAD=str(LIBRARY), LD_BIND_NOW="1")
        done = subprocess.run(["/bin/sh", "-c", "echo $LD_PRELOAD; echo b a | tr ' ' '\\n' | sort"],
                              env=environment, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.split(), [str(LIBRARY), "a", "b"])


if __name__ == "__main__":
    unittest.main()
