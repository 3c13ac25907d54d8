"""The C programs: compiled when they are wanted, kept under a name that tells what went in."""
from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Iterable, Sequence

from shared import processes

from .scenarios import FOLDER

SOURCES = FOLDER / "replayer"
OPTIONS = ("-std=c11", "-O3", "-g", "-fwrapv", "-Wall", "-Wextra")     # CPython's level and flags
LIBRARIES = ("-ldl", "-pthread")        # of their own until glibc 2.34
COMPILE_SECONDS = 120.0


def compiler_version() -> str:
    """Return the first line that the compiler says of its version."""
    words = processes.compiler()
    return (processes.output_of([*words, "--version"], words[0], COMPILE_SECONDS)
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
    words = [*processes.compiler(), *OPTIONS, *options, *(str(SOURCES / file) for file in files), *LIBRARIES]
    made_of = checksum([*words, compiler_version()], [SOURCES, *inputs])
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
