from typing import Any, NamedTuple

__all__ = ['METRICS', 'Metric', 'PrometheusCollector', 'dashboard', 'instrument']

class Metric(NamedTuple):
    name: str
    unit: str
    counts: bool
    source: str
    text: str
    @property
    def prometheus_name(self) -> str: ...

METRICS: tuple[Metric, ...]

class PrometheusCollector:
    def __init__(self) -> None: ...
    def describe(self) -> list[Any]: ...    # prometheus_client.Metric
    def collect(self) -> list[Any]: ...

def instrument(meter: Any) -> list[Any]: ...    # opentelemetry.metrics.Meter, and its instruments
def dashboard() -> dict[str, Any]: ...
