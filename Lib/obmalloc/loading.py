"""obmalloc in an interpreter that was built without it: the ways in.

    python -m obmalloc run SCRIPT ...      starts the program with the library
    LD_PRELOAD=$(python -m obmalloc path)  the same for servers and containers
    obmalloc.install()                     from within a running program

A patched interpreter needs none of them: run starts the program as it is,
install() has nothing to do, and path has no library to name.
"""

import os
import sys
import warnings

PRELOAD = "LD_PRELOAD"
RESTARTED = "OBMALLOC_RESTARTED"    # restart_preloaded() has been here
CHILDREN = "OBMALLOC_CHILDREN"      # "0": programs that the program starts do without

_MODULE = "obmalloc._obmalloc"
_FILE = "_obmalloc.abi3.so"         # the library
_OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), _FILE)
_INTERFACE = 2                      # OBM_LOADABLE_INTERFACE of a library that fits this package


def is_library(path):
    """Whether a file is a copy of the library, by its name."""
    return os.path.basename(path) == _FILE


def _loaded_copies():
    """The files of the library that this process has loaded, by LD_PRELOAD as a rule."""
    try:
        with open("/proc/self/maps", errors="surrogateescape") as file:
            rows = [line.split(None, 5) for line in file.read().splitlines()]
    except OSError:         # not Linux
        return []
    paths = [row[5].removesuffix(" (deleted)") for row in rows if len(row) == 6]
    return list(dict.fromkeys(filter(is_library, paths)))


def _is_own(path):
    try:
        return os.path.samefile(path, _OWN)
    except OSError:         # it is gone since, or not to be seen from here
        return path == _OWN


def _own_module():
    import obmalloc._obmalloc as module
    if getattr(module, "interface", None) != _INTERFACE:
        raise ImportError(f"{_OWN} is not of the version of its package, which was replaced while "
                          "this process ran: start it again", name="obmalloc")
    return module


def _module_of(path):
    """The module in a copy that the process has loaded: the loader knows the file by
    its name, and does not load it again.  None: it is of another version."""
    if _is_own(path):
        return _own_module()
    from importlib import machinery, util
    try:
        loader = machinery.ExtensionFileLoader(_MODULE, path)
        module = util.module_from_spec(util.spec_from_file_location(_MODULE, path, loader=loader))
        loader.exec_module(module)
    except ImportError:
        return None
    return module if getattr(module, "interface", None) == _INTERFACE else None


def _import_library():
    """The module in the library: in the copy that serves this process, which need not be
    this package's (a container may preload one for all); else in a copy that is loaded."""
    copies = _loaded_copies()
    fitting = [module for module in map(_module_of, copies) if module is not None]
    module = next((module for module in fitting if module.active()), fitting[0] if fitting else None)
    if module is None:
        module = _own_module()
        if copies:
            warnings.warn(
                f"obmalloc: {copies[0]} is loaded, and not of the version of {_OWN}: what "
                "`import obmalloc` shows and does concerns the latter, which does not serve this "
                "process: preload that one", RuntimeWarning, stacklevel=4)
    sys.modules[_MODULE] = module
    return module


try:
    import _obmalloc
except ImportError:
    try:
        _obmalloc = _import_library()
    except ModuleNotFoundError:
        import sysconfig
        # By its name `python -m obmalloc` knows that it is one line, not a traceback.
        raise ImportError("a free-threaded Python needs its own allocator, and keeps it"
                          if sysconfig.get_config_var("Py_GIL_DISABLED")
                          else "this interpreter was built without obmalloc: take one that has it, or "
                          "the package that `make preload` builds", name="obmalloc") from None


def _library_module():
    """The loadable library as a module, or None in a patched interpreter."""
    return sys.modules.get(_MODULE)


def install():
    """Put obmalloc in front of pymalloc, in this program, from now on.

    Blocks that pymalloc gave stay with it until they are freed.  Returns whether
    obmalloc serves the program; if not, a RuntimeWarning says why, and nothing
    has changed.
    """
    library = _library_module()
    reason = library.install() if library is not None else None
    if reason is not None:
        warnings.warn(f"obmalloc is not installed: {reason}", RuntimeWarning, stacklevel=2)
    return reason is None


def library_file():
    """The file of the library whose module is in use, or None in a patched interpreter."""
    library = _library_module()
    return os.path.abspath(library.__file__) if library is not None else None


def library_path():
    """The file for LD_PRELOAD, or None in a patched interpreter.

    OSError: this system cannot preload it.
    """
    path = library_file()
    if path is None:
        return None
    if not sys.platform.startswith("linux"):
        raise OSError(f"preloading works on Linux only, not on {sys.platform}: "
                      "call obmalloc.install() in the program")
    if set(path) & set(": \t\n"):
        raise OSError(f"{PRELOAD} cannot name a file with a colon or space in its path: {path!r}: "
                      "install the package elsewhere, or call obmalloc.install() in the program")
    return path


def _environment(children):
    """The environment in which a program starts with the library in place."""
    environment = dict(os.environ)
    path = library_path()
    if path is None:
        return environment
    others = [name for name in environment.get(PRELOAD, "").replace(" ", ":").split(":")
              if name and not is_library(name)]
    environment[PRELOAD] = ":".join([path, *others])
    environment.pop(CHILDREN, None)
    if not children:
        environment[CHILDREN] = "0"
    return environment


def _interpreter_options():
    """The options that this interpreter was started with, such as -X dev."""
    import subprocess
    return subprocess._args_from_interpreter_flags()


def restart_preloaded(arguments):
    """Have this very command run with the library in place, if it is not yet."""
    restarted = os.environ.pop(RESTARTED, None)
    if _library_module() is None or _obmalloc.active() or restarted:
        return      # restarted in vain: PYTHONMALLOC=malloc and such keep it out
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *_interpreter_options(), "-m", "obmalloc", *arguments],
              {**_environment(children=True), RESTARTED: "1"})


def say_if_not_in_force(name):
    """One line on stderr, if obmalloc does not serve this interpreter."""
    if not _obmalloc.active():
        from obmalloc import _doctor
        print(f"obmalloc: not in force in {name}: {_doctor.why_not_here()}", file=sys.stderr, flush=True)


RUN_USAGE = """\
usage: python -m obmalloc run [--no-children] (SCRIPT | -m MODULE | -c CODE) ...

Run a Python program with obmalloc, in this interpreter and with its options.
Programs that it starts get obmalloc too if they are Python.

  --no-children  programs that the program starts do without
"""


def run(arguments):
    """python -m obmalloc run: become the program.  Returns only on a mistake."""
    children = True
    while arguments and arguments[0].startswith("-") and arguments[0][:2] not in ("-m", "-c"):
        if arguments[0] in ("-h", "--help"):
            print(RUN_USAGE, end="")
            return 0
        if arguments[0] != "--no-children":
            return _complain(f"run: unknown option {arguments[0]}: --no-children is the only one", 2)
        children = False
        arguments = arguments[1:]
    if not arguments:
        return _complain("run: say what to run: SCRIPT, -m MODULE or -c CODE", 2)
    if len(arguments) == 1 and arguments[0] in ("-m", "-c"):
        return _complain(f"run: say what to run: {arguments[0]} stands alone", 2)
    if not sys.executable:
        return _complain("run: this Python does not know its own executable: set "
                         "LD_PRELOAD=$(python -m obmalloc path) where the program starts", 1)
    if _library_module() is None:       # it says so itself
        say_if_not_in_force("this program")
    try:
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *_interpreter_options(), *arguments],
                  _environment(children))
    except OSError as error:
        return _complain(f"run: {error}", 1)


def path(arguments):
    """python -m obmalloc path: print the library for LD_PRELOAD."""
    if arguments and arguments[0] in ("-h", "--help"):
        print("usage: python -m obmalloc path\n\n"
              "Print the library's file, for LD_PRELOAD=$(python -m obmalloc path).")
        return 0
    if arguments:
        return _complain(f"path: unknown argument {arguments[0]}: it takes none", 2)
    try:
        found = library_path()
    except OSError as error:
        return _complain(f"path: {error}", 1)
    if found is None:
        return _complain("path: this interpreter was built with obmalloc: there is nothing to preload", 1)
    print(found)
    return 0


def _complain(line, status):
    print(f"obmalloc {line}", file=sys.stderr)
    return status
