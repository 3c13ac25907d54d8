"""How the build speaks: progress on stdout, one line per error on stderr."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Callable, NoReturn


class BuildError(Exception):
    """Something the user can act on; its text is one line that says how."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is a BuildError; --help has the usage."""

    def error(self, message: str) -> NoReturn:
        raise BuildError(f"{message} (--help says more)")


def say(text: str) -> None:
    """One line of progress, visible at once even through a pipe."""
    print(f"obmalloc: {text}", flush=True)


def describe(error: OSError) -> str:
    """An operating system error as "FILE: what went wrong"."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def hear_interrupts() -> None:
    """Do not ignore SIGINT, as a shell wants it from a job in the background.

    Our children would inherit that, and CPython's tests send it to themselves,
    also those from which a build with --enable-optimizations learns.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_guarded(action: Callable[[], int]) -> int:
    """Run action; turn what is not a bug of ours into one line.

    Returns the exit status: the action's own, 1 after an error, 130 after
    an interrupt.  Other exceptions are bugs and keep their traceback.
    """
    hear_interrupts()
    try:
        return action()
    except BuildError as error:
        text, status = str(error), 1
    except OSError as error:
        text, status = describe(error), 1
    except MemoryError:
        text, status = "out of memory: close other programs, or use fewer JOBS=", 1
    except KeyboardInterrupt:
        text, status = "interrupted", 130
    sys.stdout.flush()
    print("obmalloc:", " ".join(text.split()), file=sys.stderr)
    return status
