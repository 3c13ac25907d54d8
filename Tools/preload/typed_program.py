"""A program that uses all of the module, for `mypy --strict`; nobody runs it."""

import obmalloc
from obmalloc import loading


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
    return f'{obmalloc.__version__} {installed} {active} {held} {blocks} {retain} {process} {owners} {lines} ' \
           f'{released} {library}'
