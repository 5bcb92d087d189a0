"""The two APIs are the same, but for what is explained here."""

from __future__ import annotations

import inspect
from types import FunctionType

import pytest

import fencelock
import fencelock.aio

NOT_IN_AIO = {
    "DistributedLock": "it is for code that thinks in threading.Lock",
}
ONLY_IN_AIO = {
    "Lock.on_loss": "a blocked thread can't be cancelled",
    "Lease.wait_lost": "a thread would block; it asks is_held() or uses on_lost",
    "Client.aclose": "asyncio's name, for contextlib.aclosing",
}
ANOTHER_SIGNATURE = {
    "Client.lock": {"on_loss"},
}
PLAIN = {
    "connect": "awaited or entered",
    "Lock.acquire": "awaited or entered",
}
PAIRS = [
    (fencelock.Client, fencelock.aio.Client),
    (fencelock.Lock, fencelock.aio.Lock),
    (fencelock.Lease, fencelock.aio.Lease),
]
WAITS = {"acquire", "try_acquire", "release", "renew", "inspect", "close", "connect"}


def names(cls: type) -> set[str]:
    return {f"{cls.__name__}.{name}" for name in dir(cls) if not name.startswith("_")}


def test_the_names_are_the_same() -> None:
    classes = {"Client", "Lease", "Lock", "connect"}
    assert set(fencelock.aio.__all__) == classes
    shared = {"Duration", "Holder", "Inspection", "LossReason", "__version__"}
    errors = {name for name in fencelock.__all__ if name.endswith("Error")}
    assert set(fencelock.__all__) == classes | set(NOT_IN_AIO) | shared | errors
    for sync, aio in PAIRS:
        only = {name for name in ONLY_IN_AIO if name.startswith(f"{sync.__name__}.")}
        assert names(aio) - names(sync) == only
        assert names(sync) <= names(aio)


FUNCTIONS = [(fencelock.connect, fencelock.aio.connect)] + [
    (getattr(sync, name), getattr(aio, name))
    for sync, aio in PAIRS
    for name in dir(sync)
    if isinstance(getattr(sync, name), FunctionType) and not name.startswith("_")
]


@pytest.mark.parametrize(("sync", "aio"), FUNCTIONS, ids=[f.__qualname__ for f, _ in FUNCTIONS])
def test_the_signatures_are_the_same(sync: FunctionType, aio: FunctionType) -> None:
    ours, theirs = (dict(inspect.signature(f).parameters) for f in (sync, aio))
    extra = ANOTHER_SIGNATURE.get(sync.__qualname__, set())
    for name in extra:
        assert theirs.pop(name).default is not inspect.Parameter.empty
    assert list(ours) == list(theirs)
    for name, parameter in ours.items():
        assert parameter == theirs[name], name
    waits = sync.__name__ in WAITS
    assert inspect.iscoroutinefunction(aio) == (waits and sync.__qualname__ not in PLAIN)
    result = inspect.signature(aio).return_annotation
    expected = inspect.signature(sync).return_annotation
    assert result == (f"Entering[{expected}]" if sync.__qualname__ in PLAIN else expected)


def test_scopes_and_decorators_are_there_in_both() -> None:
    for sync, aio in PAIRS:
        assert hasattr(sync, "__enter__")
        assert not hasattr(sync, "__aenter__")
        assert hasattr(aio, "__aenter__")
        assert not hasattr(aio, "__enter__")
        assert ("__call__" in vars(sync)) == ("__call__" in vars(aio))


@pytest.mark.parametrize(("sync", "aio"), FUNCTIONS, ids=[f.__qualname__ for f, _ in FUNCTIONS])
def test_both_are_documented(sync: FunctionType, aio: FunctionType) -> None:
    assert sync.__doc__
    assert aio.__doc__
