from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NamedTuple

VERSION: int

class TypePins(NamedTuple):
    type: str
    beside: bool
    holder: str
    blocks: int
    bytes: int
    pages: int
    held_bytes: int
    @property
    def wasted_bytes(self) -> int: ...

class Block(NamedTuple):
    address: int
    type: str
    beside: bool
    holder: str
    line: str | None = None
    object: Any = None

class PinnedPage(NamedTuple):
    number: int
    address: int
    block_size: int
    blocks: list[Block]

class PinnedArena(NamedTuple):
    number: int
    address: int
    page_count: int
    used_pages: int
    live_blocks: int
    live_bytes: int
    pages: list[PinnedPage]

class Copies(NamedTuple):
    type: str
    others: bool
    holder: str
    containers: int
    values: int
    largest: int
    blocks: int
    bytes: int
    pages: int
    gives_back: int
    gives_back_with_keys: int
    name: str
    call: str
    container: Any = None

class Pins:
    version: int
    page_size: int
    types: list[TypePins]
    arenas: list[PinnedArena]
    copies: list[Copies]
    def __init__(self, page_size: int, types: list[TypePins], arenas: list[PinnedArena],
                 copies: Iterable[Copies] = ()) -> None: ...
    @property
    def known(self) -> float: ...
    def as_dict(self) -> dict[str, Any]: ...

def type_name(cls: type[Any] | None) -> str: ...
def holder_name(cls: type[Any] | None) -> str: ...
def line_finder() -> Callable[[Any], str | None]: ...
def own_frames() -> list[FrameType]: ...
COPIED_BY_REFERENCE: tuple[type[Any], ...]
def container_types() -> tuple[type[Any], ...]: ...
def from_owned(stats: dict[str, Any], owned: Any, keep_objects: bool) -> Pins: ...
