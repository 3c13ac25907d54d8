"""The commands that look at the heap of a program: in the terminal, as a picture, as a page.

    obmalloc stats|map|pins|trim PROGRAM [ARGUMENT...]
    obmalloc stats|map --pid PID
    obmalloc watch --pid PID
    obmalloc report PROGRAM [ARGUMENT...]
    obmalloc report --pid PID --seconds N

PROGRAM is what Python runs (a script, a folder, an archive), -m MODULE, -c CODE, or - for the
standard input.  __main__.py has the others.
"""

import argparse
import contextlib
import json
import os
import stat
import sys
import tempfile
import time

import obmalloc
from obmalloc import _kernel, _outside, _report, _running, _text, _watching
from obmalloc import loading
from obmalloc._output import CommandError, check_output, complain, end_by_interrupt, one_line, printing, show

_MOST = (1 << 31) - 1       # of any number on the command line: also of seconds to wait
_KINDS = {'-m': _running.MODULE, '-c': _running.CODE}


@contextlib.contextmanager
def _writing(path):
    """Turn an OSError of the block into a CommandError that names the file."""
    try:
        yield
    except OSError as error:
        raise CommandError(f'{path} cannot be written: {error.strerror}') from None


def _stage(path):
    """(descriptor, name) of a new file that can take the place of path."""
    if not path:
        raise CommandError('the name of the file to write is empty')
    with _writing(path):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):     # a device is not replaced by a file
                raise OSError(0, 'it is there and is not a file')
        return tempfile.mkstemp(dir=os.path.dirname(os.path.realpath(path)), prefix='.obmalloc-')


def _check_writable(path):
    """Before a program runs for hours: CommandError if path cannot be written."""
    descriptor, temporary = _stage(path)
    os.close(descriptor)
    os.unlink(temporary)


def _write(path, data):
    """Write a file whole or not at all."""
    if isinstance(data, str):
        data = data.encode('utf-8', 'backslashreplace')
    descriptor, temporary = _stage(path)
    try:
        with _writing(path):
            with os.fdopen(descriptor, 'wb') as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, os.path.realpath(path))   # a link is followed, not replaced
    except BaseException:
        os.unlink(temporary)
        raise


def _kernel_figures():
    try:
        return obmalloc.resident()
    except OSError:
        return None


def _kernel_figures_of(pid, heap_map):
    """As obmalloc.resident(), of another process."""
    pages = sum(arena.resident_pages for arena in heap_map.arenas)
    return {'arenas': pages * heap_map.page_size, 'process': _kernel.process_bytes(pid)}


def _read(pid):
    """(stats, map, kernel figures) of another process."""
    reader = _outside.open_process(pid)
    try:
        stats, heap_map = reader.read(_kernel.residence(pid))
        return stats, heap_map, _kernel_figures_of(pid, heap_map)
    except _kernel.KernelError:
        stats, heap_map = reader.read()
        return stats, heap_map, None


# What each command shows ----------------------------------------------------------

def _show_stats(options, stats, kernel):
    if options.json:
        show([json.dumps({**stats, 'kernel': kernel}, indent=2)])
    else:
        show(_text.stats_lines(stats, kernel, _text.Style()))


def _show_map(options, heap_map, title):
    if options.output:
        from obmalloc import _picture       # drawing takes modules that not every Python has
        draw = _picture.map_png if options.output.endswith('.png') else _picture.map_svg
        _write(options.output, draw(heap_map, title))
    elif options.json:
        show([json.dumps(heap_map.as_dict())])
    else:
        show(_text.map_lines(heap_map, _text.Style()))


def _show_pins(options, pins):
    if options.json:
        show([json.dumps(pins.as_dict())])
    else:
        show(_text.pins_lines(pins, _text.Style(), types=options.types, arenas=options.arenas))


def _show_trim(options, before, went, after):
    if options.json:
        show([json.dumps({'bytes': went, 'process_before': before, 'process_after': after})])
        return
    text = f'trim() gave back {_text.size(went)}'
    if before is not None:
        text += f'; the process went from {_text.size(before)} to {_text.size(after)}'
    show([text])


def _process_bytes():
    try:
        return _kernel.process_bytes()
    except _kernel.KernelError:
        return None


def _begun(end):
    """A file that tells that the program has ended, and looking at it has begun."""
    return end + '.begun'


def _refusal(end):
    """A file that tells why the program could not be run."""
    return end + '.refusal'


def _at_end(options):
    """What to do when the program of the command is about to end."""
    process = os.getpid()

    def look():
        if options.command == 'stats':
            _show_stats(options, obmalloc.stats(), _kernel_figures())
        elif options.command == 'map':
            _show_map(options, obmalloc.heap_map(), f'the heap of {options.name} at its end')
        elif options.command == 'pins':
            _show_pins(options, obmalloc.pins(options.limit))
        elif options.command == 'trim':
            before = _process_bytes()
            went = obmalloc.trim()
            _show_trim(options, before, went, _process_bytes())
        else:
            _write(_begun(options.output), '')
            _write(options.output, _report.to_json(
                stats=obmalloc.stats(), heap_map=obmalloc.heap_map(), kernel=_kernel_figures(),
                pins=obmalloc.pins(options.limit)))

    def at_end():
        if os.getpid() != process:
            return          # the child of a fork
        sys.stdout = sys.__stdout__     # what the program has put there is for the program
        try:
            if getattr(options, 'output', None) is None:
                check_output()
            look()
        except CommandError as error:
            complain(error)
            os._exit(1)     # the status of a program cannot be changed any more otherwise
        except KeyboardInterrupt:
            end_by_interrupt()
    return at_end


# The commands -----------------------------------------------------------------------

def _find_script(name):
    """The file of a program that is to run in this process."""
    path = loading.find_program(name)
    if path is None:
        raise _running.RunError(loading.not_found(name))
    if loading.is_another_program(path):
        raise _running.RunError(f'{path} is not written in Python, and only a Python program can be looked at: name '
                                'a script, -m MODULE or -c CODE')
    return path


def _run_inside(options):
    loading.restart_preloaded(sys.argv[1:])
    loading.say_if_not_in_force(options.name)
    if options.kind == _running.SCRIPT:
        options.program[0] = _find_script(options.program[0])
    _running.run(options.program[0], options.program[1:], _at_end(options),
                 kind=options.kind)


def _end(options):
    """The command that `report` starts in a process of its own."""
    try:
        _run_inside(options)
    except _running.RunError as error:
        _write(_refusal(options.output), str(error))
        sys.exit(1)


def _stats_or_map(options):
    if options.command == 'map' and options.output is not None:
        _check_writable(options.output)
    if options.pid is None:
        _run_inside(options)
        return
    stats, heap_map, kernel = _read(options.pid)
    if options.command == 'stats':
        _show_stats(options, stats, kernel)
    else:
        _show_map(options, heap_map, f'the heap of process {options.pid}')


def _watch(options):
    with printing():
        _watching.watch(options.pid, options.interval, options.count, sys.stdout)


def _report_process(options):
    """A report of a process that runs on after it."""
    samples = _watching.Samples(options.pid, options.interval)
    end = time.monotonic() + options.seconds
    _outside.open_process(options.pid)
    try:
        while time.monotonic() < end:
            samples.take()
            time.sleep(samples.interval)
    except KeyboardInterrupt:
        pass
    stats, heap_map, kernel = _read(options.pid)
    _write(options.output, _report.page(
        title=f'The heap of process {options.pid}', stats=stats, heap_map=heap_map,
        kernel=kernel, samples=samples.complete()))


def _report_program(options):
    """Run the program in a process of its own, watched from here, so that it has
    no thread that it did not start."""
    with tempfile.TemporaryDirectory(prefix='obmalloc-') as folder:
        end = os.path.join(folder, 'end.json')
        kind = {_running.MODULE: ['-m'], _running.CODE: ['-c'], _running.SCRIPT: ['--']}[options.kind]
        status, samples = _watching.run_child(
            [*loading.own_command(), '_end', '--output', end, '--limit', str(options.limit),
             *kind, *options.program], options.interval,
            lambda: not os.path.exists(_begun(end)))
        try:
            with open(end, encoding='utf-8') as file:
                seen = _report.from_json(file.read())
        except OSError:
            raise CommandError(_text_or_none(_refusal(end)) or
                               f'{options.name} ended with status {status} before it could be '
                               'looked at: there is no report') from None
    if seen.get('kernel') is not None:
        stats = seen['stats']
        samples.add_end(seen['kernel']['process'], stats['used_pages'] * stats['page_size'],
                        stats['resident_pages'] * stats['page_size'])
    _write(options.output, _report.page(
        title=f'The heap of {options.name} at its end', samples=samples.complete(), **seen))
    complain(f'the report is in {options.output}')
    sys.exit(status)


def _text_or_none(path):
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except OSError:
        return None


def _report_command(options):
    _check_writable(options.output)
    if options.pid is None:
        _report_program(options)
    else:
        _report_process(options)


# Arguments ---------------------------------------------------------------------------

class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line; --help has the usage."""

    def error(self, message):
        complain(f'{one_line(message)} (--help says more)')
        self.exit(2)

    def print_help(self, file=None):
        show(self.format_help().splitlines())


def _number(least, kind=int):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= _MOST:
            raise argparse.ArgumentTypeError(f'{text!r} is not a number from {least} to {_MOST}')
        return value
    return parse


def _picture_name(text):
    if not text.endswith(('.svg', '.png')):
        raise argparse.ArgumentTypeError(f'{text!r} must end with .svg or .png')
    return text


def _add_program(parser):
    """For the help and the messages: _split() finds the program."""
    parser.set_defaults(takes_program=True)
    parser.add_argument('-m', dest='module', nargs=argparse.REMAINDER, metavar='MODULE',
                        help='run a module, as python -m does')
    parser.add_argument('-c', dest='code', nargs=argparse.REMAINDER, metavar='CODE',
                        help='run a program that stands here, as python -c does')
    parser.add_argument('program', nargs=argparse.REMAINDER, metavar='PROGRAM [ARGUMENT...]',
                        help='a script to run, - for the standard input; it is looked at when it ends')


def _add_pid(parser, required=False):
    parser.add_argument('--pid', type=_number(1), required=required,
                        help='look at this running process, which is not stopped')


def _parsers():
    """(the parser, those of its commands by their names)."""
    parser = _Parser(
        prog='obmalloc',
        description='Starts Python programs with obmalloc, an allocator that gives memory back to the '
                    'system, and shows what a program or a running process holds.',
        epilog='obmalloc COMMAND --help says more about one of them.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, text in (('run', 'start a program with obmalloc'),
                       ('enable', 'put obmalloc in place at every start of this environment'),
                       ('disable', 'undo enable'),
                       ('path', 'print the file of the library, for LD_PRELOAD'),
                       ('doctor', 'say whether obmalloc is in force, and if not, why and what to do')):
        commands.add_parser(name, help=text)    # __main__ has sent those elsewhere

    def command(name, run, text, *, pid=False, pid_required=False, json_too=True):
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run, pid=None)
        if json_too:
            added.add_argument('--json', action='store_true', help='for programs to read')
        if pid:
            _add_pid(added, required=pid_required)
        return added

    stats = command('stats', _stats_or_map, 'show how much is held, and for what', pid=True)
    _add_program(stats)
    heap_map = command('map', _stats_or_map, 'show every page of every arena', pid=True)
    heap_map.add_argument('--output', metavar='FILE', type=_picture_name,
                          help='draw it: FILE.svg or FILE.png')
    _add_program(heap_map)
    pins = command('pins', _run_inside, 'show which objects keep pages, and what copies of them would give back')
    pins.add_argument('--types', type=_number(1), default=20, help='rows to show (20)')
    pins.add_argument('--arenas', type=_number(0), default=3, help='arenas to show (3)')
    pins.add_argument('--limit', type=_number(0), default=10_000,
                      help='blocks to look at one by one (10000)')
    _add_program(pins)
    trim = command('trim', _run_inside, 'show what obmalloc.trim() gives back at the end of a program')
    _add_program(trim)
    watch = command('watch', _watch, 'show a running process live', pid=True, pid_required=True, json_too=False)
    watch.add_argument('--interval', type=_number(0.01, float), default=1.0, help='seconds between two views (1)')
    watch.add_argument('--count', type=_number(1), help='stop after so many views')
    report = command('report', _report_command, 'write a page with everything, for a browser',
                     pid=True, json_too=False)
    report.add_argument('--output', metavar='FILE', default='obmalloc-report.html',
                        help='the page (obmalloc-report.html)')
    report.add_argument('--interval', type=_number(0.01, float), default=0.1,
                        help='seconds between two looks at the memory (0.1)')
    report.add_argument('--seconds', type=_number(0, float), default=10.0,
                        help='how long to look at the process of --pid (10)')
    report.add_argument('--limit', type=_number(0), default=10_000, help=argparse.SUPPRESS)
    _add_program(report)
    parser.add_argument('-V', '--version', action='store_true', help='print the version')
    return parser, commands.choices


def _end_parser():
    """The parser of the command that `report` starts: run a program, and write what it leaves at its end to a file."""
    parser = _Parser(prog='obmalloc _end')
    parser.add_argument('--output', required=True)
    parser.add_argument('--limit', type=_number(0), required=True)
    _add_program(parser)
    parser.set_defaults(command='_end', run=_end, pid=None)
    return parser


def _split(parser, arguments):
    """(arguments of the command, the program and its own).  As for `obmalloc run`, it begins behind --, or at the first
    word that is neither an option of the command nor the value of one.  argparse would take some of its words."""
    with_value = {name for action in parser._actions if action.nargs is None for name in action.option_strings}
    is_value = False
    for number, word in enumerate(arguments):
        if is_value:
            is_value = False
        elif word == '--':
            return arguments[:number], arguments[number + 1:]
        elif word[:1] != '-' or word == '-' or word[:2] in _KINDS:
            return arguments[:number], arguments[number:]
        else:
            is_value = word in with_value
    return arguments, []


def _kind(program):
    """(what a program is, its name and arguments), of the words that name it."""
    first, rest = program[0] if program else '', program[1:]
    if first[:2] in _KINDS:
        return _KINDS[first[:2]], [first[2:], *rest] if first[2:] else rest
    return _running.SCRIPT, program


def _parse(arguments):
    """The options, with the program among them."""
    first, arguments, program = arguments[:1], arguments[1:], []
    if first == ['_end']:
        parser = of_command = _end_parser()
        first = []
    else:
        parser, commands = _parsers()
        of_command = commands.get(first[0]) if first else None
    if of_command is not None and of_command.get_default('takes_program'):
        arguments, program = _split(of_command, arguments)
    options = parser.parse_args([*first, *arguments])
    options.kind, options.program = _kind(program)
    if options.program[:1] == ['']:
        options.program = []
    return options


def _options(arguments):
    options = _parse(arguments)
    if (options.pid is None) == (not options.program):
        raise CommandError(
            f'{options.command}: name either a program or --pid, not both' if options.program else
            f'{options.command}: which program? Name a script, -m MODULE or -c CODE'
            + (', or --pid PID' if options.command not in ('pins', 'trim') else
               ' (who owns what can only be seen from inside)'))
    if getattr(options, 'output', None) is None:
        check_output()
    options.name = '-c' if options.kind == _running.CODE else ''.join(
        letter if letter.isprintable() else '?' for letter in ' '.join(options.program[:1]))
    return options


def main(arguments):
    """Run one of these commands; the exit status."""
    try:
        options = _options(arguments)
        return options.run(options) or 0
    except (CommandError, _outside.OutsideError, _kernel.KernelError, _running.RunError) as error:
        complain(error)
        return 1
