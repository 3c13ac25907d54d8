"""Other programs: what they print, or in one line how they failed."""
from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from typing import Mapping, Optional, Sequence

from .command import Failure


def last_line(text: str, otherwise: str = "no message") -> str:
    """The last line of what a program wrote, which says why it failed."""
    return (text.strip().splitlines() or [otherwise])[-1]


def ending(status: int) -> str:
    """A returncode other than 0 in words."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def output_of(command: Sequence[str], name: str, limit: float,
              environment: Optional[Mapping[str, str]] = None, quiet: bool = False) -> str:
    """Run a command and return its standard output; Failure when it fails.

    name: what the error calls it. limit: seconds after which it is ended. environment: None for
    our own. quiet: to write to standard error is to fail too.
    """
    try:
        run = subprocess.run(command, env=environment, timeout=limit, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{name} was ended after {limit:g} s (--limit)") from error
    except OSError as error:
        raise Failure(f"{command[0]} cannot be run: {error.strerror}") from error
    if run.returncode or (quiet and run.stderr):
        how = ending(run.returncode) if run.returncode else "complained"
        raise Failure(f"{name} {how}: {last_line(run.stderr)}")
    return run.stdout


def writes(command: Sequence[str], text: str, limit: float) -> bool:
    """Whether a command runs, and writes just this. limit: seconds."""
    try:
        return subprocess.run(command, timeout=limit, stdin=subprocess.DEVNULL,
                              capture_output=True).stdout == text.encode()
    except (OSError, subprocess.TimeoutExpired):
        return False


def compiler() -> list[str]:
    """The words that start the C compiler: $CC, or the first of cc, gcc and clang that is there."""
    try:
        words = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise Failure(f"CC={os.environ['CC']}: {error}: quote it as for a shell") from error
    words = words or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not words:
        raise Failure("there is no C compiler: install Debian's package gcc, or set CC")
    return words
