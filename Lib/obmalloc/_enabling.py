"""obmalloc enable, disable: obmalloc at every start of an environment.

A .pth file beside the package has the module site put obmalloc in place when an
interpreter of this environment starts, whatever starts it.  So -S, which leaves site out,
starts without, and -I and -E start with it.

Python's rules for such files: each line that begins with import is executed, and an
exception is shown as a traceback of many lines, or ends the interpreter where stderr
takes no more (a full disk).  So the line catches what goes wrong.  It does not print(),
whose buffer keeps what could not be written: the exit status would become 120.
In a virtual environment it is executed twice, so it leaves a mark.  From 3.12 on the
library cannot be imported by every subinterpreter, and serves the main one only.

What uninstalls the package removes the files that its RECORD lists.  So the file is
listed there.
"""

import os
import sys

from obmalloc import loading
from obmalloc._output import CommandError, answer, complain, show

# Files are read in the order of their names, and what is imported before has its blocks
# from pymalloc.
_NAME = '_obmalloc.pth'
_PROGRAM = f"""
if os.environ.get({loading.ENABLED!r}) != '0' and getattr(_thread, '_is_main_interpreter', lambda: True)():
    sys.{loading.AT_START} = True
    try:
        from obmalloc import loading
        loading.install_at_start()
    except Exception as error:
        words = ['obmalloc: not in force:', *str(error).split(), '({_NAME} wanted it)']
        try:
            sys.stderr is None or os.write(2, (' '.join(words) + chr(10)).encode('utf-8', 'backslashreplace'))
        except OSError:
            pass
"""
_LINE = f'import os, sys, _thread; hasattr(sys, {loading.AT_START!r}) or exec({_PROGRAM!r})\n'

_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FILE = os.path.join(_FOLDER, _NAME)


def _folders():
    """Where this interpreter looks for .pth files: a virtual environment that was made with
    --system-site-packages looks in those of the Python that made it, too."""
    import site
    return site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])


def enabled_file():
    """The file that puts obmalloc in place at every start; None: it is not enabled."""
    paths = [_FILE, *(os.path.join(folder, _NAME) for folder in _folders())]
    return next(filter(os.path.exists, paths), None)


def _check_folder():
    """CommandError unless Python looks for .pth files where the package lies."""
    folders = _folders()
    if os.path.realpath(_FOLDER) not in map(os.path.realpath, folders):
        raise CommandError(f'enable: Python looks for .pth files in {" and ".join(folders)}, and obmalloc is '
                           f'in {_FOLDER}: install it with pip into the environment')


def _check_environment(name):
    """CommandError in a virtual environment that sees a package outside: what the file
    there decides, it decides for other environments."""
    prefix, folder = os.path.realpath(sys.prefix), os.path.realpath(_FOLDER)
    if sys.prefix != sys.base_prefix and not folder.startswith(prefix + os.sep):
        raise CommandError(f'{name}: obmalloc is in {_FOLDER}, outside {sys.prefix}: say it with the Python that '
                           'it belongs to, or install it with pip into this environment')


def _whose_starts():
    """Whose starts of Python the .pth file concerns."""
    import site
    is_users = site.ENABLE_USER_SITE and os.path.realpath(_FOLDER) == os.path.realpath(site.getusersitepackages())
    return f'{sys.prefix} by this user' if is_users else sys.prefix


def _record():
    """The list of the package's files, for what uninstalls it; None: there is none."""
    from obmalloc import __version__
    path = os.path.join(_FOLDER, f'obmalloc-{__version__}.dist-info', 'RECORD')
    return path if os.path.exists(path) else None


def _replace(path, data):
    """Write a file whole or not at all; an OSError names it.  The umask does not matter: the users
    that may read the package may read the file."""
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
        os.chmod(temporary, os.stat(__file__).st_mode & 0o666)
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise OSError(error.errno, error.strerror, path) from None


def _list_in(record, is_listed):
    """Have the .pth file in the list, or not."""
    with open(record, 'rb') as file:
        old = file.read().splitlines(keepends=True)
    end = b'\r\n' if old and old[0].endswith(b'\r\n') else b'\n'
    entry = _NAME.encode() + b',,'
    new = [line for line in old if line.rstrip() != entry] + [entry + end] * is_listed
    if new != old:
        _replace(record, b''.join(new))


def _command(name, usage, arguments, run):
    """Run one of the two commands; the exit status."""
    if arguments[:1] in (['-h'], ['--help']):
        return answer(usage)
    if arguments:
        complain(f'{name}: unknown argument {arguments[0]}: it takes none')
        return 2
    try:
        for line in run():      # not within show(), which takes each OSError for one of the output
            show([line])
    except CommandError as error:
        complain(error)
        return 1
    except OSError as error:
        complain(f'{name}: {error.filename}: {error.strerror}')
        return 1
    return 0


_ENABLE_USAGE = f"""\
usage: obmalloc enable

Put obmalloc in place whenever an interpreter of this environment starts, by a file
{_NAME} beside the package.  `obmalloc disable` and uninstalling take it away; so
does an update of the package, after which say `obmalloc enable` again.
"""

_DISABLE_USAGE = """\
usage: obmalloc disable

Undo `obmalloc enable`.
"""


def _enable():
    if loading.library_file() is None:
        raise CommandError('enable: this interpreter was built with obmalloc, which is always in force')
    _check_folder()
    _check_environment('enable')
    record = _record()
    if record is not None:
        _list_in(record, True)
    _replace(_FILE, _LINE.encode())
    yield f'obmalloc is in place at every start of {_whose_starts()} from now on, by {_FILE}'
    if record is None:
        yield 'no RECORD lists the files of the package: say `obmalloc disable` before you uninstall it'


def _disable():
    if os.path.exists(_FILE):
        _check_environment('disable')
    try:
        os.unlink(_FILE)
    except FileNotFoundError:
        yield f'obmalloc was not enabled: there is no {_FILE}'
    else:
        yield f'obmalloc is no longer put in place at every start: {_FILE} is gone'
    record = _record()
    if record is not None:
        _list_in(record, False)
    other = enabled_file()
    if other is not None:
        raise CommandError(f'disable: {other}, not beside this package, still puts obmalloc in place here: say '
                           f'`obmalloc disable` with the Python that it belongs to, or set {loading.ENABLED}=0')


def enable(arguments):
    """obmalloc enable; the exit status."""
    return _command('enable', _ENABLE_USAGE, arguments, _enable)


def disable(arguments):
    """obmalloc disable; the exit status."""
    return _command('disable', _DISABLE_USAGE, arguments, _disable)
