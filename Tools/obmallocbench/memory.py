"""The memory scenarios: every case run by every arm, in turn, gathered in one document."""
from __future__ import annotations

from typing import Callable, Sequence

from . import experiment, running
from .scenarios import Case, MemoryScenario

FORMAT = "obmallocbench memory 1"


def arms_of(scenario: MemoryScenario, stock: dict, patched: dict) -> list[running.Arm]:
    """Return the arms of a scenario."""
    arms = experiment.arms_of(stock, patched)
    return arms if scenario.with_retain_all else arms[:2]


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
    cases = []
    for scenario in scenarios:
        arms = arms_of(scenario, interpreters["stock"], interpreters["patched"])
        own = {name: parameters.get(name, default) for name, default in scenario.options.items()}
        cases += [run_case(scenario, case, arms, own, runs or scenario.runs, limit, progress)
                  for case in scenario.cases]
    return {"format": FORMAT, **experiment.finish_circumstances(facts), "cases": cases}
