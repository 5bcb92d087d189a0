"""How outcomes come from the engine to an event loop.

The engine leaves them on a queue of the loop's own and makes one descriptor readable, however
many there are. Only the loop's reader refers to the port, so that both end with the loop, and
leases that were granted for it are given back.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeAlias
from weakref import ref

from fencelock import _events, _native
from fencelock.errors import FencelockError, UnsupportedError

P = ParamSpec("P")
Future: TypeAlias = "asyncio.Future[Any]"
Begin: TypeAlias = Callable[Concatenate[_native.Port, int, P], object]


class Unswerving(asyncio.Future[Any]):
    """A future that is not cancelled: its task hears of a cancel when the outcome has come.

    That is before long, for the engine sets a limit.
    """

    def cancel(self, msg: object = None) -> bool:
        """Refuses, which makes the task remember it."""
        return False


class Port:
    """One event loop's queue."""

    __slots__ = ("__weakref__", "_loop", "_native", "_numbers", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._native = _native.Port()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future] = {}
        try:
            loop.add_reader(self._native.fileno(), self._deliver)
        except NotImplementedError:
            raise UnsupportedError(
                f"the event loop {type(loop).__name__} can't watch descriptors (add_reader); use "
                "asyncio's SelectorEventLoop or uvloop"
            ) from None

    def forget(self, number: int) -> None:
        """Nobody waits for this any more: what comes all the same is given back."""
        self._waiting.pop(number, None)

    def _deliver(self) -> None:
        for number, failure, outcome in self._native.fetch():
            future = self._waiting.pop(number, None)
            # A lease that nobody waits for is dropped here, and so given back.
            if future is None or future.done():
                continue
            if failure:
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class Wait:
    """An operation under way, and the future that its outcome comes to."""

    __slots__ = ("_number", "_operation", "future")

    def __init__(
        self, future: Future | None, begin: Begin[P], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Begins it for the running loop."""
        loop = asyncio.get_running_loop()
        known = _ports.get(id(loop))
        port = None if known is None else known()
        if port is None or port._loop() is not loop:
            port = _open(loop)
        self.future = loop.create_future() if future is None else future
        self._number = number = next(port._numbers)
        self._operation = begin(port._native, number, *args, **kwargs)
        port._waiting[number] = self.future

    def give_up(self) -> None:
        """Leaves nothing behind, whether the outcome has come or not."""
        if isinstance(self._operation, _native.Operation):
            self._operation.cancel()
        future = self.future
        port = _find(future.get_loop())
        if port is not None:
            port.forget(self._number)
        if not future.done():
            future.cancel()
        elif not future.cancelled() and future.exception() is None:
            outcome = future.result()
            if isinstance(outcome, _native.Lease):
                outcome.give_back()


def watch(lease: _native.Lease, told: Callable[[str | None], object]) -> None:
    """Calls back in the running loop when the lease is lost, with the reason, or released.

    However the lease ends, the outcome comes: there is nothing to give up.
    """
    waiting = Wait(None, lease.begin_watch)
    # The operation must be kept for as long as its future.
    waiting.future.add_done_callback(lambda future: told(waiting.future.result()))


async def outcome(begin: Begin[P], *args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401
    """Carries out an operation; cancelled, it leaves nothing behind."""
    waiting = Wait(None, begin, *args, **kwargs)
    try:
        return await waiting.future
    except FencelockError:
        raise
    except BaseException:
        waiting.give_up()
        raise


async def unswerving(begin: Begin[P], *args: P.args, **kwargs: P.kwargs) -> None:
    """Carries out to its end what must not be left half done.

    Raises:
        asyncio.CancelledError: The task was cancelled meanwhile; it is done all the same.
    """
    future = Unswerving(loop=asyncio.get_running_loop())
    Wait(future, begin, *args, **kwargs)
    try:
        await future
    except asyncio.CancelledError as cancelled:
        failure = future.exception() if future.done() else None
        if failure is not None:
            cancelled.add_note(f"fencelock: {failure}")
        raise


_ports: dict[int, ref[Port]] = {}
"""By the loop's `id`; a loop that is gone may have had the same."""


def _find(loop: asyncio.AbstractEventLoop) -> Port | None:
    known = _ports.get(id(loop))
    port = None if known is None else known()
    return port if port is not None and port._loop() is loop else None


def _open(loop: asyncio.AbstractEventLoop) -> Port:
    _events.start()
    port = Port(loop)
    _ports[id(loop)] = ref(port)
    return port


os.register_at_fork(after_in_child=_ports.clear)
