"""Patches that only insert lines, and carry no line of other people's.

A patch file changes one file.  It is a unified diff without context, which
`git apply --unidiff-zero` takes as well, after a line of our own:

    pristine-sha256: SHA-256 of the file that it applies to
    --- a/PATH
    +++ b/PATH
    @@ -N,0 +M,K @@
    +K lines, to stand after line N; M is the number of the first one there

With the sum, a patch can never be applied to a file it was not made from, so
that its lines land where they were meant to, or not at all.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from errors import BuildError
from shared import files

_SUM = re.compile(rb"pristine-sha256: ([0-9a-f]{64})\n")
_HUNK = re.compile(rb"@@ -(\d{1,9}),0 \+(\d{1,9})(?:,(\d{1,9}))? @@\n")


@dataclass(frozen=True)
class Insertion:
    """lines (each with its newline) that stand after line `after`, 0 = top."""

    after: int
    lines: tuple[bytes, ...]


@dataclass(frozen=True)
class FilePatch:
    """What is inserted into one file, top to bottom.

    sum is the SHA-256 of the file before; `after` grows strictly.
    """

    path: str
    sum: str
    insertions: tuple[Insertion, ...]


def split_lines(data: bytes) -> list[bytes]:
    """Lines with their newlines; splits at "\\n" only, as diff does."""
    lines = data.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def parse(data: bytes, name: str) -> FilePatch:
    """Read a patch file; BuildError("name:line: ...") on anything else."""
    lines = split_lines(data)

    def bad(number: int, text: str) -> BuildError:
        return BuildError(f"{name}:{number}: {text}")

    if len(lines) < 4 or not (match := _SUM.fullmatch(lines[0])):
        raise bad(1, "expected 'pristine-sha256: SUM' and a patch: make it with `make patches`")
    if not (lines[1].startswith(b"--- a/") and lines[2] == b"+++ b/" + lines[1][6:]):
        raise bad(2, "expected '--- a/PATH' and '+++ b/PATH' with the same path")
    path = os.fsdecode(lines[1][6:]).rstrip("\n")
    insertions: list[Insertion] = []
    at, inserted = 3, 0
    while at < len(lines):
        hunk = _HUNK.fullmatch(lines[at])
        if not hunk:
            raise bad(at + 1, "expected '@@ -N,0 +M,K @@': a patch may only insert lines")
        after, first, count = int(hunk[1]), int(hunk[2]), int(hunk[3] or 1)
        body = lines[at + 1:at + 1 + count]
        if count < 1 or len(body) < count or not all(
                line[:1] == b"+" and line.endswith(b"\n") for line in body):
            raise bad(at + 1, f"expected {count} lines that begin with '+'")
        if insertions and after <= insertions[-1].after or first != after + inserted + 1:
            raise bad(at + 1, "the line numbers do not follow from the hunks above")
        insertions.append(Insertion(after, tuple(line[1:] for line in body)))
        inserted += count
        at += 1 + count
    return FilePatch(path, match[1].decode(), tuple(insertions))


def serialize(patch: FilePatch) -> bytes:
    """The patch file; parse() is its inverse."""
    parts = [f"pristine-sha256: {patch.sum}\n--- a/{patch.path}\n+++ b/{patch.path}\n".encode()]
    inserted = 0
    for insertion in patch.insertions:
        count = len(insertion.lines)
        parts.append(b"@@ -%d,0 +%d,%d @@\n" % (insertion.after, insertion.after + inserted + 1, count))
        parts.extend(b"+" + line for line in insertion.lines)
        inserted += count
    return b"".join(parts)


def apply(patch: FilePatch, base: bytes) -> bytes:
    """base with the insertions; BuildError unless base is the right file."""
    lines = split_lines(base)
    if files.sha256(base) != patch.sum:
        raise BuildError(f"{patch.path}: the patch was made from another file than this one "
                         f"(SHA-256 {files.sha256(base)}, expected {patch.sum})")
    if patch.insertions and patch.insertions[-1].after > len(lines):
        raise BuildError(f"{patch.path}: the patch inserts after line "
                         f"{patch.insertions[-1].after} of {len(lines)}")
    parts, done = [], 0
    for insertion in patch.insertions:
        parts += lines[done:insertion.after]
        parts += insertion.lines
        done = insertion.after
    return b"".join(parts + lines[done:])


def between(path: str, base: bytes, edited: bytes) -> FilePatch:
    """The patch that makes edited of base, two versions of the file path.

    BuildError, naming a line, when more than insertions tells them apart.
    """
    if not all(data.endswith(b"\n") or not data for data in (base, edited)):
        raise BuildError(f"{path}: the last line has no newline")
    insertions, changed = _diff(base, edited)
    if changed is not None:
        fallback = _as_subsequence(split_lines(base), split_lines(edited))
        if fallback is None:
            raise BuildError(f"{path}:{changed}: a line of CPython is changed or removed here "
                             "(its number is that of the pristine file): a patch may only insert lines")
        insertions = fallback
    patch = FilePatch(path, files.sha256(base), tuple(insertions))
    assert apply(patch, base) == edited, path
    return patch


def _diff(base: bytes, edited: bytes) -> tuple[list[Insertion], Optional[int]]:
    """git's idea of the insertions: it slides them to where people would
    put them.  Also the first line of base that is changed, if any."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, "a").write_bytes(base)
        Path(name, "b").write_bytes(edited)
        output = subprocess.run(
            ["git", "diff", "--no-index", "--unified=0", "--minimal", "--indent-heuristic", "--no-color",
             "--no-ext-diff", "--text", "a", "b"], cwd=name, stdin=subprocess.DEVNULL,
            capture_output=True, env=plain_git_environment(name)).stdout
    lines, insertions, changed = split_lines(edited), [], None
    for match in re.finditer(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", output, re.M):
        after, removed, first, count = (int(match[i] or 1) for i in range(1, 5))
        if removed and changed is None:
            changed = after
        insertions.append(Insertion(after, tuple(lines[first - 1:first - 1 + count])))
    return insertions, changed


def plain_git_environment(ceiling: str) -> dict[str, str]:
    """An environment in which git obeys no configuration, and looks for no
    repository at or above the folder ceiling."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1",
                       GIT_CEILING_DIRECTORIES=str(Path(ceiling).resolve().parent))
    return environment


def _as_subsequence(base: list[bytes], edited: list[bytes]) -> Optional[list[Insertion]]:
    """Insertions by the first match of each line, or None if there are none.

    For the rare case where git's diff is not the shortest.
    """
    insertions, at, pending = [], 0, []
    for line in edited:
        if at < len(base) and line == base[at]:
            if pending:
                insertions.append(Insertion(at, tuple(pending)))
                pending = []
            at += 1
        else:
            pending.append(line)
    if at < len(base):
        return None
    return insertions + ([Insertion(at, tuple(pending))] if pending else [])
