"""The one thread on which callbacks and log records run.

The engine's threads never enter the interpreter: they leave events on a queue, which this thread
reads. It is started when it is first needed, in a forked child anew.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from fencelock import _native

if TYPE_CHECKING:
    from fencelock._shared import LeaseBase
    from fencelock.lease import Lease

LeaseT = TypeVar("LeaseT", bound="LeaseBase")

logger = logging.getLogger("fencelock")

running = False
"""Whether the thread was started in this process."""

_thread: threading.Thread | None = None
_ticket = itertools.count()
_ids = itertools.count(1)
_watched: WeakValueDictionary[int, Lease] = WeakValueDictionary()


def start() -> None:
    """Starts the thread, if it does not run yet."""
    global running, _thread
    _follow_level()
    # Taking a number is atomic, and no lock that a forked child could inherit locked.
    if running or next(_ticket) > 0:
        return
    _thread = threading.Thread(target=_run, name="fencelock-events", daemon=True)
    _thread.start()
    running = True


def stop() -> None:
    """Lets the thread finish what is on the queue, for at most 1 s."""
    _native.stop_events()
    if _thread is not None and _thread is not threading.current_thread():
        _thread.join(1)


def watch(lease: Lease) -> int:
    """Has `lease._lost` called, with the number that is returned, when the lease is lost."""
    number = next(_ids)
    _watched[number] = lease
    start()
    return number


def _run() -> None:
    while (event := _native.next_event()) is not None:
        try:
            if event[0] == "lost":
                _tell(event[1])
            else:
                _log(*event[1:])
        except Exception:
            # A log handler of the program's failed: it must not take the callbacks with it.
            traceback.print_exc()


def _tell(number: int) -> None:
    lease = _watched.pop(number, None)
    if lease is not None:
        lease._lost(number)


def call(callback: Callable[[LeaseT], object], lease: LeaseT) -> None:
    """Calls a callback; what it raises is logged."""
    try:
        callback(lease)
    except BaseException:
        logger.exception("on_lost of lock %r failed", lease.name)


def _log(level: int, message: str, fields: list[tuple[str, str]]) -> None:
    about = ", ".join(f"{name}={value!r}" for name, value in fields)
    text = f"{message} ({about})" if about else message
    logger.log(level, "%s", text, extra={"fencelock": dict(fields)})
    _follow_level()


def _follow_level() -> None:
    """Has the engine write only what somebody listens to."""
    level = logger.getEffectiveLevel()
    _native.forward_log(level if logger.isEnabledFor(level) else logging.CRITICAL)


def _after_fork() -> None:
    global running, _thread, _ticket
    running, _thread, _ticket = False, None, itertools.count()
    _watched.clear()


os.register_at_fork(after_in_child=_after_fork)
