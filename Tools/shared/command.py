"""The command line of a tool: its parser, its progress, and how it ends.

A tool ends with status 0, or with one line on standard error and another status. The line says
what is wrong and what to do.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Callable, NoReturn, Optional, TextIO

INTERRUPTED = 130           # the exit status, as a shell's
MOST_NUMBER = (1 << 63) - 1
MOST_SECONDS = 999_999_999
MOST_JOBS = 9999            # at a time


class Failure(Exception):
    """What the user can act on; its text is one line that says how."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is a Failure; --help has the usage."""

    def error(self, message: str) -> NoReturn:
        raise Failure(f"{message} (--help says more)")


def number_from(least: int, most: int = MOST_NUMBER) -> Callable[[str], int]:
    """A function that reads an int from text, for argparse."""
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{text} is more than {most}")
        return value
    return number


def seconds(text: str) -> float:
    """The seconds that text stands for, for argparse; above 0, and few enough to wait."""
    value = float(text)
    if not 0 < value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {MOST_SECONDS}")
    return value


def say(text: str) -> None:
    """Print one line of progress, visible at once even through a pipe."""
    print(text, flush=True)


class Progress:
    """One line on the terminal that is written over, and goes when the block ends. When the output
    is not a terminal: a line of its own for what is a milestone, else nothing."""

    def __init__(self, stream: Optional[TextIO] = None):
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream.isatty()

    def __call__(self, text: str, milestone: bool = False) -> None:
        if self.shown:
            self.stream.write(f"\r\x1b[K{text}")
        elif milestone:
            self.stream.write(f"{text}\n")
        self.stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self("")


def one_line(text: object) -> str:
    """text without the line ends that a name in it may have."""
    return " ".join(str(text).split())


def describe(error: OSError) -> str:
    """An operating system error as "FILE: what went wrong"."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def hear_interrupts() -> None:
    """Do not ignore SIGINT, as a shell wants it from a job in the background.

    Our children would inherit that, and CPython's tests send it to themselves,
    also those from which a build with --enable-optimizations learns.  SIGTERM
    interrupts us too, so that what we started ends with us.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def run_guarded(program: str, action: Callable[[], int], *, failed: int = 1) -> int:
    """Run action; turn what is not a bug of ours into one line that begins with program.

    Returns the exit status: the action's own, failed after an error, INTERRUPTED
    after an interrupt.  Other exceptions are bugs and keep their traceback.
    """
    hear_interrupts()
    try:
        return action()
    except Failure as error:
        text, status = str(error), failed
    except OSError as error:
        text, status = describe(error), failed
    except MemoryError:
        text, status = "out of memory: close other programs, or run fewer jobs at once", failed
    except KeyboardInterrupt as error:
        text, status = str(error) or "interrupted", INTERRUPTED
    sys.stdout.flush()
    print(f"{program}: {one_line(text)}", file=sys.stderr)
    return status
