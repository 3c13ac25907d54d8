from collections.abc import Callable, Iterable, Iterator, Mapping
from struct import Struct
from typing import Any, NamedTuple

VERSION: int
FRESH: str
PURGED: str
DIRTY: str
USED: str
KINDS: tuple[str, str, str, str]
PAGE: Struct
NO_CLASS: int

class Page(NamedTuple):
    kind: str
    block_size: int
    live: int
    capacity: int
    resident: bool | None = None
    continues: bool = False
    @property
    def live_blocks(self) -> int: ...
    @property
    def live_bytes(self) -> int: ...

class Room(NamedTuple):
    touch: int
    begin: int
    tail: int

def room_of(size: int, capacity: int, page_size: int, run_pages: int, page: int) -> Room: ...

class Shape:
    page_size: int
    run_size: int
    classes: list[tuple[int, int]]
    def __init__(self, page_size: int, run_size: int, classes: Iterable[tuple[int, int]]) -> None: ...
    def room_of(self, size_class: int, page: int, page_count: int) -> Room: ...

class Arena:
    number: int
    address: int
    purgeable: bool
    page_count: int
    def __init__(self, shape: Shape, number: int, address: int, purgeable: bool, pages: bytes,
                 resident: bytes | None = None) -> None: ...
    def __iter__(self) -> Iterator[Page]: ...
    def rooms(self) -> list[Room]: ...
    def kinds(self) -> dict[str, int]: ...
    @property
    def live_blocks(self) -> int: ...
    @property
    def live_bytes(self) -> int: ...
    @property
    def resident_pages(self) -> int | None: ...
    def address_of(self, page: int) -> int: ...

def classes_of(stats: Mapping[str, Any]) -> list[tuple[int, int]]: ...

class HeapMap:
    version: int
    page_size: int
    run_size: int
    arena_size: int
    classes: list[tuple[int, int]]
    arenas: list[Arena]
    def __init__(self, *, page_size: int, run_size: int, arena_size: int,
                 classes: Iterable[tuple[int, int]], arenas: Iterable[tuple[int, int, bool, bytes]],
                 resident: Callable[[int, int], bytes] | None = None) -> None: ...
    def kinds(self) -> dict[str, int]: ...
    def as_dict(self) -> dict[str, Any]: ...

def from_dict(data: Mapping[str, Any], classes: Iterable[tuple[int, int]]) -> HeapMap: ...
