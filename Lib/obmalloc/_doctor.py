"""obmalloc doctor: whether obmalloc is in force, and if not, why."""

import contextlib
import os
import sys

import obmalloc
from obmalloc import _enabling, _kernel, _output, _outside, _process, loading

VERSION = 1                 # of what as_dict() returns
_VARIABLES = ('PYTHONOBMALLOC', 'PYTHONMALLOC', 'LD_PRELOAD', 'MALLOC_ARENA_MAX', 'GLIBC_TUNABLES')

_PRELOAD = 'LD_PRELOAD=$(python -m obmalloc path)'
_WAYS_IN = (f'start programs by python -m obmalloc run PROGRAM or with {_PRELOAD}, or say python -m obmalloc enable '
            'once, for every start')
_OTHERS_CHOSE = ('something has set other allocators, which pass nothing on: a hook '
                 '(PyMem_SetAllocator()), or the program that embeds Python',
                 'start without it, to see whether it is that')


def why_not_here():
    """Why obmalloc does not serve this interpreter, and what to do: one line."""
    try:
        diagnosis = Diagnosis()
        return f'{diagnosis.why}: {diagnosis.remedy}' if diagnosis.why else 'another copy of it is'
    except _outside.OutsideError:       # no /proc
        return ': '.join(_pythonmalloc(os.environ) or ('it was not installed', 'obmalloc.install()'))


def _pythonmalloc(environment):
    """(why, what to do) if the variable keeps obmalloc out, else None."""
    name = environment.get('PYTHONMALLOC') or ''
    if not name.startswith(('malloc', 'mimalloc')):
        return None
    return f'PYTHONMALLOC={_printable(name)} sends small requests elsewhere', 'unset PYTHONMALLOC'


class Diagnosis:
    """Whether obmalloc serves a process, and what decides that.

    in_force: bool; file, how: which file serves, and how it came there; why, remedy:
    what keeps it from serving, and what to do about it; enabled: the file of `obmalloc
    enable` (each of the five may be None).  Of this interpreter that much is known without /proc, too.
    pid: a number; None: this interpreter.

    Raises OutsideError: it cannot be looked at, or is no Python.
    """

    def __init__(self, pid=None):
        self.pid = pid
        self.file = self.how = self.why = self.remedy = None
        self._has_privileges = False
        place = 'self' if pid is None else pid
        self._has_proc = pid is not None or os.path.exists('/proc/self')
        if self._has_proc:
            self._look_with_proc(place)
        else:
            self._look_without_proc()
        self.in_force = self.file is not None

    def _look_with_proc(self, place):
        with _outside.looking_at(place):
            try:
                self._look(place)
                self._judge(place)
            except _outside.RefusedError as error:
                raise _outside.OutsideError(f'{error}; {self._what_is_loaded()}') from None

    def _look_without_proc(self):
        self.python, self._is_free_threaded = sys.executable, 't' in getattr(sys, 'abiflags', '')
        self.environment = {name: os.environ.get(name) or None for name in _VARIABLES}
        self._look_at_itself()
        affinity = _process.affinity('self') if hasattr(os, 'sched_getaffinity') else None
        self.malloc, self.processors = None, {'affinity': affinity, 'quota': None}
        if self.refusal is None and obmalloc.active():
            self.file = loading.library_file() or self.python
            self.how = None if loading.is_library(self.file) else 'built in'
        else:
            is_built_in = self.refusal is None and loading.library_file() is None
            self.why, self.remedy = self._why_not([self.python or ''] if is_built_in else [])

    def _look_at_itself(self):
        """What only the interpreter itself knows of itself."""
        own = self.pid is None
        self.enabled = _enabling.enabled_file() if own else None
        self.refusal = loading.refusal if own else None
        self.settings = obmalloc.settings() if own and self.refusal is None else None
        if own:
            self.python_version = tuple(sys.version_info[:3])

    def _look(self, place):
        self._mapped = _outside.Mapped(place)
        objects = _process.Objects(self._mapped)
        python = _process.python(self._mapped, objects)
        if python is None:
            raise _outside.OutsideError(f'process {place} is no Python')
        self._objects = objects
        with contextlib.suppress(OSError):
            self._has_privileges = loading.has_privileges(place)
        self.python, self.python_version, self._is_free_threaded = python
        self._look_at_itself()
        environment = os.environ if self.pid is None else _process.environment(place)
        self.environment = {name: environment.get(name) or None for name in _VARIABLES}
        self.malloc = _process.system_malloc(place, objects)
        if self.malloc is not None and self.malloc['name'] == 'glibc':
            self.malloc['thread_arenas'] = _process.thread_arenas(self._mapped)
        self.processors = {'affinity': _process.affinity(place), 'quota': _process.quota(place)}

    def _judge(self, place):
        layouts = dict(_outside.find_layouts(self._mapped))
        if self.pid is None and self.refusal is None and obmalloc.active():
            self.file = loading.library_file() or self.python
        else:
            self.file = next((path for path, layout in layouts.items() if _serves(place, layout)), None)
        if self.file is None:
            self.why, self.remedy = self._why_not([
                path for _, path, _ in self._mapped.files if path in layouts or loading.is_library(path)])
        elif not loading.is_library(self.file):
            self.how = 'built in'
        else:
            self.how = 'preloaded' if self._objects.is_preloaded(self.file) else 'installed'

    def _why_not(self, files):
        """(why, what to do).  files: those of obmalloc that the process has mapped."""
        if self._is_free_threaded:
            return ('a free-threaded Python needs its own allocator, and keeps it',
                    'take a Python with the GIL')
        if self.refusal is not None:
            return self.refusal.why, self.refusal.remedy or (
                f'take CPython {_dotted(loading.OLDEST)} or newer, with the GIL')
        is_patched = not all(map(loading.is_library, files))
        if not is_patched and self.python_version is not None and self.python_version[:2] < loading.OLDEST:
            return (f'Python {_dotted(self.python_version)} is not supported',
                    f'take {_dotted(loading.OLDEST)} or newer, or a patched interpreter')
        reads_environment = self.pid is not None or not sys.flags.ignore_environment
        variable = _pythonmalloc(self.environment) if reads_environment else None
        library = self._why_not_by_library(files) if not is_patched else None
        reasons = [reason for reason in (variable, library) if reason is not None] or [
            _OTHERS_CHOSE if is_patched or self._has_proc else (
                f'LD_PRELOAD names {self._preload_names()}, which is not in force, and without /proc it is not known '
                'why', 'see what the loader says on the standard error, or ask again where there is a /proc')]
        return tuple('; '.join(texts) for texts in zip(*reasons))

    def _why_not_by_library(self, files):
        """The same, of what the loader has done; None: it has loaded the library in time."""
        preloaded = [path for path in files if self._objects.is_preloaded(path)]
        if preloaded:
            own = loading.library_file() if self.pid is None else None
            if own is None or own in preloaded:
                return None
            return (f'{preloaded[0]} is preloaded, and not of the version of {own}, which '
                    '`import obmalloc` takes', _PRELOAD)
        if self.enabled is not None:
            return self._why_not_by_file()
        if self._has_privileges:
            return ('Python got privileges when it started (setuid, or capabilities of its file), and so the loader '
                    'ignores LD_PRELOAD', 'python -m obmalloc enable for every start, or obmalloc.install() in it')
        if self.pid is not None and files:
            return 'the library is imported, but neither preloaded nor installed', _WAYS_IN
        name = self._preload_names()
        if name is None:
            return 'the library is not preloaded', _WAYS_IN
        if self._has_proc:
            return (f'LD_PRELOAD names {name}, which the loader has not taken: it is not there, '
                    'or for another machine', _PRELOAD)
        # The loader looks for a name without a slash in its folders, and replaces $LIB and such.
        if '/' in name and '$' not in name and not os.path.exists(name):
            return f'LD_PRELOAD names {name}, which is not there', _PRELOAD
        return None

    def _preload_names(self):
        """The first copy of the library that LD_PRELOAD names, or None."""
        names = (self.environment['LD_PRELOAD'] or '').replace(' ', ':').split(':')
        return next(filter(loading.is_library, names), None)

    def _why_not_by_file(self):
        """The same, where `obmalloc enable` was said."""
        if sys.flags.no_site:
            return f'Python was started with -S, and so does not read {self.enabled}', 'start it without -S'
        if os.environ.get(loading.ENABLED) == '0':
            return (f'{loading.ENABLED}=0 turns {self.enabled} off', f'unset {loading.ENABLED}')
        return (loading.refused_at_start or f'{self.enabled} has not been read, or not as it was written',
                f'start it by python -m obmalloc run, or with {_PRELOAD}')

    def _what_is_loaded(self):
        """What is seen of a process whose memory may not be read."""
        copies = [path for _, path, _ in self._mapped.files if loading.is_library(path)]
        return f'it has loaded {copies[0]}' if copies else 'it has not loaded the library'

    def as_dict(self):
        """All of it, fit for JSON."""
        return {
            'version': VERSION, 'pid': self.pid if self.pid is not None else os.getpid(),
            'in_force': self.in_force, 'file': self.file, 'how': self.how,
            'why': self.why, 'remedy': self.remedy, 'enabled': self.enabled,
            'python': {'file': self.python,
                       'version': self.python_version and _dotted(self.python_version)},
            'settings': self.settings, 'environment': self.environment, 'malloc': self.malloc,
            'processors': self.processors}

    def lines(self):
        """All of it, for people."""
        name = 'this interpreter' if self.pid is None else f'process {self.pid}'
        version = f'Python {_dotted(self.python_version)}' if self.python_version else 'Python'
        yield (f'obmalloc is {"" if self.in_force else "not "}in force in {name} '
               f'({version}, {self.python})')
        for label, text in self._rows():
            yield f'{label:<16}{text}'

    def _rows(self):
        if self.in_force:
            yield 'served by', self.python if self.how == 'built in' else ', '.join(filter(None, [self.file, self.how]))
        else:
            yield 'why', self.why
            yield 'what to do', self.remedy
        if self.in_force and self.refusal is not None:     # another copy serves
            yield 'import obmalloc', f'fails: {self.refusal}'
        if self.enabled is not None:
            yield 'at every start', f'{self.enabled} puts it in place'
        if self.settings is not None:
            yield 'settings', ' '.join(f'{name}={value}' for name, value in self.settings.items())
        for name in 'PYTHONOBMALLOC', 'PYTHONMALLOC':
            value = self.environment[name]
            yield name, 'not set' if value is None else _printable(value)
        yield 'larger requests', '; '.join(self._malloc())
        if not self._has_proc:
            yield 'no /proc', 'so how obmalloc came here and what may limit the processors is not known'
            return
        quota = self.processors['quota']
        yield 'processors', (f'{self.processors["affinity"]} by the affinity mask, ' + (
            'no quota of a control group' if quota is None else f'{quota:g} by the quota of a control group'))

    def _malloc(self):
        if self.malloc is None:
            yield 'which malloc serves them is not known'
            return
        yield f'{self.malloc["name"]} {self.malloc["version"] or ""}'.rstrip() + f', {self.malloc["file"]}'
        if 'thread_arenas' in self.malloc:
            count = self.malloc['thread_arenas']
            yield f'{count} thread arena{"s" if count != 1 else ""}'
            yield self._arena_limit()

    def _arena_limit(self):
        tunables, limit = self.environment['GLIBC_TUNABLES'] or '', self.environment['MALLOC_ARENA_MAX']
        if 'glibc.malloc.arena_max=' in tunables:
            return f'GLIBC_TUNABLES={_printable(tunables)} limits them'
        return f'MALLOC_ARENA_MAX={_printable(limit)} limits them' if limit else 'no variable limits them'


def _serves(place, layout):
    """Whether the heap of this layout holds arenas: the blocks of an interpreter."""
    memory = _outside.memory_of(place)
    with contextlib.suppress(_outside.OutsideError):    # of another version, or not set up
        return _outside.Reader(memory, layout, f'process {place}').has_arenas()
    return False


def _dotted(version):
    return '.'.join(map(str, version))


def _printable(text):
    return ''.join(letter if letter.isprintable() else '?' for letter in text)


# The command ---------------------------------------------------------------------------

_USAGE = """\
usage: obmalloc doctor [--json] [--pid PID]

Say whether obmalloc is in force in this interpreter, and if not, why and what to do.
For programs that `obmalloc run` or LD_PRELOAD starts, use --pid.  The status is 0 if it
is in force, 1 if not.

  --json     for programs to read
  --pid PID  look at this running process instead
"""
_MOST_PID = (1 << 31) - 1


def _options(arguments):
    """(whether for programs, pid or None); UsageError says what is wrong."""
    as_json, pid, rest = False, None, list(arguments)
    while rest:
        name, has_value, value = rest.pop(0).partition('=')
        if name == '--json' and not has_value:
            as_json = True
        elif name == '--pid':
            value = value if has_value else rest.pop(0) if rest else ''
            digits = value.encode('ascii', 'replace')
            if not (digits.isdigit() and len(digits) < 20 and 1 <= int(digits) <= _MOST_PID):
                raise _output.UsageError(f'doctor: --pid: {value!r} is not a number from 1 to {_MOST_PID}')
            pid = int(value)
        else:
            raise _output.UsageError(f'doctor: unrecognized arguments: {name}{"=" * bool(has_value)}{value} '
                                     '(--help says more)')
    return as_json, pid


def _tell(arguments):
    as_json, pid = _options(arguments)
    diagnosis = Diagnosis(pid)
    if as_json:
        import json         # which not every Python has
        _output.show([json.dumps(diagnosis.as_dict(), indent=2)])
    else:
        _output.show(diagnosis.lines())
    return 0 if diagnosis.in_force else 1


def command(arguments):
    """obmalloc doctor; the exit status."""
    if {'-h', '--help'} & set(arguments):
        return _output.answer(_USAGE)
    try:
        return _tell(arguments)
    except _output.UsageError as error:
        _output.complain(error)
        return 2
    except (_output.CommandError, _outside.OutsideError, _kernel.KernelError) as error:
        _output.complain(error)
        return 1
