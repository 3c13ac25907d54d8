"""Programs seen from outside while they run: samples for the report, a live view."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from obmalloc import _kernel, _outside, _text, loading

_MOST_SAMPLES = 2000


class Samples:
    """Memory over time, as _report.page() takes it.  When there are many, every
    second one is dropped and the interval doubled, so a long run fits too."""

    def __init__(self, pid, interval):
        self.pid = pid
        self.interval = interval
        self.rows = []
        self._reader = None
        self._start = time.monotonic()
        self._end = None

    def _seconds(self):
        return time.monotonic() - self._start

    def end(self):
        """Note the moment at which the watched program ended, unless that is noted."""
        if self._end is None:
            self._end = self._seconds()

    def add_end(self, process, used, held):
        """One more, of the moment of end(), with figures in bytes that it left behind."""
        self.rows.append({'time': self._end, 'process': process, 'used': used, 'held': held})

    def take(self):
        """One more.  Raises KernelError when the process is gone."""
        row = {'time': self._seconds(),
               'process': _kernel.process_bytes(self.pid)}
        try:
            if self._reader is None:
                self._reader = _outside.open_process(self.pid)
            used, dirty = self._reader.totals()
            row.update(used=used, held=used + dirty)
        except _outside.OutsideError:
            self._reader = None     # not yet set up, or not to be read
        self.rows.append(row)
        if len(self.rows) >= _MOST_SAMPLES:
            del self.rows[1::2]
            self.interval *= 2

    def complete(self):
        """The samples; those of the heap only if they begin with the second one."""
        first = next((i for i, row in enumerate(self.rows) if 'held' in row), None)
        if first is None:
            return self.rows
        filled = [row if 'held' in row else {**row, 'held': 0, 'used': 0}
                  for row in self.rows[:first]]
        last = {'held': 0, 'used': 0}
        for row in self.rows[first:]:
            last = {key: row.get(key, last[key]) for key in last}
            filled.append({**row, **last})
        return filled


def run_child(arguments, interval, wanted):
    """Run this interpreter with arguments, and sample it until wanted() is false or
    it ends.

    Returns (its exit status, as a shell has it; the Samples)."""
    child = subprocess.Popen([sys.executable, *loading.interpreter_options(), *arguments],
                             env={**os.environ, **loading.reported()})
    # Ctrl-C reaches the child by itself; a request to end is passed on.
    old = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
           signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate())}
    samples = Samples(child.pid, interval)
    try:
        while child.poll() is None:
            try:
                if wanted():
                    samples.take()
                else:
                    samples.end()
            except (_kernel.KernelError, IndexError):
                pass                # it is ending: poll() will tell
            try:
                child.wait(samples.interval)
            except subprocess.TimeoutExpired:
                pass
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    samples.end()
    status = child.returncode
    return (status if status >= 0 else 128 - status), samples


# Live ------------------------------------------------------------------------------

_BARS = '▁▂▃▄▅▆▇█'


def sparkline(values, style, width):
    """The last values as a row of bars."""
    values = values[-width:]
    most = max(values) or 1
    if not style.unicode:
        return ''
    return ''.join(_BARS[min(int(8 * value / most), 7)] for value in values)


def _screen(pid, reader, samples, style, rows):
    """The lines of one screen of the terminal, so many rows at most."""
    stats, heap_map = reader.read()
    page = stats['page_size']
    resident = samples.rows[-1]['process']
    lines = [style.bold(style.clip(
        f'process {pid}: {_text.size(resident)} resident; the arenas hold '
        f'{_text.size(stats["resident_pages"] * page)} for {_text.size(stats["live_bytes"])} of '
        f'blocks; page floor {_text.size(stats["floor_pages"] * page)}'))]
    lines.append(style.clip(
        f'{_text.counted(stats["arenas"], "arena")}; {stats["pages_purged"]:,} pages given back, '
        f'{stats["refaults"]:,} wanted again; free pages that may stay: {_text.size(stats["allowance_pages"] * page)}'))
    bars = sparkline([row['process'] for row in samples.rows], style, style.width - 16)
    if bars:
        lines.append(f'resident so far {bars}')
    lines.append('')
    return lines + _text.map_lines(heap_map, style, rows - len(lines) - 1)


def _line(reader, samples):
    used, dirty = reader.totals()
    row = samples.rows[-1]
    return (f'{row["time"]:8.1f} s  resident {_text.size(row["process"]):>9}  arenas hold '
            f'{_text.size(used + dirty):>9}  used pages {_text.size(used):>9}')


class _Ended(BaseException):
    """A signal ends this process."""


@contextlib.contextmanager
def _own_screen(out):
    """Show another screen of the terminal, without the cursor, in the block.  A request to end, as
    `timeout` makes it, ends the process when the first screen is back."""
    received = []

    def end(number, frame):
        if not received:
            received.append(number)
            raise _Ended
    ended = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    try:
        try:
            for number in ended:
                signal.signal(number, end)
            out.write('\x1b[?1049h\x1b[?25l')
            yield
        finally:
            for number in ended:
                signal.signal(number, signal.SIG_DFL)
            try:
                out.write('\x1b[?25h\x1b[?1049l')
                out.flush()
            except OSError:
                if not received:    # else the terminal may be gone, which the signal tells
                    raise
    except _Ended:
        signal.signal(received[0], signal.SIG_DFL)
        os.kill(os.getpid(), received[0])


def watch(pid, interval, count, out):
    """Show a process until it is gone, count times if count is not None, or until
    Ctrl-C: a screen that renews itself, or a line each time if out is no terminal."""
    reader = _outside.open_process(pid)
    samples = Samples(pid, interval)
    live = out.isatty()
    with _own_screen(out) if live else contextlib.nullcontext(), contextlib.suppress(KeyboardInterrupt):
        shown = 0
        while count is None or shown < count:
            try:
                samples.take()
                if live:
                    style = _text.Style(out)
                    rows = shutil.get_terminal_size().lines or 24     # 3.9 may say 0
                    lines = _screen(pid, reader, samples, style, rows)
                    out.write('\x1b[H' + ''.join(f'{line}\x1b[K\n' for line in lines) + '\x1b[J')
                else:
                    out.write(_line(reader, samples) + '\n')
            except (_kernel.KernelError, _outside.OutsideError):
                if shown and not _alive(pid):
                    return          # the process has ended
                raise
            out.flush()
            shown += 1
            if count is None or shown < count:
                time.sleep(interval)


def _alive(pid):
    try:
        with open(f'/proc/{pid}/statm') as file:
            return file.read(2) != '0 '      # a zombie has no memory
    except OSError:
        return False
