"""What the synchronous classes and those of asyncio have in common: everything but waiting."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import ClassVar, Generic, NoReturn, Self, TypeVar
from weakref import WeakSet

from fencelock import _events, _native
from fencelock._entries import Entries
from fencelock._options import Duration, TlsParts, callback, optional_seconds, seconds, text
from fencelock.errors import InvalidArgumentError, LossReason

LeaseT = TypeVar("LeaseT", bound="LeaseBase")
OnLost = Callable[[LeaseT], object]

live: WeakSet[ClientBase] = WeakSet()
"""Every client, to be closed at the interpreter's exit."""


class Absent(enum.Enum):
    """Stands for an argument that is not given."""

    ABSENT = "absent"


def refuse_timeout(name: str, timeout: Absent) -> None:
    """Refuses what redis-py's users would write."""
    if timeout is not Absent.ABSENT:
        raise InvalidArgumentError(
            f"lock {name!r}: lock() takes no timeout, which in redis-py means the TTL; give "
            "ttl for how long a lease lasts, and acquire(timeout=...) for how long to wait",
            lock=name,
        )


class ClientBase:
    """One backend, by URL."""

    __slots__ = ("__weakref__", "_native")

    _title: ClassVar[str]

    def __init__(self, native: _native.Client) -> None:
        """Made by `connect` only."""
        self._native = native
        live.add(self)
        _events.start()

    @classmethod
    def _open(
        cls,
        url: str,
        prefix: str | None = None,
        connect_timeout: Duration | None = None,
        response_timeout: Duration | None = None,
        tls: TlsParts | None = None,
        *,
        lazy: bool,
    ) -> Self:
        native = _native.Client(
            url,
            None if prefix is None else text(prefix, "the prefix"),
            optional_seconds(connect_timeout, "connect_timeout"),
            optional_seconds(response_timeout, "response_timeout"),
            tls,
            lazy,
        )
        return cls(native)

    @property
    def server(self) -> str:
        """The server, without password."""
        return self._native.server

    def __reduce__(self) -> NoReturn:
        """Refuses: connect in the other process.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a Client can't be pickled or copied; connect in the other process")

    def __repr__(self) -> str:
        """Shows the server, without password."""
        return f"<{self._title} {self.server}>"


class LockBase(Generic[LeaseT]):
    """A lock that may be held: a name and options."""

    __slots__ = (
        "__weakref__",
        "_client",
        "_entries",
        "_label",
        "_max_hold",
        "_name",
        "_native",
        "_on_lost",
        "_renew",
        "_ttl",
    )

    _title: ClassVar[str]

    def __init__(
        self,
        client: ClientBase,
        name: str,
        *,
        ttl: Duration,
        renew: bool,
        max_hold: Duration | None,
        label: str,
        on_lost: OnLost[LeaseT] | None,
    ) -> None:
        """Made by `Client.lock` only."""
        self._name = text(name, "the name")
        self._ttl = seconds(ttl, "ttl")
        self._renew = renew
        self._max_hold = optional_seconds(max_hold, "max_hold")
        self._label = text(label, "the label")
        self._on_lost = None if on_lost is None else callback(on_lost, "on_lost")
        self._client = client
        self._entries: Entries[LeaseT] = Entries(name)
        self._native = _native.Lock(client._native, name, self._ttl, renew, self._max_hold, label)

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._name

    @property
    def ttl(self) -> float:
        """How many seconds a lease lasts without renewal."""
        return self._ttl

    @property
    def renew(self) -> bool:
        """Whether a lease is renewed in the background."""
        return self._renew

    @property
    def max_hold(self) -> float | None:
        """For how many seconds a lease is kept by renewal at most; None: without limit."""
        return self._max_hold

    @property
    def label(self) -> str:
        """What `Client.inspect` shows of the holder."""
        return self._label

    def __reduce__(self) -> NoReturn:
        """Refuses: connect in the other process, and describe the lock there.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a Lock can't be pickled or copied; describe it anew with client.lock()")

    def __repr__(self) -> str:
        """Shows name, TTL and server."""
        return f"<{self._title} {self.name!r} ttl={self.ttl:g} at {self._client.server}>"


class LeaseBase:
    """One holding of a lock."""

    __slots__ = ("__weakref__", "_lock", "_native")

    _title: ClassVar[str]

    def __init__(self, native: _native.Lease, lock: object) -> None:
        """Made by `Lock.acquire` only."""
        self._native = native
        # Keeps the client from being collected, so that it is closed at the interpreter's exit.
        self._lock = lock

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._native.name

    @property
    def fence(self) -> int:
        """The fencing token: larger than that of every earlier lease of this lock, below 2^53."""
        return self._native.fence

    def is_held(self) -> bool:
        """Whether the lock is held at this moment. Costs a look at the clock, no round trip."""
        return self._native.is_held()

    def remaining(self) -> float:
        """How many seconds the lease still lasts unless it is renewed; 0 once it is not held."""
        return self._native.remaining()

    def lost_reason(self) -> LossReason | None:
        """Why the lease was lost; None if it was not."""
        reason = self._native.lost_reason()
        return None if reason is None else LossReason(reason)

    def check(self) -> None:
        """Raises if the lease is not held any more. Call it between steps of long work.

        Raises:
            LockLostError: It was lost; `reason` says why.
            NotHeldError: It was released.
        """
        self._native.check()

    def __reduce__(self) -> NoReturn:
        """Refuses: a lease belongs to the process that acquired it.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a Lease can't be pickled or copied; it belongs to its process")

    def __repr__(self) -> str:
        """Shows name, fence and state."""
        state = "held" if self.is_held() else (self.lost_reason() or "released")
        return f"<{self._title} {self.name!r} fence={self.fence} {state}>"
