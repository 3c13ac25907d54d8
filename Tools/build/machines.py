"""make check-machines, the second part: the wheels on machines that this one is not.

    aarch64   Debian's own python3 for arm64 in qemu-user, with pages of 4, 16 and 64 KiB
    macOS     the core is compiled and linked by ziglang; nothing runs
    Windows   likewise, by ziglang (the unit tests of the core run under wine: check.mk)

Debian's packages for arm64 come by apt, with lists and settings of its own below
build/machines, so that the machine's are not touched; they are unpacked, not installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from functools import partial
from pathlib import Path
from typing import Callable

import places
import wheels
from errors import BuildError, say
from processes import clean_environment, run_logged

FOLDER = places.BUILD / "machines"
LOG = FOLDER / "machines.log"
PROGRAM = places.ROOT / "Tools/preload/machine_program.py"
EMULATOR = "qemu-aarch64"
PAGE_SIZES = 4096, 16384, 65536
# How much may be resident above the start with survivors: so many times the page floor, and
# what the emulator keeps of code that it has translated since.
MOST_OF_FLOOR, EMULATORS_BYTES = 1.1, 4 << 20
COMPILED_ONLY = "aarch64-macos", "x86_64-macos", "x86_64-windows-gnu"
RUN_SECONDS = 600


def _apt(folder: Path, *arguments: str) -> None:
    """Run apt-get for arm64 with lists and a cache below folder."""
    for name in "lists/partial", "cache/archives/partial":
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    run_logged(["apt-get", "-q", "-y", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64",
                "-o", f"Dir::State::status={folder}/status", "-o", f"Dir::State::lists={folder}/lists",
                "-o", f"Dir::Cache={folder}/cache", "-o", "Dir::Cache::archives=archives",
                "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=", *arguments],
               LOG, what="apt-get for arm64", append=True)


def _root_of_arm64() -> Path:
    """A folder with Debian's python3 for arm64 and what it needs."""
    root = FOLDER / "arm64"
    if (root / "usr/bin/python3").exists():
        return root
    say(f"getting Debian's python3 for arm64 (log: {places.shown(LOG)})")
    with_apt, staged = FOLDER / "apt", FOLDER / "arm64.obm-tmp"
    _apt(with_apt, "update")
    _apt(with_apt, "install", "--download-only", "--no-install-recommends", "python3")
    shutil.rmtree(staged, ignore_errors=True)
    for archive in sorted((with_apt / "cache/archives").glob("*.deb")):
        run_logged(["dpkg-deb", "--extract", str(archive), str(staged)], LOG, what="unpacking Debian's packages",
                   append=True)
    staged.rename(root)
    return root


def _wheel(tag: str) -> Path:
    found = sorted(places.DIST.glob(f"obmalloc-{wheels.version()}-*{tag}*.whl"))
    if not found:
        raise BuildError(f"dist/ has no wheel for {tag}: run `make wheels` first")
    return found[-1]


def _unpacked(tag: str) -> Path:
    """The package of a wheel of this version, unpacked."""
    folder = FOLDER / tag
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(_wheel(tag)) as archive:
        archive.extractall(folder)
    return folder


def judge(seen: dict[str, float], page_size: int) -> str:
    """What is wrong with what the program saw, "" if nothing.

    seen: bytes resident at the start, with everything alive and with survivors only, the
    page floor, the size of a page, and whether obmalloc was in force."""
    if not seen["active"]:
        return "obmalloc is not in force"
    if seen["page_size"] != page_size:
        return f"it has pages of {seen['page_size']} bytes"
    held = seen["survivors"] - seen["base"]
    if held > MOST_OF_FLOOR * seen["floor"] + EMULATORS_BYTES:
        return f"with survivors {held:,} bytes stay, and the page floor is {seen['floor']:,}"
    if seen["freed"] - seen["base"] > (seen["peak"] - seen["base"]) / 4:
        return f"of {seen['peak'] - seen['base']:,} bytes {seen['freed'] - seen['base']:,} stay when all are freed"
    return ""


def _run(command: list[str], page_size: int) -> str:
    """Run the program on a machine.  Returns what it saw in words; BuildError if that is wrong."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS,
                              env={**clean_environment(), "QEMU_PAGESIZE": str(page_size)})
    except subprocess.TimeoutExpired:
        raise BuildError(f"not done in {RUN_SECONDS} s") from None
    try:
        seen = json.loads(done.stdout)
        wrong = judge(seen, page_size)
    except ValueError:
        wrong = f"status {done.returncode}: {' '.join(done.stderr.split())[-300:]}"
    if wrong:
        raise BuildError(wrong)
    mib = {key: seen[key] / 2**20 for key in ("base", "peak", "freed", "survivors", "floor")}
    return (f"MiB above the start: {mib['peak'] - mib['base']:.1f}, freed {mib['freed'] - mib['base']:.1f}; "
            f"survivors {mib['survivors'] - mib['base']:.1f}, page floor {mib['floor']:.1f}")


def _run_arm64(page_size: int) -> str:
    root, unpacked = _root_of_arm64(), _unpacked("manylinux_2_17_aarch64")
    return _run([EMULATOR, "-L", str(root), "-E", f"PYTHONPATH={unpacked}",
                 "-E", f"LD_PRELOAD={unpacked}/obmalloc/_obmalloc.so", str(root / "usr/bin/python3"), str(PROGRAM)],
                page_size)


def _compile(triple: str) -> str:
    """Compile and link the core for a machine on which nothing of it can be run here."""
    folder = FOLDER / triple
    folder.mkdir(parents=True, exist_ok=True)
    # The core as one file, as the adapters include it, so that it links by itself.
    source = folder / "core.c"
    source.write_text('#include "../../../Objects/obmalloc/static.c"\n'
                      "size_t obm_core_is_linked(struct obm_heap *heap);\n"
                      "size_t obm_core_is_linked(struct obm_heap *heap) { return obm_trim(heap); }\n")
    wheels.run_tool(["python", "-m", "ziglang", "cc", "-target", triple, "-std=gnu11", "-O2", "-Wall", "-Wextra",
                     "-Wno-unused-function", "-shared", f"-I{places.ROOT}/Include/internal", str(source),
                     "-o", str(folder / "core.so")], f"compiling the core for {triple}", folder, **wheels.ZIG)
    return "the core compiles and links"


def try_all(machines: dict[str, Callable[[], str]]) -> None:
    """Try every machine, whatever is wrong with the one before, and tell of each.

    machines: for each name a function that returns what it found good, or raises BuildError.
    Raises BuildError with the names of those that failed."""
    failed = []
    for name, attempt in machines.items():
        try:
            say(f"{name}: {attempt()}")
        except BuildError as error:
            say(f"{name}: FAILED: {error}")
            failed.append(name)
    if failed:
        raise BuildError(f"check-machines failed on {'; '.join(failed)}: the lines above say why")


def check() -> None:
    """Run all of it.  Raises BuildError with the names of the machines that failed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    LOG.write_bytes(b"")
    wheels.ensure_tools()
    machines = {triple: partial(_compile, triple) for triple in COMPILED_ONLY}
    if shutil.which(EMULATOR) and shutil.which("apt-get"):
        machines.update({f"aarch64, pages of {size}": partial(_run_arm64, size) for size in PAGE_SIZES})
    else:
        say("aarch64: skipped: no qemu-user, or no apt-get, here")
    try_all(machines)
