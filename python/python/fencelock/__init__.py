"""Distributed locks that a service can trust, on Redis and Valkey.

    >>> import fencelock
    >>> client = fencelock.connect()  # the URL from FENCELOCK_URL
    >>> with client.lock("orders") as lease:
    ...     print(lease.is_held(), lease.fence > 0)
    True True
    >>> client.close()

A fencelock is a *lease*. While `lease.is_held()` is true and the backend's stated assumptions
hold, no other client holds the lock. A process can be paused between that check and its write,
and no lock can prevent that: where correctness matters, pass `lease.fence` to the resource and
let it refuse smaller numbers. The lease turns lost no later than its deadline, says so before
anyone else can get the lock (except after a deleted key, a forced release, a fail-over that lost
writes, or a step of the server's clock), and never silently comes back. Release is idempotent
and best-effort; after a crash the next waiter gets in when the lease runs out. Waiters are served
in the order they came. Not reentrant.

It logs to the logger `fencelock`: lost leases, failed renewals and long holds are warnings.
Neither passwords nor owner tokens are logged.
"""

from fencelock import _exit as _exit
from fencelock._distributed import DistributedLock
from fencelock._native import __version__
from fencelock._options import Duration
from fencelock.client import Client, Holder, Inspection, connect
from fencelock.errors import (
    AcquireCancelledError,
    AcquireTimeoutError,
    BackendError,
    ClosedError,
    DeniedError,
    FencelockError,
    InternalError,
    InvalidArgumentError,
    LockLostError,
    LossReason,
    NotHeldError,
    UnavailableError,
    UnsupportedError,
    WouldDeadlockError,
)
from fencelock.lease import Lease
from fencelock.lock import Lock

__all__ = [
    "AcquireCancelledError",
    "AcquireTimeoutError",
    "BackendError",
    "Client",
    "ClosedError",
    "DeniedError",
    "DistributedLock",
    "Duration",
    "FencelockError",
    "Holder",
    "Inspection",
    "InternalError",
    "InvalidArgumentError",
    "Lease",
    "Lock",
    "LockLostError",
    "LossReason",
    "NotHeldError",
    "UnavailableError",
    "UnsupportedError",
    "WouldDeadlockError",
    "__version__",
    "connect",
]
