"""Event loops: several, one after the other, closed with something under way, and others' forks."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest
import redis
import uvloop

import fencelock
import fencelock.aio
from conftest import Program, Run, eventually, waiters
from fencelock.aio import _port

NewLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def test_one_client_in_one_loop_after_the_other(
    run: Run, url: str, name: str, raw: redis.Redis
) -> None:
    clients: list[fencelock.aio.Client] = []

    async def first() -> None:
        clients.append(await fencelock.aio.connect(url))
        async with clients[0].lock(name):
            pass

    async def again() -> None:
        async with clients[0].lock(name) as lease:
            assert lease.is_held()

    async def last() -> None:
        await clients[0].close()
        with pytest.raises(fencelock.ClosedError):
            await clients[0].lock(name).acquire()

    for main in (first, again, again, last):
        run(main())
    assert not raw.exists(name)


def test_one_client_in_several_loops_at_once(run: Run, url: str, name: str) -> None:
    inside: list[int] = []
    seen: list[int] = []

    async def sections(client: fencelock.aio.Client) -> None:
        lock = client.lock(name)
        for _ in range(20):
            async with lock as lease:
                inside.append(1)
                assert len(inside) == 1
                await asyncio.sleep(0)
                seen.append(lease.fence)
                inside.pop()

    async def open_client() -> fencelock.aio.Client:
        return await fencelock.aio.connect(url)

    client = asyncio.run(open_client())

    async def many() -> None:
        await asyncio.gather(*(sections(client) for _ in range(3)))

    threads = [threading.Thread(target=run, args=(many(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 180
    assert seen == sorted(seen)
    asyncio.run(client.close())


def test_a_lease_may_be_released_in_another_loop(url: str, name: str, raw: redis.Redis) -> None:
    async def take() -> tuple[fencelock.aio.Client, fencelock.aio.Lease]:
        client = await fencelock.aio.connect(url)
        return client, await client.lock(name).acquire()

    async def give(client: fencelock.aio.Client, lease: fencelock.aio.Lease) -> None:
        assert lease.is_held()
        await lease.release()
        assert not raw.exists(name)
        await client.close()

    asyncio.run(give(*asyncio.run(take())))


@LOOPS
def test_a_lease_granted_for_a_closed_loop_is_given_back(
    new_loop: NewLoop, url: str, name: str, raw: redis.Redis
) -> None:
    loop = new_loop()
    client = loop.run_until_complete(opened(url))
    lock = client.lock(name, ttl=60)
    waiting = lock.acquire()
    # Begun in the loop, which never runs again.
    loop.run_until_complete(begin(waiting))
    eventually(lambda: raw.exists(name), "the grant")
    loop.close()
    waiting.close()
    eventually(lambda: not raw.exists(name), "the return")
    other = new_loop()
    other.run_until_complete(take_and_close(lock, client))
    other.close()


@LOOPS
def test_a_waiter_of_a_closed_loop_leaves_the_queue(
    new_loop: NewLoop, url: str, name: str, raw: redis.Redis
) -> None:
    holder = new_loop()
    client = holder.run_until_complete(opened(url))
    lock = client.lock(name, ttl=60)
    lease = holder.run_until_complete(lock.acquire())
    loop = new_loop()
    waiting = lock.acquire()
    loop.run_until_complete(begin(waiting))
    eventually(lambda: waiters(raw, name) == 1, "the queue")
    loop.close()
    waiting.close()
    eventually(lambda: waiters(raw, name) == 0, "the empty queue")
    holder.run_until_complete(lease.release())
    holder.run_until_complete(client.close())
    holder.close()


async def opened(url: str) -> fencelock.aio.Client:
    return await fencelock.aio.connect(url)


async def begin(waiting: object) -> None:
    waiting.send(None)  # type: ignore[attr-defined]


async def take_and_close(lock: fencelock.aio.Lock, client: fencelock.aio.Client) -> None:
    async with lock:
        pass
    await client.close()


@LOOPS
def test_nothing_of_a_closed_loop_is_kept(new_loop: NewLoop, url: str, name: str) -> None:
    before = len(_port._ports)
    for _ in range(3):
        loop = new_loop()
        client = loop.run_until_complete(opened(url))
        loop.run_until_complete(take_and_close(client.lock(name), client))
        loop.close()
        del loop, client
    gc.collect()
    alive = [port for known in _port._ports.values() if (port := known()) is not None]
    assert len(alive) <= before


class NoReaders(asyncio.SelectorEventLoop):
    """Like Windows' ProactorEventLoop in this."""

    def add_reader(self, *args: object) -> NoReturn:
        raise NotImplementedError

    def _add_reader(self, *args: object) -> None:
        """asyncio's own wake-up pipe."""


def test_a_loop_that_cannot_watch_descriptors_is_told_apart(url: str) -> None:
    loop = NoReaders()
    with pytest.raises(fencelock.UnsupportedError, match="NoReaders can't watch descriptors"):
        loop.run_until_complete(opened(url))
    loop.close()


FORKED = """
import asyncio, os, sys
import fencelock.aio

client = None
name = sys.argv[1]

async def parent():
    global client
    client = await fencelock.aio.connect()
    lease = await client.lock(name, ttl=5).acquire()
    print("held", lease.is_held(), flush=True)
    child = os.fork()
    if child == 0:
        asyncio.run(in_child(lease))
        sys.stdout.flush()
        os._exit(0)
    await asyncio.to_thread(os.waitpid, child, 0)
    print("still held", lease.is_held(), flush=True)
    await lease.release()

async def in_child(lease):
    print("in child", lease.is_held(), lease.lost_reason(), await lease.wait_lost(), flush=True)
    try:
        await lease.release()
    except fencelock.LockLostError as error:
        print("lost", error.reason, flush=True)
    print("busy", await client.lock(name).try_acquire(), flush=True)
    async with client.lock(name + "2") as own:
        print("own", own.is_held(), flush=True)

asyncio.run(parent())
child = os.fork()
if child == 0:
    async def take():
        async with client.lock(name) as lease:
            print("after the loop", lease.is_held(), flush=True)
    asyncio.run(take())
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print("end", flush=True)
"""


def test_a_forked_child_works_anew(program: Callable[[str], Program]) -> None:
    forked = program(FORKED)
    for line in (
        "held True",
        "in child False forked forked",
        "lost forked",
        "busy None",
        "own True",
        "still held True",
        "after the loop True",
        "end",
    ):
        forked.expect(line)
    assert forked.end() == (0, "")


EXIT = """
import asyncio, sys
import fencelock.aio

async def main():
    client = await fencelock.aio.connect()
    lock = client.lock(sys.argv[1], ttl=60)
    globals()["kept"] = await lock.acquire()
    globals()["waiting"] = asyncio.create_task(lock.acquire())
    await asyncio.sleep(0)
    print("ready", flush=True)

asyncio.run(main())
"""


def test_at_exit_what_is_held_is_given_back(
    program: Callable[[str], Program], name: str, raw: redis.Redis
) -> None:
    ended = program(EXIT)
    ended.expect("ready")
    assert ended.end() == (0, "")
    eventually(lambda: not raw.exists(name) and not waiters(raw, name), "the end")
