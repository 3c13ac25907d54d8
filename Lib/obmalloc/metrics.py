"""The heap of this process for Prometheus and OpenTelemetry.

    import prometheus_client
    from obmalloc import metrics
    prometheus_client.REGISTRY.register(metrics.PrometheusCollector())

    from opentelemetry import metrics as telemetry
    metrics.instrument(telemetry.get_meter('obmalloc'))

Each of the two needs its package (prometheus-client, opentelemetry-api), and this
module needs neither.  METRICS lists what they tell: both tell the same figures,
and an OpenTelemetry name becomes the Prometheus name by OpenTelemetry's own
rules, so that one dashboard (dashboard()) serves both.

What a collection costs: obmalloc.stats() walks the descriptors of the arenas,
which takes a few microseconds for each MiB of them with the GIL held.  glibc's
malloc looks at all of its free blocks, and locks an arena meanwhile, without the
GIL.  The rest is one small file of /proc.  Nothing runs between two collections.

A collection never raises.  A figure that cannot be had is left out, and the first
time the logger 'obmalloc.metrics' says why.

What the arenas hold concerns the interpreter that collects; trims, the system's
malloc and the resident set concern the process.
"""

import json
import logging
import os
import sys
import threading
from typing import NamedTuple

import obmalloc
from obmalloc import _kernel, _output
from obmalloc.loading import _obmalloc

__all__ = ['METRICS', 'Metric', 'PrometheusCollector', 'dashboard', 'instrument']

_log = logging.getLogger('obmalloc.metrics')

# OpenTelemetry's units, and what each is in a Prometheus name.
_UNITS = {'By': '_bytes', 's': '_seconds'}


class Metric(NamedTuple):
    """A figure that is told.

    name     str: of OpenTelemetry
    unit     str: 'By' (bytes), 's' (seconds), or '{thing}' for a number of things
    counts   bool: it only grows, while the process lives
    source   str: where it comes from, a key of what a collection reads
    text     str: what it is, one line
    """
    name: str
    unit: str
    counts: bool
    source: str
    text: str

    @property
    def prometheus_name(self):
        """The name in Prometheus (str), with the unit and, of a counter, _total."""
        unit = _UNITS.get(self.unit, '')
        return self.name.replace('.', '_') + unit + '_total' * self.counts


METRICS = (
    # Not a gauge of unit 1, to whose name OpenTelemetry's collector adds _ratio.
    Metric('obmalloc.active', '{interpreter}', False, 'active',
           'Interpreters whose small requests obmalloc serves: 1, or 0 where it is not in force'),
    Metric('obmalloc.process.resident', 'By', False, 'process',
           'Resident set of the process, by Linux'),
    Metric('obmalloc.memory.resident', 'By', False, 'resident',
           'Used pages and free pages that were not given back: what the arenas should have resident'),
    Metric('obmalloc.memory.live', 'By', False, 'live',
           'Blocks in use'),
    Metric('obmalloc.memory.floor', 'By', False, 'floor',
           'Pages with a block in use, which no allocator that moves nothing can give back'),
    Metric('obmalloc.memory.retained', 'By', False, 'retained',
           'Free pages that are kept, since the program may want them again'),
    Metric('obmalloc.memory.metadata', 'By', False, 'metadata',
           'Mapped for descriptors and arrays of the allocator'),
    Metric('obmalloc.memory.released', 'By', True, 'released',
           'Free memory given back to the system'),
    Metric('obmalloc.memory.refaulted', 'By', True, 'refaulted',
           'Memory taken again after it was given back'),
    Metric('obmalloc.purges', '{call}', True, 'purges',
           'Calls of the system that gave pages back'),
    Metric('obmalloc.trims', '{call}', True, 'trims',
           'Calls of obmalloc.trim()'),
    Metric('obmalloc.trim.duration', 's', True, 'trim_seconds',
           'Time in obmalloc.trim()'),
    Metric('obmalloc.system_malloc.held', 'By', False, 'malloc_held',
           'Memory that glibc has for its arenas'),
    Metric('obmalloc.system_malloc.free', 'By', False, 'malloc_free',
           'Of that what is not in use, whether resident or given back'),
    Metric('obmalloc.system_malloc.trims', '{call}', True, 'malloc_trims',
           'How often the malloc of the system was made to give back'),
    Metric('obmalloc.system_malloc.trim.duration', 's', True, 'malloc_trim_seconds',
           'Time that this took, in any thread'),
)


# Reading ----------------------------------------------------------------------------

def _heap():
    stats = obmalloc.stats()
    page = stats['page_size']
    return {
        'resident': stats['resident_pages'] * page,
        'live': stats['live_bytes'],
        'floor': stats['floor_pages'] * page,
        'retained': stats['dirty_pages'] * page,
        'metadata': stats['metadata_bytes'],
        'released': (stats['pages_purged'] + stats['pages_released']) * page,
        'refaulted': stats['refaults'] * page,
        'purges': stats['purge_calls'],
    }


def _trims():
    trims = _obmalloc.trims()
    return {
        'trims': trims['trims'],
        'trim_seconds': trims['trim_microseconds'] / 1e6,
        'malloc_trims': trims['malloc_trims'],
        'malloc_trim_seconds': trims['malloc_trim_microseconds'] / 1e6,
    }


def _system_malloc():
    figures = _obmalloc.system_malloc() or {}       # none: this malloc does not tell
    return {f'malloc_{name}': value for name, value in figures.items()}


_READERS = {
    'in force': lambda: {'active': int(obmalloc.active())},
    'the resident set': lambda: {'process': _kernel.process_bytes()},
    'the heap': _heap,
    'trims': _trims,
    "the system's malloc": _system_malloc,
}
_complained_of = set()          # keys of _READERS


def _read():
    """The figures that can be had: a dict from the source of a metric to a number."""
    figures = {}
    for what, reader in _READERS.items():
        try:
            figures.update(reader())
        except Exception as error:
            if what not in _complained_of:
                _complained_of.add(what)
                _log.warning('%s cannot be told: %s: %s', what, type(error).__name__, error)
    return figures


# Prometheus -------------------------------------------------------------------------

class PrometheusCollector:
    """A collector for a registry of prometheus_client:

        prometheus_client.REGISTRY.register(PrometheusCollector())

    Each collection reads the figures anew (see the module for what that costs), and
    none is read at registration.  prometheus_client does not support collectors in
    its multiprocess mode (PROMETHEUS_MULTIPROC_DIR): there each worker needs its own
    page of metrics.

    Raises ImportError without the package prometheus-client.
    """

    def __init__(self):
        try:
            from prometheus_client import core
        except ImportError:
            raise ImportError('obmalloc.metrics.PrometheusCollector needs the package prometheus-client: '
                              'pip install prometheus-client', name='prometheus_client') from None
        self._kinds = {False: core.GaugeMetricFamily, True: core.CounterMetricFamily}

    def _family(self, metric, value=None):
        return self._kinds[metric.counts](metric.prometheus_name, metric.text, value=value)

    def describe(self):
        """The metrics without values, for the registry."""
        return [self._family(metric) for metric in METRICS]

    def collect(self):
        """The metrics that can be told now, each with its value."""
        figures = _read()
        return [self._family(metric, figures[metric.source])
                for metric in METRICS if metric.source in figures]


# OpenTelemetry ----------------------------------------------------------------------

class _Figures:
    """Figures read once for all instruments: each gets a value once from one reading."""

    def __init__(self):
        self._lock = threading.Lock()
        self._figures = {}
        self._taken = set(metric.source for metric in METRICS)

    def take(self, source):
        """The value (int or float), or None if it cannot be told."""
        with self._lock:
            if source in self._taken:
                self._figures = _read()
                self._taken.clear()
            self._taken.add(source)
            return self._figures.get(source)


def instrument(meter):
    """Have a meter of OpenTelemetry observe METRICS, and return the instruments (a list).

    meter: an opentelemetry.metrics.Meter.  What only grows becomes an observable
    counter, all else an observable up-down counter.
    Collecting all instruments in turn reads the figures once.

    Raises ImportError without the package opentelemetry-api.
    """
    try:
        from opentelemetry.metrics import Observation
    except ImportError:
        raise ImportError('obmalloc.metrics.instrument() needs the package opentelemetry-api: '
                          'pip install opentelemetry-api', name='opentelemetry') from None
    figures = _Figures()

    def observe(metric):
        def callback(options):
            value = figures.take(metric.source)
            return [] if value is None else [Observation(value)]
        return callback

    create = {False: meter.create_observable_up_down_counter, True: meter.create_observable_counter}
    return [create[metric.counts](metric.name, callbacks=[observe(metric)], unit=metric.unit,
                                  description=metric.text) for metric in METRICS]


# Grafana ----------------------------------------------------------------------------

def dashboard():
    """A dashboard of these metrics for Grafana, as its import takes it: a dict, fit for
    JSON.  From a terminal: python -m obmalloc.metrics > obmalloc.json."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'grafana.json')
    with open(path, encoding='utf-8') as file:
        return json.load(file)


_USAGE = """\
usage: python -m obmalloc.metrics

Print the dashboard for Grafana as JSON: python -m obmalloc.metrics > obmalloc.json
"""


def _print_dashboard(arguments):
    """The exit status."""
    if arguments in (['-h'], ['--help']):
        return _output.answer(_USAGE)
    if arguments:
        _output.complain(f'metrics: unknown argument {arguments[0]}: it takes none')
        return 2
    try:
        _output.show([json.dumps(dashboard(), indent=2)])
    except _output.CommandError as error:
        _output.complain(error)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(_print_dashboard(sys.argv[1:]))
