"""Where everything lies: the repository's files, and what is made of them.

build/                          all that is made, except dist/
    download/                   verified archives; survive `make clean`
    report/                     results of tests and benchmarks; survive it too
    cpython-VERSION/
        pristine/               the unpacked archive, never changed
        patched/                the same, with our lines and files
        stock/ obmalloc/ ...    one build folder per variant of the interpreter
        *.log                   what the long steps printed
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import Iterator, Optional

from errors import BuildError, say
from versions import Release

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
DIST = ROOT / "dist"
DOWNLOADS = BUILD / "download"
REPORT = BUILD / "report"
COUNTS = REPORT / "counts"

# Which files of the repository go, at the same path, into a patched tree.
# "**" is any depth of folders.  Everything else stays here.
LAID = (
    "Include/internal/obmalloc/**",
    "Objects/obmalloc/**",
    "Modules/_obmalloc*.[ch]",
    "Lib/obmalloc/**",
    "Lib/test/test_obmalloc.py",
    "Lib/test/test_obmalloc/**",
)
# Files that only Python 2 has lie below this folder, at the path that they get in a
# patched tree.  Of the others Python 2 has those in C; where both have a path, its own.
PYTHON2 = "Python2"


def _as_regex(pattern: str) -> str:
    escaped = re.escape(pattern).replace(r"\*\*", "\0").replace(r"\*", "[^/]*")
    return escaped.replace("\0", ".*").replace(r"\[ch\]", "[ch]")


_LAID = re.compile("|".join(f"(?:{_as_regex(pattern)})" for pattern in LAID))
# What editors and interpreters leave behind is no source.
_LEFTOVER = re.compile(r"(^|/)(\.|#|__pycache__/)|(~|\.pyc|\.pyo|\.orig|\.rej|\.o)$")



def is_laid(path: str) -> bool:
    """Whether path, relative to the tree, is one of our own files."""
    return _LAID.fullmatch(path) is not None and _LEFTOVER.search(path) is None


def laid_files(python: int, root: Path = ROOT) -> dict[str, Path]:
    """Our own files in root that a patched tree of Python 2 or 3 gets, by
    relative path."""
    found = _files_to_lay(root)
    if python == 2:
        shared = {path: file for path, file in found.items() if not path.startswith("Lib/")}
        found = shared | _files_to_lay(root / PYTHON2)
    return dict(sorted(found.items()))


def _files_to_lay(root: Path) -> dict[str, Path]:
    found = {}
    for pattern in LAID:
        deep = pattern.replace("**", "**/*") if pattern.endswith("**") else pattern
        for file in root.glob(deep):
            path = file.relative_to(root).as_posix()
            if is_laid(path) and file.is_file():
                found[path] = file
    return found


def shown(path: Path) -> str:
    """path as a person standing in the repository would write it."""
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)


def given(variable: str) -> Optional[Path]:
    """The path that a variable of the makefile names; None: it is empty."""
    text = os.environ.get(variable, "")
    try:
        return Path(text).expanduser() if text else None
    except RuntimeError:
        raise BuildError(f"{variable}={text}: there is no such user: write the path without ~") from None


def folder(release: Release) -> Path:
    """All that is made of one release."""
    return BUILD / f"cpython-{release.number}"


def pristine(release: Release) -> Path:
    """The unpacked archive."""
    return folder(release) / "pristine"


def patched(release: Release) -> Path:
    """The tree that our interpreters are built from."""
    return folder(release) / "patched"


def patches(release: Release) -> Path:
    """The lines that we add to CPython's own files."""
    return ROOT / "patches" / release.number


@contextlib.contextmanager
def locked(release: Release) -> Iterator[None]:
    """Keep a second make out of this release's folder meanwhile."""
    if " " in str(ROOT):
        raise BuildError(f"{ROOT}: CPython cannot be built below a folder with a "
                         "space in its name: move the repository")
    folder(release).mkdir(parents=True, exist_ok=True)
    with open(folder(release) / ".lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make that works in the same folder")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
