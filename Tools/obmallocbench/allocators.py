"""The arms: interpreters with the allocators that people give to theirs, one table for all that
compare allocators.

An arm whose library is not here, or whose allocator the interpreter does not have, is left out, and
why is told.
"""
from __future__ import annotations

import ctypes.util
import dataclasses
import os
import subprocess
from pathlib import Path
from typing import Sequence

from shared import files, packages, processes

from . import machine, running
from .errors import BenchmarkError
from .scenarios import MEDIUM_OFF

STOCK, PATCHED, AGAIN = "stock", "patched", "stock-again"
OURS = "obmalloc"                   # the arm, and the library, of an interpreter built without it
MALLOC = {"PYTHONMALLOC": "malloc"}
THRESHOLD_BYTES = "131072"
TUNED_JEMALLOC = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:1"
TRIM = {"OBMALLOCBENCH_TRIM": "1"}  # a workload that sees it calls malloc_trim(0) once at its end
MOVE = "OBMALLOCBENCH_MOVE"         # what a service of web/ does that sees it: keep, or compact
# Debian's mimalloc 2.0 calls it decommit delay, and has one more for whole segments.
PURGE_AT_ONCE = {"MIMALLOC_PURGE_DELAY": "0", "MIMALLOC_DECOMMIT_DELAY": "0",
                 "MIMALLOC_SEGMENT_DECOMMIT_DELAY": "0"}
PROBE = "import sys; sys.stdout.write(open('/proc/self/maps').read())"
PROBE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Library:
    """A library to preload.

    package: that has it. linker: how the linker calls it (-l), if the package is Debian's. file:
    where it lies in the package, if that is PyPI's.
    """

    package: str
    linker: str = ""
    file: str = ""


LIBRARIES = {
    "jemalloc": Library("libjemalloc2", "jemalloc"),
    "tcmalloc": Library("libtcmalloc-minimal4", "tcmalloc_minimal"),
    "mimalloc2": Library("libmimalloc2.0", "mimalloc"),
    "mimalloc3": Library("cmeel-mimalloc", file="cmeel.prefix/lib/libmimalloc.so.3"),
}


@dataclasses.dataclass(frozen=True)
class Allocator:
    """What an arm is before this machine is looked at.

    name: for people and the command line. meaning: one line. interpreter: stock or patched.
    environment: what selects it. libraries: to be preloaded, names in LIBRARIES, or OURS.
    """

    name: str
    meaning: str
    interpreter: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    libraries: tuple[str, ...] = ()


# Stock stands at both ends of a round: what it differs from itself is the machine's noise.
ALLOCATORS = {allocator.name: allocator for allocator in (
    Allocator(STOCK, "unpatched, its own pymalloc", STOCK),
    Allocator(PATCHED, "obmalloc, default settings", PATCHED),
    Allocator("retain=all", "obmalloc, nothing is given back", PATCHED,
              {"PYTHONOBMALLOC": "retain=all"}),
    Allocator(MEDIUM_OFF, "obmalloc, requests above 512 bytes are left to the system's malloc",
              PATCHED, {"PYTHONOBMALLOC": MEDIUM_OFF}),
    Allocator("background=1", "obmalloc, a thread gives back when a process is about to block",
              PATCHED, {"PYTHONOBMALLOC": "background=1"}),
    Allocator("patched+jemalloc", "obmalloc, default settings, and jemalloc preloaded for the rest",
              PATCHED, libraries=("jemalloc",)),
    Allocator(OURS, "obmalloc preloaded, default settings", STOCK, libraries=(OURS,)),
    Allocator(f"{OURS},{MEDIUM_OFF}", "obmalloc preloaded, requests above 512 bytes are left to the "
              "system's malloc", STOCK, {"PYTHONOBMALLOC": MEDIUM_OFF}, (OURS,)),
    Allocator("obmalloc,background=1", "obmalloc preloaded, its thread is there from the start", STOCK,
              {"PYTHONOBMALLOC": "background=1"}, (OURS,)),
    Allocator("obmalloc,keep", "obmalloc preloaded, what is remembered are copies of keep()", STOCK,
              {MOVE: "keep"}, (OURS,)),
    Allocator("obmalloc,compact", "obmalloc preloaded, a thread calls compact(budget=0.002) every two "
              "seconds", STOCK, {MOVE: "compact"}, (OURS,)),
    Allocator("obmalloc+jemalloc", "obmalloc preloaded, and jemalloc for the rest", STOCK,
              libraries=(OURS, "jemalloc")),
    Allocator("arena-max=1", "stock, MALLOC_ARENA_MAX=1", STOCK, {"MALLOC_ARENA_MAX": "1"}),
    Allocator("arena-max=2", "stock, MALLOC_ARENA_MAX=2", STOCK, {"MALLOC_ARENA_MAX": "2"}),
    Allocator("thresholds", f"stock, MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_="
              f"{THRESHOLD_BYTES}", STOCK, {"MALLOC_TRIM_THRESHOLD_": THRESHOLD_BYTES,
                                            "MALLOC_MMAP_THRESHOLD_": THRESHOLD_BYTES}),
    Allocator("malloc_trim", "stock, one malloc_trim(0) after the work", STOCK, TRIM),
    Allocator("malloc", "PYTHONMALLOC=malloc: the C library's", STOCK, MALLOC),
    Allocator("jemalloc-beside", "jemalloc preloaded, small objects left to pymalloc", STOCK,
              libraries=("jemalloc",)),
    Allocator("jemalloc", "PYTHONMALLOC=malloc, jemalloc preloaded", STOCK, MALLOC, ("jemalloc",)),
    Allocator("jemalloc+thread", "PYTHONMALLOC=malloc, jemalloc preloaded, its "
              "background thread", STOCK,
              {**MALLOC, "MALLOC_CONF": "background_thread:true"}, ("jemalloc",)),
    Allocator("jemalloc-tuned", f"PYTHONMALLOC=malloc, jemalloc preloaded, MALLOC_CONF="
              f"{TUNED_JEMALLOC}", STOCK,
              {**MALLOC, "MALLOC_CONF": TUNED_JEMALLOC}, ("jemalloc",)),
    Allocator("tcmalloc", "PYTHONMALLOC=malloc, gperftools' tcmalloc preloaded", STOCK, MALLOC,
              ("tcmalloc",)),
    Allocator("mimalloc2", "PYTHONMALLOC=malloc, mimalloc 2 preloaded", STOCK, MALLOC,
              ("mimalloc2",)),
    Allocator("mimalloc2-purge", "PYTHONMALLOC=malloc, mimalloc 2 preloaded, its delays 0", STOCK,
              {**MALLOC, **PURGE_AT_ONCE}, ("mimalloc2",)),
    Allocator("mimalloc3", "PYTHONMALLOC=malloc, mimalloc 3 preloaded", STOCK, MALLOC,
              ("mimalloc3",)),
    Allocator("mimalloc3-purge", "PYTHONMALLOC=malloc, mimalloc 3 preloaded, "
              "MIMALLOC_PURGE_DELAY=0", STOCK,
              {**MALLOC, "MIMALLOC_PURGE_DELAY": "0"}, ("mimalloc3",)),
    Allocator("own-mimalloc", "PYTHONMALLOC=mimalloc: CPython's own copy", STOCK,
              {"PYTHONMALLOC": "mimalloc"}),
    Allocator(AGAIN, "stock a second time, at the end of each round", STOCK),
)}

MOVING = tuple(name for name, allocator in ALLOCATORS.items() if MOVE in allocator.environment)


def names_with(library: bool, patched: bool, services: bool = False) -> tuple[str, ...]:
    """Return the names of the arms for whom has a patched interpreter, or our library, or both.
    services: also of those that only services have."""
    return tuple(name for name, allocator in ALLOCATORS.items()
                 if (patched or allocator.interpreter != PATCHED)
                 and (library or OURS not in allocator.libraries)
                 and (services or name not in MOVING))


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


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where arms come from. interpreters: as machine.describe_interpreter returns, by name.
    packages: the folder for packages of PyPI. library: our own, None without one."""

    interpreters: dict[str, dict]
    packages: Path
    library: Path | None = None


def library_path(name: str, sources: Sources, interpreter: dict) -> str:
    """Return what LD_PRELOAD says to preload a library of LIBRARIES, or our own; BenchmarkError
    says where it would come from."""
    if name == OURS:
        if sources.library is None or not sources.library.is_file():
            raise BenchmarkError(f"no library {sources.library or 'of obmalloc'}: make preload "
                                 "builds it, --library names it")
        return str(sources.library.resolve())
    library = LIBRARIES[name]
    if library.file:
        folder, _ = packages.install([library.package], interpreter, sources.packages)
        if not (folder / library.file).is_file():
            raise BenchmarkError(f"no file {library.file} in PyPI's package {library.package}")
        return str(folder / library.file)
    soname = ctypes.util.find_library(library.linker)
    if not soname:
        raise BenchmarkError(f"no library lib{library.linker} (Debian's package "
                             f"{library.package})")
    return soname


def find(allocator: Allocator, sources: Sources) -> Found:
    """Return an allocator as it is here; BenchmarkError says why it is not."""
    interpreter = sources.interpreters[allocator.interpreter]
    path, environment = interpreter["path"], dict(allocator.environment)
    preloaded = [library_path(name, sources, interpreter) for name in allocator.libraries]
    if preloaded:
        environment["LD_PRELOAD"] = ":".join(preloaded)
    if OURS in allocator.libraries or "PYTHONOBMALLOC" in environment:
        refuse_a_refusal(path, environment)
    maps = processes.output_of([*machine.interpreter_command(path), "-c", PROBE], allocator.name,
                               PROBE_SECONDS, machine.clean_environment(environment))
    arm = running.Arm(allocator.name, allocator.interpreter, path, environment)
    mapped = [mapped_library(maps, os.path.basename(one)) for one in preloaded]
    if "" in mapped:
        raise BenchmarkError(f"{preloaded[mapped.index('')]} could not be preloaded")
    digest = files.sha256(b"".join(Path(one).read_bytes() for one in mapped)) if mapped else ""
    return Found(allocator, arm, ":".join(mapped), digest,
                 ", ".join(version_of(name, file) for name, file in zip(allocator.libraries, mapped)
                           if name != OURS))


def version_of(name: str, path: str) -> str:
    """Return package and version of a library of LIBRARIES in a file."""
    library = LIBRARIES[name]
    if not library.file:
        return package_version(path)
    folder = Path(path.removesuffix(library.file))
    return f"{library.package} {packages.versions_in(folder).get(library.package, '')}".rstrip()


def refuse_a_refusal(path: str, environment: dict[str, str]) -> None:
    """Raise BenchmarkError if an interpreter, or our library preloaded into it, says that it does
    not do what the environment asks for."""
    processes.output_of([*machine.interpreter_command(path), "-c", "pass"], path, PROBE_SECONDS,
                        machine.clean_environment(environment), quiet=True)


def find_all(names: Sequence[str], sources: Sources) -> tuple[list[Found], list[dict]]:
    """Return the arms of these names that can be run here, in our order, stock always among them;
    and those that cannot, as {name, reason}. A stock arm that fails is an error, and so is one of
    ours with default settings."""
    found, skipped = [], []
    for allocator in ALLOCATORS.values():
        if allocator.name not in (*names, STOCK):
            continue
        try:
            found.append(find(allocator, sources))
        except BenchmarkError as error:
            if allocator.name in (STOCK, PATCHED, OURS):
                raise
            skipped.append({"name": allocator.name, "reason": str(error)})
    return found, skipped
