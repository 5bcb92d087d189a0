"""Cancelling at every moment: nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable

import pytest
import redis

import fencelock
import fencelock.aio
from conftest import Run, waiters
from fencelock import _native
from fencelock.aio import _port


async def settled(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


def free(raw: redis.Redis, name: str) -> bool:
    return not raw.exists(name) and waiters(raw, name) == 0


def test_a_cancelled_wait_leaves_the_queue(run: Run, url: str, name: str, raw: redis.Redis) -> None:
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lock = client.lock(name, ttl=60)
            async with lock:
                waiting = asyncio.create_task(lock.acquire())
                await settled(lambda: waiters(raw, name))
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(lock.acquire(), 0.05)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05), lock.acquire():
                        pytest.fail("not free")
                await settled(lambda: not waiters(raw, name))
            await settled(lambda: free(raw, name))

    run(main())


def test_a_cancel_before_anything_began_sends_nothing(
    run: Run, url: str, name: str, raw: redis.Redis
) -> None:
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            task = asyncio.create_task(client.lock(name).acquire())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert free(raw, name)

    run(main())


@pytest.mark.parametrize("delivered", [False, True], ids=["on the queue", "delivered"])
def test_a_cancel_when_the_lease_is_there_already_gives_it_back(
    run: Run, url: str, name: str, raw: redis.Redis, delivered: bool
) -> None:
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lock = client.lock(name, ttl=60)
            task = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
            port = _port._find(asyncio.get_running_loop())
            assert port is not None
            # The loop stands still; the engine does not.
            while not raw.exists(name):
                pass
            await_outcome(port)
            if delivered:
                port._deliver()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await settled(lambda: free(raw, name))
            assert not port.waiting

    run(main())


def await_outcome(port: _port.Port) -> None:
    """Blocks until something is on the queue."""
    import select

    ready = select.select([port.native.fileno()], [], [], 30)[0]
    assert ready


def test_hundreds_of_cancels_racing_grants_end_with_the_lock_free(
    run: Run, url: str, name: str, raw: redis.Redis
) -> None:
    dice = random.Random(7)

    async def one(lock: fencelock.aio.Lock) -> bool:
        task = asyncio.create_task(section(lock))
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        if dice.random() < 0.5:
            # Some so late that they have had the lock, however slow the machine is.
            await asyncio.sleep(dice.uniform(0, 0.003) if dice.random() < 0.9 else 0.1)
        task.cancel()
        done = (await asyncio.gather(task, return_exceptions=True))[0]
        assert done is None or isinstance(done, asyncio.CancelledError), done
        return done is None

    async def section(lock: fencelock.aio.Lock) -> None:
        async with lock as lease:
            lease.check()

    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lock = client.lock(name, ttl=60)
            ends = []
            for _ in range(60):
                ends += await asyncio.gather(*(one(lock) for _ in range(10)))
            assert 0 < sum(ends) < len(ends), "some were cancelled, some not"
            await settled(lambda: free(raw, name))
            port = _port._find(asyncio.get_running_loop())
            assert port is not None
            await settled(lambda: not port.waiting)

    run(main())


def test_a_cancelled_release_goes_on(run: Run, url: str, name: str, raw: redis.Redis) -> None:
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lease = await client.lock(name, ttl=60).acquire()
            task = asyncio.create_task(lease.release())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not lease.is_held()
            await settled(lambda: free(raw, name))

    run(main())


@pytest.mark.parametrize("what", ["connect", "inspect", "renew", "wait_lost", "close"])
def test_what_else_is_cancelled_leaves_nothing(
    run: Run, url: str, name: str, raw: redis.Redis, what: str
) -> None:
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lease = await client.lock(name, ttl=60).acquire()
            operations: dict[str, Callable[[], Awaitable[object]]] = {
                "connect": lambda: fencelock.aio.connect(url),
                "inspect": lambda: client.inspect(name),
                "renew": lease.renew,
                "wait_lost": lease.wait_lost,
                "close": client.close,
            }
            task = asyncio.ensure_future(operations[what]())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if what == "close":
                assert lease.lost_reason() == fencelock.LossReason.CLOSED
            else:
                await lease.release()
            await settled(lambda: free(raw, name))

    run(main())


def test_a_pending_acquire_that_is_collected_leaves_the_queue(
    run: Run, url: str, name: str, raw: redis.Redis
) -> None:
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            lock = client.lock(name, ttl=60)
            async with lock:
                waiting = lock.acquire()
                waiting.send(None)
                await settled(lambda: waiters(raw, name))
                waiting.close()
                await settled(lambda: not waiters(raw, name))

    run(main())


def test_a_lease_that_nobody_took_is_not_warned_about(
    run: Run, url: str, name: str, raw: redis.Redis
) -> None:
    # Warnings are errors here: what was never handed over is released, not discarded.
    async def main() -> None:
        async with fencelock.aio.connect(url) as client:
            native = await _port.outcome(client.lock(name, ttl=60)._native.begin_acquire, None)
            assert isinstance(native, _native.Lease)
            del native
            gc.collect()
            await settled(lambda: free(raw, name))

    run(main())
