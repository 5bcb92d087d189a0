"""What can go wrong: the same list in every language of fencelock.

Every exception is a `FencelockError`, and says which lock it is about, what happened and what to
do. Some are also what Python has for the case, such as `TimeoutError`.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from fencelock import _native

__all__ = [
    "AcquireCancelledError",
    "AcquireTimeoutError",
    "BackendError",
    "ClosedError",
    "DeniedError",
    "FencelockError",
    "InternalError",
    "InvalidArgumentError",
    "LockLostError",
    "LossReason",
    "NotHeldError",
    "UnavailableError",
    "UnsupportedError",
    "WouldDeadlockError",
]


class LossReason(enum.StrEnum):
    """Why a lease was lost."""

    EXPIRED = "expired"
    """Its time ran out before it could be renewed."""
    REFUSED = "refused"
    """The server no longer has it: deleted, released by force, or forgotten."""
    MAX_HOLD = "max_hold"
    """It had been held for `max_hold`."""
    CLOSED = "closed"
    """The client was closed."""
    FORKED = "forked"
    """The process forked; the lease stays with the parent."""
    SESSION = "session"
    """The backend's session ended."""


class FencelockError(Exception):
    """The base of every exception of fencelock.

    Attributes:
        code: The number of the kind, the same in every language.
        kind: The name of the kind, such as `"acquire_timeout"`.
        lock: The name of the lock that it is about, if it is about one.
        retryable: Whether the same call may succeed later.
        ambiguous: Whether the command may have been carried out although its answer never came.
        reason: Why the lease was lost; None unless it was.
    """

    code: ClassVar[int] = 0
    kind: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        lock: str | None = None,
        retryable: bool = False,
        ambiguous: bool = False,
        reason: LossReason | None = None,
    ) -> None:
        """Makes an error; fencelock does so, and tests may."""
        super().__init__(message)
        self.lock = lock
        self.retryable = retryable
        self.ambiguous = ambiguous
        self.reason = reason


class AcquireTimeoutError(FencelockError, TimeoutError):
    """The time to wait was over and somebody else still held the lock."""

    code = 1
    kind = "acquire_timeout"


class WouldDeadlockError(FencelockError, RuntimeError):
    """The caller holds this lock already, and would wait for itself."""

    code = 2
    kind = "would_deadlock"


class NotHeldError(FencelockError):
    """There is nothing to give back: never taken, or given back before."""

    code = 3
    kind = "not_held"


class LockLostError(FencelockError):
    """The lease ended while it was in use; `reason` says why."""

    code = 4
    kind = "lost"


class UnavailableError(FencelockError, ConnectionError):
    """The server can't be reached, or can't serve just now."""

    code = 5
    kind = "unavailable"


class DeniedError(FencelockError):
    """The server refused the password, the user or a command."""

    code = 6
    kind = "denied"


class AcquireCancelledError(FencelockError):
    """The wait was given up."""

    code = 7
    kind = "cancelled"


class ClosedError(FencelockError):
    """The client was closed, or the interpreter is exiting."""

    code = 8
    kind = "closed"


class InvalidArgumentError(FencelockError, ValueError):
    """An argument, an option or the URL is wrong; nothing was sent."""

    code = 9
    kind = "invalid_argument"


class UnsupportedError(FencelockError):
    """This build or this server lacks what was asked for."""

    code = 10
    kind = "unsupported"


class BackendError(FencelockError):
    """The server answered with an error."""

    code = 11
    kind = "backend"


class InternalError(FencelockError):
    """A bug in fencelock."""

    code = 12
    kind = "internal"


_native.use_errors(
    {cls.code: cls for cls in FencelockError.__subclasses__()},
    {reason.value: reason for reason in LossReason},
)
