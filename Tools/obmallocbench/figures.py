"""From raw runs to figures: medians, best of all, ratios to the first arm, and noise.

Ratios are paired: each run is divided by the run of the first arm in the same round, so that what
slows the machine for a while slows both. The median of those pairs is the figure to believe; best
against best is printed beside it.
"""
from __future__ import annotations

import dataclasses
import statistics
from typing import Callable, Sequence

from .scenarios import SCENARIOS, Scenario

MEBIBYTE = 1 << 20
NOISY_SPREAD = 0.05         # of the middle half of the paired ratios, as a part of their median
BUSY_LOAD = 0.5             # load average per core before the first run


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure of one run. value: from a run's dictionary to a number, in unit (s or MiB)."""

    key: str
    label: str
    unit: str
    value: Callable[[dict], float]


@dataclasses.dataclass(frozen=True)
class Summary:
    """One metric of one arm over its counted runs, in the metric's unit.

    ratios: to the first arm, round by round, those that exist (a time may be zero).
    best_ratio: the least value against the least of the first arm, or None.
    """

    median: float
    best: float
    ratios: tuple[float, ...]
    best_ratio: float | None

    @property
    def ratio(self) -> float | None:
        """The median of the paired ratios, or None without any."""
        return statistics.median(self.ratios) if self.ratios else None


def mark_of(run: dict, phase: str) -> dict:
    """Return a run's mark at the end of a phase; StopIteration without one."""
    return next(mark for mark in run["phases"] if mark["phase"] == phase)


def rss_at(run: dict, phase: str) -> float:
    """Return the resident set of a run at the end of a phase, in MiB."""
    return mark_of(run, phase)["rss_bytes"] / MEBIBYTE


def cpu_seconds(run: dict) -> float:
    """Return user and system time of a run together. Only the sum is exact: the kernel splits it
    by what it finds at each tick of its clock."""
    return run["user_seconds"] + run["system_seconds"]


def kept_mebibytes(run: dict, scenario: Scenario) -> float:
    """Return what a run held after the first free above what it held before, in MiB."""
    return rss_at(run, scenario.freed) - rss_at(run, scenario.before)


def metrics_of(scenario: Scenario) -> list[Metric]:
    """Return the metrics of a scenario in the table's order."""
    times = [Metric("real", "real", "s", lambda run: run["real_seconds"]),
             Metric("user", "user", "s", lambda run: run["user_seconds"]),
             Metric("system", "system", "s", lambda run: run["system_seconds"]),
             Metric("cpu", "user + system", "s", cpu_seconds)]
    memory = [Metric(f"rss {phase}", f"RSS {scenario.labels.get(phase, phase)}", "MiB",
                     lambda run, phase=phase: rss_at(run, phase)) for phase in scenario.phases]
    peak = Metric("peak", "RSS peak", "MiB", lambda run: run["peak_rss_bytes"] / MEBIBYTE)
    return [*times, *memory, peak]


def counted_runs(arm: dict) -> list[dict]:
    """Return the runs of an arm that count."""
    return [run for run in arm["runs"] if run["counted"]]


def paired_ratios(values: Sequence[float], reference: Sequence[float]) -> tuple[float, ...]:
    """Return value / reference pair by pair, leaving out pairs whose reference is zero."""
    return tuple(value / base for value, base in zip(values, reference, strict=True) if base)


def summarize(values: Sequence[float], reference: Sequence[float]) -> Summary:
    """Return the summary of an arm's values against the first arm's, in the same order."""
    best, base = min(values), min(reference)
    return Summary(statistics.median(values), best, paired_ratios(values, reference),
                   best / base if base else None)


def summaries(document: dict) -> dict[str, dict[str, Summary]]:
    """Return for each metric's key, for each arm's name, its summary."""
    arms = document["arms"]
    result = {}
    for metric in metrics_of(SCENARIOS[document["scenario"]]):
        values = {arm["name"]: [metric.value(run) for run in counted_runs(arm)] for arm in arms}
        reference = values[arms[0]["name"]]
        result[metric.key] = {name: summarize(own, reference) for name, own in values.items()}
    return result


def spread(ratios: Sequence[float]) -> float | None:
    """Return the width of the middle half of ratios as a part of their median; None below two."""
    if len(ratios) < 2:
        return None
    lower, middle, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return (upper - lower) / middle


def same_file(document: dict) -> bool:
    """Return whether both interpreters are the same, so that every difference is noise."""
    interpreters = document["interpreters"]
    return interpreters["stock"]["sha256"] == interpreters["patched"]["sha256"]


def machine_of(document: dict) -> str:
    """Return where it was measured: processor, cores, memory, kernel."""
    facts = document["machine"]
    memory = facts["memory_bytes"]
    return (f"{facts['cpu_model'] or 'processor unknown'}, {facts['cores']} cores"
            + (f", {memory / 2**30:.0f} GiB" if memory else "") + f"; {facts['kernel']}")


def commit_of(document: dict) -> str:
    """Return what was measured of obmalloc."""
    repository = document["repository"]
    return (f"obmalloc commit {(repository['commit'] or 'none yet')[:12]}"
            + " + changes" * bool(repository["dirty"]))


def stock_of(document: dict) -> str:
    """Return what it was compared with, and when."""
    stock = document["interpreters"]["stock"]
    return (f"CPython {stock['version'].split()[0]}, {stock['compiler']}, configured with "
            f"{stock['configured_with'] or 'nothing'}; {commit_of(document)}; "
            f"{document['date'][:10]}.")


def remarks(document: dict) -> list[str]:
    """Return the sentences that a reader of the figures must know: noise, and unlike arms."""
    return unlike(document) + noise(document)


def unlike(document: dict) -> list[str]:
    """Return a sentence for each thing in which the interpreters differ, or not at all. One alone
    does not differ."""
    interpreters = document["interpreters"]
    if len(interpreters) == 1:
        return []
    stock, patched = interpreters["stock"], interpreters["patched"]
    said = []
    if same_file(document):
        said.append("stock and patched are the same file: the ratios show the machine's noise.")
    for key, words in (("compiler", "compilers"), ("configured_with", "arguments of configure")):
        if stock[key] != patched[key]:
            said.append(f"stock and patched were built with different {words}; see the JSON.")
    if stock["version"].split()[0] != patched["version"].split()[0]:
        said.append("stock and patched are different versions of Python.")
    said += [f"{name} is a script: the times include it."
             for name, interpreter in interpreters.items() if interpreter["is_script"]]
    return said


def busy(document: dict) -> list[str]:
    """Return the sentences about the load: that the machine was busy if so, and the figures."""
    load = document["load_average"]
    loads = f"load average {load['before'][0]:.2f} before, {load['after'][0]:.2f} after."
    if load["before"][0] > BUSY_LOAD * document["machine"]["cores"]:
        return ["noisy: the machine was busy before the first run.", loads]
    return [loads]


def noise(document: dict) -> list[str]:
    """Return a sentence for each sign that the machine was not quiet, else one that it was."""
    said = []
    for name, summary in summaries(document)["cpu"].items():
        width = spread(summary.ratios)
        if width is not None and width > NOISY_SPREAD:
            said.append(f"noisy: the middle half of the paired CPU ratios of {name} spreads over "
                        f"{width:.0%} of their median, {min(summary.ratios):.2f} to "
                        f"{max(summary.ratios):.2f} in all.")
    *complaints, loads = busy(document)
    said += complaints
    if not said and document["runs"]["counted"] > 1:
        said.append(f"quiet: the middle half of the paired CPU ratios of every arm spreads over at "
                    f"most {NOISY_SPREAD:.0%}.")
    return [*said, loads]
