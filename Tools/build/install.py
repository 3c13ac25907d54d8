"""make install PREFIX=DIR: a patched interpreter that knows it lives in DIR.

CPython's own installation goes to a folder of ours first.  Only when all of
it is there is it moved to DIR: in one step if DIR is new, else file by file,
each by a rename, so that no file there is ever half written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import places
from errors import BuildError, say
from interpreter import Build, Variant, build
from processes import clean_environment, run_logged
from shared import files
from versions import Release

RESERVE_BYTES = 64 << 20  # free space to leave on the target's file system


def install(release: Release) -> None:
    """Install into the folder that the variable PREFIX names."""
    given = places.given("PREFIX")
    if given is None:
        raise BuildError("say where: make install PREFIX=DIR")
    prefix = given.absolute()
    _check_writable(prefix)
    key = files.sha256(str(prefix).encode())[:8]
    this = build(release, Variant(f"install-{key}", patched=True, arguments=(f"--prefix={prefix}",)))
    staging = this.folder.with_name(this.folder.name + ".image")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _fill(this, staging)
        _move(staging / prefix.relative_to(prefix.anchor), prefix)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    say(f"installed: {prefix}/bin/python{release.minor}")


def _existing_parent(folder: Path) -> Path:
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _check_writable(prefix: Path) -> None:
    """BuildError before the long build rather than after it."""
    if not str(prefix).isprintable() or " " in str(prefix):
        raise BuildError(f"PREFIX={prefix}: CPython cannot be installed into a folder with a space or "
                         "control character in its name: choose another")
    parent = _existing_parent(prefix)
    if not parent.is_dir():
        raise BuildError(f"PREFIX={prefix}: {parent} is not a folder")
    probe = parent / f".probe{files.TEMPORARY_SUFFIX}"
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            prefix.lstat()      # says whether the name is too long
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BuildError(f"PREFIX={prefix}: {parent} cannot be written to ({error.strerror})") from None


def _fill(this: Build, staging: Path) -> None:
    log = this.log.with_suffix(".install.log")
    say(f"installing (log: {places.shown(log)})")
    run_logged(["make", "install", f"DESTDIR={staging}"], log, cwd=this.folder, what="CPython's make install",
               # The same rules as in the build, lest anything be compiled again.
               environment={**clean_environment(), "MAKEFILES": str(this.rules)},
               progress=lambda: "still installing")


def _move(image: Path, prefix: Path) -> None:
    """Put the files of image in place below prefix; none where there is no room for all."""
    names = sorted(files.walk(image, everything=True))
    needed = sum((image / name).lstat().st_size for name in names)
    free = shutil.disk_usage(_existing_parent(prefix)).free
    if free < needed + RESERVE_BYTES:
        raise BuildError(f"PREFIX={prefix}: {needed >> 20} MiB are needed there, {free >> 20} MiB are free")
    if not prefix.exists():
        with files.staged_folder(prefix) as folder:
            shutil.copytree(image, folder, symlinks=True, dirs_exist_ok=True)
        return
    for name in names:
        target = prefix / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}{files.TEMPORARY_SUFFIX}")
        temporary.unlink(missing_ok=True)
        shutil.copy2(image / name, temporary, follow_symlinks=False)
        os.replace(temporary, target)


