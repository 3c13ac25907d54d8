"""Run a program in this process, and look when it is about to end."""

import atexit
import builtins
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pkgutil
import sys
import types


# What a program is, as it is named on the command line.
SCRIPT, MODULE, CODE = 'script', 'module', 'code'


has_failed = False      # whether the program has raised something that ends it


class RunError(Exception):
    """The program cannot be run; the message is one line for people."""


def _compile(source, name):
    try:
        return compile(source, name, 'exec', dont_inherit=True)
    except (SyntaxError, ValueError) as error:      # ValueError: NUL bytes, before 3.12
        raise RunError(_no_python(name, error)) from None


@contextlib.contextmanager
def _loading(name):
    """Turn what a loader raises of a damaged file, or of one that Python cannot compile, into a
    RunError.  No code of the file runs in the block."""
    try:
        yield
    except SyntaxError as error:
        raise RunError(_no_python(name, error)) from None
    except Exception as error:      # that of an archive lets zlib's pass, for one
        raise RunError(f'{name}: {error}') from None


def _code_of(spec):
    """The code of a module, by its spec; None: it has none, as a folder without __init__.py."""
    return spec and spec.loader and spec.loader.get_code(spec.name)


def _code_of_input():
    if sys.stdin is None:
        raise RunError('the standard input is closed: there is no program to read')
    return _compile(sys.stdin.buffer.read(), '<stdin>')


def _code_of_script(path, whole):
    """(loader, code) of a file, a compiled one also."""
    try:
        with io.open_code(whole) as file:
            source = file.read()
    except OSError as error:
        raise RunError(f'{path}: {error.strerror}') from None
    if source[:len(importlib.util.MAGIC_NUMBER)] != importlib.util.MAGIC_NUMBER:
        return importlib.machinery.SourceFileLoader('__main__', whole), _compile(source, whole)
    loader = importlib.machinery.SourcelessFileLoader('__main__', whole)
    with _loading(path):
        return loader, loader.get_code('__main__')


def _main_of(path, whole):
    """(spec, code) of the __main__ in a folder or an archive (zipapp), as Python runs them;
    None: path is none of them."""
    if pkgutil.get_importer(whole) is None:
        return None
    with _loading(path):
        # The importer of an archive has no find_spec() of its own before 3.10.
        spec = importlib.machinery.PathFinder.find_spec('__main__', [whole])
        code = _code_of(spec)
    if not code:
        raise RunError(f'{path}: there is no module __main__ in it')
    return spec, code


def _no_python(path, error):
    """The message about a file that cannot be compiled."""
    place = getattr(error, 'filename', None) or path
    line = getattr(error, 'lineno', None)
    return (f'{place}{f", line {line}" if line else ""}: {getattr(error, "msg", error)}: '
            f'Python {sys.version_info[0]}.{sys.version_info[1]} cannot compile it')


def _packages_of(name):
    """The packages that a module is in, by its name, and the __main__ of a package."""
    parts = name.split('.')
    return ['.'.join(parts[:count]) for count in range(1, len(parts))] + [name + '.__main__']


def _import_package(package, name):
    """Whether a package is there, which is imported, for the module of a name in it.  What its code
    raises is shown as if the interpreter itself had imported it."""
    try:
        __import__(package)
        return True
    except SyntaxError as error:
        raise RunError(_no_python(name, error)) from None
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name in (name, *_packages_of(name)):
            return False
        raise RunError(f'{name} cannot be run, since its package cannot be imported: {error}') from None
    except BaseException as error:
        _hide_our_frames(error.__traceback__.tb_next)
        raise


def _find_spec(name):
    """The spec of a module whose package has been imported, or None."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):       # there is no such package; or __main__
        return None


def _spec_of(name):
    """The spec of what `python -m name` would run, or None."""
    package = name.rpartition('.')[0]
    if name[:1] == '.' or (package and not _import_package(package, name)):
        return None
    spec = _find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return spec
    return _find_spec(name + '.__main__') if _import_package(name, name) else None


def _module(name):
    """(spec, code) of what `python -m name` would run."""
    spec = _spec_of(name)
    with _loading(name):
        code = _code_of(spec)
    if not code:
        raise RunError(f'no module named {name} that can be run')
    return spec, code


def _begin_path(first, always=False):
    """The entry that Python puts in front of sys.path for a program, unless an option forbids it.
    always: it does so with the option, too."""
    if not (sys.flags.isolated or getattr(sys.flags, 'safe_path', False)):      # from 3.11 on
        sys.path[0] = first     # where the command itself came from
    elif always:
        sys.path.insert(0, first)


def _hide_our_frames(traceback):
    """Have the exception that ends the program shown, by whichever hook is in force, as
    if the interpreter itself had run the program: from this traceback on."""
    global has_failed
    has_failed = True
    shown_by = sys.excepthook

    def hook(kind, error, _):
        sys.excepthook = shown_by
        sys.last_traceback = traceback
        shown_by(kind, error.with_traceback(traceback), traceback)
    sys.excepthook = hook


def _prepare_file(main, path):
    """The code of a script, a folder or an archive; main: the module that is to run it."""
    try:
        whole = os.path.abspath(path)       # as Python names the file of __main__
    except OSError as error:                # the working directory is gone
        raise RunError(f'{path}: {error.strerror}') from None
    found = _main_of(path, whole)
    if found is None:
        _begin_path(os.path.dirname(os.path.realpath(path)))
        main.__loader__, code = _code_of_script(path, whole)
        main.__file__, main.__cached__ = whole, None
        return code
    _begin_path(whole, always=True)
    spec, code = found
    main.__spec__, main.__package__, main.__loader__ = spec, spec.parent, spec.loader
    main.__file__, main.__cached__ = spec.origin, spec.cached
    return code


def run(program, arguments, at_end, *, kind=SCRIPT):
    """Run a program as `python program arguments` would, as __main__.

    kind: SCRIPT (a file, a folder or an archive, or '-' for the standard input), MODULE or CODE, as python -m and
    python -c have them.  at_end is called when the program has ended and its threads too,
    while all that it left is still there; not if the process is killed or ends with
    os._exit().  Raises RunError, and whatever the program raises.
    """
    main = types.ModuleType('__main__')
    main.__dict__['__builtins__'] = builtins
    first = program
    if kind == MODULE:
        with contextlib.suppress(OSError):      # it is gone, and Python does without, too
            _begin_path(os.getcwd())
        spec, code = _module(program)
        main.__spec__, main.__package__ = spec, spec.parent
        main.__file__ = first = spec.origin
        main.__loader__ = spec.loader
    elif kind == CODE:
        _begin_path('')
        code, first = _compile(program, '<string>'), '-c'
    elif program == '-':
        _begin_path('')
        code = _code_of_input()
    else:
        code = _prepare_file(main, program)
    sys.argv[:] = [first, *arguments]
    # The first to be registered is the last to be called.
    atexit.register(at_end)
    sys.modules['__main__'] = main
    try:
        exec(code, main.__dict__)
    except BaseException as error:
        _hide_our_frames(error.__traceback__.tb_next)
        raise
