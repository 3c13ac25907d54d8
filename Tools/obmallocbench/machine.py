"""Facts to keep beside the figures: the machine, the repository, the interpreters."""
from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from shared.files import sha256
from shared.processes import last_line

from .errors import BenchmarkError

REPOSITORY = Path(__file__).resolve().parents[2]
KIBIBYTE = 1024
ANSWER_SECONDS = 60         # how long an interpreter may take to describe itself
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")

# Asked of each interpreter, from 2.4 on; the answer is one line of JSON written by hand.
QUESTION = r'''
import sys, platform
arguments = ""
try:
    import sysconfig
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
except Exception:
    pass
texts = [sys.version, platform.python_compiler(), arguments]
escaped = [text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for text in texts]
sys.stdout.write('{"version": "%s", "compiler": "%s", "configured_with": "%s"}' % tuple(escaped))
'''


def clean_environment(additions: dict[str, str]) -> dict[str, str]:
    """Return the environment of a workload: the same few variables everywhere, plus additions.

    No bytecode is written, so that a run leaves nothing behind that would speed up the next.
    """
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment.update({"LC_ALL": "C", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"})
    environment.update(additions)
    return environment


def interpreter_command(path: str) -> list[str]:
    """Return the words that start an interpreter without site.

    -S alone: it keeps the user's folder out as well (site adds it), every version has it (-s came
    with 2.6), and unlike -E and -I it leaves PYTHONOBMALLOC in force.
    """
    return [path, "-S"]


def describe_interpreter(name: str) -> dict:
    """Return path, version, compiler, configuration and checksum of the interpreter called name.

    Raises BenchmarkError when there is none, or when it cannot run a few lines.
    """
    path = shutil.which(name)
    if path is None:
        raise BenchmarkError(f"no interpreter {name!r}: not an executable file, nor on PATH")
    path = os.path.abspath(path)
    try:
        answer = subprocess.run(
            interpreter_command(path) + ["-c", QUESTION], env=clean_environment({}),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_SECONDS)
        description = json.loads(answer.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"{path} cannot be run: {error}") from error
    except ValueError as error:
        words = last_line(answer.stderr, f"exit status {answer.returncode}")
        raise BenchmarkError(f"{path} is no working Python interpreter: {words}") from error
    content = Path(path).read_bytes()
    description.update(path=path, sha256=sha256(content),
                       is_script=content.startswith(b"#!"))
    return description


def field_of(path: str, name: str) -> str | None:
    """Return what follows the first ``name:`` in a file of /proc, or None."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None


def huge_pages_setting() -> str | None:
    """Return the word in force for transparent huge pages: always, madvise, never; or None."""
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0] or None


def describe_machine() -> dict:
    """Return processor, cores usable, memory and page in bytes, kernel, huge page setting."""
    memory = field_of("/proc/meminfo", "MemTotal")
    return {
        "cpu_model": field_of("/proc/cpuinfo", "model name") or platform.processor() or None,
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(memory.split()[0]) * KIBIBYTE if memory else None,
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "kernel": f"{platform.system()} {platform.release()}",
        "c_library": " ".join(platform.libc_ver()).strip() or None,
        "transparent_huge_pages": huge_pages_setting(),
    }


def ask_git(*words: str) -> str | None:
    """Return what git says about the repository, without taking its locks; None when it fails."""
    command = ["git", "--no-optional-locks", "-C", str(REPOSITORY), *words]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def describe_repository() -> dict:
    """Return the commit (None before the first) and whether the tree differs from it."""
    status = ask_git("status", "--porcelain")
    return {"commit": ask_git("rev-parse", "--verify", "-q", "HEAD"),
            "dirty": None if status is None else bool(status)}
