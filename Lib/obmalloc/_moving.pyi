from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

_T = TypeVar('_T')

class Moved(NamedTuple):
    count: int  # type: ignore[assignment]
    bytes: int
    finished: bool
    position: object

def keep(value: _T, *, copy: Callable[[_T], _T] | None = None) -> _T: ...
def compact(
    container: dict[Any, Any] | list[Any] | deque[Any] | set[Any],
    *,
    limit: int | None = None,
    budget: float | None = None,
    copy: Callable[[Any], Any] | None = None,
    after: Moved | None = None,
) -> Moved: ...
