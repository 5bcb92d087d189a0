"""One holding of a lock, in asyncio."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final
from weakref import ref

from fencelock import _events, _options
from fencelock._shared import LeaseBase
from fencelock.aio._body import Body
from fencelock.aio._port import outcome, unswerving, watch
from fencelock.errors import FencelockError, LockLostError, LossReason, NotHeldError

if TYPE_CHECKING:
    from fencelock import _native
    from fencelock.aio.lock import Lock

RELEASE_LIMIT: Final = 1.0
"""How many seconds the end of an `async with` waits for the server."""


class Lease(LeaseBase):
    """One holding of a lock, from its grant until it is released or lost.

    A lease is kept alive in the background. While `is_held()` is true nobody else holds the lock,
    as far as the backend's assumptions go; a process can be paused between that check and its
    write, so where correctness matters pass `fence` to what you write to, and let it refuse
    smaller numbers.

    Every method may be called by any task, in any event loop. As an asynchronous context manager
    it is released at the end, and if it is lost it cancels the body.

    A lease that is garbage-collected while held does *not* release its lock: renewal stops, a
    `ResourceWarning` and the log name the lock, and it lapses at its deadline.

    Examples:
        >>> import asyncio
        >>> import fencelock.aio
        >>> async def main() -> None:
        ...     async with fencelock.aio.connect() as client:
        ...         async with client.lock("orders").acquire(timeout=5) as lease:
        ...             lease.check()
        ...         print(lease)
        >>> asyncio.run(main())
        <fencelock.aio.Lease 'orders' fence=... released>
    """

    __slots__ = ("_bodies", "_callbacks", "_cancels")

    _title = "fencelock.aio.Lease"

    def __init__(self, native: _native.Lease, lock: Lock) -> None:
        """Made by `Lock.acquire` only."""
        super().__init__(native, lock)
        self._cancels = lock.on_loss == "cancel"
        self._bodies: list[Body] = []
        self._callbacks: list[Callable[[Lease], object]] = []

    async def renew(self) -> None:
        """Renews the lease now, for its full TTL. In the background that goes on by itself.

        Raises:
            LockLostError: The server refused, or the time was over.
            NotHeldError: It was released.
            UnavailableError: The server could not be reached; the lease is held until its
                deadline all the same.
        """
        await outcome(self._native.begin_renew)

    async def release(self) -> None:
        """Gives the lock back, to the first waiter if there is one.

        Cancelled, it goes on in the background.

        Raises:
            LockLostError: It was not held any more.
            NotHeldError: It was released before.
            UnavailableError: The server did not confirm; the release is repeated in the
                background until the lease ends by itself.
        """
        await outcome(self._native.begin_release, None)

    async def wait_lost(self) -> LossReason | None:
        """Waits until the lease is lost.

        Returns:
            Why it was lost; None if it is released instead.
        """
        reason = await outcome(self._native.begin_watch)
        return None if reason is None else LossReason(reason)

    def on_lost(self, callback: Callable[[Lease], object]) -> None:
        """Has `callback(lease)` called once when the lease is lost.

        It runs in the event loop that is running now: it should be quick. It is never called if
        the lease is released or nobody refers to it any more, and soon if it is lost already.
        What it raises is logged.

        Raises:
            InvalidArgumentError: It can't be called, or is a coroutine function.
        """
        callback = _options.callback(callback, "on_lost")
        number = len(self._callbacks)
        self._callbacks.append(callback)
        known = ref(self)

        def told(_reason: str) -> None:
            lease = known()
            if lease is not None:
                _events.call(lease._callbacks[number], lease)

        watch(self._native, told)

    def _enter(self) -> None:
        """Begins the body of an `async with`."""
        body = Body()
        self._bodies.append(body)
        if self._cancels:
            watch(self._native, body.lost)

    async def __aenter__(self) -> Lease:
        """Returns the lease itself, if it is held.

        Raises:
            LockLostError: It was lost.
            NotHeldError: It was released.
        """
        self._native.check()
        self._enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Releases the lease, unless the body has; waits at most 1 s for the server's answer.

        A task that is cancelled meanwhile hears of it afterwards.

        Raises:
            LockLostError: The lease was lost, and nothing else ended the body.
        """
        by_loss = self._bodies.pop().end(exc)
        try:
            await unswerving(self._native.begin_release, RELEASE_LIMIT)
        except NotHeldError:
            # Given back in the body already.
            return
        except LockLostError as loss:
            if by_loss:
                raise loss from exc
            if exc is None:
                raise
            exc.add_note(f"fencelock: {loss}")
        except FencelockError as error:
            _events.logger.warning("a release was not confirmed: %s", error)
