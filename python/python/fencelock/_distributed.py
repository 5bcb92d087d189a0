"""`DistributedLock`: a lock with the interface of `threading.Lock`, made right."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any, Self

from fencelock import _events, _native
from fencelock._options import Duration, optional_seconds
from fencelock.client import Client
from fencelock.errors import InvalidArgumentError, NotHeldError, WouldDeadlockError
from fencelock.lease import Lease, leave
from fencelock.lock import Lock

DEFAULT_URL = "redis://localhost:6379/0"

_clients: dict[str, Client] = {}
"""One client per URL; after a fork it connects anew by itself."""

_told: list[bool] = []


class _Shared:
    """Where a lock that is not local to threads keeps its lease."""

    lease: Lease | None = None


class _PerThread(threading.local):
    """Where a lock keeps the lease of each thread."""

    lease: Lease | None = None


class DistributedLock:
    """A lock that is shared by every process that uses its name, on any host.

    `acquire()` takes the lock and keeps it, renewed in the background, until `release()`. It
    never returns False after a wait: callers do not look. Only the thread that acquired may
    release, so that a `finally: release()` after a time-out can't free somebody else's lock.

    Args:
        lock_name: The lock's name, 1 to 512 bytes in UTF-8.
        url: The server; if None, the environment variable `FENCELOCK_URL`, and without that
            `redis://localhost:6379/0`, which is logged once as a warning. Every lock of this
            process with the same URL shares one client, which connects at the first acquire.
        ttl: How many seconds a crashed holder blocks others. Default 10.
        blocking_timeout: How many seconds `acquire` waits at most; None waits for ever, 0 makes
            one attempt. Default 5.
        client: The client to use, instead of a URL.
        thread_local: Whether what a thread acquired is that thread's alone. False lets any
            thread release.

    Raises:
        InvalidArgumentError: An option can't be used, or both url and client are given.

    Examples:
        >>> lock = DistributedLock("orders", blocking_timeout=30)
        >>> lock.acquire()
        True
        >>> lock.release()
        True
        >>> with lock:
        ...     print(lock.lease.is_held())
        True

    Attributes:
        lock_name: The lock's name.
    """

    def __init__(
        self,
        lock_name: str,
        *,
        url: str | None = None,
        ttl: Duration = _native.DEFAULT_TTL,
        blocking_timeout: Duration | None = 5,
        client: Client | None = None,
        thread_local: bool = True,
    ) -> None:
        """Describes the lock; nothing is sent."""
        if url is not None and client is not None:
            raise InvalidArgumentError(
                f"lock {lock_name!r}: both url and client are given; give one", lock=lock_name
            )
        self.lock_name = lock_name
        self._url = url
        self._ttl = ttl
        self._limit = optional_seconds(blocking_timeout, "blocking_timeout")
        self._client = client
        self._thread_local = thread_local
        self._begin()

    def _begin(self) -> None:
        """Makes what belongs to this process."""
        self._lock = self._describe()
        self._own: _PerThread | _Shared = _PerThread() if self._thread_local else _Shared()

    def _describe(self) -> Lock:
        client = self._client or _client(self._url)
        return client.lock(self.lock_name, ttl=self._ttl)

    @property
    def lease(self) -> Lease | None:
        """What this thread holds, for `fence`, `is_held()` and `check()`; None: nothing."""
        return self._own.lease

    def acquire(self, blocking: bool = True) -> bool:
        """Takes the lock, and keeps it until `release()`.

        Args:
            blocking: False makes one attempt without waiting.

        Returns:
            True once the lock is held. False only with `blocking=False`, when somebody else
            has it.

        Raises:
            AcquireTimeoutError: `blocking_timeout` was over and somebody else had the lock.
            WouldDeadlockError: This thread holds it already.
            UnavailableError: The server can't be reached.
            FencelockError: As `Lock.acquire`.
        """
        own = self._own
        if own.lease is not None and own.lease.is_held():
            raise WouldDeadlockError(
                f"lock {self.lock_name!r}: its owner acquires it again and would wait for itself; "
                "release it first",
                lock=self.lock_name,
            )
        if self._lock.name != self.lock_name:
            self._lock = self._describe()
        if not blocking:
            own.lease = self._lock.try_acquire()
            return own.lease is not None
        own.lease = self._lock.acquire(self._limit)
        return True

    def release(self) -> bool:
        """Gives back what this thread acquired.

        Returns:
            True.

        Raises:
            NotHeldError: This thread holds nothing; another thread's lock stays as it is.
            LockLostError: The lease was lost before.
            UnavailableError: The server did not confirm; the release is repeated in the
                background until the lease ends by itself.
        """
        own = self._own
        lease, own.lease = own.lease, None
        if lease is None:
            raise NotHeldError(
                f"lock {self.lock_name!r}: this thread does not hold it; release once, in the "
                "thread that acquired (or give thread_local=False)",
                lock=self.lock_name,
            )
        lease.release()
        return True

    def __enter__(self) -> Self:
        """Takes the lock, as `acquire()`."""
        self.acquire()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Gives the lock back, unless the body has.

        Raises:
            LockLostError: The body ended well, but the lease was lost.
        """
        leave(self.release, exc)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles the options (the URL with its password), never the lease."""
        state = self.__dict__.copy()
        del state["_lock"], state["_own"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Describes the same lock in this process; it holds nothing."""
        self.__dict__.update(state)
        self._begin()

    def __repr__(self) -> str:
        """Shows the name, and what this thread holds."""
        return f"<{type(self).__name__} {self.lock_name!r} lease={self._own.lease!r}>"


def _client(url: str | None) -> Client:
    """The process's client for a URL, made on first use; it connects by itself."""
    chosen = url if url is not None else os.environ.get(_native.URL_VARIABLE)
    if not chosen:
        chosen = DEFAULT_URL
        if not _told:
            _told.append(True)
            _events.logger.warning(
                "DistributedLock uses %s, because neither url nor %s is given: only processes on "
                "this host exclude each other",
                DEFAULT_URL,
                _native.URL_VARIABLE,
            )
    client = _clients.get(chosen)
    if client is None:
        client = _clients.setdefault(chosen, Client._open(chosen, lazy=True))
    return client
