"""Files that are either the old or the new one, never half of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Iterator, Optional

from .command import Failure

TEMPORARY_SUFFIX = ".obm-tmp"
WRITTEN_BY_PYTHON = (".pyc", ".pyo", ".pickle", TEMPORARY_SUFFIX)
CHUNK = 1 << 20  # bytes read at a time


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new file beside target; it goes when the block raises."""
    handle, name = tempfile.mkstemp(TEMPORARY_SUFFIX, f".{target.name}.", target.parent)
    os.close(handle)
    try:
        yield Path(name)
    except BaseException:
        os.unlink(name)
        raise


def stage(target: Path, data: bytes) -> Path:
    """Write data to a new file beside target and return its path.

    It has the permissions and, where allowed, the owner of an existing
    target; else those of an ordinary new file.  OSError leaves nothing.
    """
    with _beside(target) as staged:
        staged.write_bytes(data)
        _copy_rights(target, staged)
    return staged


def _copy_rights(target: Path, name: Path) -> None:
    """Give the file called name the rights of target, or of an ordinary new file."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        return
    with contextlib.suppress(PermissionError):
        os.chown(name, old.st_uid, old.st_gid)
    os.chmod(name, old.st_mode & 0o7777)


def write(target: Path, data: bytes) -> None:
    """Replace target by data in one step; makes its folder.  Failure leaves the old file."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged_file(target) as staged:
            staged.write_bytes(data)
    except OSError as error:
        raise Failure(f"cannot write {target}: {error.strerror}") from error


def write_if_changed(target: Path, data: bytes) -> bool:
    """As write(), but an equal file keeps its time; True if written.

    make compares times, so a needless write is a needless compilation.
    """
    if read_or_none(target) == data:
        return False
    write(target, data)
    return True


def write_json(target: Path, value: Any) -> None:
    """Replace target by value as JSON; equal content keeps its time."""
    write_if_changed(target, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path, default: Any) -> Any:
    """The value in path, or default when there is none or it is damaged: no JSON, or not
    of the type of the default."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return default
    return value if isinstance(value, type(default)) else default


def read_or_none(path: Path) -> Optional[bytes]:
    """Content of path, or None when it does not exist."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """A new file that becomes target when the block ends well.

    It lies beside target, so that the last step is a rename, and gets the rights
    of an existing target, or of an ordinary new file.  When the block raises,
    nothing of it stays.
    """
    with _beside(target) as staged:
        yield staged
        _copy_rights(target, staged)
        os.replace(staged, target)


@contextlib.contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A new folder that becomes target when the block ends well.

    It lies beside target, so that the last step is a rename.  When the block
    raises, nothing of it stays.  target must not exist, or be empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(TEMPORARY_SUFFIX, f".{target.name}.", target.parent))
    try:
        folder.chmod(0o755)  # mkdtemp's 0700 would become target's
        yield folder
        os.replace(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def walk(root: Path, everything: bool = False) -> Iterator[str]:
    """Paths of all files and links below root, relative, with "/", in no fixed order.

    Skips, unless it wants everything, what Python writes beside the sources it
    imports (up to 3.12, lib2to3's grammars too).
    """
    stack = [""]
    while stack:
        prefix = stack.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                path = prefix + entry.name
                if not entry.is_dir(follow_symlinks=False):
                    if everything or not entry.name.endswith(WRITTEN_BY_PYTHON):
                        yield path
                elif everything or entry.name != "__pycache__":
                    stack.append(path + "/")
