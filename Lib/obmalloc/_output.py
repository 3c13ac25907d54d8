"""How the commands print, and what they say of mistakes."""

import contextlib
import os
import sys

from obmalloc import _kernel, loading


class CommandError(Exception):
    """One line that says what is wrong and what to do."""


class UsageError(CommandError):
    """The same, of the command line: its status is 2."""


def one_line(message):
    """A message without the line ends that a name in it may have."""
    return ' '.join(str(message).split())


def complain(message):
    """Print one line on stderr."""
    loading.say(f'obmalloc: {one_line(message)}')


def end_by_interrupt():
    """End as a program ends that does nothing about Ctrl-C, so that a script of the shell ends, too."""
    import _signal
    with contextlib.suppress(AttributeError, OSError, ValueError):     # there may be no stdout, or a broken one
        sys.stdout.flush()
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    os.kill(os.getpid(), _signal.SIGINT)
    return 128 + _signal.SIGINT


@contextlib.contextmanager
def printing():
    """Somebody may have closed the other end of the pipe, or the disk may be full."""
    try:
        yield
    except _kernel.KernelError:     # an OSError too, but not of the output
        raise
    except OSError as error:
        # Nothing more can be said there, not even at exit.
        with contextlib.suppress(OSError):      # there is no /dev
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise CommandError(f'the output cannot be written: {error.strerror}') from None


def check_output():
    """CommandError if there is no standard output."""
    if sys.stdout is None or getattr(sys.stdout, 'closed', False):
        raise CommandError('the standard output is closed: there is nowhere to show anything')


def show(lines):
    """Print lines; what the output cannot encode is shown by its number."""
    check_output()
    encoding = getattr(sys.stdout, 'encoding', None) or 'utf-8'
    with printing():
        for line in lines:
            print(line.encode(encoding, 'backslashreplace').decode(encoding))
        sys.stdout.flush()


def _show_path(path):
    """Print the path of a file as it is, for a shell, whatever the output encodes."""
    check_output()
    with printing():
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(path) + b'\n')
        sys.stdout.flush()


def answer(text, *, is_path=False):
    """Show a text; the exit status of a command that does no more.  is_path: it is the path
    of a file."""
    try:
        if is_path:
            _show_path(text)
        else:
            show(text.splitlines())
    except CommandError as error:
        complain(error)
        return 1
    return 0
