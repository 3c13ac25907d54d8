"""Who keeps the memory that a process has more than at its start, from what it said of itself."""
from __future__ import annotations

import dataclasses

from .figures import MEBIBYTE


def small_bytes(kept: dict) -> int:
    """Return what the allocator of small objects has resident: obmalloc's pages and metadata, or
    the arenas that pymalloc has mapped; 0 where neither has any. kept: as measure.kept_by()."""
    ours, arenas = kept["allocator"], kept["pymalloc_arena_bytes"] or 0
    if ours is None:
        return arenas
    return arenas + ours["resident_pages"] * ours["page_size"] + ours["metadata_bytes"]


def floor_bytes(kept: dict) -> int | None:
    """Return the bytes of obmalloc's pages with a live block, None without obmalloc."""
    ours = kept["allocator"]
    return None if ours is None else ours["floor_pages"] * ours["page_size"]


def live_bytes(kept: dict) -> int | None:
    """Return what is in use of the system's malloc, None if glibc does not serve."""
    info = kept["mallinfo"]
    return None if info is None else info["uordblks"] + info["hblkhd"]


@dataclasses.dataclass(frozen=True)
class Kept:
    """MiB that are resident more than at the start: total == small + malloc + files.

    small: for small objects by their own allocator; floor: of it, pages with a live block (None:
    not known, as pymalloc does not tell). malloc: all other anonymous memory, which is the system
    malloc's but for stacks and what libraries initialize; live: of it, in use (None: not known, as
    another malloc serves). files: mapped files, most of them libraries.
    """

    total: float
    small: float
    floor: float | None
    malloc: float
    live: float | None
    files: float

    @property
    def retained(self) -> float:
        """What the allocator of small objects keeps above the floor, or all that it keeps."""
        return self.small - (self.floor or 0.0)

    @property
    def free(self) -> float:
        """What malloc keeps unused, or all that it keeps."""
        return self.malloc - (self.live or 0.0)


def difference(start: int | None, end: int | None) -> float | None:
    """Return end - start (bytes) in MiB, None if one is not known."""
    return None if start is None or end is None else (end - start) / MEBIBYTE


def kept_since(start: dict, end: dict) -> Kept:
    """Return who keeps what at the mark end more than at the mark start; each has rss_bytes and
    kept_by."""
    before, after = start["kept_by"], end["kept_by"]
    total = difference(start["rss_bytes"], end["rss_bytes"])
    anonymous = difference(before["anonymous_bytes"], after["anonymous_bytes"])
    if anonymous is None:       # a kernel that does not tell: all is said to be anonymous
        anonymous = total
    small = difference(small_bytes(before), small_bytes(after))
    return Kept(total, small, difference(floor_bytes(before), floor_bytes(after)),
                anonymous - small, difference(live_bytes(before), live_bytes(after)),
                total - anonymous)
