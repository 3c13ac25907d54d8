"""The pristine source of a release: find the archive, check it, unpack it.

Nothing is unpacked before its SHA-256 is right, so it does not matter from
where, or over what connection, an archive came.
"""

from __future__ import annotations

import os
import shutil
import stat
import urllib.error
import urllib.request
from pathlib import Path

import debian
import places
from errors import BuildError, say
from processes import run_logged
from shared import files
from versions import Release

TIMEOUT_SECONDS = 30


def check_sum(archive: Path, release: Release) -> None:
    """BuildError unless archive is the pinned release's."""
    remedy = f"name {release.tarball} of python.org with CPYTHON_TARBALL=FILE"
    try:
        if not stat.S_ISREG(archive.stat().st_mode):    # a device might never end
            raise BuildError(f"{places.shown(archive)} is not a file: {remedy}")
        found = files.sha256_of_file(archive)
    except OSError as error:
        raise BuildError(f"the archive of CPython {release.number} cannot be read: "
                         f"{places.shown(archive)}: {error.strerror}: {remedy}") from None
    if found != release.sha256:
        raise BuildError(f"{places.shown(archive)} is not the source of CPython {release.number}: "
                         f"its SHA-256 is {found}, that of {release.tarball} {release.sha256}: {remedy}")


def ensure_archive(release: Release) -> Path:
    """A checked archive: CPYTHON_TARBALL, else one from an earlier run,
    else Debian's, else python.org's."""
    archive = places.given("CPYTHON_TARBALL")
    if archive is not None:
        check_sum(archive, release)
        return archive
    kept = places.DOWNLOADS / release.tarball
    if not kept.exists():
        _download(release, kept)
    check_sum(kept, release)
    return kept


def _download(release: Release, target: Path) -> None:
    """Fetch the archive to target; BuildError when no source has it."""
    places.DOWNLOADS.mkdir(parents=True, exist_ok=True)
    log = places.DOWNLOADS / "download.log"
    log.unlink(missing_ok=True)
    fetched = places.DOWNLOADS / release.debian_tarball
    reasons = [debian.fetch(release, log)]
    if reasons[0] is None:
        try:
            check_sum(fetched, release)
            fetched.replace(target)
            return
        except BuildError as error:
            reasons[0] = str(error)
            fetched.unlink(missing_ok=True)
    try:
        _download_from_python_org(release, target)
    except (OSError, BuildError) as error:
        reasons.append(f"{release.url}: {getattr(error, 'reason', None) or error}")
        raise BuildError(f"the source of CPython {release.number} was not found; name the archive with "
                         f"CPYTHON_TARBALL=FILE ({'; '.join(filter(None, reasons))})") from None


def _download_from_python_org(release: Release, target: Path) -> None:
    say(f"fetching {release.url}")
    with files.staged_file(target) as staged:
        with open(staged, "wb") as stream, \
                urllib.request.urlopen(release.url, timeout=TIMEOUT_SECONDS) as answer:
            shutil.copyfileobj(answer, stream, files.CHUNK)
        check_sum(staged, release)


def ensure_pristine(release: Release) -> Path:
    """The unpacked source; unpacks it when it is not there yet."""
    target = places.pristine(release)
    if target.exists():
        if os.environ.get("CPYTHON_TARBALL"):
            ensure_archive(release)  # a wrong file is an error even when not needed
        return target
    if not release.sha256:
        _copy_users_tree(release, target)
        return target
    archive = ensure_archive(release)
    say(f"unpacking CPython {release.number} to {places.shown(target)}")
    with files.staged_folder(target) as folder:
        unpack(archive, folder, places.folder(release) / "unpack.log")
    return target


def _copy_users_tree(release: Release, target: Path) -> None:
    """The tree that CPYTHON names, as if it had been unpacked.  Whether it is the
    pinned source is known from the sums in the patches."""
    given = places.given("CPYTHON")
    if given is None:
        raise BuildError(f"CPython {release.number} comes from no archive: unpack its source and name "
                         f"the folder, make VERSION={release.number} CPYTHON=DIR")
    tree = given.absolute()
    header = files.read_or_none(tree / "Include/patchlevel.h") or b""
    if f'"{release.number}"'.encode() not in header:
        raise BuildError(f"CPYTHON={tree} is not a source tree of CPython {release.number}")
    say(f"copying CPython {release.number} to {places.shown(target)}")
    with files.staged_folder(target) as folder:
        shutil.copytree(tree, folder, symlinks=True, dirs_exist_ok=True)


def unpack_fresh(release: Release, folder: Path, log: Path) -> None:
    """The pristine source once more, in the empty folder."""
    if release.sha256:
        unpack(ensure_archive(release), folder, log)
    else:
        shutil.copytree(ensure_pristine(release), folder, symlinks=True, dirs_exist_ok=True)


def unpack(archive: Path, folder: Path, log: Path) -> None:
    """Unpack a checked archive into folder, without its topmost folder."""
    run_logged(["tar", "--extract", "--no-same-owner", "--strip-components=1",
                f"--file={archive.resolve()}", f"--directory={folder}"], log, what="unpacking")
