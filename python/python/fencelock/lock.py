"""A description of a lock: its name and how it is to be held."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fencelock import _events
from fencelock._options import Duration, optional_seconds
from fencelock._shared import LockBase
from fencelock.lease import Lease, leave

if TYPE_CHECKING:
    from fencelock import _native

P = ParamSpec("P")
R = TypeVar("R")


class Lock(LockBase[Lease]):
    """A lock that may be held: a name and options. `Client.lock` makes it.

    It is cheap, may be used again and again and from any thread; each acquire gives a `Lease` of
    its own. It is not reentrant.

    Examples:
        >>> import fencelock
        >>> client = fencelock.connect()
        >>> lock = client.lock("orders", ttl=5)
        >>> with lock as lease:
        ...     print(lease.name, lock.try_acquire())
        orders None
        >>> @lock
        ... def settle(order: int) -> str:
        ...     return f"order {order} is settled"
        >>> settle(7)
        'order 7 is settled'
        >>> client.close()
    """

    __slots__ = ()

    _title = "fencelock.Lock"

    def acquire(self, timeout: Duration | None = None) -> Lease:
        """Takes the lock, waiting in line for it.

        Ctrl-C ends the wait and leaves the queue.

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
        if not _events.running:
            _events.start()
        return self._held(self._native.acquire(optional_seconds(timeout, "timeout")))

    def try_acquire(self) -> Lease | None:
        """Takes the lock if it is free at this moment.

        Returns:
            The lease, or None if somebody has the lock or waits for it.

        Raises:
            UnavailableError: The server can't be reached.
            DeniedError: The server refused the password or a command.
            ClosedError: The client was closed.
            BackendError: The server answered with an error.
        """
        if not _events.running:
            _events.start()
        native = self._native.try_acquire()
        return None if native is None else self._held(native)

    def _held(self, native: _native.Lease) -> Lease:
        lease = Lease(native, self)
        if self._on_lost is not None:
            lease.on_lost(self._on_lost)
        # From here on it is the caller's; before, Ctrl-C would give it back. No signal is handled
        # between this line and the caller's next one.
        native.handed_over = True
        return lease

    def __enter__(self) -> Lease:
        """Takes the lock, waiting without limit.

        Raises:
            WouldDeadlockError: This thread or asyncio task is inside already.
            FencelockError: As `acquire`.
        """
        place = self._entries.place()
        lease = self.acquire()
        self._entries.inside[place] = lease
        return lease

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Releases what this thread or task entered with, or else the oldest entry.

        Raises:
            LockLostError: The body ended well, but the lease was lost.
        """
        leave(self._entries.leave().release, exc)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function: each call holds the lock, and waits for it without limit.

        Raises:
            TypeError: The function is asynchronous or a generator: the lock would be given back
                before its body runs.
        """
        _refuse_deferred(function)

        @functools.wraps(function)
        def locked(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return locked


def _refuse_deferred(function: Callable[P, R]) -> None:
    kinds: dict[str, Callable[[object], bool]] = {
        "a coroutine function": inspect.iscoroutinefunction,
        "an async generator function": inspect.isasyncgenfunction,
        "a generator function": inspect.isgeneratorfunction,
    }
    for kind, is_kind in kinds.items():
        if is_kind(function) or is_kind(getattr(function, "__call__", None)):  # noqa: B004
            raise TypeError(
                f"{function!r} is {kind}: the lock would be given back before its body runs; "
                "take the lock inside it with `with`"
            )
    if not callable(function):
        raise TypeError(f"{function!r} is not callable; decorate a function")
