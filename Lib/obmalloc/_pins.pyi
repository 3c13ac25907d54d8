from collections.abc import Callable
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

class Pins:
    version: int
    page_size: int
    types: list[TypePins]
    arenas: list[PinnedArena]
    def __init__(self, page_size: int, types: list[TypePins], arenas: list[PinnedArena]) -> None: ...
    @property
    def known(self) -> float: ...
    def as_dict(self) -> dict[str, Any]: ...

def type_name(cls: type[Any] | None) -> str: ...
def holder_name(cls: type[Any] | None) -> str: ...
def line_finder() -> Callable[[Any], str | None]: ...
def own_frames() -> list[FrameType]: ...
def from_owners(stats: dict[str, Any], owners: Any, keep_objects: bool) -> Pins: ...
