"""The C programs: compiled when they are wanted, kept under a name that tells what went in."""
from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Iterable, Sequence

from . import processes
from .errors import BenchmarkError
from .scenarios import FOLDER

SOURCES = FOLDER / "replayer"
OPTIONS = ("-std=c11", "-O3", "-g", "-fwrapv", "-Wall", "-Wextra")     # CPython's level and flags
LIBRARIES = ("-ldl", "-pthread")        # of their own until glibc 2.34
COMPILE_SECONDS = 120.0


def find_compiler() -> str:
    """Return the path of the C compiler: $CC, or the first of cc, gcc, clang."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = name and shutil.which(name)
        if path:
            return path
    raise BenchmarkError("there is no C compiler: install Debian's package gcc, or set CC")


def version_of(compiler: str) -> str:
    """Return the first line that the compiler says of its version."""
    return (processes.output_of([compiler, "--version"], compiler, COMPILE_SECONDS)
            .splitlines() or [""])[0]


def checksum(words: Iterable[str], folders: Iterable[Path]) -> str:
    """Return 12 hexadecimal digits for words and for all C sources in folders."""
    digest = hashlib.sha256("\0".join(words).encode())
    for folder in folders:
        for path in sorted(folder.rglob("*.[ch]")):
            digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build(name: str, files: Sequence[str], options: Sequence[str], inputs: Sequence[Path],
          folder: Path) -> Path:
    """Return the path of a program or library made of C files, compiled unless it is there.

    files: in SOURCES. options: besides of OPTIONS. inputs: the folders whose C sources are read.
    folder: where it lies, made if need be.
    """
    compiler = find_compiler()
    words = [compiler, *OPTIONS, *options, *(str(SOURCES / file) for file in files), *LIBRARIES]
    made_of = checksum([*words, version_of(compiler)], [SOURCES, *inputs])
    target = folder / f"{name}-{made_of}"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        try:
            processes.output_of([*words, "-o", str(temporary)], f"compiling {name}",
                                COMPILE_SECONDS)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target
