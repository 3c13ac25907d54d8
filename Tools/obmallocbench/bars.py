"""The bars that a patched interpreter must clear, checked on a document of a timed scenario."""
from __future__ import annotations

import dataclasses

from . import figures
from .scenarios import SCENARIOS

KEPT_LIMIT = 5.0            # MiB above the start that may remain after the free
CPU_LIMIT = 1.0             # best CPU time, patched against stock
ARM = "patched"


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar: what it asks, what was measured and its limit, in the same unit."""

    name: str
    measured: float | None
    limit: float
    unit: str

    @property
    def cleared(self) -> bool:
        """Whether the figure exists and does not exceed the limit."""
        return self.measured is not None and self.measured <= self.limit

    def __str__(self) -> str:
        measured = "nothing" if self.measured is None else f"{self.measured:.3f} {self.unit}".strip()
        verdict = "PASS" if self.cleared else "FAIL"
        return f"{verdict}  {self.name}: {measured}, at most {self.limit:g} {self.unit}".rstrip()


def check(document: dict) -> list[Bar]:
    """Return the bars with what the document's counted runs measured."""
    scenario = SCENARIOS[document["scenario"]]
    arm = next(arm for arm in document["arms"] if arm["name"] == ARM)
    runs = figures.counted_runs(arm)
    kept = max(figures.kept_mebibytes(run, scenario) for run in runs)
    cpu = figures.summaries(document)["cpu"][ARM].best_ratio
    first = document["arms"][0]["name"]
    return [
        Bar(f"{ARM}, RSS after the free above RSS before the first allocation, "
            f"greatest of {len(runs)}", kept, KEPT_LIMIT, "MiB"),
        Bar(f"{ARM}, CPU time, best of {len(runs)} against best of {len(runs)} of {first}",
            cpu, CPU_LIMIT, ""),
    ]
