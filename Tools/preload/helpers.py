"""What the tests of the loadable library have in common.

They run programs with interpreters that were built without obmalloc:
OBMALLOC_PYTHONS names them, separated by colons; otherwise they are the
system's python3 and what `make stock` has built.  OBMALLOC_PACKAGE names the folder
with the package: a wheel, and beside it what is in it; otherwise it is build/preload,
which `make preload` writes (InternalDocs/testing.md shows how).  Each test class is made
anew for each interpreter.
"""

import glob
import json
import os
import struct
import subprocess
import sys
import textwrap
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(os.environ.get("OBMALLOC_PACKAGE") or ROOT / "build/preload").resolve()
PACKAGES = ROOT / "build/packages"      # of PyPI
LIBRARY = PACKAGE / "obmalloc/_obmalloc.so"
TIMEOUT_SECONDS = 300

_PT_INTERP = 3          # of <elf.h>

_FACTS = """
import json, sys, sysconfig
print(json.dumps({
    "version": sys.version_info[:3], "number": sys.version.split()[0],
    "implementation": sys.implementation.name,
    "standard_library": sys.path, "prefix": sys.prefix,
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "compiler": sysconfig.get_config_var("CC"), "include": sysconfig.get_path("include"),
    "config_header": sysconfig.get_config_h_filename(),
    "build_folder": sysconfig.get_config_var("abs_builddir") if sysconfig.is_python_build() else None,
    "library": sysconfig.get_config_var("LDLIBRARY"),
    "library_folders": [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL")],
    "libraries": [sysconfig.get_config_var("LIBS"), sysconfig.get_config_var("SYSLIBS")],
    "link_options": sysconfig.get_config_var("LINKFORSHARED"),
}))
"""


# Which of the functions that are named in its arguments the C library of a process has: their
# names are in the symbol table of a file that the loader has mapped.
_FUNCTIONS = r"""
import json, sys
with open('/proc/self/maps') as file:
    mapped = {line.rstrip('\n').split(None, 5)[5] for line in file if line.count('/')}
found = set()
for path in mapped:
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError:
        continue
    if content.startswith(b'\x7fELF'):
        found.update(name for name in sys.argv[1:] if b'\0%s\0' % name.encode() in content)
print(json.dumps(sorted(found)))
"""


def loader_of(program):
    """The dynamic loader that an ELF program of 64 bits asks for, as bytes: each C library has
    its own.  None where the file is no such program, or is linked statically."""
    with open(program, "rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:5] != b"\x7fELF\2":
            return None
        order = "<" if header[5] == 1 else ">"
        first, = struct.unpack_from(order + "Q", header, 32)
        size, count = struct.unpack_from(order + "HH", header, 54)
        for number in range(count):
            file.seek(first + number * size)
            kind, _, offset, _, _, length = struct.unpack(order + "IIQQQQ", file.read(40))
            if kind == _PT_INTERP:
                file.seek(offset)
                return file.read(length).rstrip(b"\0")
    return None


class Interpreter:
    """A Python to be tested, and what it says of itself."""

    def __init__(self, path):
        self.path = path
        for name, value in json.loads(subprocess.run(
                [path, "-I", "-c", _FACTS], check=True, capture_output=True, text=True).stdout).items():
            setattr(self, name, value)
        self.version = tuple(self.version)

    @property
    def has_musl(self):
        """Whether it is dynamically linked with musl, by the loader that it asks for."""
        return b"/ld-musl-" in (loader_of(self.path) or b"")

    def lacks(self, *functions):
        """Those of the functions that the C library of this interpreter does not have, in words."""
        has = json.loads(subprocess.run([self.path, "-I", "-c", _FUNCTIONS, *functions], check=True,
                                        capture_output=True, text=True).stdout)
        return ", ".join(sorted(set(functions) - set(has)))

    def shares_c_library(self, *programs):
        """Whether these programs have the C library of this interpreter, so that what is preloaded
        into it can be loaded into them."""
        return {loader_of(program) for program in programs} == {loader_of(self.path)}

    def __str__(self):
        return f"{self.number}{'-debug' if self.debug else ''} ({self.path})"


def _interpreters():
    named = os.environ.get("OBMALLOC_PYTHONS")
    paths = named.split(":") if named else [
        path for path in ["/usr/bin/python3", *sorted(glob.glob(str(ROOT / "build/cpython-3*/stock*/python")))]
        if os.access(path, os.X_OK)]
    return [Interpreter(path) for path in paths]


INTERPRETERS = _interpreters()


def for_each_interpreter(cls):
    """Replace a class of tests by one for each interpreter, with `python` set."""
    module = sys.modules[cls.__module__]
    for number, python in enumerate(INTERPRETERS):
        name = f"{cls.__name__}_{number}_{python.number.replace('.', '_')}"
        setattr(module, name, type(name, (cls, unittest.TestCase),
                                   {"python": python, "__module__": cls.__module__, "__doc__": cls.__doc__}))
    return None


# A program may use these: `figures()`, and resident memory in bytes.
_PRELUDE = """
def figures():
    import obmalloc
    return obmalloc.stats()
def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * __import__('os').sysconf('SC_PAGE_SIZE')
def serves():
    before = figures()['live_blocks']
    kept = [str(i) for i in range(5000)]
    return figures()['live_blocks'] - before > 4000
"""


class Programs:
    """Runs programs with self.python, with the library in place or at hand."""

    maxDiff = None      # what is printed is compared, and may be the only trace of a failure

    # What PYTHONOBMALLOC begins with, before what a test gives.  The purger would move
    # figures between two looks at them, so it runs only in programs of a test that is
    # about it, or that looks at no such figures.
    settings = "background=0"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not LIBRARY.exists():
            raise unittest.SkipTest(f"{LIBRARY} is missing: run `make preload` first")

    def environment(self, **variables):
        """Without variables of ours and of Python's, with the package to be found."""
        base = {name: value for name, value in os.environ.items()
                if not name.startswith(("PYTHON", "OBMALLOC", "LD_"))}
        settings = self.settings, variables.get("PYTHONOBMALLOC")
        return {**base, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1", **variables,
                "PYTHONOBMALLOC": ",".join(filter(None, settings))}

    def run_python(self, *arguments, status=0, errors="", cwd=None, **variables):
        """Run the interpreter as it is; return what it printed."""
        done = subprocess.run([self.python.path, *arguments], env=self.environment(**variables),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", cwd=cwd, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, status, f"{done.stdout}\n{done.stderr}")
        if errors is not None:
            self.assertEqual(done.stderr.strip(), errors)
        return done.stdout.strip()

    def code(self, text):
        """A program, after the functions that it may use."""
        return _PRELUDE + textwrap.dedent(text)

    def run_code(self, text, *options, **variables):
        """Run a program without the library; it may install() it."""
        return self.run_python(*options, "-c", self.code(text), **variables)

    def run_preloaded(self, text, *options, **variables):
        """Run a program with the library preloaded."""
        return self.run_code(text, *options, LD_PRELOAD=str(LIBRARY), **variables)

    def needs(self, condition, reason):
        """Skip the test, for this reason, unless the condition holds."""
        if not condition:
            self.skipTest(f"{self.python}: {reason}")

    def needs_functions(self, *names):
        """Skip the test unless the C library of the interpreter has these functions."""
        lacking = self.python.lacks(*names)
        self.needs(not lacking, f"its C library has no {lacking}")

    def needs_same_c_library(self, *programs):
        """Skip the test unless these programs, by path, have the interpreter's C library."""
        self.needs(self.python.shares_c_library(*programs), f"its C library is not that of {' and '.join(programs)}")

    def needs_module(self, name):
        """Skip the test unless the interpreter has the module."""
        done = subprocess.run([self.python.path, "-c", f"import {name}"], env=self.environment(),
                              capture_output=True, stdin=subprocess.DEVNULL)
        self.needs(done.returncode == 0, f"no module {name}")
