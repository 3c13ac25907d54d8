"""Run a program in this process, and look when it is about to end."""

import atexit
import importlib.util
import io
import os
import sys
import types


class RunError(Exception):
    """The program cannot be run; the message is one line for people."""


def _code_of_script(path):
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        raise RunError(f'{path}: {error.strerror}') from None
    try:
        return compile(source, path, 'exec', dont_inherit=True)
    except (SyntaxError, ValueError) as error:      # ValueError: NUL bytes, before 3.12
        raise RunError(_no_python(path, error)) from None


def _no_python(path, error):
    """What to say of a file that cannot be compiled."""
    place = getattr(error, 'filename', None) or path
    line = getattr(error, 'lineno', None)
    return (f'{place}{f", line {line}" if line else ""}: {getattr(error, "msg", error)}: '
            f'Python {sys.version_info[0]}.{sys.version_info[1]} cannot compile it')


def _module(name):
    """(spec, code) of what `python -m name` would run."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(name + '.__main__')
        code = spec and spec.loader.get_code(spec.name)
    except SyntaxError as error:
        raise RunError(_no_python(name, error)) from None
    except (ImportError, AttributeError, ValueError):
        spec = code = None
    if not code:
        raise RunError(f'no module named {name} that can be run')
    return spec, code


def run(program, arguments, at_end, *, is_module=False):
    """Run a script, or a module, as `python program arguments` would, as __main__.

    at_end is called when the program has ended and its threads too, while all
    that it left is still there; not if the process is killed or ends with
    os._exit().  Raises RunError, and whatever the program raises.
    """
    main = types.ModuleType('__main__')
    main.__dict__['__builtins__'] = __builtins__
    if is_module:
        sys.path[0] = os.getcwd()
        spec, code = _module(program)
        main.__spec__, main.__package__ = spec, spec.parent
        main.__file__ = spec.origin
        main.__loader__ = spec.loader
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(program))
        code = _code_of_script(program)
        main.__file__ = program
        main.__cached__ = None
    sys.argv[:] = [main.__file__, *arguments]
    # The first to be registered is the last to be called.
    atexit.register(at_end)
    sys.modules['__main__'] = main
    exec(code, main.__dict__)
