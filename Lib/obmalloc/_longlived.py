"""Long-lived pages: what a thread allocates there lies apart from what comes and goes."""

import functools
import os

from obmalloc.loading import _obmalloc

call = _obmalloc.call_longlived

if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_obmalloc.only_this_thread)


_SUSPENDS = 0x20 | 0x80 | 0x200     # of inspect, which imports much: generators and coroutines of both kinds


def _code(function):
    """The code object of what a call of function runs; None: it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, '__code__', None)
    return code if code is not None else getattr(getattr(type(function), '__call__', None), '__code__', None)


class longlived(_obmalloc.Entries):
    """What the calling thread allocates meanwhile lies in pages for what lives long.

        with obmalloc.longlived():
            settings = load_settings()

        @obmalloc.longlived         # or with ()
        def load_table(file): ...

    Blocks of up to 32 KiB, the objects' and those of their tables, lie in runs of their own,
    so that what comes and goes leaves no holes around them, and they keep none of its pages.
    It is for code that makes what stays and little else: what else it makes leaves holes
    in these pages, which later blocks of the same kind fill.  While a thread is inside, its
    mallocs cost about twice as much, those of other threads four times as much, and frees of
    more than 512 bytes cost more, too; other frees cost what they always do.

    Inside is the thread that entered, from there to the exit, also by an exception.  Other
    threads are not, nor is an interpreter with a heap of its own that this thread calls
    meanwhile.  It may be entered again, also the same object.  A child process made by
    os.fork() inherits it from the thread that forks only.  An object that goes away
    ends what it has not left yet.

    A thread is inside while a generator or coroutine is suspended inside, too, and what it runs
    then is treated alike: so `yield` and `await` should not stand there.  One that is closed in
    another thread ends it for the thread that entered.  With an object that several threads are
    inside by, it may end it for another of them, until that one leaves: so such a `with` needs an
    object of its own, as above.  Functions that suspend are refused as a decorator's argument
    (TypeError), as are classes.

    Entering raises RuntimeError where obmalloc does not serve the program (see active()), and
    MemoryError.
    """

    def __new__(cls, function=None, /):
        inside = super().__new__(cls)
        return inside if function is None else inside(function)

    def __call__(self, function):
        if not callable(function) or isinstance(function, type):
            raise TypeError(f'longlived: {function!r} is no function: longlived() decorates functions')
        if getattr(_code(function), 'co_flags', 0) & _SUSPENDS:
            name = getattr(function, '__qualname__', function)     # a partial object has none
            raise TypeError(f'longlived: {name} can be suspended, and what its thread runs then would be inside, '
                            'too: enter it around the parts that run through')

        @functools.wraps(function)
        def inside(*arguments, **named):
            with self:
                return function(*arguments, **named)
        return inside
