"""A program that uses all of the module, for `mypy --strict` and pyright; it is checked, not run."""

# pyright: strict

import obmalloc
from obmalloc import loading, metrics


@obmalloc.longlived
def load(name: str) -> list[str]:
    return [name]


@obmalloc.longlived()
def load_more(name: str) -> list[str]:
    return load(name)


def everything() -> str:
    """Each function, and what it returns, by the types that it has."""
    installed: bool = obmalloc.install()
    active: bool = obmalloc.active()
    obmalloc.check()
    obmalloc.check(2)
    stats = obmalloc.stats()
    held: int = stats['resident_pages'] * stats['page_size']
    blocks: list[int] = [row['live_blocks'] for row in stats['classes']]
    settings = obmalloc.settings()
    retain: str | int = settings['retain']
    process: int = obmalloc.resident()['process']
    for arena in obmalloc.heap_map(kernel=True).arenas:
        for page in arena:
            blocks.append(page.live * page.block_size)
    pins = obmalloc.pins(100, objects=True)
    owners: dict[str, int] = {row.type: row.wasted_bytes for row in pins.types}
    lines: list[str | None] = [block.line for pinned in pins.arenas for part in pinned.pages
                               for block in part.blocks]
    released: int = obmalloc.trim()
    library: str | None = loading.library_path()
    kept: dict[str, list[int]] = obmalloc.keep({'blocks': blocks})
    moved = obmalloc.compact(kept, limit=100, budget=0.001)
    while not moved.finished:
        moved = obmalloc.compact(kept, limit=100, after=moved)
    counts: tuple[int, int] = moved.count, moved.bytes
    with obmalloc.longlived():
        table: list[str] = load_more('table')
    names: list[str] = table + [metric.prometheus_name for metric in metrics.METRICS]
    described: int = len(metrics.PrometheusCollector().describe()) + len(metrics.dashboard())
    return f'{obmalloc.__version__} {installed} {active} {held} {blocks} {retain} {process} {owners} {lines} ' \
           f'{released} {library} {counts} {names} {described}'
