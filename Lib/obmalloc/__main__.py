"""The command obmalloc, also as python -m obmalloc; --help tells what it can do.

What starts programs (run, path, enable) imports little, so that it costs little and
works where much of the standard library is not installed.
"""

import sys

import obmalloc
from obmalloc import loading


def _enable(arguments):
    from obmalloc import _enabling
    return _enabling.enable(arguments)


def _disable(arguments):
    from obmalloc import _enabling
    return _enabling.disable(arguments)


def _doctor(arguments):
    from obmalloc import _doctor
    return _doctor.command(arguments)


def _version(arguments):
    if arguments:
        loading.say(f'obmalloc --version: unknown argument {arguments[0]}: it takes none')
        return 2
    from obmalloc import _output
    return _output.answer(f'obmalloc {obmalloc.__version__}')


# Those with few imports; _commands has the others.
_LIGHT = {'run': loading.run, 'path': loading.path, 'enable': _enable, 'disable': _disable,
          'doctor': _doctor, '--version': _version, '-V': _version}

# Those that work where the library cannot be imported; the help needs a Python that is supported.
_WITHOUT_LIBRARY = {'disable', 'doctor', '--version', '-V',
                    *(['-h', '--help'] if sys.version_info >= loading.OLDEST else [])}


def main(arguments=None):
    """Run one command; the exit status.  A program that is run may end with its own."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        running = sys.modules.get('obmalloc._running')
        if running is not None and running.has_failed:      # the program was interrupted, not the command
            raise
        from obmalloc import _output
        return _output.end_by_interrupt()


def _run(arguments):
    if loading.refusal is not None and not _WITHOUT_LIBRARY & {*arguments[:1]}:
        loading.say(' '.join(['obmalloc:', *str(loading.refusal).split()]))
        return 1
    if arguments and arguments[0] in _LIGHT:
        return _LIGHT[arguments[0]](arguments[1:])
    try:
        from obmalloc import _commands
    except ModuleNotFoundError as error:
        if error.name.startswith('obmalloc'):
            raise
        loading.say(f'obmalloc: this Python has no module {error.name}, which only run, path, enable, disable and '
                    'doctor do without: install the rest of it (on Debian: apt-get install python3)')
        return 1
    return _commands.main(arguments)


if __name__ == '__main__':
    # Under its own name, for `__main__` will be the program that is run.
    from obmalloc import __main__ as command
    sys.exit(command.main())
