"""run, path, LD_PRELOAD and install()."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from helpers import LIBRARY, PACKAGE, TIMEOUT_SECONDS, Programs, for_each_interpreter


@for_each_interpreter
class WaysIn(Programs):

    def folder(self):
        """A new folder, for one test."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def run_command(self, *arguments, **options):
        return self.run_python("-m", "obmalloc", *arguments, **options)

    def test_path(self):
        self.assertEqual(self.run_command("path"), str(LIBRARY))

    def test_path_that_is_no_text(self):
        folder = os.path.join(os.fsencode(self.folder()), b"caf\xe9")
        shutil.copytree(os.fsencode(PACKAGE / "obmalloc"), os.path.join(folder, b"obmalloc"))
        for variables in {}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}:
            environment = self.environment(PYTHONPATH=os.fsdecode(folder), **variables)
            done = subprocess.run([self.python.path, "-m", "obmalloc", "path"], env=environment,
                                  stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode == 0:
                self.assertEqual(done.stdout, os.path.join(folder, b"obmalloc", b"_obmalloc.so\n"))
            else:
                self.assertGreaterEqual(self.python.version, (3, 13))
                self.assertRegex(done.stderr, rb"^obmalloc: Python cannot import the library from \S+, a path that is "
                                              rb"no text: install the package elsewhere\n$")

    def test_preloaded(self):
        self.assertEqual(self.run_preloaded("print(serves())"), "True")

    def test_not_preloaded(self):
        self.assertEqual(self.run_code("print(serves())"), "False")

    def test_run_code(self):
        self.assertEqual(self.run_command("run", "-c", self.code("print(serves())")), "True")

    def test_run_passes_everything_on(self):
        with tempfile.TemporaryDirectory() as folder:
            script = os.path.join(folder, "script.py")
            with open(script, "w") as file:
                file.write(self.code("import sys; print(serves(), sys.argv[1:], sys.path[0], __name__); sys.exit(7)"))
            printed = self.run_command("run", script, "-m", "--no-children", "x y", status=7)
            self.assertEqual(printed, f"True ['-m', '--no-children', 'x y'] {folder} __main__")
            self.assertEqual(self.run_command("run", "--", script, "--", status=7), f"True ['--'] {folder} __main__")
            os.rename(script, os.path.join(folder, "-x.py"))
            self.assertEqual(self.run_command("run", "--", "-x.py", "a", status=7, cwd=folder),
                             f"True ['a'] {folder} __main__")

    def test_run_module(self):
        self.assertEqual(self.run_command("run", "-m", "json.tool", "--help").split()[0], "usage:")

    def test_run_keeps_the_options_of_python(self):
        printed = self.run_python("-O", "-W", "ignore", "-m", "obmalloc", "run", "-c",
                                  "import sys; print(sys.flags.optimize, sys.warnoptions)")
        self.assertEqual(printed, "1 ['ignore']")
        code = ("import _imp, sys; print(sys._xoptions, sys.warnoptions, sys.pycache_prefix, sys.dont_write_bytecode, "
                "sys.flags.optimize, sys.flags.quiet, sys.flags.no_user_site, _imp.check_hash_based_pycs)")
        program = os.path.join(self.folder(), "obmalloc")       # as pip makes it
        with open(program, "w") as file:
            file.write("import sys\nfrom obmalloc.__main__ import main\nsys.exit(main())\n")
        page = os.path.join(self.folder(), "page.html")
        report = ["report", "--output", page]
        for options, start, words in (
                ([], ["-mobmalloc"], ["run"]), ([], [program], ["run"]),
                (["-X", "pycache_prefix=/nowhere", "-Xmine=-m", "-X", "utf8"], ["-m", "obmalloc"], ["run"]),
                (["-X", "pycache_prefix=/nowhere", "-Xmine=obmalloc"], [program], report),
                (["-W", "ignore", "-Wd"], ["-qsm", "obmalloc"], ["run"]),
                (["--check-hash-based-pycs", "never"], ["-OOmobmalloc"], report)):
            grouped = start[0].partition("m")[0] if start[0].startswith("-") else "-"
            expected = self.run_python(*options, *[grouped] * (grouped != "-"), "-c", code)
            with self.subTest(options=options, start=start, words=words):
                printed = self.run_python(*options, *start, *words, "-c", code, errors=None)
                self.assertEqual(printed, expected)

    def test_run_keeps_what_is_preloaded_already(self):
        code = "import os; print(os.environ['LD_PRELOAD'])"
        for before, after in {"libm.so.6": f"{LIBRARY}:libm.so.6", str(LIBRARY): str(LIBRARY)}.items():
            self.assertEqual(self.run_command("run", "-c", code, LD_PRELOAD=before), after)

    def test_run_leaves_signals_as_they_were(self):
        self.needs_same_c_library("/bin/sh", shutil.which("grep"))
        # Python ignores two of them, which a program that is not Python would inherit.
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "signals")
            with open(program, "w") as file:
                file.write("#!/bin/sh\ngrep SigIgn /proc/self/status\n")
            os.chmod(program, 0o755)
            path = f"{folder}:{os.environ['PATH']}"
            ignored = subprocess.run([program], env=self.environment(), capture_output=True, text=True,
                                     stdin=subprocess.DEVNULL).stdout
            self.assertRegex(ignored, r"SigIgn:\s[0-9a-f]+\n")
            self.assertEqual(self.run_command("run", "signals", PATH=path), ignored.strip())

    def test_children(self):
        child = "import obmalloc; print(obmalloc.stats()['arenas'] > 0)"
        code = f"import subprocess, sys; print(serves(), flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
        self.assertEqual(self.run_command("run", "-c", self.code(code)).split(), ["True", "True"])
        self.assertEqual(self.run_command("run", "--no-children", "-c", self.code(code)).split(), ["True", "False"])

    def test_no_children_leaves_the_rest_of_the_environment(self):
        code = "import os; print([os.environ.get(name) for name in ('LD_PRELOAD', 'OBMALLOC_CHILDREN')])"
        self.assertEqual(self.run_command("run", "--no-children", "-c", code), "[None, None]")
        self.assertEqual(self.run_command("run", "--no-children", "-c", code, LD_PRELOAD="libm.so.6 libdl.so.2"),
                         "['libm.so.6:libdl.so.2', None]")

    def test_commands_look_at_a_program_with_the_library(self):
        with tempfile.TemporaryDirectory() as folder:
            script = os.path.join(folder, "script.py")
            with open(script, "w") as file:
                file.write("import os, sys\nkept = [str(i) for i in range(50_000)]\n"
                           "print(sys.argv[1:], [name for name in os.environ if name.startswith('OBMALLOC')])\n")
            program, shown = self.run_command("stats", "--json", script, "-x").split("\n", 1)
            self.assertEqual(program, "['-x'] []")
            self.assertGreater(json.loads(shown)["live_blocks"], 50_000)
            page = os.path.join(folder, "page.html")
            self.run_command("report", "--output", page, script, errors=None)
            self.assertGreater(os.path.getsize(page), 10_000)
            program, shown = self.run_command("pins", "--json", script).split("\n", 1)
            self.assertEqual(program, "[] []")
            self.assertGreater(sum(row["blocks"] for row in json.loads(shown)["types"]), 50_000)

    def test_commands_look_at_a_process(self):
        with subprocess.Popen([self.python.path, "-m", "obmalloc", "run", "-c", self.code(
                "kept = [str(i) for i in range(50_000)]; print(serves(), flush=True); input()")],
                env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "True\n")
            seen = json.loads(self.run_command("stats", "--json", "--pid", str(process.pid)))
            process.communicate("\n")
        self.assertGreater(seen["live_blocks"], 50_000)

    def test_code_and_the_standard_input_are_looked_at_too(self):
        code = "import sys; kept = [str(i) for i in range(50_000)]; print(sys.argv, sys.path[0] == '')"
        for arguments, first in (["-c", code, "x"], "-c"), (["-", "x"], "-"):
            done = subprocess.run([self.python.path, "-m", "obmalloc", "stats", "--json", *arguments],
                                  env=self.environment(), input=code, capture_output=True, text=True)
            program, shown = done.stdout.split("\n", 1)
            self.assertEqual((done.returncode, program), (0, f"{[first, 'x']} True"), done.stderr)
            self.assertGreater(json.loads(shown)["live_blocks"], 50_000)

    def test_commands_that_start_programs_import_little(self):
        # What Debian's python3-minimal and a Python built without libraries lack, and what costs time.
        absent = ("argparse", "bz2", "ctypes", "json", "lzma", "pickle", "shutil", "tempfile", "typing", "zlib")
        for command, status in ("path", 0), ("run", 0), ("doctor", 1), ("--version", 0):
            arguments = [command, *(["-c", "print('ran')"] if command == "run" else [])]
            code = (f"import sys\nfor name in {absent}: sys.modules[name] = None\n"
                    f"from obmalloc.__main__ import main\nsys.exit(main({arguments}))")
            with self.subTest(command):
                self.assertNotEqual(self.run_python("-c", code, status=status), "")

    def test_interpreters_whose_objects_are_others_do_not_load_the_library(self):
        for change, line in (("sys.abiflags += 't'", "a free-threaded Python needs its own allocator, and keeps it"),
                             ("sys.implementation.name = 'pypy'", "obmalloc is an allocator of CPython, not of pypy"),
                             ("sys.version_info = (3, 8, 18, 'final', 0)",
                              "Python 3.8 is not supported: take CPython 3.9 or newer")):
            code = (f"import sys\n{change}\ntry:\n    import obmalloc\nexcept ImportError as error:\n    print(error)\n"
                    "with open('/proc/self/maps') as file:\n    print('_obmalloc.so' in file.read())")
            self.assertEqual(self.run_python("-c", code), f"{line}\nFalse")

    def test_the_help_in_a_python_that_is_not_supported(self):
        code = ("import sys\nsys.version_info, sys.argv = (3, 6, 15, 'final', 0), ['obmalloc']\n"
                "from obmalloc.__main__ import main\nsys.exit(main(ARGUMENTS))")
        for arguments, status, printed, errors in (
                (["--help"], 1, "", "obmalloc: Python 3.6 is not supported: take CPython 3.9 or newer"),
                (["doctor", "--help"], 0, "usage: obmalloc doctor", "")):
            with self.subTest(arguments):
                shown = self.run_python("-c", code.replace("ARGUMENTS", repr(arguments)), status=status, errors=errors)
                self.assertEqual(shown[:len(printed)], printed)

    def test_a_command_without_its_modules(self):
        for absent, arguments in ("tempfile", ["stats"]), ("argparse", ["--help"]), ("argparse", []):
            code = (f"import sys; sys.modules['{absent}'] = None\nfrom obmalloc.__main__ import main\n"
                    f"sys.exit(main({arguments}))")
            self.run_python("-c", code, status=1, errors=(
                f"obmalloc: this Python has no module {absent}, which only run, path, enable, disable and doctor do "
                "without: install the rest of it (on Debian: apt-get install python3)"))

    def test_mistakes_are_one_line(self):
        for arguments in (["run"], ["run", "--nonsense"], ["run", ""], ["run", "--"], ["run", "-u", "x.py"], ["path", "more"],
                          ["enable", "more"], ["disable", "more"], ["--version", "more"]):
            done = subprocess.run([self.python.path, "-m", "obmalloc", *arguments], env=self.environment(),
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)

    def test_output_that_cannot_be_written(self):
        for arguments in (["path"], ["path", "--help"], ["run", "--help"], ["enable", "--help"], ["doctor", "--help"],
                          ["doctor"], ["--version"], ["--help"], ["stats", "--help"], ["watch", "-h"]):
            with self.subTest(arguments), open("/dev/full", "w") as full:
                done = subprocess.run([self.python.path, "-m", "obmalloc", *arguments], env=self.environment(),
                                      stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual((done.returncode, done.stderr), (
                    1, "obmalloc: the output cannot be written: No space left on device\n"))

    def test_interrupted(self):
        importing = ("import sys\nclass Finder:\n    def find_spec(self, name, path=None, target=None):\n"
                     "        if name == 'obmalloc._text': raise KeyboardInterrupt\n"
                     "sys.meta_path.insert(0, Finder())\nfrom obmalloc.__main__ import main\n"
                     "sys.exit(main(['stats', '--pid', '1']))")
        # Behind the & of a script SIGINT is ignored, and a program inherits that.
        reading = ("import os, signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
                   "from obmalloc import _commands\nfrom obmalloc.__main__ import main\n"
                   "def read(pid): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n_commands._read = read\n"
                   "sys.exit(main(['stats', '--pid', '1']))")
        looking = "import obmalloc\ndef stats(): raise KeyboardInterrupt\nobmalloc.stats = stats\nprint('ran')"
        for arguments in ["-c", importing], ["-c", reading]:
            self.assertEqual(self.run_python(*arguments, status=-signal.SIGINT), "")
        self.assertEqual(self.run_command("stats", "-c", looking, status=-signal.SIGINT), "ran")
        with self.subTest("a program shows what it always does"):
            done = subprocess.run([self.python.path, "-m", "obmalloc", "stats", "-c", "raise KeyboardInterrupt"],
                                  env=self.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual((done.returncode, done.stderr.splitlines()[0], done.stderr.splitlines()[-1]), (
                -signal.SIGINT, "Traceback (most recent call last):", "KeyboardInterrupt"))

    def run_without(self, descriptor, *arguments, full=False, **variables):
        """Run Python with this descriptor closed, or led to a disk that is full; what ended."""
        def begin():
            os.close(descriptor)
            if full:
                os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)
        return subprocess.run([self.python.path, *arguments], env=self.environment(**variables), preexec_fn=begin,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)

    def test_programs_without_a_standard_output(self):
        page = os.path.join(self.folder(), "page.html")
        for arguments in ["run"], ["report", "--output", page]:
            with self.subTest(arguments):
                done = self.run_without(1, "-m", "obmalloc", *arguments, "-c", "import sys; sys.exit(7)")
                self.assertEqual((done.returncode, "Traceback" in done.stderr), (7, False), done.stderr)
        self.assertGreater(os.path.getsize(page), 0)

    def test_a_standard_error_that_takes_nothing(self):
        page = os.path.join(self.folder(), "page.html")
        malloc = {"PYTHONMALLOC": "malloc"}     # obmalloc is not in force, which is said
        for arguments, status, variables in (
                (["path", "more"], 2, {}), (["--version", "more"], 2, {}), (["run", "--nonsense"], 2, {}),
                (["nonsense"], 2, {}), (["stats", "--pid", "2147483647"], 1, {}),
                (["run", "-c", "import sys; sys.exit(7)"], 7, malloc),
                (["trim", "--json", "-c", "import sys; sys.exit(7)"], 7, malloc),
                (["report", "--output", page, "-c", "import sys; sys.exit(7)"], 7, {})):
            for full in False, True:
                with self.subTest(arguments, full=full):
                    done = self.run_without(2, "-m", "obmalloc", *arguments, full=full, **variables)
                    self.assertEqual(done.returncode, status)
                    self.assertEqual(bool(done.stdout), arguments[0] == "trim", done.stdout)

    def test_a_path_that_cannot_be_preloaded(self):
        with tempfile.TemporaryDirectory(prefix="with space ") as folder:
            os.symlink(PACKAGE / "obmalloc", os.path.join(folder, "obmalloc"))
            for command in ["path"], ["run", "-c", "print('ran')"]:
                done = subprocess.run([self.python.path, "-m", "obmalloc", *command],
                                      env=self.environment(PYTHONPATH=folder), capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)

    def test_install(self):
        self.needs(not self.python.debug, "a debug build has its hooks in force")
        printed = self.run_code("""
            import obmalloc
            print(serves(), obmalloc.install(), serves(), obmalloc.install())
            obmalloc.check()
            """)
        self.assertEqual(printed, "False True True True")

    def test_install_when_preloaded(self):
        self.assertEqual(self.run_preloaded("import obmalloc; print(obmalloc.install(), serves())"), "True True")

    def test_settings(self):
        code = "import obmalloc; s = obmalloc.settings(); print(s['retain'], s['check'])"
        self.assertEqual(self.run_preloaded(code, PYTHONOBMALLOC="retain=64M,check=1"), "67108864 1")
        self.assertEqual(self.run_preloaded(code, PYTHONOBMALLOC="check=nonsense",
                                            errors="PYTHONOBMALLOC: check cannot be 'nonsense': it can be "
                                                   "0, 1, 2 or 3; this is ignored"),
                         "auto 0")

    def test_invalid_settings_are_reported_once(self):
        line = "PYTHONOBMALLOC: check cannot be '9': it can be 0, 1, 2 or 3; this is ignored"
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])"
        with tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "page.html")
            for arguments in (["run", "-c", ""], ["stats", "-c", ""], ["report", "--output", page, "-c", ""],
                              ["run", "--no-children", "-c", child], ["doctor"]):
                done = subprocess.run([self.python.path, "-m", "obmalloc", *arguments], capture_output=True, text=True,
                                      env=self.environment(PYTHONOBMALLOC="check=9"), stdin=subprocess.DEVNULL)
                with self.subTest(arguments):
                    self.assertEqual(done.stderr.count(line), 1, done.stderr)
        with self.subTest("a program that the program starts has settings of its own"):
            self.run_command("run", "-c", child, PYTHONOBMALLOC="check=9", errors=f"{line}\n{line}")
        with self.subTest("and a Python that a program starts which is none"), tempfile.TemporaryDirectory() as folder:
            self.needs_same_c_library("/bin/sh")
            program = os.path.join(folder, "starter")
            with open(program, "w") as file:
                file.write(f"#!/bin/sh\n{self.python.path} -c ''\n")
            os.chmod(program, 0o755)
            self.run_command("run", "starter", PATH=f"{folder}:{os.environ['PATH']}", PYTHONOBMALLOC="check=9",
                             errors=f"{line}\n{line}")

    def test_what_says_that_they_were_reported_is_gone(self):
        code = "import os; print([name for name in os.environ if name.startswith('OBMALLOC')])"
        self.assertEqual(self.run_command("run", "-c", code), "[]")


if __name__ == "__main__":
    unittest.main()
