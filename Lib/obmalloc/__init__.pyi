from typing import Literal, TypedDict

from obmalloc._heap_map import HeapMap
from obmalloc._longlived import longlived as longlived
from obmalloc._moving import compact as compact, keep as keep
from obmalloc._pins import Pins
from obmalloc.loading import install as install

__all__ = ['active', 'check', 'compact', 'heap_map', 'install', 'keep', 'longlived', 'pins', 'resident', 'settings',
           'stats', 'trim']

__version__: str

class _ClassStats(TypedDict):
    size: int
    capacity: int
    pools: int
    live_blocks: int
    free_blocks: int

class _Stats(TypedDict):
    version: int
    page_size: int
    run_size: int
    arena_size: int
    arenas: int
    arena_bytes: int
    arenas_mapped: int
    arenas_released: int
    arenas_highwater: int
    huge_arenas: int
    arenas_huge: int
    arenas_split: int
    used_pages: int
    floor_pages: int
    resident_pages: int
    free_pages: int
    dirty_pages: int
    purged_pages: int
    fresh_pages: int
    live_blocks: int
    live_bytes: int
    free_block_bytes: int
    tail_bytes: int
    metadata_bytes: int
    purge_calls: int
    pages_purged: int
    pages_released: int
    refaults: int
    purge_failures: int
    allowance_pages: int
    system_blocks: int
    classes: list[_ClassStats]

class _Settings(TypedDict):
    retain: Literal['auto', 'none', 'all'] | int
    hugepages: Literal['auto', 'never', 'always']
    background: Literal['auto'] | int
    malloc: Literal['auto', 'leave', 'one']
    medium: int
    check: int
    secure: int

class _Resident(TypedDict):
    arenas: int
    process: int

def active() -> bool: ...
def check(level: int = 3, /) -> None: ...
def heap_map(*, kernel: bool = False) -> HeapMap: ...
def pins(limit: int = 10_000, *, objects: bool = False) -> Pins: ...
def resident() -> _Resident: ...
def settings() -> _Settings: ...
def stats() -> _Stats: ...
def trim() -> int: ...
