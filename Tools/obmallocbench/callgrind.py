"""Instructions under valgrind's callgrind: running it, reading what it wrote, whose they are.

A profile says of each line of the source how many instructions ran for it, also where a function
was inlined into another one. So the allocator's share is found by source file, the same way for
both interpreters and whatever the compiler inlined: all lines of the allocator's files, and all
lines of any file inlined into functions that begin in one of them. Not in it: what malloc of the
system takes for large requests, and the kernel, which callgrind does not see.
"""
from __future__ import annotations

import collections
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterable, Sequence

from shared import processes

from . import machine
from .errors import BenchmarkError
from .scenarios import Workload

INSTALL = "valgrind is missing: install Debian's package valgrind, then try again"
UNKNOWN = "???"
ALLOCATOR_FILE = re.compile(
    r"(^|/)(Objects/obmalloc\.c|Objects/obmalloc/.+|Include/internal/obmalloc/.+"
    r"|Include/internal/pycore_obmalloc(_init)?\.h)$")
REFERENCE = re.compile(r"\((\d+)\)(?: (.*))?$")
FILE_KEYS = frozenset(("fl", "fi", "fe", "cfi", "cfl"))
FUNCTION_KEYS = frozenset(("fn", "cfn"))


@dataclasses.dataclass
class Profile:
    """Instructions of one run.

    total: all. allocator: those of malloc, free and what they call.
    functions: of the allocator, by the function they lie in; files: the same by source file.
    """

    total: int = 0
    allocator: int = 0
    functions: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    files: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def minus(self, other: Profile) -> Profile:
        """Return this without other: a run without its start-up."""
        return Profile(self.total - other.total, self.allocator - other.allocator,
                       self.functions - other.functions, self.files - other.files)


def is_allocators(path: str) -> bool:
    """Return whether a source file is part of the small-object allocator, stock or patched."""
    return ALLOCATOR_FILE.search(os.path.normpath(path)) is not None


class Names:
    """The compressed names of one kind: ``(7) name`` defines number 7, ``(7)`` refers to it."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def resolve(self, text: str) -> str:
        """Return the name that text stands for, and keep it if this defines it."""
        found = REFERENCE.match(text)
        if found is None:
            return text
        number, name = found.groups()
        if name is not None:
            self.names[number] = name
        return self.names.get(number, UNKNOWN)


def parse(lines: Iterable[str]) -> Profile:
    """Return the profile that callgrind wrote, as lines; BenchmarkError when they are not one."""
    profile, files, functions = Profile(), Names(), Names()
    file = function = UNKNOWN
    file_is_ours = function_is_ours = skips = False
    claimed = None
    for line in lines:
        first = line[:1]
        if first in "0123456789+-*" and first:
            if skips:                   # the line after calls=: what the called function took
                skips = False
                continue
            words = line.split()
            cost = int(words[1]) if len(words) > 1 else 0
            profile.total += cost
            if file_is_ours or function_is_ours:
                profile.allocator += cost
                profile.functions[function] += cost
                profile.files[os.path.basename(file)] += cost
            continue
        key, equals, value = line.rstrip("\n").partition("=")
        if equals and key in FILE_KEYS:
            name = files.resolve(value)
            if key[0] == "f":
                file, file_is_ours = name, is_allocators(name)
        elif equals and key in FUNCTION_KEYS:
            name = functions.resolve(value)
            if key == "fn":
                function, function_is_ours = name, file_is_ours
        elif key == "calls":
            skips = True
        elif line.startswith(("summary:", "totals:")):
            claimed = int(line.split()[1])
    if claimed is None or claimed != profile.total:
        raise BenchmarkError(f"callgrind's profile is broken: its lines add up to {profile.total} "
                             f"instructions, its total is {claimed}")
    return profile


def find_valgrind() -> str:
    """Return the path of valgrind; BenchmarkError, in one line, when it is missing."""
    path = shutil.which("valgrind")
    if path is None:
        raise BenchmarkError(INSTALL)
    return path


def version_of(valgrind: str) -> str:
    """Return the version that valgrind tells."""
    answer = subprocess.run([valgrind, "--version"], capture_output=True, text=True)
    return answer.stdout.strip()


def profile_of(valgrind: str, command: Sequence[str], environment: dict[str, str],
               limit: float) -> Profile:
    """Run a command under callgrind and return its profile. limit: seconds that it may take.

    The command may be a script that ends in ``exec``: the profile is that of what it executes.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "profile"
        under = [valgrind, "--tool=callgrind", "--quiet", "--trace-children=yes",
                 f"--callgrind-out-file={output}"]
        processes.output_of([*under, *command], f"{command[0]} under valgrind", limit, environment)
        with output.open(encoding="utf-8", errors="replace") as lines:
            return parse(lines)


def count(valgrind: str, interpreter: str, workload: Workload, parameters: dict[str, int | str],
          limit: float) -> Profile:
    """Run a workload under callgrind and return its profile. limit: seconds that it may take."""
    command = [*machine.interpreter_command(interpreter), str(workload.script),
               *workload.command_options(parameters)]
    return profile_of(valgrind, command, machine.clean_environment({}), limit)
