"""make patch CPYTHON=DIR: our lines and files in somebody's own source tree.

A file that equals the pinned release's gets the pinned result.  Any other is
merged three ways (git merge-file; base: pinned, ours: the user's, theirs:
pinned with our lines).  Everything is computed first; one conflict, and
nothing is written at all.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import insertions
import places
import tree
from errors import BuildError, say
from shared import files
from source import ensure_pristine
from versions import Release

_VERSION = re.compile(rb'^#define\s+PY_VERSION\s+"(\d+\.\d+[^"]*)"', re.M)
_BEGIN, _BASE, _MIDDLE, _END = b"<<<<<<< ", b"||||||| ", b"=======\n", b">>>>>>> "


@dataclass(frozen=True)
class Conflict:
    """Lines first..last of the user's file; last < first: before line first."""

    path: str
    first: int
    last: int

    def __str__(self) -> str:
        if self.last <= self.first:
            return f"{self.path} line {self.first}"
        return f"{self.path} lines {self.first}-{self.last}"


def patch(release: Release) -> None:
    """Patch the tree that the variable CPYTHON names."""
    given = places.given("CPYTHON")
    if given is None:
        raise BuildError("say which source tree: make patch CPYTHON=DIR")
    target = given.absolute()
    version = check_version(target, release)
    with places.locked(release):
        ensure_pristine(release)
    new = compute(release, target)
    if not new:
        say(f"{target} is already patched: nothing to do")
        return
    write_all(target, new)
    say(f"{target} (CPython {version}): {len(new)} files patched; configure and make it as usual")


def check_version(target: Path, release: Release) -> str:
    """The version of the tree; BuildError unless it is of release's minor."""
    header = files.read_or_none(target / "Include/patchlevel.h")
    match = _VERSION.search(header or b"")
    if not match or not (target / "Objects/obmalloc.c").is_file():
        raise BuildError(f"CPYTHON={target} is not a source tree of CPython")
    version = match[1].decode(errors="replace")
    if re.match(r"\d+\.\d+", version)[0] != release.minor:
        raise BuildError(f"CPYTHON={target} is CPython {version}, the patches are for {release.minor}")
    return version


def compute(release: Release, target: Path) -> dict[str, bytes]:
    """What to write into target, by path; empty when it is patched already.

    BuildError naming every conflict when the tree cannot take the patches.
    """
    patches, pristine = tree.load_patches(release), places.pristine(release)
    new, conflicts, missing = {}, [], []
    for path, theirs in tree.wanted(release).items():
        ours = files.read_or_none(target / path)
        if path not in patches:
            if ours is not None and ours != theirs:
                raise BuildError(f"CPYTHON={target} carries another version of obmalloc ({path} differs): "
                                 "start from a tree without it")
            if ours is None:
                new[path] = theirs
        elif ours is None:
            missing.append(path)
        else:
            merged, found = merge(patches[path], (pristine / path).read_bytes(), ours, theirs)
            conflicts += found
            if merged != ours:
                new[path] = merged
    if missing:
        raise BuildError(f"CPYTHON={target} lacks {', '.join(missing)}: nothing was changed")
    if conflicts:
        raise BuildError(f"CPYTHON={target} differs from CPython {release.number} where our lines go: "
                         f"{'; '.join(map(str, conflicts))}: nothing was changed")
    return new


def merge(patch: insertions.FilePatch, base: bytes, ours: bytes,
          theirs: bytes) -> tuple[bytes, list[Conflict]]:
    """The user's file with our lines, and where that is impossible.

    With conflicts the first value is ours, unchanged.
    """
    if ours in (base, theirs):
        return theirs, []
    if contains(ours, patch):
        return ours, []
    output = _merge_file(base, ours, theirs)
    conflicts = find_conflicts(output, patch)
    return (ours, conflicts) if conflicts else (output, [])


def contains(ours: bytes, patch: insertions.FilePatch) -> bool:
    """Whether all our blocks of lines stand in the file, in order."""
    at = 0
    for insertion in patch.insertions:
        block = b"".join(insertion.lines)
        at = ours.find(block, at)
        while at > 0 and ours[at - 1:at] != b"\n":  # whole lines only
            at = ours.find(block, at + 1)
        if at < 0:
            return False
        at += len(block)
    return True


def _merge_file(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        for label, data in (("ours", ours), ("base", base), ("theirs", theirs)):
            Path(name, label).write_bytes(data)
        # diff3: the markers then surround whole blocks of ours, never parts.
        done = subprocess.run(["git", "merge-file", "-p", "-q", "--diff3", "ours", "base", "theirs"],
                              cwd=name, stdin=subprocess.DEVNULL, capture_output=True,
                              env=insertions.plain_git_environment(name))
    if done.returncode < 0 or done.returncode >= 128:
        raise BuildError(f"git merge-file failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def find_conflicts(output: bytes, patch: insertions.FilePatch) -> list[Conflict]:
    """The conflicts in what git merge-file printed.

    Line numbers are those of the user's file: our own blocks, where they
    went in well, do not count.
    """
    lines = insertions.split_lines(output)
    blocks = [list(insertion.lines) for insertion in patch.insertions]
    conflicts: list[Conflict] = []
    number, at = 1, 0
    while at < len(lines):
        block = next((block for block in blocks if lines[at:at + len(block)] == block), None)
        if lines[at].startswith(_BEGIN):
            first, at = number, at + 1
            while not lines[at].startswith(_BASE):
                number, at = number + 1, at + 1
            while not lines[at].startswith(_END):
                at += 1
            conflicts.append(Conflict(patch.path, first, number - 1))
        elif block is not None:
            blocks.remove(block)
            at += len(block) - 1
        else:
            number += 1
        at += 1
    return conflicts


def write_all(target: Path, new: dict[str, bytes]) -> None:
    """Write all files, or none: every one is staged beside its target before
    the first is renamed, and a failing rename undoes those before it."""
    staged: list[tuple[Path, Path, Optional[bytes]]] = []
    made: list[Path] = []
    done = 0
    try:
        for path, data in new.items():
            file = Path(os.path.realpath(target / path))  # a link stays a link
            made += _make_folders(file.parent)
            staged.append((files.stage(file, data), file, files.read_or_none(file)))
        for temporary, file, _ in staged:
            os.replace(temporary, file)
            done += 1
    except BaseException as error:
        _undo(staged, done, made)
        if isinstance(error, OSError):
            raise BuildError(f"CPYTHON={target} cannot be written to ({error.strerror}): "
                             "nothing was changed") from None
        raise


def _make_folders(folder: Path) -> list[Path]:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir()
    return list(reversed(missing))


def _undo(staged: list[tuple[Path, Path, Optional[bytes]]], done: int, made: list[Path]) -> None:
    for temporary, _, _ in staged[done:]:
        temporary.unlink(missing_ok=True)
    for _, file, old in staged[:done]:
        if old is None:
            file.unlink(missing_ok=True)
        else:
            files.write(file, old)
    for folder in reversed(made):
        folder.rmdir()
