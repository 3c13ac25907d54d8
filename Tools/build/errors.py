"""How the build speaks: progress on stdout, one line per error on stderr."""

from __future__ import annotations

from typing import Callable

from shared import command

PROGRAM = "obmalloc"


class BuildError(command.Failure):
    """Something the user can act on; its text is one line that says how."""


def say(text: str) -> None:
    """One line of progress."""
    command.say(f"{PROGRAM}: {text}")


def run_guarded(action: Callable[[], int]) -> int:
    """Run action, and return the exit status; see shared.command."""
    return command.run_guarded(PROGRAM, action)
