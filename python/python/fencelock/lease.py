"""One holding of a lock."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from fencelock import _events, _options
from fencelock._shared import LeaseBase
from fencelock.errors import FencelockError, LockLostError, NotHeldError

if TYPE_CHECKING:
    from fencelock import _native
    from fencelock.lock import Lock


class Lease(LeaseBase):
    """One holding of a lock, from its grant until it is released or lost.

    A lease is kept alive in the background. While `is_held()` is true nobody else holds the lock,
    as far as the backend's assumptions go; a process can be paused between that check and its
    write, so where correctness matters pass `fence` to what you write to, and let it refuse
    smaller numbers.

    Every method may be called from any thread. As a context manager it is released at the end.

    A lease that is garbage-collected while held does *not* release its lock: renewal stops, a
    `ResourceWarning` and the log name the lock, and it lapses at its deadline.

    Examples:
        >>> import fencelock
        >>> with fencelock.connect() as client:
        ...     with client.lock("orders").acquire(timeout=5) as lease:
        ...         lease.check()
        ...     print(lease)
        <fencelock.Lease 'orders' fence=... released>
    """

    __slots__ = ("_callbacks",)

    _title = "fencelock.Lease"

    def __init__(self, native: _native.Lease, lock: Lock) -> None:
        """Made by `Lock.acquire` only."""
        super().__init__(native, lock)
        self._callbacks: dict[int, Callable[[Lease], object]] | None = None

    def renew(self) -> None:
        """Renews the lease now, for its full TTL. In the background that goes on by itself.

        Raises:
            LockLostError: The server refused, or the time was over.
            NotHeldError: It was released.
            UnavailableError: The server could not be reached; the lease is held until its
                deadline all the same.
        """
        self._native.renew()

    def release(self) -> None:
        """Gives the lock back, to the first waiter if there is one.

        Raises:
            LockLostError: It was not held any more.
            NotHeldError: It was released before.
            UnavailableError: The server did not confirm; the release is repeated in the
                background until the lease ends by itself.
        """
        self._native.release()

    def on_lost(self, callback: Callable[[Lease], object]) -> None:
        """Has `callback(lease)` called once when the lease is lost.

        It runs on a thread of fencelock's own, one callback after the other: it should be quick.
        It is never called if the lease is released or nobody refers to it any more, and soon if
        it is lost already. What it raises is logged.

        Raises:
            InvalidArgumentError: It can't be called, or is a coroutine function.
        """
        callback = _options.callback(callback, "on_lost")
        if self._callbacks is None:
            self._callbacks = {}
        number = _events.watch(self)
        self._callbacks[number] = callback
        self._native.watch(number)

    def _lost(self, number: int) -> None:
        callback = (self._callbacks or {}).pop(number, None)
        if callback is not None:
            _events.call(callback, self)

    def __enter__(self) -> Lease:
        """Returns the lease itself, if it is held.

        Raises:
            LockLostError: It was lost.
            NotHeldError: It was released.
        """
        self._native.check()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Releases the lease, unless the body has.

        Raises:
            LockLostError: The body ended well, but the lease was lost.
        """
        leave(self._native.release, exc)


def leave(release: Callable[[], object], failure: BaseException | None) -> None:
    """Ends a scope: releases, and tells what must be told.

    An exception of the body wins; a loss becomes a note on it. A release that the server did
    not confirm is logged.

    Raises:
        LockLostError: The body ended well, but the lease was lost.
    """
    try:
        release()
    except NotHeldError:
        # Given back in the body already.
        return
    except LockLostError as loss:
        if failure is None:
            raise
        failure.add_note(f"fencelock: {loss}")
    except FencelockError as error:
        _events.logger.warning("a release was not confirmed: %s", error)
