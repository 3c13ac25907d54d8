"""The exception that ends a command with one line for the terminal."""

from shared.command import Failure as BenchmarkError     # noqa: F401
