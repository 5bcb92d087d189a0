"""A description of a lock for asyncio: its name and how it is to be held."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar, get_args

from fencelock._options import Duration, optional_seconds
from fencelock._shared import ClientBase, LockBase, OnLost
from fencelock.aio._entering import Entering
from fencelock.aio._port import outcome
from fencelock.aio.lease import Lease
from fencelock.errors import InvalidArgumentError

if TYPE_CHECKING:
    from fencelock import _native

P = ParamSpec("P")
R = TypeVar("R")

OnLoss: TypeAlias = Literal["cancel", "event"]


class Lock(LockBase[Lease]):
    """A lock that may be held: a name and options. `Client.lock` makes it.

    It is cheap, may be used again and again and by any task; each acquire gives a `Lease` of its
    own. It is not reentrant.

    Examples:
        >>> import asyncio
        >>> import fencelock.aio
        >>> async def main() -> None:
        ...     async with fencelock.aio.connect() as client:
        ...         lock = client.lock("orders", ttl=5)
        ...         async with lock as lease:
        ...             print(lease.name, await lock.try_acquire())
        ...
        ...         @lock
        ...         async def settle(order: int) -> str:
        ...             return f"order {order} is settled"
        ...
        ...         print(await settle(7))
        >>> asyncio.run(main())
        orders None
        order 7 is settled
    """

    __slots__ = ("_on_loss",)

    _title = "fencelock.aio.Lock"

    def __init__(
        self,
        client: ClientBase,
        name: str,
        *,
        ttl: Duration,
        renew: bool,
        max_hold: Duration | None,
        label: str,
        on_lost: OnLost[Lease] | None,
        on_loss: OnLoss,
    ) -> None:
        """Made by `Client.lock` only."""
        if on_loss not in get_args(OnLoss):
            raise InvalidArgumentError(
                f'lock {name!r}: on_loss is {on_loss!r}; give "cancel" or "event"', lock=name
            )
        super().__init__(
            client, name, ttl=ttl, renew=renew, max_hold=max_hold, label=label, on_lost=on_lost
        )
        self._on_loss = on_loss

    @property
    def on_loss(self) -> OnLoss:
        """What a lost lease does to the body of its `async with`: `"cancel"`, or `"event"`."""
        return self._on_loss

    def acquire(self, timeout: Duration | None = None) -> Entering[Lease]:
        """Takes the lock, waiting in line for it; to be awaited, or entered by `async with`.

        Cancelling it leaves the queue; a grant that raced with the cancelling is given back.

        Args:
            timeout: How many seconds to wait at most; 0 makes one attempt, None waits for ever.

        Returns:
            The lease. Keep it: one that is discarded is not renewed, and lapses.

        Raises:
            AcquireTimeoutError: The time was over and somebody else still held the lock.
            UnavailableError: The server can't be reached.
            DeniedError: The server refused the password or a command.
            ClosedError: The client was closed.
            InvalidArgumentError: The timeout is negative, not a number, or no duration.
            BackendError: The server answered with an error.
        """
        return Entering(self._acquired(optional_seconds(timeout, "timeout")))

    async def _acquired(self, timeout: float | None) -> Lease:
        return self._held(await outcome(self._native.begin_acquire, timeout))

    async def try_acquire(self) -> Lease | None:
        """Takes the lock if it is free at this moment.

        Returns:
            The lease, or None if somebody has the lock or waits for it.

        Raises:
            UnavailableError: The server can't be reached.
            DeniedError: The server refused the password or a command.
            ClosedError: The client was closed.
            BackendError: The server answered with an error.
        """
        native = await outcome(self._native.begin_try_acquire)
        return None if native is None else self._held(native)

    def _held(self, native: _native.Lease) -> Lease:
        lease = Lease(native, self)
        if self._on_lost is not None:
            lease.on_lost(self._on_lost)
        # From here on it is the caller's; before, dropping it gives it back.
        native.handed_over = True
        return lease

    async def __aenter__(self) -> Lease:
        """Takes the lock, waiting without limit.

        Raises:
            WouldDeadlockError: This task is inside already.
            FencelockError: As `acquire`.
        """
        place = self._entries.place()
        lease = await self._acquired(None)
        lease._enter()
        self._entries.inside[place] = lease
        return lease

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Releases what this task entered with, or else the oldest entry.

        Raises:
            LockLostError: The lease was lost, and nothing else ended the body.
        """
        await self._entries.leave().__aexit__(exc_type, exc, traceback)

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]]
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorates a coroutine function: each call holds the lock, and waits without limit.

        Raises:
            TypeError: The function is not asynchronous, or a generator.
        """
        call = getattr(function, "__call__", None)  # noqa: B004 -- an object with one
        if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)):
            raise TypeError(
                f"{function!r} is not a coroutine function; decorate an `async def`, or take the "
                "lock inside it with `async with`"
            )

        @functools.wraps(function)
        async def locked(*args: P.args, **kwargs: P.kwargs) -> R:
            async with self:
                return await function(*args, **kwargs)

        return locked
