"""A lost lease cancels the body of its `async with`, in the manner of `asyncio.timeout`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest
import redis

import fencelock
import fencelock.aio
from conftest import LIMIT, Run, Server
from fencelock.aio import lease as lease_module
from fencelock.aio.lock import OnLoss


def current() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.sleep(LIMIT)
    pytest.fail("nothing ended the body")


# A key is deleted to lose a lease.
pytestmark = pytest.mark.server


@pytest.fixture
def lock(url: str, name: str) -> Losable:
    return Losable(url, name)


class Losable:
    """A lock in a client of its own, whose lease can be made to be lost."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self.raw = redis.Redis.from_url(url)

    @contextlib.asynccontextmanager
    async def open(self, on_loss: OnLoss = "cancel") -> AsyncIterator[fencelock.aio.Lock]:
        async with fencelock.aio.connect(self.url) as client:
            yield client.lock(self.name, ttl=1, on_loss=on_loss)
        self.raw.close()

    def lose(self) -> None:
        """It is noticed at the next renewal."""
        self.raw.delete(self.name)


async def scope_of(
    lock: fencelock.aio.Lock, entered: str
) -> AbstractAsyncContextManager[fencelock.aio.Lease]:
    match entered:
        case "lock":
            return lock
        case "acquire":
            return lock.acquire(5)
        case _:
            return await lock.acquire()


@pytest.mark.parametrize("entered", ["lock", "acquire", "lease"])
def test_the_body_is_cancelled_and_the_loss_raised(run: Run, lock: Losable, entered: str) -> None:
    async def main() -> None:
        async with lock.open() as described:
            scope = await scope_of(described, entered)
            with pytest.raises(fencelock.LockLostError) as caught:
                async with scope as lease:
                    lock.lose()
                    await forever()
            assert caught.value.reason == fencelock.LossReason.REFUSED
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert current().cancelling() == 0
            assert not lease.is_held()

    run(main())


def test_on_loss_event_only_tells(run: Run, lock: Losable) -> None:
    async def main() -> None:
        async with lock.open(on_loss="event") as described:
            with pytest.raises(fencelock.LockLostError):
                async with described as lease:
                    told = asyncio.Event()
                    lease.on_lost(lambda lease: told.set())
                    lock.lose()
                    assert await lease.wait_lost() == fencelock.LossReason.REFUSED
                    await told.wait()
            assert current().cancelling() == 0

    run(main())


def test_a_coroutine_function_is_not_called_back(run: Run, lock: Losable) -> None:
    async def told(lease: object) -> None:
        raise AssertionError("nobody awaits this")

    async def main() -> None:
        async with lock.open() as described:
            async with described as lease:
                with pytest.raises(fencelock.InvalidArgumentError, match="coroutine function"):
                    lease.on_lost(told)

    run(main())


def test_a_body_that_swallows_the_cancel_is_told_at_its_end(run: Run, lock: Losable) -> None:
    async def main() -> None:
        async with lock.open() as described:
            with pytest.raises(fencelock.LockLostError):
                async with described:
                    lock.lose()
                    with contextlib.suppress(asyncio.CancelledError):
                        await forever()
            assert current().cancelling() == 0

    run(main())


def test_an_exception_of_the_body_wins_and_the_loss_is_its_note(run: Run, lock: Losable) -> None:
    async def main() -> None:
        async with lock.open() as described:
            with pytest.raises(ValueError, match="own") as caught:
                async with described:
                    lock.lose()
                    try:
                        await forever()
                    except asyncio.CancelledError:
                        raise ValueError("own") from None
            assert any("no longer has this lease" in note for note in caught.value.__notes__)
            assert current().cancelling() == 0

    run(main())


def test_a_cancel_from_outside_wins(run: Run, lock: Losable) -> None:
    async def body(described: fencelock.aio.Lock, both: bool) -> None:
        async with described as lease:
            lock.lose()
            if both:
                # Cancelled by the loss and by its parent, before it runs again.
                parent = current()
                lease.on_lost(lambda lease: parent.cancel())
            await forever()

    async def main() -> None:
        async with lock.open() as described:
            task = asyncio.create_task(body(described, both=True))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert task.cancelling() == 1

    run(main())


def test_inside_a_timeout(run: Run, lock: Losable) -> None:
    async def main() -> None:
        async with lock.open() as described:
            async with asyncio.timeout(LIMIT) as outer:
                with pytest.raises(fencelock.LockLostError):
                    async with described:
                        lock.lose()
                        await forever()
                await asyncio.sleep(0)
            assert not outer.expired()
            # The other way round: the deadline ends the body, and the lock is given back.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    async with described as lease:
                        await forever()
            assert not lease.is_held()
            assert not lock.raw.exists(lock.name)
            # A deadline inside.
            async with described:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await forever()
            assert current().cancelling() == 0

    run(main())


def test_a_timeout_at_the_same_moment(run: Run, lock: Losable) -> None:
    async def main() -> None:
        async with lock.open() as described:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as deadline, described as lease:
                    now = asyncio.get_running_loop().time()
                    lease.on_lost(lambda lease: deadline.reschedule(now))
                    lock.lose()
                    try:
                        await forever()
                    finally:
                        # The deadline's callback runs before the body is left.
                        with contextlib.suppress(asyncio.CancelledError):
                            await asyncio.sleep(0.05)
            assert current().cancelling() == 0

    run(main())


def test_inside_a_task_group(run: Run, lock: Losable) -> None:
    async def other(ended: list[str]) -> None:
        try:
            await forever()
        finally:
            ended.append("other")

    async def body(described: fencelock.aio.Lock) -> None:
        async with described:
            lock.lose()
            await forever()

    async def main() -> None:
        ended: list[str] = []
        async with lock.open() as described:
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(other(ended))
                    group.create_task(body(described))
            assert caught.group_contains(fencelock.LockLostError)
            assert ended == ["other"]
            # The group is inside: it is ended by the loss. (The group above has left the task
            # with a cancel too many, as it does in Python 3.11 and 3.12.)
            before = current().cancelling()
            with pytest.raises(fencelock.LockLostError):
                async with described, asyncio.TaskGroup() as group:
                    lock.lose()
                    group.create_task(other(ended))
            assert ended == ["other", "other"]
            assert current().cancelling() == before

    run(main())


def test_two_scopes_lost_at_once(run: Run, url: str, name: str) -> None:
    async def main() -> None:
        with redis.Redis.from_url(url) as raw:
            async with fencelock.aio.connect(url) as client:
                outer, inner = (client.lock(f"{name}{n}", ttl=1) for n in "12")
                with pytest.raises(fencelock.LockLostError) as caught:
                    async with outer, inner:
                        raw.delete(outer.name, inner.name)
                        await forever()
                assert caught.value.lock == outer.name
                assert current().cancelling() == 0

    run(main())


def test_a_loss_after_the_end_cancels_nobody(run: Run, url: str, name: str) -> None:
    async def main() -> None:
        client = await fencelock.aio.connect(url)
        lease = await client.lock(name).acquire()
        async with lease:
            pass
        await client.close()
        for _ in range(10):
            await asyncio.sleep(0)
        assert current().cancelling() == 0

    run(main())


def test_the_end_survives_cancelling(run: Run, url: str, name: str, raw: redis.Redis) -> None:
    async def body(lock: fencelock.aio.Lock, entered: asyncio.Event) -> None:
        async with lock:
            entered.set()
            await forever()

    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lock = client.lock(name, ttl=60)
            for again in range(3):
                entered = asyncio.Event()
                task = asyncio.create_task(body(lock, entered))
                await entered.wait()
                task.cancel()
                for _ in range(again):
                    await asyncio.sleep(0)
                    task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                # Not "soon": when the task has ended, the lock is free.
                assert not raw.exists(name)

    run(main())


def test_an_end_that_the_server_does_not_confirm_takes_a_second(
    run: Run, own_server: Server, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        client = await fencelock.aio.connect(own_server.url)
        loop = asyncio.get_running_loop()
        async with client.lock(name, ttl=30):
            os.kill(own_server.process.pid, signal.SIGSTOP)
            begun = loop.time()
        assert lease_module.RELEASE_LIMIT <= loop.time() - begun < LIMIT
        os.kill(own_server.process.pid, signal.SIGCONT)
        await client.close()

    run(main())
    assert "a release was not confirmed" in caplog.text
