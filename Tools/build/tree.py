"""The patched tree, and the patches made of an edited one.

    patched tree = pristine tree + patches/VERSION/PATH.patch + our own files

sync() brings the tree up to date and writes only files whose content differs,
so that CPython's make rebuilds only what it must.  It remembers the sums of
what it wrote (patched.json beside the tree), and so tells an old file of its
own, which it replaces, from somebody's edit, which it never overwrites.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import insertions
import places
from errors import BuildError, say
from shared import files
from source import ensure_pristine
from versions import Release

PATCH_SUFFIX = ".patch"


def load_patches(release: Release) -> dict[str, insertions.FilePatch]:
    """All patches of a release by the path of the file they change."""
    folder = places.patches(release)
    found = {}
    for name in sorted(files.walk(folder)) if folder.is_dir() else []:
        shown = places.shown(folder / name)
        if not name.endswith(PATCH_SUFFIX):
            raise BuildError(f"{shown}: only files called PATH{PATCH_SUFFIX} belong here")
        patch = insertions.parse((folder / name).read_bytes(), shown)
        if patch.path != name[:-len(PATCH_SUFFIX)]:
            raise BuildError(f"{shown}: its name and the path in it ({patch.path}) differ")
        found[patch.path] = patch
    return found


def wanted(release: Release) -> dict[str, bytes]:
    """Content of every file in which the patched tree differs, by path."""
    pristine = places.pristine(release)
    contents = {}
    for path, patch in load_patches(release).items():
        base = files.read_or_none(pristine / path)
        if base is None:
            raise BuildError(f"{places.shown(places.patches(release))}/{path}{PATCH_SUFFIX}: "
                             f"CPython {release.number} has no such file")
        contents[path] = insertions.apply(patch, base)
    for path, file in places.laid_files(release.series[0]).items():
        if (pristine / path).exists():
            raise BuildError(f"{path}: CPython {release.number} has a file of this name: choose another")
        contents[path] = file.read_bytes()
    return contents


def sync(release: Release) -> Path:
    """Make or update the patched tree; returns it.

    BuildError, before anything is written, when a file in it was edited.
    """
    pristine, tree = ensure_pristine(release), places.patched(release)
    contents = wanted(release)
    memory = tree.with_suffix(".json")
    if not tree.exists():
        say(f"copying the source to {places.shown(tree)}, to be patched")
        memory.unlink(missing_ok=True)
        with files.staged_folder(tree) as folder:
            # Times are kept: generated files must stay newer than their sources.
            shutil.copytree(pristine, folder, symlinks=True, dirs_exist_ok=True)
    written = files.read_json(memory, {})
    _refuse_edits(pristine, tree, contents, written)
    # Remember first what may stand there, should we be interrupted.
    files.write_json(memory, {**written, **{path: files.sha256(data) for path, data in contents.items()}})
    for path, data in contents.items():
        if files.write_if_changed(tree / path, data):
            say(f"patched tree: {path}")
    for path in _missing(pristine, tree):  # deleted by somebody who wants the original
        shutil.copy2(pristine / path, tree / path, follow_symlinks=False)
    for path in sorted(set(written) - set(contents)):
        _restore(pristine / path, tree / path)
        say(f"patched tree: {path} is no longer ours")
    files.write_json(memory, {path: files.sha256(data) for path, data in contents.items()})
    return tree


def _restore(pristine: Path, file: Path) -> None:
    """Put CPython's own file back, or remove one that was only ours."""
    base = files.read_or_none(pristine)
    if base is not None:
        files.write_if_changed(file, base)
        return
    file.unlink(missing_ok=True)
    folder = file.parent
    while folder.is_dir() and not any(folder.iterdir()):  # leave no empty folders
        folder.rmdir()
        folder = folder.parent


def _refuse_edits(pristine: Path, tree: Path, contents: dict[str, bytes],
                  written: dict[str, str]) -> None:
    for path in sorted(changed_files(pristine, tree) | set(written)):
        current = files.read_or_none(tree / path)
        if current is None or current == contents.get(path):
            continue
        if files.sha256(current) == written.get(path) or current == files.read_or_none(pristine / path):
            continue
        remedy = ("copy it to the repository" if places.is_laid(path)
                  else "run `make patches` to keep the edit")
        raise BuildError(f"{places.shown(tree / path)} was edited: {remedy}, or delete the file")


def _missing(pristine: Path, tree: Path) -> list[str]:
    return sorted(path for path in files.walk(pristine) if not os.path.lexists(tree / path))


def changed_files(pristine: Path, tree: Path) -> set[str]:
    """Paths of files in tree that pristine lacks, or has with other content.

    Files of equal size and time count as equal: tree began as a copy.
    """
    changed = set()
    for path in files.walk(tree):
        new = (tree / path).lstat()
        try:
            old = (pristine / path).lstat()
        except FileNotFoundError:
            changed.add(path)
            continue
        if (old.st_size, old.st_mtime_ns) != (new.st_size, new.st_mtime_ns) and \
                files.read_or_none(pristine / path) != files.read_or_none(tree / path):
            changed.add(path)
    return changed


def regenerate_patches(release: Release, tree: Path) -> None:
    """Write patches/VERSION anew from an edited tree; says what changed.

    All patches are made before the first is written, so an edit that is not
    an insertion changes nothing.
    """
    if not (tree / "Include/patchlevel.h").is_file():
        raise BuildError(f"{places.shown(tree)} is not a source tree of CPython: name an edited one with TREE=DIR")
    pristine, folder = ensure_pristine(release), places.patches(release)
    missing = _missing(pristine, tree)
    if missing:
        raise BuildError(f"{places.shown(tree / missing[0])} is missing: a patch may only insert lines")
    new = {}
    for path in sorted(changed_files(pristine, tree)):
        if places.is_laid(path):
            continue
        base = files.read_or_none(pristine / path)
        if base is None:
            raise BuildError(f"{places.shown(tree / path)}: CPython {release.number} has no such file, and "
                             "patches make none: new files belong in the repository, at the same path")
        patch = insertions.between(path, base, (tree / path).read_bytes())
        new[path + PATCH_SUFFIX] = insertions.serialize(patch)
    old = set(files.walk(folder)) if folder.is_dir() else set()
    for name, data in new.items():
        if files.write_if_changed(folder / name, data):
            say(f"{places.shown(folder / name)} written")
    for name in sorted(old - set(new)):
        (folder / name).unlink()
        say(f"{places.shown(folder / name)} removed: the file in the tree is CPython's own")
    say(f"patches of {len(new)} files are up to date")
