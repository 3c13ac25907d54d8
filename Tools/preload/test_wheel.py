"""The wheel in a clean virtual environment, and each way in from there."""

import glob
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

from helpers import PACKAGE, TIMEOUT_SECONDS, Programs, for_each_interpreter

# What says whether obmalloc serves it.
SERVES = "import obmalloc; print(obmalloc.active(), flush=True)"
# The same, and of a program that it starts.
PARENT = f"{SERVES}\nimport subprocess, sys\nsubprocess.run([sys.executable, '-c', {SERVES!r}])"

# Those of our variables that it has.
VARIABLES = "import os; print([name for name in os.environ if name.startswith('OBMALLOC')])"


class Environment(Programs):
    """A virtual environment, with the wheel installed anew for each test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.venv = os.path.join(cls.folder, "venv")
        cls.venv_python = os.path.join(cls.venv, "bin/python")
        cls.obmalloc = os.path.join(cls.venv, "bin/obmalloc")

    def setUp(self):
        self.needs_module("ensurepip")
        if not os.path.exists(self.venv_python):
            self.command(self.python.path, "-m", "venv", "venv")
        wheel = next(PACKAGE.glob("obmalloc-*.whl"))
        self.assertIn("-py3-none-", wheel.name)
        self.pip("install", "--no-index", "--force-reinstall", str(wheel))

    def command(self, *arguments, status=0, errors=None, stdin=None, **variables):
        """Run a command in the folder; return what it printed."""
        environment = self.environment(**{"PYTHONPATH": "", **variables})
        done = subprocess.run(arguments, env=environment, cwd=self.folder, input=stdin or "",
                              capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, status, f"{arguments}\n{done.stdout}{done.stderr}")
        if errors is not None:
            self.assertEqual(done.stderr.strip(), errors)
        return done.stdout.strip()

    def pip(self, *arguments):
        return self.command(self.venv_python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def as_another_user(self, *options):
        """What a command begins with that a user without privileges runs: nothing, unless we are root."""
        alone = ["setpriv", *options, "--clear-groups", "--reuid=65534", "--regid=65534"] if os.geteuid() == 0 else []
        os.chmod(self.folder, 0o755)
        self.needs(shutil.which("setpriv") or not alone, "no setpriv, and root can do everything")
        self.needs(subprocess.run([*alone, self.venv_python, "-c", "pass"], capture_output=True,
                                  stdin=subprocess.DEVNULL).returncode == 0, "other users cannot run it")
        return alone

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path


@for_each_interpreter
class Wheel(Environment):

    def test_ways_in(self):
        program = self.write("program.py", self.code("""
            import json, sys
            if 'install' in sys.argv:
                import obmalloc
                obmalloc.install()
            text = json.dumps([{'name': str(i), 'values': list(range(i % 9))} for i in range(5000)])
            assert len(json.loads(text)) == 5000
            print(serves())
            """))
        python = self.venv_python
        self.assertEqual(self.command(python, program), "False")
        self.assertEqual(self.command(python, "-m", "obmalloc", "run", program), "True")
        self.assertEqual(self.command(self.obmalloc, "run", program), "True")
        self.assertEqual(self.command(self.obmalloc, "run", "-", stdin=SERVES), "True")
        library = self.command(self.obmalloc, "path")
        self.assertTrue(library.startswith(self.folder), library)
        self.assertEqual(self.command(python, program, LD_PRELOAD=library), "True")
        if not self.python.debug:
            self.assertEqual(self.command(python, program, "install"), "True")

    def test_version(self):
        version = self.command(self.venv_python, "-c", "import obmalloc; print(obmalloc.__version__)")
        self.assertEqual(self.command(self.obmalloc, "--version"), f"obmalloc {version}")
        self.assertIn(f"Version: {version}\n", self.pip_shows())

    def pip_shows(self):
        return self.command(self.venv_python, "-m", "pip", "show", "obmalloc")

    def test_run_finds_a_program_on_the_path(self):
        programs = {"own": (self.venv_python, f"{SERVES}; import sys; print(sys.prefix, sys.argv[1:])"),
                    "env": ("/usr/bin/env python3", f"{SERVES}; import sys; print(sys.prefix, sys.argv[1:])"),
                    # One of another environment, which has no module obmalloc.
                    "others": (self.python.path, "import sys; print(sys.prefix, '/_obmalloc.so' in "
                                                 "open('/proc/self/maps').read())")}
        for name, (first, program) in programs.items():
            os.chmod(self.write(f"bin/{name}", f"#!{first}\n{program}\n"), 0o755)
        variables = {"PATH": f"{self.folder}/bin:{self.venv}/bin:{os.environ['PATH']}"}
        for name in "own", "env":
            self.assertEqual(self.command(self.obmalloc, "run", name, "x", **variables).split("\n"),
                             ["True", f"{self.venv} ['x']"])
        self.assertEqual(self.command(self.obmalloc, "run", "others", **variables), f"{self.python.prefix} True")
        # What is here comes first, as without obmalloc.
        self.write("own", "print('here')")
        self.assertEqual(self.command(self.obmalloc, "run", "own", **variables), "here")
        os.unlink(os.path.join(self.folder, "own"))
        os.mkdir(os.path.join(self.folder, "own"))      # no program of Python's
        self.addCleanup(os.rmdir, os.path.join(self.folder, "own"))
        self.assertEqual(self.command(self.obmalloc, "run", "own", **variables).split("\n")[0], "True")

    def test_run_finds_a_program_of_an_environment_that_is_not_activated(self):
        os.chmod(self.write("venv/bin/server", f"#!{self.venv_python}\n{SERVES}\n"), 0o755)
        for command in [self.obmalloc], [self.venv_python, "-m", "obmalloc"]:
            self.assertEqual(self.command(*command, "run", "server"), "True")
            self.assertTrue(self.command(*command, "stats", "server").startswith("True\n"))
            self.command(*command, "run", "no\nwhere", status=2, errors=(
                "obmalloc run: no where: No such file or directory, and no program of that name is on PATH or beside "
                f"{os.path.realpath(self.venv)}/bin/python (-m NAME runs a module)"))

    def test_run_of_a_file_that_this_python_cannot_run(self):
        self.needs_same_c_library("/bin/sh")
        loaded = "print('/_obmalloc.so' in open('/proc/self/maps').read())"
        self.command(self.python.path, "-m", "venv", "--without-pip", "other environment")
        other = os.path.join(self.folder, "other environment/bin/python")
        for name, text in (("a.sh", f'#!/bin/sh\nexec "{self.python.path}" -c "$@"\n'),
                           ("script", f"#!/usr/bin/env python3\n{SERVES}\n"),
                           ("long", f"#!/bin/sh\n'''exec' \"{other}\" \"$0\" \"$@\"\n' '''\n{loaded}\n"),
                           ("single", f"#!/bin/sh\n'''exec' '{other}' \"$0\" \"$@\"\n' '''\n{loaded}\n")):
            os.chmod(self.write(name, text), 0o755)
        self.check_scripts_that_run_here(other)
        for program in "./a.sh", "a.sh":
            self.assertEqual(self.command(self.obmalloc, "run", program, loaded), "True")
        self.assertEqual(self.command(self.obmalloc, "run", self.python.path, "-c", loaded), "True")
        self.assertEqual(self.command(self.obmalloc, "run", "./script"), "True")    # in this environment
        for program in "./long", "./single":
            self.assertEqual(self.command(self.obmalloc, "run", program), "True")
        self.assertTrue(self.command(self.obmalloc, "stats", "./long").startswith("True\n"))
        for program in "./a.sh", "/bin/sh", "sh":
            self.assertIn("is not written in Python, and only a Python program can be looked at: name a script",
                          self.failure("stats", program))

    def check_scripts_that_run_here(self, other):
        """Scripts in Python, whatever their first lines say; one that another environment's Python is first
        on PATH for; and programs that can be read but once."""
        for lines in ("#!/usr/bin/env python3", "#!/bin/env python3", '#!/usr/bin/env -S "python3" -u',
                      "#!/bin/sh\n''':'\nexec python3 \"$0\" \"$@\"\n'''", "#!/nowhere/pypy3", "#!",
                      "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''"):
            os.chmod(self.write("here", f"{lines}\n{SERVES}; import sys; print(sys.prefix)\n"), 0o755)
            for command in "run", "stats":
                with self.subTest(lines, command=command):
                    path = os.pathsep.join([os.path.dirname(other), os.environ["PATH"]])
                    printed = self.command(self.obmalloc, command, "./here", PATH=path)
                    self.assertEqual(printed.split("\n")[:2], ["True", self.venv])
        for command in "run", "stats":
            piped = self.command("/bin/sh", "-c", f"echo 'print(42)' | '{self.obmalloc}' {command} /dev/stdin")
            self.assertEqual(piped.split("\n")[0], "42")

    def test_modules_of_the_program_that_have_the_names_of_pythons_own(self):
        names = "json.py", "random.py", "signal.py", "tempfile.py", "types.py"
        for name in names:
            self.addCleanup(os.unlink, self.write(name, "raise SystemExit('the wrong one')"))
        for arguments in (["run"], ["stats"], ["report", "--output", "page.html"]):
            with self.subTest(arguments):
                printed = self.command(self.obmalloc, *arguments, "-c", "print(1)")
                self.assertEqual(printed.split("\n")[0], "1")

    def failure(self, *arguments):
        """The line by which a command complains."""
        done = subprocess.run([self.obmalloc, *arguments], env=self.environment(PYTHONPATH=""), cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        return done.stderr

    def test_run_where_the_loader_ignores_LD_PRELOAD(self):
        python = os.path.join(self.venv, "bin/privileged")
        shutil.copy(os.path.realpath(self.venv_python), python)
        # Of revision 2, in force at once: CAP_NET_BIND_SERVICE, as for a server on port 80.
        capabilities = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
        try:
            os.setxattr(python, "security.capability", capabilities)
        except OSError as error:
            self.skipTest(f"no capabilities of a file: {error}")
        self.addCleanup(os.unlink, python)
        alone = self.as_another_user()
        secure = "from obmalloc import loading; print(loading.has_privileges())"
        try:
            told = self.command(*alone, python, "-c", secure)
        except PermissionError:
            self.skipTest("a program with capabilities cannot be run")
        self.needs(told == "True", "the file system's capabilities are ignored")
        why = ("Python got privileges when it started (setuid, or capabilities of its file), and so the loader "
               "ignores LD_PRELOAD: python -m obmalloc enable for every start, or obmalloc.install() in it")
        self.assertEqual(self.command(*alone, python, "-m", "obmalloc", "run", "-c", SERVES,
                                      errors=f"obmalloc: not in force in this program: {why}"), "False")
        self.assertIn(why.split(":")[0], self.command(*alone, python, "-m", "obmalloc", "doctor", status=1))
        if not self.python.debug:
            self.command(self.obmalloc, "enable")
            self.assertEqual(self.command(*alone, python, "-m", "obmalloc", "run", "-c", SERVES, errors=""), "True")
            self.command(self.obmalloc, "disable")


@for_each_interpreter
class Enabled(Environment):
    """obmalloc enable, disable."""

    def setUp(self):
        self.needs(not self.python.debug, "a debug build starts with its hooks in force")
        super().setUp()

    def files(self):
        return {os.path.join(folder, name) for folder, _, names in os.walk(self.venv) for name in names}

    def enabled_file(self):
        return json.loads(self.command(self.obmalloc, "doctor", "--json"))["enabled"]

    def serves(self, *options, **variables):
        return self.command(self.venv_python, *options, "-c", SERVES, **variables)

    def test_every_start(self):
        before = self.files()
        self.assertEqual(self.serves(), "False")
        self.command(self.obmalloc, "doctor", status=1)
        self.command(self.obmalloc, "enable", errors="")
        for options in [], ["-I"], ["-E"]:
            self.assertEqual(self.serves(*options), "True")
        package = os.path.dirname(os.path.dirname(self.command(self.obmalloc, "path")))
        self.assertEqual(self.serves("-S", PYTHONPATH=package), "False")
        self.assertEqual(self.files() - before, {self.enabled_file()})
        self.assertIn(self.enabled_file(), self.command(self.obmalloc, "doctor"))
        self.assertEqual(self.command(self.venv_python, "-c", PARENT).split(), ["True", "True"])
        self.assertEqual(self.serves(LD_PRELOAD=self.command(self.obmalloc, "path")), "True")
        self.command(self.obmalloc, "disable", errors="")
        self.assertEqual((self.serves(), self.files()), ("False", before))
        self.command(self.obmalloc, "disable", errors="")

    def test_run_where_the_library_cannot_be_preloaded(self):
        self.command(self.obmalloc, "enable")
        program = ("import sys; from obmalloc import loading\n"
                   "def refuse(): raise OSError('planted')\n"
                   "loading.library_path = refuse\nsys.exit(loading.run(sys.argv[1:]))")
        self.assertEqual(self.command(self.venv_python, "-c", program, "-c", SERVES, errors=""), "True")
        self.assertEqual(self.command(self.venv_python, "-c", program, "-c", VARIABLES), "[]")
        self.assertEqual(self.command(self.venv_python, "-c", program, "--no-children", "-c", PARENT).split(),
                         ["True", "False"])
        self.command(self.obmalloc, "disable")
        self.command(self.venv_python, "-c", program, "-c", "1", status=1, errors="obmalloc run: planted")

    def test_a_umask_that_keeps_others_out(self):
        old = os.umask(0o077)
        try:
            self.command(self.obmalloc, "enable")
        finally:
            os.umask(old)
        package = os.path.dirname(self.command(
            self.venv_python, "-c", "import obmalloc, os; print(os.path.dirname(obmalloc.__file__))"))
        record, = glob.glob(os.path.join(package, "obmalloc-*.dist-info", "RECORD"))
        expected = os.stat(os.path.join(package, "obmalloc", "__init__.py")).st_mode & 0o666
        for path in self.enabled_file(), record:
            self.assertEqual(os.stat(path).st_mode & 0o777, expected, path)

    def test_without_children(self):
        self.command(self.obmalloc, "enable")
        self.assertEqual(self.command(self.obmalloc, "run", "-c", PARENT).split(), ["True", "True"])
        self.assertEqual(self.command(self.obmalloc, "run", "--no-children", "-c", PARENT).split(), ["True", "False"])
        for variables in {}, {"LD_PRELOAD": self.command(self.obmalloc, "path")}:
            self.assertEqual(self.command(self.venv_python, "-c", PARENT, OBMALLOC_CHILDREN="0", **variables).split(),
                             ["True", "False"])

    def test_turned_off_for_a_start(self):
        self.command(self.obmalloc, "enable")
        self.assertEqual(self.serves(OBMALLOC_ENABLED="1"), "True")
        self.assertEqual(self.serves(OBMALLOC_ENABLED="0"), "False")
        told = json.loads(self.command(self.obmalloc, "doctor", "--json", status=1, OBMALLOC_ENABLED="0"))
        self.assertEqual((told["why"], told["remedy"]), (
            f"OBMALLOC_ENABLED=0 turns {told['enabled']} off", "unset OBMALLOC_ENABLED"))
        # It is not so much as imported.
        self.write(self.command(self.obmalloc, "path"), "")
        self.assertEqual(self.command(self.venv_python, "-c", "print(1)", OBMALLOC_ENABLED="0", errors=""), "1")

    def test_a_package_outside_the_environment(self):
        base = os.path.join(self.folder, "base")
        outside = self.command(self.python.path, "-m", "site", "--user-site", PYTHONUSERBASE=base)
        self.pip("install", "--no-index", "--upgrade", "--target", outside, str(next(PACKAGE.glob("obmalloc-*.whl"))))
        outer = os.path.join(outside, "_obmalloc.pth")
        configuration = os.path.join(self.venv, "pyvenv.cfg")
        with open(configuration) as file:
            text = file.read()
        self.addCleanup(self.write, configuration, text)
        self.write(configuration, text.replace("system-site-packages = false", "system-site-packages = true"))
        variables = {"PYTHONUSERBASE": base}
        self.assertIn(" by this user from now on, by ",
                      self.command(self.python.path, "-m", "obmalloc", "enable", **variables))
        self.assertTrue(os.path.exists(outer))
        self.assertEqual(self.serves(**variables), "True")
        # The environment's own package, then the one outside.
        told = json.loads(self.command(self.obmalloc, "doctor", "--json", **variables))
        self.assertEqual(told["enabled"], outer)
        self.command(self.obmalloc, "disable", status=1, **variables, errors=(
            f"obmalloc: disable: {outer}, not beside this package, still puts obmalloc in place here: say "
            "`obmalloc disable` with the Python that it belongs to, or set OBMALLOC_ENABLED=0"))
        self.pip("uninstall", "--yes", "obmalloc")
        for command in "enable", "disable":
            self.command(self.venv_python, "-m", "obmalloc", command, status=1, **variables, errors=(
                f"obmalloc: {command}: obmalloc is in {outside}, outside {self.venv}: say it with the Python that it "
                "belongs to, or install it with pip into this environment"))
        self.assertEqual(self.serves(**variables), "True")
        self.command(self.python.path, "-m", "obmalloc", "disable", **variables, errors="")
        self.assertEqual(self.serves(**variables), "False")

    def test_uninstalling_takes_it_away(self):
        self.command(self.obmalloc, "enable")
        self.command(self.obmalloc, "enable")
        file = self.enabled_file()
        self.pip("uninstall", "--yes", "obmalloc")
        self.assertFalse(os.path.exists(file))
        self.assertEqual([name for name in self.files() if "obmalloc" in os.path.basename(name)], [])
        self.assertEqual(self.command(self.venv_python, "-c", "print(1)", errors=""), "1")

    def broken_libraries(self, library):
        """Break the library's file in one way after the other; yield the pattern of what is wrong with it."""
        size = os.path.getsize(library)
        with open(library, "rb") as file:
            content = file.read()
        machine = (0xb7 if os.uname().machine != "aarch64" else 0x3e).to_bytes(2, "little")     # of <elf.h>
        # musl's loader refuses a file for another machine by its relocations, and does not read this.
        others = [] if self.python.has_musl else [
            (content[:18] + machine + content[20:], r"_obmalloc\.so is for another machine than this Python")]
        for broken, pattern in (
                *((content[:at], r"_obmalloc\.so breaks off: it has \d+ bytes of \d+")
                  for at in (size - 1, size // 2, 8192, 64)),
                *others, (content[:20], r"_obmalloc\.so"), (b"", r"_obmalloc\.so"), (b"no library " * 1000, r"_obmalloc\.so")):
            with open(library, "wb") as file:
                file.write(broken)
            yield pattern
        os.unlink(library)
        yield r"there is no .*_obmalloc\.so"

    def test_a_library_that_cannot_be_loaded(self):
        self.command(self.obmalloc, "enable")
        library = self.command(self.obmalloc, "path")
        version = self.command(self.obmalloc, "--version")
        file = self.enabled_file()
        with open(file) as opened:
            line = opened.read()

        def lines(*command, status):
            """What a command printed; on stderr that is one line."""
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  timeout=TIMEOUT_SECONDS)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (status, 1), done.stderr)
            return done.stdout, done.stderr

        for pattern in self.broken_libraries(library):
            out, errors = lines(self.venv_python, "-c", "print(1)", status=0)
            self.assertEqual(out, "1\n")
            self.assertRegex(errors, rf"^obmalloc: not in force: .*{pattern}.*_obmalloc\.pth")
            # A module that has the name of a command as its argument is none.
            self.write(os.path.join(self.folder, "other.py"), "try: import obmalloc\nexcept ImportError: print(1)")
            self.assertEqual(self.command(self.venv_python, "-m", "other", "disable"), "1")
            for way in [self.obmalloc], [self.venv_python, "-m", "obmalloc"]:
                out, errors = lines(*way, "doctor", status=1)
                self.assertRegex(out, rf"\nwhy +.*{pattern}.*\nwhat to do +install the package anew")
                self.assertIn(f"\nat every start  {file} puts it in place\n", out)
                self.assertRegex(errors, rf"^obmalloc: not in force: .*{pattern}.*")
                self.assertEqual(lines(*way, "--version", status=0)[0].strip(), version)
                self.assertIn("is no longer put in place", lines(*way, "disable", status=0)[0])
                self.assertFalse(os.path.exists(file))
                self.assertIn("usage: obmalloc disable", self.command(*way, "disable", "--help", errors=""))
                self.assertIn("enable", self.command(*way, "--help", errors=""))
                for command in ["path"], ["run", "-c", "1"], ["enable"], ["stats", "-c", "1"], []:
                    out, errors = lines(*way, *command, status=1)
                    self.assertEqual(out, "")
                    self.assertRegex(errors, rf"^obmalloc: .*{pattern}.*: install the package anew")
                self.write(file, line)
        shutil.rmtree(os.path.dirname(library))
        self.assertEqual(lines(self.venv_python, "-c", "print(1)", status=0)[0], "1\n")
        os.unlink(file)     # which no RECORD lists any more

    def test_allocators_of_others(self):
        self.command(self.obmalloc, "enable")
        for variables in {"PYTHONMALLOC": "malloc"}, {"PYTHONMALLOC": "debug"}, {"PYTHONTRACEMALLOC": "1"}:
            code = "print(1)"
            self.assertEqual(self.command(self.venv_python, "-c", code, OBMALLOC_QUIET="1", errors="", **variables),
                             "1")
            self.assertEqual(self.command(
                self.venv_python, "-c", code, **variables,
                errors="obmalloc: not in force: pymalloc is not in force (PYTHONMALLOC, debug hooks, or a profiler "
                       "such as tracemalloc): install() must come first, or the library be preloaded"), "1")
        told = json.loads(self.command(self.obmalloc, "doctor", "--json", status=1, PYTHONTRACEMALLOC="1",
                                       OBMALLOC_QUIET="1"))
        self.assertRegex(told["why"], "^pymalloc is not in force")

    def test_a_standard_error_that_takes_nothing(self):
        self.command(self.obmalloc, "enable")
        library = self.command(self.obmalloc, "path")
        for wrong in "refused", "broken":
            for end in "/dev/full", "&-":
                with self.subTest(wrong, end=end):
                    self.assertEqual(self.command("sh", "-c", f'"$0" -c "print(1)" 2>{end}', self.venv_python,
                                                  PYTHONTRACEMALLOC="1"), "1")
            self.write(library, "")

    def test_subinterpreters(self):
        self.needs(self.python.version >= (3, 12), "such interpreters came with 3.12")
        self.command(self.obmalloc, "enable")
        module, create = (("_xxsubinterpreters", "create(isolated=True)") if self.python.version < (3, 13)
                          else ("_interpreters", "create()"))
        self.assertEqual(self.command(
            self.venv_python, "-c", f"import {module} as interpreters, obmalloc\n"
            f"interpreters.run_string(interpreters.{create}, 'print(1)')\nprint(obmalloc.active())",
            errors="", PYTHONUNBUFFERED="1").split(), ["1", "True"])

    def test_a_folder_that_cannot_be_written(self):
        alone = self.as_another_user("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")
        site = os.path.dirname(os.path.dirname(self.command(self.obmalloc, "path")))
        before = self.files()
        for folder, _, _ in os.walk(site):
            os.chmod(folder, 0o555)
        done = subprocess.run([*alone, self.venv_python, "-m", "obmalloc", "enable"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS)
        for folder, _, _ in os.walk(site):
            os.chmod(folder, 0o755)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertRegex(done.stderr, r"^obmalloc: enable: \S+/RECORD\S*: Permission denied$")
        self.assertEqual(self.files(), before)

    def test_a_disk_that_is_full(self):
        site = os.path.dirname(os.path.dirname(self.command(self.obmalloc, "path")))
        record, = glob.glob(os.path.join(site, "obmalloc-*.dist-info", "RECORD"))
        # A file that may not grow fails as late as one on a full disk: in write().
        full = 'ulimit -f 0; exec "$0" -m obmalloc "$@"'
        before = self.files()
        self.command("sh", "-c", full, self.venv_python, "enable", status=1,
                     errors=f"obmalloc: enable: {record}: File too large")
        self.assertEqual(self.files(), before)
        self.command(self.obmalloc, "enable")
        self.command("sh", "-c", full, self.venv_python, "disable", status=1,
                     errors=f"obmalloc: disable: {record}: File too large")
        self.assertEqual(self.files(), before)
        self.command(self.obmalloc, "disable", errors="")

    def test_a_package_that_pip_did_not_install(self):
        done = subprocess.run([self.venv_python, "-m", "obmalloc", "enable"], capture_output=True, text=True,
                              env=self.environment(), stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertIn(str(PACKAGE), done.stderr)


if __name__ == "__main__":
    unittest.main()
