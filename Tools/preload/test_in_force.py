"""In force or not, visibly: active(), doctor, other copies, and what is said when not."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import textwrap
import unittest

from helpers import LIBRARY, Programs, for_each_interpreter

NOT_IN_FORCE = ("obmalloc: not in force: PYTHONMALLOC={0} sends small requests elsewhere: unset it "
                "(OBMALLOC_QUIET=1 silences this line)")
ACTIVE = "import obmalloc; print(obmalloc.active())"
WHY_MALLOC = "PYTHONMALLOC=malloc sends small requests elsewhere"

_WAIT = "\nimport sys; print(flush=True); sys.stdin.read()"


@for_each_interpreter
class InForce(Programs):

    settings = ""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def other_copy(self):
        return shutil.copy(LIBRARY, self.folder)

    def stranger(self):
        """A library of that name which the package cannot know."""
        self.needs(shutil.which("cc"), "no C compiler")
        path = os.path.join(self.folder, LIBRARY.name)
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", os.devnull, "-o", path], check=True)
        return path

    def doctor(self, *arguments, status=0, **options):
        return json.loads(self.run_python("-m", "obmalloc", "doctor", "--json", *arguments,
                                          status=status, **options))

    # active()

    def test_active(self):
        self.assertEqual(self.run_preloaded(ACTIVE), "True")
        self.assertEqual(self.run_code(ACTIVE), "False")

    def test_active_after_install(self):
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        self.assertEqual(self.run_code("import obmalloc; obmalloc.install(); print(obmalloc.active())"), "True")

    def test_active_behind_hooks(self):
        self.assertEqual(self.run_preloaded(ACTIVE, PYTHONMALLOC="debug"), "True")
        self.assertEqual(self.run_preloaded(ACTIVE, "-X", "tracemalloc"), "True")
        self.assertEqual(self.run_preloaded("""
            import obmalloc, tracemalloc
            tracemalloc.start()
            print(obmalloc.active())
            """), "True")

    def test_active_leaves_nothing(self):
        self.assertEqual(self.run_preloaded("""
            import obmalloc
            obmalloc.active()
            before = figures()['live_blocks']
            for _ in range(1000): obmalloc.active()
            print(figures()['live_blocks'] - before < 500)
            obmalloc.check()
            """), "True")

    # PYTHONMALLOC

    def other_allocators(self):
        return ["malloc", "malloc_debug"] + ["mimalloc"] * (self.python.version >= (3, 13))

    def test_another_allocator_is_said_once(self):
        for name in self.other_allocators():
            with self.subTest(name):
                self.assertEqual(self.run_preloaded(
                    ACTIVE, PYTHONMALLOC=name, errors=NOT_IN_FORCE.format(name)), "False")

    def test_it_can_be_silenced(self):
        for value, errors in ("1", ""), ("0", NOT_IN_FORCE.format("malloc")):
            self.assertEqual(self.run_preloaded(
                ACTIVE, PYTHONMALLOC="malloc", OBMALLOC_QUIET=value, errors=errors), "False")

    def test_mistakes_in_settings_are_not_silenced(self):
        self.run_preloaded("", OBMALLOC_QUIET="1", PYTHONOBMALLOC="check=9", errors=None)
        done = subprocess.run([self.python.path, "-c", ""], capture_output=True, text=True, env=self.environment(
            LD_PRELOAD=str(LIBRARY), OBMALLOC_QUIET="1", PYTHONOBMALLOC="check=9"))
        self.assertIn("check cannot be '9'", done.stderr)

    def test_a_variable_that_python_ignores_says_nothing(self):
        code = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.dirname(LIBRARY))!r}); {ACTIVE}"
        for options in ["-E"], ["-I"], ["-E", "-X", "dev"]:
            self.assertEqual(self.run_preloaded(code, *options, PYTHONMALLOC="malloc"), "True")

    def test_other_names_say_nothing(self):
        for name in "pymalloc", "default":
            self.assertEqual(self.run_preloaded(ACTIVE, PYTHONMALLOC=name), "True")

    def test_subinterpreters_say_nothing_more(self):
        module = "_interpreters" if self.python.version >= (3, 13) else "_xxsubinterpreters"
        self.needs_module(module)
        self.run_preloaded(f"import {module} as api; api.destroy(api.create())", PYTHONMALLOC="malloc",
                           errors=NOT_IN_FORCE.format("malloc"))

    # Commands

    def script(self):
        path = os.path.join(self.folder, "script.py")
        with open(path, "w") as file:
            file.write("print('ran')\n")
        return path

    def test_run_says_it(self):
        for words in [self.script()], ["-c", "print('ran')"]:
            self.assertEqual(self.run_python(
                "-m", "obmalloc", "run", *words, PYTHONMALLOC="malloc",
                errors=NOT_IN_FORCE.format("malloc")), "ran")

    def test_commands_say_it_once(self):
        script = self.script()
        errors = f"obmalloc: not in force in {script}: {WHY_MALLOC}: unset PYTHONMALLOC"
        for command in ["stats"], ["map"], ["trim"]:
            printed = self.run_python("-m", "obmalloc", *command, script, PYTHONMALLOC="malloc", errors=errors)
            self.assertEqual(printed.split("\n")[0], "ran")

    def test_commands_say_nothing_otherwise(self):
        self.assertTrue(self.run_python("-m", "obmalloc", "stats", self.script()).startswith("ran\n"))

    # Another copy

    def test_the_module_is_that_of_the_copy_that_serves(self):
        copy = self.other_copy()
        printed = self.run_code("""
            import obmalloc
            print(serves(), obmalloc.active(), obmalloc.install(), obmalloc._obmalloc.__file__)
            obmalloc.check()
            obmalloc.trim()
            with open('/proc/self/maps') as file:
                print({line.split()[5] for line in file if '_obmalloc.so' in line})
            """, LD_PRELOAD=copy)
        self.assertEqual(printed, f"True True True {copy}\n{{{copy!r}}}")

    def test_a_copy_that_was_replaced_still_serves(self):
        copy = self.other_copy()
        printed = self.run_code(f"""
            import os, warnings
            os.unlink({copy!r})
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                import obmalloc
            print(serves(), obmalloc.active(), *(one.message for one in caught))
            """, LD_PRELOAD=copy)
        if self.python.has_musl:        # the loader of which cannot find it again
            self.assertRegex(printed, f"^False False obmalloc: {copy} is loaded, .* since its file is gone: ")
        else:
            self.assertEqual(printed, "True True")

    def test_two_copies(self):
        copy = self.other_copy()
        for preload in f"{copy}:{LIBRARY}", f"{LIBRARY}:{copy}":
            self.assertEqual(self.run_code("import obmalloc; print(serves(), obmalloc.active())",
                                           LD_PRELOAD=preload), "True True")

    def test_run_replaces_other_copies(self):
        code = "import os; print(os.environ['LD_PRELOAD'])"
        printed = self.run_python("-m", "obmalloc", "run", "-c", code, LD_PRELOAD=f"libm.so.6:{self.other_copy()}")
        self.assertEqual(printed, f"{self.other_copy()}:libm.so.6")

    def test_a_copy_of_another_version_is_named(self):
        stranger = self.stranger()
        printed = self.run_code(f"""
            import warnings
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                import obmalloc
            print(obmalloc.active(), len(caught), caught[0].category.__name__, {stranger!r} in str(caught[0].message))
            """, LD_PRELOAD=stranger)
        self.assertEqual(printed, "False 1 RuntimeWarning True")
        told = self.doctor(LD_PRELOAD=stranger, status=1, errors=None)
        self.assertIn(f"{stranger} is preloaded, and not of the version", told["why"])

    # doctor

    def test_doctor_in_force(self):
        told = self.doctor(LD_PRELOAD=str(LIBRARY), PYTHONOBMALLOC="retain=64M")
        self.assertEqual((told["in_force"], told["file"], told["how"], told["why"]),
                         (True, str(LIBRARY), "preloaded", None))
        self.assertEqual(told["settings"]["retain"], 64 << 20)
        self.assertEqual(told["environment"]["PYTHONOBMALLOC"], "retain=64M")
        self.assertEqual(told["python"]["version"], ".".join(map(str, self.python.version)))
        self.assertEqual(told["processors"]["affinity"], len(os.sched_getaffinity(0)))

    def run_nowhere(self, *arguments, **options):
        """Run the command in a working directory that is gone."""
        code = ("import os, sys, tempfile; folder = tempfile.mkdtemp(); os.chdir(folder); os.rmdir(folder); "
                "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
        return self.run_python("-c", code, "-m", "obmalloc", *arguments, **options)

    def test_where_the_working_directory_is_gone(self):
        self.assertTrue(json.loads(self.run_nowhere("doctor", "--json", LD_PRELOAD=str(LIBRARY)))["in_force"])
        told = json.loads(self.run_nowhere("doctor", "--json", status=1))
        self.assertEqual(told["why"], "the library is not preloaded")
        self.assertIn("MiB held", self.run_nowhere("stats", "-m", "this", LD_PRELOAD=str(LIBRARY)))
        self.run_nowhere("stats", "./here.py", status=1, errors="obmalloc: ./here.py: No such file or directory")

    def test_doctor_of_a_library_by_a_relative_path(self):
        # The loader's name of it starts from the working directory of the process, not the command's.
        code = (f"import os, sys; os.chdir({str(LIBRARY.parent)!r}); "
                f"os.environ['LD_PRELOAD'] = './{LIBRARY.name}'; os.execv(sys.executable, sys.argv[1:])")
        done = subprocess.Popen(
            [self.python.path, "-c", code, self.python.path, "-c", "print(flush=True); import time; time.sleep(300)"],
            env=self.environment(), stdout=subprocess.PIPE)
        self.addCleanup(done.communicate)
        self.addCleanup(done.kill)
        done.stdout.readline()
        told = self.doctor("--pid", str(done.pid))
        self.assertEqual((told["in_force"], told["file"], told["how"]), (True, str(LIBRARY), "preloaded"))

    def test_doctor_for_people(self):
        lines = self.run_python("-m", "obmalloc", "doctor", LD_PRELOAD=str(LIBRARY)).split("\n")
        self.assertRegex(lines[0], r"^obmalloc is in force in this interpreter \(Python 3\.")
        self.assertIn(f"served by       {LIBRARY}, preloaded", lines)
        self.assertLess(len(lines), 10)

    def test_doctor_names_what_keeps_it_out(self):
        for why, remedy, variables in (
                ("the library is not preloaded", "python -m obmalloc run", {}),
                (f"{WHY_MALLOC}; the library is not preloaded", "unset PYTHONMALLOC", {"PYTHONMALLOC": "malloc"}),
                (WHY_MALLOC, "unset PYTHONMALLOC", {
                    "PYTHONMALLOC": "malloc", "LD_PRELOAD": str(LIBRARY), "OBMALLOC_QUIET": "1"}),
                ("LD_PRELOAD names /nowhere/_obmalloc.so, which the loader has not taken", "LD_PRELOAD=",
                 {"LD_PRELOAD": "/nowhere/_obmalloc.so"})):
            with self.subTest(why):
                errors = None if "/nowhere" in why else ""      # the loader's own
                told = self.doctor(status=1, errors=errors, **variables)
                self.assertFalse(told["in_force"])
                self.assertTrue(told["why"].startswith(why), told)
                self.assertIn(remedy, told["remedy"])

    def start(self, code, **variables):
        """The id of a process that runs the code, and then waits."""
        process = subprocess.Popen([self.python.path, "-c", self.code(textwrap.dedent(code) + _WAIT)],
                                   env=self.environment(**variables), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), "\n")
        return str(process.pid)

    def test_doctor_of_a_process(self):
        told = self.doctor("--pid", self.start("", LD_PRELOAD=str(LIBRARY), PYTHONOBMALLOC="check=1"))
        self.assertEqual((told["file"], told["how"]), (str(LIBRARY), "preloaded"))
        self.assertEqual(told["environment"]["PYTHONOBMALLOC"], "check=1")
        self.assertEqual(told["python"]["version"].split(".")[:2], list(map(str, self.python.version[:2])))

    def test_a_process_whose_library_was_replaced_or_removed(self):
        # As an update of the package does, while services run.
        library = self.other_copy()
        process = self.start("kept = [str(i) for i in range(50_000)]", LD_PRELOAD=library)
        for change in (lambda: os.replace(shutil.copy(LIBRARY, library + ".new"), library), lambda: os.unlink(library)):
            change()
            told = self.doctor("--pid", process)
            self.assertEqual((told["in_force"], told["file"], told["how"]), (True, library, "preloaded"))
            seen = json.loads(self.run_python("-m", "obmalloc", "stats", "--json", "--pid", process))
            self.assertGreater(seen["live_blocks"], 50_000)

    def test_a_process_that_has_changed_its_root(self):
        self.needs(os.geteuid() == 0, "only root may call chroot()")
        os.mkdir(os.path.join(self.folder, "jail"))
        process = self.start(f"import os; os.chroot({os.path.join(self.folder, 'jail')!r})", LD_PRELOAD=str(LIBRARY))
        told = self.doctor("--pid", process)
        self.assertEqual((told["in_force"], told["file"], told["how"]), (True, str(LIBRARY), "preloaded"))
        self.assertIsNotNone(told["malloc"])
        self.assertIn("live_blocks", json.loads(self.run_python("-m", "obmalloc", "stats", "--json", "--pid", process)))

    def test_a_process_that_has_mapped_a_file_whose_name_is_no_text(self):
        process = self.start(f"""
            import mmap
            file = open({os.fsencode(self.folder)!r} + b'/caf\\xe9 data', 'wb+')
            file.write(bytes(4096))
            file.flush()
            mapped = mmap.mmap(file.fileno(), 4096)
            """, LD_PRELOAD=str(LIBRARY))
        self.assertTrue(self.doctor("--pid", process)["in_force"])
        for locale in {}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}:
            self.run_python("-m", "obmalloc", "stats", "--pid", process, **locale)

    def test_doctor_of_a_process_that_is_not_served(self):
        for why, code, variables in (
                ("the library is not preloaded", "", {}),
                ("the library is imported, but neither preloaded nor installed", "import obmalloc", {}),
                (WHY_MALLOC, "", {"PYTHONMALLOC": "malloc", "LD_PRELOAD": str(LIBRARY), "OBMALLOC_QUIET": "1"})):
            with self.subTest(why):
                told = self.doctor("--pid", self.start(code, **variables), status=1)
                self.assertEqual((told["in_force"], told["why"]), (False, why))

    def test_doctor_of_a_process_whose_memory_may_not_be_read(self):
        # As with kernel.yama.ptrace_scope=1, in a container without SYS_PTRACE.
        refusing = """if True:
            import os, sys
            real = os.open
            def refuse(path, *rest, **options):
                if str(path).endswith("/mem"):
                    raise PermissionError
                return real(path, *rest, **options)
            os.open = refuse
            from obmalloc import _doctor
            sys.exit(_doctor.command(sys.argv[1:]))
            """
        for loaded, variables in ((f"it has loaded {LIBRARY}", {"LD_PRELOAD": str(LIBRARY)}),
                                  ("it has not loaded the library", {})):
            with self.subTest(loaded):
                pid = self.start("", **variables)
                self.run_python("-c", refusing, "--pid", pid, status=1, errors=(
                    f"obmalloc: process {pid}: permission refused; only its user or root may read it, and only as "
                    f"far as kernel.yama.ptrace_scope and the container (capability SYS_PTRACE) allow; {loaded}"))

    def test_doctor_of_a_process_that_installed_it(self):
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        told = self.doctor("--pid", self.start("import obmalloc; obmalloc.install(); kept = [str(i) for i in range(999)]"))
        self.assertEqual((told["in_force"], told["how"]), (True, "installed"))

    def test_doctor_names_another_malloc(self):
        for file, name in {"libjemalloc.so.2": "jemalloc", "libmimalloc.so.2": "mimalloc",
                           "libtcmalloc_minimal.so.4": "tcmalloc"}.items():
            with self.subTest(name):
                if not os.path.exists(f"/usr/lib/{os.uname().machine}-linux-gnu/{file}"):
                    self.skipTest(f"no {file}")
                self.needs_functions("gnu_get_libc_version")        # which they are made for
                told = self.doctor(LD_PRELOAD=f"{LIBRARY}:{file}")
                self.assertEqual((told["in_force"], told["malloc"]["name"]), (True, name))

    def test_doctor_names_the_malloc_of_the_c_library(self):
        # By what the interpreter says of the one that it runs with: only glibc knows this name.
        printed = self.run_python("-c", """if True:
            import os
            try:
                print(os.confstr('CS_GNU_LIBC_VERSION'))
            except (OSError, ValueError):
                print('musl')
            """)
        named, _, version = printed.partition(" ")
        self.needs(named != "musl" or self.python.has_musl, "neither glibc nor musl")
        told = self.doctor("--pid", self.start(""), status=1)["malloc"]
        self.assertEqual((told["name"], told["version"]), (named, version or None))

    def test_doctor_counts_glibcs_thread_arenas(self):
        # glibc's own count is in what malloc_info() writes.
        self.needs_module("ctypes")
        self.needs_functions("malloc_info")
        pid = self.start("""
            import ctypes, re, threading
            started, end = threading.Barrier(4), threading.Event()
            def work():
                kept = [bytearray(2000) for _ in range(100)]
                started.wait()
                end.wait()
            for _ in range(3):
                threading.Thread(target=work, daemon=True).start()
            started.wait()
            libc = ctypes.CDLL(None)
            libc.fopen.restype = ctypes.c_void_p
            file = libc.fopen(PATH, b'w')
            libc.malloc_info(0, ctypes.c_void_p(file))
            libc.fclose(ctypes.c_void_p(file))
            """.replace("PATH", repr(os.path.join(self.folder, "info").encode())), MALLOC_ARENA_MAX="8")
        told = self.doctor("--pid", pid, status=1)["malloc"]
        with open(os.path.join(self.folder, "info")) as file:
            arenas = file.read().count("<heap nr=")
        self.assertEqual(told["thread_arenas"], arenas - 1)
        self.assertGreaterEqual(arenas, 3)

    def test_doctor_and_processes_that_are_none_of_ours(self):
        ended = subprocess.Popen([self.python.path, "-S", "-c", ""])
        ended.wait()
        other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        zombie = subprocess.Popen(["true"])
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        lines = {ended.pid: f"no process {ended.pid}", other.pid: f"process {other.pid} is no Python",
                 zombie.pid: f"process {zombie.pid} has ended, and has no memory any more: only its parent has not "
                             "waited for it yet"}
        with contextlib.suppress(OSError), open("/proc/2/comm") as file:
            if file.read() == "kthreadd\n":
                lines[2] = "process 2 is a thread of the kernel, which runs no program"
        try:
            for pid, line in lines.items():
                self.assertEqual(self.run_python("-m", "obmalloc", "doctor", "--pid", str(pid), status=1,
                                                 errors=f"obmalloc: {line}"), "")
        finally:
            other.communicate()
            zombie.wait()


if __name__ == "__main__":
    unittest.main()
