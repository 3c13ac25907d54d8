"""One command: run it, return what it writes, or say in one line how it failed."""
from __future__ import annotations

import signal
import subprocess
from typing import Sequence

from .errors import BenchmarkError


def output_of(command: Sequence[str], name: str, limit: float,
              environment: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output; BenchmarkError when it fails.

    name: what the error calls it. limit: seconds after which it is ended. environment: None for
    our own.
    """
    try:
        run = subprocess.run(command, env=environment, timeout=limit, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{name} was ended after {limit:g} s (--limit)") from error
    except OSError as error:
        raise BenchmarkError(f"{command[0]} cannot be run: {error.strerror}") from error
    if run.returncode:
        ending = (f"was killed by {signal.Signals(-run.returncode).name}"
                  if run.returncode < 0 else f"ended with status {run.returncode}")
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise BenchmarkError(f"{name} {ending}: {last}")
    return run.stdout
