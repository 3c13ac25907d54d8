"""The arms of `all`: the interpreters, and the allocators that people give to theirs.

A library that is not on this machine, or an allocator that the interpreter does not have, is left
out, and why is told.
"""
from __future__ import annotations

import ctypes.util
import dataclasses
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Sequence

from shared import processes

from . import machine, running
from .errors import BenchmarkError

STOCK, PATCHED, AGAIN = "stock", "patched", "stock-again"
MALLOC = {"PYTHONMALLOC": "malloc"}
PROBE = "import sys; sys.stdout.write(open('/proc/self/maps').read())"
PROBE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Allocator:
    """What an arm is before this machine is looked at.

    name: for people and the command line. meaning: one line. interpreter: stock or patched.
    environment: what selects it. library: as the linker calls it (-l), to be preloaded; package:
    Debian's name of the package with it.
    """

    name: str
    meaning: str
    interpreter: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    library: str = ""
    package: str = ""


# Stock stands at both ends of a round: what it differs from itself is the machine's noise.
ALLOCATORS = {allocator.name: allocator for allocator in (
    Allocator(STOCK, "unpatched, its own pymalloc", STOCK),
    Allocator(PATCHED, "obmalloc, default settings", PATCHED),
    Allocator("retain=all", "obmalloc, nothing is given back", PATCHED,
              {"PYTHONOBMALLOC": "retain=all"}),
    Allocator("background=1", "obmalloc, a thread gives back when a process is about to block",
              PATCHED, {"PYTHONOBMALLOC": "background=1"}),
    Allocator("malloc", "PYTHONMALLOC=malloc: the C library's", STOCK, MALLOC),
    Allocator("jemalloc", "PYTHONMALLOC=malloc, jemalloc preloaded", STOCK, MALLOC, "jemalloc",
              "libjemalloc2"),
    Allocator("jemalloc+thread", "the same, MALLOC_CONF=background_thread:true", STOCK,
              {**MALLOC, "MALLOC_CONF": "background_thread:true"}, "jemalloc", "libjemalloc2"),
    Allocator("tcmalloc", "PYTHONMALLOC=malloc, tcmalloc preloaded", STOCK, MALLOC,
              "tcmalloc_minimal", "libtcmalloc-minimal4"),
    Allocator("mimalloc", "PYTHONMALLOC=malloc, mimalloc preloaded", STOCK, MALLOC, "mimalloc",
              "libmimalloc2.0"),
    Allocator("own-mimalloc", "PYTHONMALLOC=mimalloc: CPython's own copy", STOCK,
              {"PYTHONMALLOC": "mimalloc"}),
    Allocator(AGAIN, "stock a second time, at the end of each round", STOCK),
)}


@dataclasses.dataclass(frozen=True)
class Found:
    """An allocator of which a probe showed that it is in force.

    path, sha256: of the preloaded library, "" without one. version: of its package, or its file.
    """

    allocator: Allocator
    arm: running.Arm
    path: str = ""
    sha256: str = ""
    version: str = ""

    def description(self) -> dict:
        """Return what the report keeps of it."""
        allocator = self.allocator
        return {"name": allocator.name, "meaning": allocator.meaning,
                "interpreter": allocator.interpreter, "environment": self.arm.environment,
                "library": self.path, "library_sha256": self.sha256, "version": self.version}


def package_version(path: str) -> str:
    """Return package and version of a file as dpkg knows them, else the file's name."""
    def ask(*words: str) -> str:
        try:
            return subprocess.run(["dpkg-query", *words], capture_output=True, text=True,
                                  check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return ""
    owner = ask("-S", path).partition(": ")[0]
    version = owner and ask("-W", "-f", "${Package} ${Version}", owner)
    return version or os.path.basename(path)


def mapped_library(maps: str, soname: str) -> str:
    """Return the path under which a library is in the text of a process's maps, or ""."""
    stem = soname.partition(".so")[0] + ".so"
    for line in maps.splitlines():
        path = line.split(maxsplit=5)[-1]
        if os.path.basename(path).startswith(stem):
            return path
    return ""


def find(allocator: Allocator, path: str) -> Found:
    """Return an allocator as it is here; BenchmarkError says why it is not. path: of its
    interpreter."""
    environment = dict(allocator.environment)
    soname = ""
    if allocator.library:
        soname = ctypes.util.find_library(allocator.library) or ""
        if not soname:
            raise BenchmarkError(f"no library lib{allocator.library} (Debian's package "
                                 f"{allocator.package})")
        environment["LD_PRELOAD"] = soname
    maps = processes.output_of([*machine.interpreter_command(path), "-c", PROBE], allocator.name,
                               PROBE_SECONDS, machine.clean_environment(environment))
    arm = running.Arm(allocator.name, allocator.interpreter, path, environment)
    if not soname:
        return Found(allocator, arm)
    library = mapped_library(maps, soname)
    if not library:
        raise BenchmarkError(f"{soname} could not be preloaded")
    content = Path(library).read_bytes()
    return Found(allocator, arm, library, hashlib.sha256(content).hexdigest(),
                 package_version(library))


def find_all(names: Sequence[str], interpreters: dict[str, dict]) -> tuple[list[Found], list[dict]]:
    """Return the arms of these names that can be run here, in our order, stock always among them;
    and those that cannot, as {name, reason}. A patched or stock arm that fails is an error."""
    found, skipped = [], []
    for allocator in ALLOCATORS.values():
        if allocator.name not in (*names, STOCK, AGAIN):
            continue
        try:
            found.append(find(allocator, interpreters[allocator.interpreter]["path"]))
        except BenchmarkError as error:
            if allocator.name in (STOCK, PATCHED):
                raise
            skipped.append({"name": allocator.name, "reason": str(error)})
    return found, skipped
