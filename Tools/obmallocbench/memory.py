"""The memory scenarios: every case run by every arm, in turn, gathered in one document."""
from __future__ import annotations

from typing import Callable, Sequence

from . import allocators, experiment, running
from .errors import BenchmarkError
from .scenarios import Case, MemoryScenario

FORMAT = "obmallocbench memory 2"


def arm_with_settings(settings: str, patched: dict) -> running.Arm:
    """Return the arm of a patched interpreter with settings; BenchmarkError if it does not know
    them."""
    environment = {"PYTHONOBMALLOC": settings}
    allocators.refuse_a_refusal(patched["path"], environment)
    return running.Arm(settings, "patched", patched["path"], environment)


def arms_with_settings(scenarios: Sequence[MemoryScenario], patched: dict
                       ) -> tuple[dict[str, running.Arm], list[dict]]:
    """Return by their settings the arms that scenarios have besides stock and patched; and those
    that cannot be run, as {name, reason}."""
    arms, skipped = {}, []
    for settings in dict.fromkeys(scenario.settings for scenario in scenarios if scenario.settings):
        try:
            arms[settings] = arm_with_settings(settings, patched)
        except BenchmarkError as error:
            skipped.append({"name": settings, "reason": str(error)})
    return arms, skipped


def run_case(scenario: MemoryScenario, case: Case, arms: Sequence[running.Arm],
             parameters: dict[str, int], runs: int, limit: float,
             progress: Callable[[str], None]) -> dict:
    """Return the document's part about one case: its raw runs, arms in turn, none discarded."""
    parameters = {**parameters, **case.parameters}
    return {"scenario": scenario.name, "case": case.label, "parameters": parameters,
            "arms": experiment.run_rounds(
                arms, scenario, parameters, runs, 0, limit,
                lambda line: progress(f"{scenario.title} {case.label}, {line}"))}


def run_scenarios(scenarios: Sequence[MemoryScenario], parameters: dict[str, int],
                  interpreters: dict[str, dict], runs: int | None, limit: float,
                  progress: Callable[[str], None]) -> dict:
    """Run all cases of the scenarios and return the document.

    parameters: what differs from each scenario's defaults; what a scenario does not take is not
    for it. runs: of each arm, None for as many as each scenario says.
    """
    facts = experiment.circumstances(interpreters)
    more, skipped = arms_with_settings(scenarios, interpreters["patched"])
    cases = []
    for scenario in scenarios:
        arms = experiment.arms_of(interpreters["stock"], interpreters["patched"])[:2]
        if scenario.settings in more:
            arms.append(more[scenario.settings])
        own = {name: parameters.get(name, default) for name, default in scenario.options.items()}
        cases += [run_case(scenario, case, arms, own, runs or scenario.runs, limit, progress)
                  for case in scenario.cases]
    return {"format": FORMAT, **experiment.finish_circumstances(facts), "skipped": skipped,
            "cases": cases}
