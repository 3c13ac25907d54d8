"""Configures and makes CPython, in one folder per variant.

A build is skipped when nothing changed since the last that ended well: no
file of its source tree, nor how it was configured.  Otherwise CPython's own
make decides what to do, helped by the compiler's notes on which of our
headers and included .c files each object was made from (-MMD), which
CPython's makefile does not know.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

import places
import tree
from errors import BuildError, say
from processes import clean_environment, jobs, run_logged
from shared import files
from source import ensure_pristine
from versions import Release

# What CPython's configure reads from the environment, when it is set.
CONFIGURE_VARIABLES = ("CC", "CPP", "CXX", "AR", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CFLAGS_NODIST",
                       "LDFLAGS_NODIST", "LIBS", "PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR")

# File times advance in steps of the kernel's clock: after this long, a new
# file is surely newer than those written before.
CLOCK_TICK_SECONDS = 0.02


@dataclass(frozen=True)
class Variant:
    """A way to build: from which tree, with which arguments of configure."""

    name: str
    patched: bool
    arguments: tuple[str, ...] = ()


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("stock", patched=False),
        Variant("stock-debug", patched=False, arguments=("--with-pydebug",)),
        Variant("obmalloc", patched=True),
        Variant("obmalloc-debug", patched=True, arguments=("--with-pydebug",)),
    )
}


@dataclass(frozen=True)
class Build:
    """One build folder and the files beside it."""

    release: Release
    variant: Variant

    def _beside(self, suffix: str) -> Path:
        return places.folder(self.release) / (self.variant.name + suffix)

    @property
    def folder(self) -> Path:
        """CPython's build folder."""
        return self._beside("")

    @property
    def python(self) -> Path:
        """The interpreter (python.exe where file names ignore case)."""
        return self.folder / "python"

    @property
    def log(self) -> Path:
        """Output of configure and make."""
        return self._beside(".log")

    @property
    def choice(self) -> Path:
        """JSON: how the folder was configured."""
        return self._beside(".configured.json")

    @property
    def stamp(self) -> Path:
        """When the last good build began (its time), from which files."""
        return self._beside(".stamp")

    @property
    def rules(self) -> Path:
        """Makefile: which object was made from which of our files."""
        return self._beside(".mk")


def configure_arguments() -> tuple[str, ...]:
    """CONFIGURE_ARGS, split as a shell would."""
    try:
        return tuple(shlex.split(os.environ.get("CONFIGURE_ARGS", "")))
    except ValueError as error:
        raise BuildError(f"CONFIGURE_ARGS={os.environ['CONFIGURE_ARGS']}: {error}: quote it as for a shell") from None


def build(release: Release, variant: Variant) -> Build:
    """Bring one interpreter up to date; returns where it is."""
    job_count, arguments = jobs(), (*variant.arguments, *configure_arguments())
    this = Build(release, variant)
    with places.locked(release):
        source = tree.sync(release) if variant.patched else ensure_pristine(release)
        choice = {"arguments": list(arguments), "environment": _configure_environment(release)}
        configured = files.read_json(this.choice, {}) == choice and (this.folder / "Makefile").exists()
        if configured and _is_current(this, source):
            say(f"{places.shown(this.python)} is up to date")
            return this
        with _no_half_build(this, source):
            if not configured or _has_old_profile(this, source):
                _configure(this, source, choice)
            _make(this, source, job_count)
    return this


def _configure_environment(release: Release) -> dict[str, str]:
    own = {name: os.environ.get(name, value) for name, value in release.environment}
    return own | {name: os.environ[name] for name in CONFIGURE_VARIABLES if name in os.environ}


def _is_current(this: Build, source: Path) -> bool:
    """Whether the source has the files that it had when the last good build
    began, and none of them is newer."""
    if not (this.python.exists() and this.stamp.exists()):
        return False
    built = this.stamp.stat().st_mtime_ns
    return this.stamp.read_text() == _names_digest(source) and all(
        (source / path).lstat().st_mtime_ns < built for path in files.walk(source))


def _has_old_profile(this: Build, source: Path) -> bool:
    """Whether objects were made for what a run of older source taught
    (--enable-optimizations): the compiler takes no such profile for new source."""
    profile = this.folder / "profile-run-stamp"
    if not profile.exists():
        return False
    learned = profile.stat().st_mtime_ns
    return any((source / path).lstat().st_mtime_ns >= learned for path in files.walk(source))


def _names_digest(source: Path) -> str:
    """Changes when a file appears or vanishes, which times do not tell."""
    return files.sha256("\n".join(sorted(files.walk(source))).encode())


@contextlib.contextmanager
def _no_half_build(this: Build, source: Path) -> Iterator[None]:
    """Take the interpreter away when its build fails: it may not match its
    library.  The objects stay, so the next try is short."""
    begin = this.stamp.with_suffix(".begin")
    this.stamp.unlink(missing_ok=True)
    this.folder.parent.mkdir(parents=True, exist_ok=True)
    time.sleep(CLOCK_TICK_SECONDS)
    begin.write_text(_names_digest(source))
    try:
        yield
    except BaseException:
        this.python.unlink(missing_ok=True)
        raise
    os.replace(begin, this.stamp)


def _configure(this: Build, source: Path, choice: dict) -> None:
    """Start the folder afresh: objects made with other flags are no use."""
    say(f"configuring {places.shown(this.folder)} {shlex.join(choice['arguments'])}".rstrip()
        + f" (log: {places.shown(this.log)})")
    this.choice.unlink(missing_ok=True)
    if this.folder.exists():
        shutil.rmtree(this.folder)
    this.folder.mkdir(parents=True)
    script = os.path.relpath(source / "configure", this.folder)
    # A misspelt option is an error, not a warning that scrolls by.
    run_logged([script, "--enable-option-checking=fatal", *choice["arguments"]], this.log, cwd=this.folder,
               what="CPython's configure", environment={**clean_environment(), **choice["environment"]},
               progress=lambda: "still looking at this machine")
    files.write_json(this.choice, choice)


def _make(this: Build, source: Path, job_count: int) -> None:
    """Have CPython's make build the interpreter from source, configured already."""
    say(f"making {places.shown(this.python)} with {job_count} jobs (log: {places.shown(this.log)})")
    environment = clean_environment()
    if this.variant.patched:
        _write_rules(this, source)
        # Read by every make below as well, before its own makefile.
        environment["MAKEFILES"] = str(this.rules)
    before = this.log.stat().st_size if this.log.exists() else 0

    def compiled() -> str:
        with open(this.log, "rb") as stream:
            stream.seek(before)
            return f"{stream.read().count(b' -c ')} files compiled"

    run_logged(["make", f"-j{job_count}"], this.log, cwd=this.folder, append=True, what="CPython's make",
               environment=environment, progress=compiled)
    probe = subprocess.run([this.python, "-c", "import sys; print(sys.version.split()[0])"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean_environment())
    if probe.stdout.strip() != this.release.number:
        raise BuildError(f"{places.shown(this.python)} does not run (status {probe.returncode}): "
                         f"{probe.stderr.strip()[-300:]} (see {places.shown(this.log)})")
    say(f"{places.shown(this.python)} is ready")


def _write_rules(this: Build, source: Path) -> None:
    """Makefile with the rules OBJECT: OUR FILES, from the last build's notes.

    EXTRA_CFLAGS is CPython's hook for more flags.  Set in a makefile, and not
    in the environment, it does not end up in sysconfig.
    """
    prefix = os.path.relpath(source, this.folder) + "/"
    rules = ["EXTRA_CFLAGS := -MMD\n"]
    ours = set()
    for name in sorted(files.walk(this.folder)) if this.folder.exists() else []:
        if name.endswith(".d"):
            target, needed = _read_notes(this.folder / name, prefix)
            if target is not None and needed:
                rules.append(f"{target}: {' '.join(sorted(needed))}\n")
                ours |= needed
    # One that has vanished counts as changed, instead of as an error.
    rules += [f"{path}:\n" for path in sorted(ours)]
    files.write_if_changed(this.rules, "".join(rules).encode())


def _read_notes(file: Path, prefix: str) -> tuple[Optional[str], set[str]]:
    """Target of a .d file and those of its prerequisites that are ours."""
    words = file.read_text(errors="replace").replace("\\\n", " ").split()
    if not words or not words[0].endswith(":"):
        return None, set()
    ours = {word for word in words[1:] if places.is_laid(os.path.normpath(word[len(prefix):]))
            and word.startswith(prefix)}
    return words[0][:-1], ours
