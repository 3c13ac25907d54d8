"""The exception that ends a command with one line."""


class BenchmarkError(Exception):
    """Something the user can act on; str() of it is one line for the terminal."""
