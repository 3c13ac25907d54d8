"""The scenarios: which script runs, with which options, and where its first free lies."""
from __future__ import annotations

import dataclasses
from pathlib import Path

WORKLOADS = Path(__file__).resolve().parent / "workloads"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One workload.

    name: the command's word, the files' stem and the script's. title: for people.
    options: what the script takes, name to default (int).
    phases: the names of its marks in order; each is the end of a phase.
    activities: what the program does before each mark, in one word each, for the picture.
    before, freed: the marks between which everything is allocated and freed once.
    """

    name: str
    title: str
    options: dict[str, int]
    phases: tuple[str, ...]
    activities: tuple[str, ...]
    before: str
    freed: str

    @property
    def script(self) -> Path:
        """The path of the workload."""
        return WORKLOADS / f"{self.name}.py"

    def command_options(self, parameters: dict[str, int]) -> list[str]:
        """Return the words that give the script its parameters."""
        return [word for name, value in parameters.items()
                for word in (f"--{name.replace('_', '-')}", str(value))]


SCENARIOS = {scenario.name: scenario for scenario in (
    Scenario(
        name="obj",
        title="Obj",
        options={"objects": 1_000_000},
        phases=("start", "allocated", "freed", "allocated again", "end"),
        activities=("start", "allocate", "free", "allocate again", "free"),
        before="start",
        freed="freed",
    ),
)}
