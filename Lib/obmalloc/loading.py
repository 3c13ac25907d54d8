"""obmalloc in an interpreter that was built without it: the ways in.

    obmalloc run PROGRAM ...        starts the program with the library
    LD_PRELOAD=$(obmalloc path)     the same for servers and containers
    obmalloc enable                 at every start of this environment (_enabling.py)
    obmalloc.install()              from within a running program

A patched interpreter needs none of them: run starts the program as it is,
install() has nothing to do, and path has no library to name.
"""

import os
import sys

PRELOAD = "LD_PRELOAD"
RESTARTED = "OBMALLOC_RESTARTED"    # restart_preloaded() has been here
REPORTED = "OBMALLOC_REPORTED"      # invalid settings have been reported, by the command that became this program
QUIET = "OBMALLOC_QUIET"            # "1": do not say why obmalloc is not in force
CHILDREN = "OBMALLOC_CHILDREN"      # "0": programs that the program starts do without
ENABLED = "OBMALLOC_ENABLED"        # "0": start as if `obmalloc enable` had not been said
AT_START = "_obmalloc_at_start"     # of the module sys: the file of `obmalloc enable` was read
OLDEST = 3, 9                       # of the versions of Python that the library serves
_AT_SECURE = 23                     # of <elf.h>

_MODULE = "obmalloc._obmalloc"
_FILE = "_obmalloc.so"         # the library
_OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), _FILE)
_INTERFACE = 4                      # OBM_LOADABLE_INTERFACE of a library that fits this package
_INSTALL_ANEW = "install the package anew (pip install --force-reinstall obmalloc)"

refused_at_start = None             # why install_at_start() could not


def say(line):
    """Print one line on stderr.  Where that is closed, full or a broken pipe nothing is said, and all
    else goes on.  print() would take the standard output instead, or raise, and what it leaves in a
    buffer would turn the exit status into 120."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        if stream is sys.__stderr__:
            stream.flush()
            os.write(stream.fileno(), f"{line}\n".encode(stream.encoding, "backslashreplace"))
        else:               # anything that the program has put there
            stream.write(f"{line}\n")
            stream.flush()
    except Exception:
        pass


class Refused(ImportError):
    """The library cannot be used here.  why, remedy: what is wrong, and what to do about it
    (None: nothing can be done)."""

    def __init__(self, why, remedy=None):
        super().__init__(why if remedy is None else f"{why}: {remedy}", name="obmalloc")
        self.why, self.remedy = why, remedy


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


def _check_whole(path):
    """ImportError if a library breaks off: half copied, or the disk was full.  The loader
    maps such a file, and the process dies of SIGBUS at the first page that is missing.

    The headers of the sections come last in an ELF file.  What is no such file is left to
    the loader, which has its own words for it.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(64)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return
    if header[:5] != b"\x7fELF\x02":        # of 64 bits
        return
    order = "big" if header[5:6] == b"\x02" else "little"
    start, length, count = (int.from_bytes(header[place:end], order)
                            for place, end in ((40, 48), (58, 60), (60, 62)))
    whole = max(len(header), start + length * count)
    if size < whole:
        raise ImportError(f"{path} breaks off: it has {size} bytes of {whole}", name="obmalloc", path=path)


def _own_module():
    _check_whole(_OWN)
    import obmalloc._obmalloc as module
    if getattr(module, "interface", None) != _INTERFACE:
        raise Refused(f"{_OWN} is not of the version of its package, which was replaced while this process ran",
                      "start it again")
    return module


def _module_of(path):
    """The module in a copy that the process has loaded: the loader knows the file by its name
    (musl's by its inode), and does not load it again.  None: it is of another version, or
    gone where the loader opens it."""
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
            import warnings
            why = f"it is not of the version of {_OWN}" if os.path.exists(copies[0]) else "its file is gone"
            warnings.warn(
                f"obmalloc: {copies[0]} is loaded, and cannot be imported, since {why}: what `import obmalloc` "
                f"shows and does concerns {_OWN}, which does not serve this process: preload that one",
                RuntimeWarning, stacklevel=5)
    sys.modules[_MODULE] = module
    return module


def _machine(path):
    """For which kind of machine an ELF file is, as bytes; None: it is none."""
    with open(path, "rb") as file:
        header = file.read(20)
    return header[4:6] + header[18:] if header[:4] == b"\x7fELF" else None


def _is_for_another_machine(path):
    try:
        machine, own = _machine(path), _machine(sys.executable)
    except OSError:
        return False
    return machine is not None and own is not None and machine != own


def _why_no_library():
    """Refused where this interpreter must not load the library, or None.  The name of the file
    does not keep it out: any interpreter for Linux takes a .so."""
    if "t" in getattr(sys, "abiflags", ""):
        return Refused("a free-threaded Python needs its own allocator, and keeps it")
    if sys.version_info < OLDEST:       # which may share a folder of packages with a newer one
        return Refused("Python %d.%d is not supported" % sys.version_info[:2], "take CPython %d.%d or newer" % OLDEST)
    if sys.implementation.name != "cpython":
        return Refused(f"obmalloc is an allocator of CPython, not of {sys.implementation.name}")
    return None


def _why_not_imported(error):
    """Refused, of an ImportError that the library's import raised."""
    if isinstance(error, ModuleNotFoundError):
        return Refused(f"this interpreter was built without obmalloc, and there is no {_OWN}",
                       f"{_INSTALL_ANEW}, or in a clone take what `make preload` builds")
    if not error.path:
        return error if isinstance(error, Refused) else Refused(str(error))
    # It comes from the loader, which cannot load the file, and takes one for another machine
    # for one that is not there.
    why = f"{_OWN} is for another machine than this Python" if _is_for_another_machine(_OWN) else str(error)
    return Refused(why, _INSTALL_ANEW)


def _command_line():
    """The words that this process was started with; []: that is not known."""
    command = getattr(sys, "orig_argv", None)       # from 3.10 on
    if command is None:
        try:
            with open("/proc/self/cmdline", errors="surrogateescape") as file:
                command = file.read().split("\0")[:-1]
        except OSError:
            command = []
    return command


def _module_that_runs():
    """The NAME of `python -m NAME`; None: this process was started in another way.  While a
    package is imported for it, sys.argv begins with -m and has no name."""
    command = _command_line()
    argv = getattr(sys, "argv", None) or [""]       # an embedding program may have none
    if argv[0] != "-m" or len(argv) >= len(command):
        return None
    name = command[-len(argv)]
    return name[2:] if name.startswith("-m") else name      # older versions than OLDEST get here, too


def _is_command():
    """Whether this process is the command obmalloc.  It is imported where the library cannot
    be: `disable` and `doctor` are for this."""
    script = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    return "obmalloc" in (script, _module_that_runs())


def _import():
    """(the module, why there is none: Refused), one of them None."""
    try:
        import _obmalloc
        return _obmalloc, None
    except ImportError:
        refused = _why_no_library()
    if refused is None:
        try:
            return _import_library(), None
        except ImportError as error:
            refused = _why_not_imported(error)
        except UnicodeEncodeError:          # from 3.13 on
            refused = Refused(f"Python cannot import the library from {_OWN}, a path that is no text",
                              "install the package elsewhere")
    return None, refused


_obmalloc, refusal = _import()
os.environ.pop(REPORTED, None)      # it has been taken by C code, which does not know of this copy
if refusal is not None and not _is_command():
    raise ImportError(str(refusal), name="obmalloc")


def _library_module():
    """The loadable library as a module, or None in a patched interpreter."""
    return sys.modules.get(_MODULE)


def _install():
    """Why obmalloc cannot be put in place, or None: it is."""
    if refusal is not None:
        return str(refusal)
    library = _library_module()
    return library.install() if library is not None else None


def install():
    """Put obmalloc in front of pymalloc, in this program, from now on.

    Blocks that pymalloc gave stay with it until they are freed.  Returns whether
    obmalloc serves the program; if not, a RuntimeWarning says why, and nothing
    has changed.
    """
    reason = _install()
    if reason is not None:
        import warnings
        warnings.warn(f"obmalloc is not installed: {reason}", RuntimeWarning, stacklevel=2)
    return reason is None


def install_at_start():
    """What the file of `obmalloc enable` calls when an interpreter starts: install(), and
    one line if it cannot be, unless OBMALLOC_QUIET is 1."""
    global refused_at_start
    # A preloaded library has done so already.
    if os.environ.get(CHILDREN) == "0":
        del os.environ[CHILDREN]
        os.environ[ENABLED] = "0"
    refused_at_start = _install()
    if refused_at_start is not None and os.environ.get(QUIET) != "1":
        say(f"obmalloc: not in force: {refused_at_start}")


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
                      "install the package elsewhere, or say python -m obmalloc enable, or call "
                      "obmalloc.install() in the program")
    return path


def reported():
    """The variables (a dict) by which a Python that goes on with the work of this one does not
    report the invalid settings again."""
    has_read_them = library_file() is not None or not sys.flags.ignore_environment
    return {REPORTED: "1"} if has_read_them else {}


def _environment(children, is_python=True):
    """The environment in which a program starts with the library in place.  is_python: this process
    becomes a Python, and not a program that may start some."""
    environment = {**os.environ, **(reported() if is_python else {})}
    if library_file() is None:
        return environment
    try:
        path = library_path()
    except OSError:
        if not (hasattr(sys, AT_START) and _obmalloc.active()):
            raise
        path = None         # it cannot be preloaded, but this environment starts with it
    environment.pop(CHILDREN, None)
    if not children:
        environment[CHILDREN] = "0"
    if path is None:
        return environment
    others = [name for name in environment.get(PRELOAD, "").replace(" ", ":").split(":")
              if name and not is_library(name)]
    environment[PRELOAD] = ":".join([path, *others])
    return environment


def interpreter_options():
    """The options that this interpreter was started with, such as -X dev."""
    command = _command_line()
    options = command[1:len(command) - len(sys.argv) + 1]       # and what they are followed by
    if options[-1:] == sys.argv[:1]:                            # a script
        return options[:-1]
    name = options.pop() if options else ""
    if name != "obmalloc":                                      # -mobmalloc
        options.append(name[:-len("obmalloc")])
    if name.endswith("obmalloc") and options and options[-1][:1] == "-" and options[-1][-1:] == "m":
        flags = options.pop()[:-1]                              # those before m in one word, such as -Im
        return options + [flags] * (flags != "-")
    import subprocess                                           # it was started in another way
    return subprocess._args_from_interpreter_flags()


def has_privileges(pid="self"):
    """Whether a process got privileges with its program (setuid, capabilities of the file),
    so that the loader ignores LD_PRELOAD.  OSError: that cannot be read."""
    with open(f"/proc/{pid}/auxv", "rb") as file:
        words = memoryview(file.read()).cast("N")
    return any(key == _AT_SECURE and value for key, value in zip(words[::2], words[1::2]))


def _loader_ignores_preload():
    try:
        return has_privileges()
    except OSError:         # no /proc
        return False


def _execute(command, environment):
    """Become the command.  Raises OSError."""
    import _signal
    if sys.stdout is not None:
        sys.stdout.flush()
    # Python ignores these two, and a program inherits that.
    for name in "SIGPIPE", "SIGXFSZ":
        _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
    os.execve(command[0], command, environment)


def own_command():
    """What stands behind this interpreter's options where it runs this command again: the script
    obmalloc, if that runs, since -m would import modules from the working directory, which may have the
    names of Python's own."""
    return sys.argv[:1] if _is_own_script(sys.argv[0]) else ["-m", "obmalloc"]


def _is_own_script(path):
    return os.path.basename(path) == "obmalloc"


def restart_preloaded(arguments):
    """Have this very command run with the library in place, if it is not yet."""
    restarted = os.environ.pop(RESTARTED, None)
    if _library_module() is None or _obmalloc.active() or restarted:
        return      # restarted in vain: PYTHONMALLOC=malloc and such keep it out
    _execute([sys.executable, *interpreter_options(), *own_command(), *arguments],
             {**_environment(children=True), RESTARTED: "1"})


def say_if_not_in_force(name):
    """One line on stderr, if obmalloc does not serve this interpreter."""
    if not _obmalloc.active():
        from obmalloc import _doctor
        say(f"obmalloc: not in force in {name}: {_doctor.why_not_here()}")


def _own_programs():
    """The folders of the programs that belong to this Python: that of a virtual environment which
    is not activated is not on PATH."""
    command = (getattr(sys, "argv", None) or [""])[0]
    files = [sys.executable, *([command] if _is_own_script(command) else [])]
    return [os.path.dirname(file) for file in files if "/" in (file or "")]


def find_program(name):
    """The file that a program's name stands for: itself if Python can run it from here or
    it has a slash, else an executable file of that name on PATH, or beside this Python, else
    None."""
    if name == "-" or "/" in name or os.path.isfile(name) or os.path.exists(os.path.join(name, "__main__.py")):
        return name
    for folder in [*os.get_exec_path(), *_own_programs()]:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return name if os.path.lexists(name) else None


def not_found(name):
    """The message about a program that find_program() does not find."""
    try:
        os.stat(name)
        why = "it is gone"
    except OSError as error:
        why = error.strerror
    return (f"{' '.join(name.split())}: {why}, and no program of that name is on PATH or beside {sys.executable} "
            "(-m NAME runs a module)")


_SHELLS = "sh", "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "tcsh", "zsh"
_SHELL_LINE = b"'''exec' "         # begins the second line of some scripts that pip and uv write


def _first_lines(path):
    """The first two lines of a file (bytes), without their ends; empty where it cannot be read, or is a
    pipe, which can be read but once."""
    try:
        with open(path if os.path.isfile(path) else os.devnull, "rb") as file:
            return [*file.read(4096).split(b"\n", 2), b""][:2]
    except OSError:
        return b"", b""


def _named_by(path):
    """The program that a file names to run it, as it stands there: a path, or a name that env is to
    find; the file itself, if it is a binary; "": none."""
    first, second = _first_lines(path)
    if first.startswith(b"\x7fELF"):
        return path
    if not first.startswith(b"#!"):
        return ""
    if second.startswith(_SHELL_LINE):      # the path of the Python is too long for #!, or has a space
        words = os.fsdecode(second[len(_SHELL_LINE):])
        if words.startswith('"$('):         # computed: it is beside the script
            return os.path.join(os.path.dirname(os.path.realpath(path)), "python")
        return words.split(words[0])[1] if words[:1] in ("'", '"') else "".join(words.split()[:1])
    if second.startswith(b"'''"):          # lines for a shell that Python takes for a string
        return "python"
    words = [word.strip("'\"") for word in os.fsdecode(first[2:]).split()]
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word[:1] != "-" and "=" not in word]
    return "".join(words[:1])


def _what_runs(path):
    """The program that an executable file is, or names to run it; None: there is none that is
    known, or it is this interpreter.  Else the file is a script of another environment, or a program that
    is not Python at all."""
    named = _named_by(path)
    if named in ("", path):
        return named or None
    if "/" not in named:
        named = find_program(named) or named
    # Not samefile(): the interpreters of all virtual environments may be one file.
    names = "python", "python%d" % sys.version_info[0], "python%d.%d" % sys.version_info[:2]
    own = [sys.executable, *(os.path.join(sys.prefix, "bin", name) for name in names)]
    return named if named not in own else None


def is_another_program(path):
    """Whether a file is a program that is not written in Python: a binary, or a script of a shell."""
    named = _named_by(path)
    return named == path or os.path.basename(named) in _SHELLS


def _cannot_run_here(path):
    """Whether a file, which is named by its path, cannot be run by this interpreter, but by the program
    that it is or names: one that is not written in Python, or a script that names the Python of another
    virtual environment by its path."""
    if not os.access(path, os.X_OK):
        return False
    named = _named_by(path)
    environment = os.path.dirname(os.path.dirname(named))
    return is_another_program(path) or "/" in named and os.path.exists(os.path.join(environment, "pyvenv.cfg"))


RUN_USAGE = """\
usage: obmalloc run [--no-children] (PROGRAM | -m MODULE | -c CODE | -) ...

Run a Python program with obmalloc, in this interpreter and with its options.
PROGRAM is a script here, or else one on PATH or beside this Python, such as gunicorn,
which runs in the interpreter that it names.  - reads the program from the standard input.
Programs that it starts get obmalloc too if they are Python, so PROGRAM may also be a
shell script or another program that starts some.  A script here that names the Python
of another virtual environment by its path runs in that.

  --no-children  programs that the program starts do without
"""


def run(arguments):
    """obmalloc run: become the program.  Returns only on a mistake."""
    children = True
    while arguments and arguments[0][:1] == "-" and arguments[0] != "-" and arguments[0][:2] not in ("-m", "-c"):
        if arguments[0] in ("-h", "--help"):
            return _answer(RUN_USAGE)
        if arguments[0] == "--":
            arguments = arguments[1:]
            break
        if arguments[0] != "--no-children":
            return _complain(f"run: unknown option {arguments[0]}: --no-children is the only one (Python's own stand "
                             "before -m obmalloc run)", 2)
        children = False
        arguments = arguments[1:]
    if not arguments or not arguments[0]:
        return _complain("run: say what to run: a program, -m MODULE or -c CODE", 2)
    if len(arguments) == 1 and arguments[0] in ("-m", "-c"):
        return _complain(f"run: say what to run: {arguments[0]} stands alone", 2)
    if not sys.executable:
        return _complain("run: this Python does not know its own executable: set "
                         "LD_PRELOAD=$(python -m obmalloc path) where the program starts", 1)
    command, program = [sys.executable, *interpreter_options()], arguments[0]
    is_python = True
    if program[0] != "-":
        file = find_program(program)
        if file is None:
            return _complain(f"run: {not_found(program)}", 2)
        arguments = [file, *arguments[1:]]
        is_here = file == program and not _cannot_run_here(file)
        # A patched interpreter runs all that is Python itself: another one has no obmalloc.
        is_ours = _library_module() is None and not is_another_program(file)
        other = None if is_here or is_ours else _what_runs(file)
        if other is not None:
            command, is_python = [], os.path.basename(other).startswith("python")
    elif program != "-" and program[:2] not in ("-m", "-c"):    # a file, behind our --
        command.append("--")
    if command and (_library_module() is None or _loader_ignores_preload()):
        say_if_not_in_force("this program")     # which no library will say
    command += arguments
    try:
        _execute(command, _environment(children, is_python))
    except OSError as error:
        return _complain(f"run: {error}", 1)


def path(arguments):
    """obmalloc path: print the library for LD_PRELOAD."""
    if arguments and arguments[0] in ("-h", "--help"):
        return _answer("usage: obmalloc path\n\n"
                       "Print the library's file, for LD_PRELOAD=$(obmalloc path).")
    if arguments:
        return _complain(f"path: unknown argument {arguments[0]}: it takes none", 2)
    try:
        found = library_path()
    except OSError as error:
        return _complain(f"path: {error}", 1)
    if found is None:
        return _complain("path: this interpreter was built with obmalloc: there is nothing to preload", 1)
    return _answer(found, is_path=True)


def _answer(text, *, is_path=False):
    from obmalloc import _output
    return _output.answer(text, is_path=is_path)


def _complain(line, status):
    say(f"obmalloc {line}")
    return status
