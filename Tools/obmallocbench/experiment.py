"""A whole comparison: the arms in turn, round by round, and one watched run of each."""
from __future__ import annotations

import datetime
import os
import platform
from typing import Callable, Sequence

from . import machine, running
from .scenarios import RETAIN_ALL, Scenario, Workload

FORMAT = "obmallocbench 1"
DISCARDED = 1                       # rounds at the start that warm caches and are not counted


def arms_of(stock: dict, patched: dict) -> list[running.Arm]:
    """Return the arms; the first is what the others are compared with."""
    return [running.Arm("stock", "stock", stock["path"], {}),
            running.Arm("patched", "patched", patched["path"], {}),
            running.Arm(RETAIN_ALL, "patched", patched["path"], {"PYTHONOBMALLOC": RETAIN_ALL})]


def run_rounds(arms: Sequence[running.Arm], workload: Workload, parameters: dict[str, int | str],
               runs: int, discarded: int, limit: float, progress: Callable[[str], None]
               ) -> list[dict]:
    """Return the arms as a document has them, with their runs in order; every round runs each arm
    once, in turn.

    discarded: rounds at the start that do not count. progress is called with one line of text
    before each run.
    """
    results: dict[str, list] = {arm.name: [] for arm in arms}
    for number in range(runs):
        for arm in arms:
            progress(f"round {number + 1} of {runs}: {arm.name}")
            run = running.timed_run(arm, workload, parameters, limit)
            results[arm.name].append({"round": number, "counted": number >= discarded, **run})
    return [{"name": arm.name, "interpreter": arm.interpreter, "environment": arm.environment,
             "runs": results[arm.name]} for arm in arms]


def circumstances(interpreters: dict[str, dict]) -> dict:
    """Return what every report keeps of where and when it was measured, as the work begins.

    finish_circumstances completes it when the work is done.
    """
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe_machine(),
        "repository": machine.describe_repository(),
        "load_average": {"before": list(os.getloadavg())},
        "runner": platform.python_version(),
        "interpreters": interpreters,
    }


def finish_circumstances(facts: dict) -> dict:
    """Return the facts of circumstances with the load average after the work."""
    load = {**facts["load_average"], "after": list(os.getloadavg())}
    return {**facts, "load_average": load}


def run_experiment(scenario: Scenario, parameters: dict[str, int], interpreters: dict[str, dict],
                   runs: int, limit: float, progress: Callable[[str], None]) -> dict:
    """Run everything and return the document: raw figures and where they come from.

    interpreters: descriptions of "stock" and "patched". runs: rounds, the discarded one included.
    """
    arms = arms_of(interpreters["stock"], interpreters["patched"])
    facts = circumstances(interpreters)
    timed = {**parameters, **scenario.timed}
    results = run_rounds(arms, scenario, timed, runs, DISCARDED, limit, progress)
    facts = finish_circumstances(facts)
    for arm, result in zip(arms, results):
        progress(f"resident set over time: {arm.name}")
        result["curve"] = running.watched_run(arm, scenario, {**timed, **scenario.watched}, limit)
    return {
        "format": FORMAT,
        "scenario": scenario.name,
        "parameters": parameters,
        "runs": {"made": runs, "discarded": DISCARDED, "counted": runs - DISCARDED},
        **facts,
        "arms": results,
    }
