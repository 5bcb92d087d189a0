"""How outcomes come to an event loop.

One descriptor becomes readable, whether the server has answered on the loop's own connection or
the engine has left something, and however much there is. Only the loop's reader refers to the
port, so that both end with the loop, and leases that were granted for it are given back.
"""

from __future__ import annotations

import asyncio
import contextvars
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

    __slots__ = ("__weakref__", "loop", "native", "numbers", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = ref(loop)
        self.native = _native.Port()
        self.numbers = itertools.count()
        self.waiting: dict[int, Future | _Watch] = {}
        try:
            loop.add_reader(self.native.fileno(), self._deliver)
        except NotImplementedError:
            raise UnsupportedError(
                f"the event loop {type(loop).__name__} can't watch descriptors (add_reader); use "
                "asyncio's SelectorEventLoop or uvloop"
            ) from None

    def expect(self, number: int, future: Future) -> None:
        """Sends what was begun under this number, its outcome to come to this future."""
        self.waiting[number] = future
        if self.native.take_unsent():
            # Sent together with what other tasks begin in this iteration of the loop.
            future.get_loop().call_soon(self.native.flush)

    def _deliver(self) -> None:
        for number, failure, outcome in self.native.fetch():
            future = self.waiting.pop(number, None)
            # A lease that nobody waits for is dropped here, and so given back.
            if future is None or future.done():
                continue
            if failure:
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class _Watch:
    """Stands for a future where a function is to be called."""

    __slots__ = ("_context", "_loop", "_operation", "_told")

    def __init__(self, loop: asyncio.AbstractEventLoop, told: Callable[[str], object]) -> None:
        self._loop = ref(loop)
        self._context = contextvars.copy_context()
        self._told = told
        self._operation: _native.Operation | None = None

    def begin(self, port: Port, lease: _native.Lease) -> None:
        number = next(port.numbers)
        port.waiting[number] = self
        # Kept until the outcome is there, for otherwise it would be cancelled.
        self._operation = lease.begin_watch(port.native, number)

    def done(self) -> bool:
        return False

    def set_result(self, reason: str | None) -> None:
        loop = self._loop()
        if reason is not None and loop is not None:
            loop.call_soon(self._told, reason, context=self._context)

    def set_exception(self, failure: BaseException) -> None:
        """Never: a watch has no way to fail."""


def watch(lease: _native.Lease, told: Callable[[str], object]) -> None:
    """Calls back in the running loop if the lease is lost, with the reason.

    However the lease ends, the outcome comes: there is nothing to give up.
    """
    loop = asyncio.get_running_loop()
    _Watch(loop, told).begin(here(loop), lease)


def _give_up(number: int, operation: object, future: Future) -> None:
    """Leaves nothing behind, whether the outcome has come or not."""
    if isinstance(operation, _native.Operation):
        operation.cancel()
    port = _find(future.get_loop())
    if port is not None:
        port.waiting.pop(number, None)
    if not future.done():
        future.cancel()
    elif not future.cancelled() and future.exception() is None:
        outcome = future.result()
        if isinstance(outcome, _native.Lease):
            outcome.give_back()


async def outcome(begin: Begin[P], *args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401
    """Carries out an operation; cancelled, it leaves nothing behind."""
    loop = asyncio.get_running_loop()
    port, future = here(loop), loop.create_future()
    number = next(port.numbers)
    operation = begin(port.native, number, *args, **kwargs)
    port.expect(number, future)
    # It must end with its loop, though this may be kept for longer.
    del port
    try:
        return await future
    except FencelockError:
        raise
    except BaseException:
        _give_up(number, operation, future)
        raise


async def unswerving(begin: Begin[P], *args: P.args, **kwargs: P.kwargs) -> None:
    """Carries out to its end what must not be left half done.

    Raises:
        asyncio.CancelledError: The task was cancelled meanwhile; it is done all the same.
    """
    loop = asyncio.get_running_loop()
    port, future = here(loop), Unswerving(loop=loop)
    number = next(port.numbers)
    begin(port.native, number, *args, **kwargs)
    port.expect(number, future)
    del port
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
    return port if port is not None and port.loop() is loop else None


def here(loop: asyncio.AbstractEventLoop) -> Port:
    """The running loop's port, opened when it is used first."""
    port = _find(loop)
    if port is None:
        _events.start()
        port = Port(loop)
        _ports[id(loop)] = ref(port)
    return port


os.register_at_fork(after_in_child=_ports.clear)
