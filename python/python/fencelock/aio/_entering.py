"""What can be awaited, and entered by `async with` as well."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar


class Scope(Protocol):
    """An asynchronous context manager that returns itself."""

    async def __aenter__(self) -> Self:
        """Begins the scope."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Ends the scope."""


ScopeT = TypeVar("ScopeT", bound=Scope)


class Entering(Coroutine[Any, Any, ScopeT], Generic[ScopeT]):
    """`await` gives the result; `async with` enters it, too.

    It is a coroutine, good for `asyncio.create_task` and all that takes one.
    """

    __slots__ = ("_coroutine", "_result")

    def __init__(self, coroutine: Coroutine[Any, Any, ScopeT]) -> None:
        """Made by fencelock's functions."""
        self._coroutine = coroutine
        self._result: ScopeT | None = None

    def __await__(self) -> Generator[Any, Any, ScopeT]:
        """Waits for the result."""
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:  # noqa: ANN401 -- as Coroutine has it
        """Goes on, as coroutines do."""
        return self._coroutine.send(value)

    def throw(self, *raised: Any) -> Any:  # noqa: ANN401 -- as Coroutine has it
        """Goes on with an exception, as coroutines do."""
        return self._coroutine.throw(*raised)

    def close(self) -> None:
        """Ends it, as coroutines do."""
        self._coroutine.close()

    async def __aenter__(self) -> ScopeT:
        """Waits for the result, and enters it."""
        self._result = await self._coroutine
        return await self._result.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves what was entered."""
        if self._result is not None:
            await self._result.__aexit__(exc_type, exc, traceback)
