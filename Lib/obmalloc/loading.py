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

try:
    import _obmalloc
except ImportError:
    try:
        import obmalloc._obmalloc as _obmalloc
    except ModuleNotFoundError:
        import sysconfig
        # By its name `python -m obmalloc` knows that it is one line, not a traceback.
        raise ImportError("a free-threaded Python needs its own allocator, and keeps it"
                          if sysconfig.get_config_var("Py_GIL_DISABLED")
                          else "this interpreter was built without obmalloc: take one that has it, or "
                          "the package that `make preload` builds", name="obmalloc") from None

PRELOAD = "LD_PRELOAD"
RESTARTED = "OBMALLOC_RESTARTED"    # restart_preloaded() has been here
CHILDREN = "OBMALLOC_CHILDREN"      # "0": programs that the program starts do without


def _library_module():
    """The loadable library as a module, or None in a patched interpreter."""
    return sys.modules.get("obmalloc._obmalloc")


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


def library_path():
    """The file for LD_PRELOAD, or None in a patched interpreter.

    OSError: this system cannot preload it.
    """
    library = _library_module()
    if library is None:
        return None
    if not sys.platform.startswith("linux"):
        raise OSError(f"preloading works on Linux only, not on {sys.platform}: "
                      "call obmalloc.install() in the program")
    path = os.path.abspath(library.__file__)
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
              if name and name != path]
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
    import obmalloc
    restarted = os.environ.pop(RESTARTED, None)
    if _library_module() is None or obmalloc.stats()["arenas_mapped"] > 0 or restarted:
        return      # restarted in vain: PYTHONMALLOC=malloc and such keep it out
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *_interpreter_options(), "-m", "obmalloc", *arguments],
              {**_environment(children=True), RESTARTED: "1"})


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
