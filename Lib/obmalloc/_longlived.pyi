from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

_F = TypeVar('_F', bound=Callable[..., object])

class longlived:
    def __enter__(self) -> longlived: ...
    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    def __call__(self, function: _F) -> _F: ...
