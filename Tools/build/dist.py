"""make dist: one ordinary patch file, proven on freshly unpacked sources.

It has context, so it carries lines of CPython: it is made on the user's
machine, from the user's copy of the source, and lies outside the repository.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Sequence

import places
import tree
from errors import BuildError, say
from insertions import plain_git_environment
from processes import run_logged
from shared import files
from source import ensure_pristine, unpack_fresh
from versions import Release

# How users apply it.  Each must give the tree that our own build uses.
APPLIERS: tuple[tuple[str, ...], ...] = (
    ("patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch", "-i"),
    ("git", "apply"),
)


def dist(release: Release) -> None:
    """Write dist/cpython-VERSION-obmalloc.patch."""
    target = places.DIST / f"cpython-{release.number}-obmalloc.patch"
    with places.locked(release):
        pristine, contents = ensure_pristine(release), tree.wanted(release)
        data = as_one_patch(pristine, contents)
        with tempfile.TemporaryDirectory(files.TEMPORARY_SUFFIX, ".dist.", places.folder(release)) as name:
            _prove(release, data, contents, Path(name))
        files.write_if_changed(target, data)
    say(f"{places.shown(target)}: {len(contents)} files; patch -p1 and git apply give the tree we build")


def as_one_patch(pristine: Path, contents: dict[str, bytes]) -> bytes:
    """The patch with context that turns pristine's files into contents."""
    with tempfile.TemporaryDirectory() as name:
        for path, data in contents.items():
            files.write(Path(name, "b", path), data)
            old = files.read_or_none(pristine / path)
            if old is not None:
                files.write(Path(name, "a", path), old)
        for side in "ab":
            Path(name, side).mkdir(exist_ok=True)
        # Not to be mistaken for an executable file by git, whatever umask is.
        for file in Path(name).rglob("*"):
            if file.is_file():
                file.chmod(0o644)
        done = subprocess.run(["git", "diff", "--no-index", "--no-prefix", "--no-color", "--no-ext-diff",
                               "--full-index", "--unified=3", "--indent-heuristic", "--text", "a", "b"],
                              cwd=name, stdin=subprocess.DEVNULL, capture_output=True,
                              env=plain_git_environment(name))
    if done.returncode not in (0, 1):
        raise BuildError(f"git diff failed: {done.stderr.decode(errors='replace').strip()}")
    if not done.stdout:
        raise BuildError("there is nothing to patch yet: no patches, no files of our own")
    # Without prefixes, git calls both sides of a new file b/.
    return re.sub(rb"^diff --git b/(.*) b/\1$", rb"diff --git a/\1 b/\1", done.stdout, flags=re.M)


def _prove(release: Release, data: bytes, contents: dict[str, bytes], folder: Path) -> None:
    """BuildError unless every applier makes contents out of the archive."""
    log = places.folder(release) / "dist.log"
    log.unlink(missing_ok=True)
    patch_file = folder / "obmalloc.patch"
    patch_file.write_bytes(data)
    for number, applier in enumerate(APPLIERS):
        say(f"trying the patch on a fresh source: {' '.join(applier[:2])} (log: {places.shown(log)})")
        fresh = folder / str(number)
        fresh.mkdir()
        unpack_fresh(release, fresh, places.folder(release) / "unpack.log")
        _apply(applier, patch_file, fresh, log)
        wrong = difference(places.pristine(release), fresh, contents)
        if wrong:
            raise BuildError(f"{' '.join(applier[:2])} gives another {wrong} than our own build uses")


def _apply(applier: Sequence[str], patch_file: Path, fresh: Path, log: Path) -> None:
    run_logged([*applier, str(patch_file.resolve())], log, cwd=fresh, append=True, what=applier[0],
               environment=plain_git_environment(str(fresh)))


def difference(pristine: Path, fresh: Path, contents: dict[str, bytes]) -> str:
    """Path of a file that is not as it should be in fresh; "" if none."""
    for path in sorted(tree.changed_files(pristine, fresh) | set(contents)):
        if files.read_or_none(fresh / path) != contents.get(path):
            return path
    return ""
