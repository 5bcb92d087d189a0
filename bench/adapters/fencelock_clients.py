"""Many fencelock clients in one process, each with connections of its own (bench/clients.py)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Iterable

import fencelock
import fencelock.aio

AT_ONCE = 20
# A busy machine may be slow; that is not what is asked here.
PATIENCE_S = 60


async def in_turns(work: Iterable[Awaitable[object]]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(part: Awaitable[object]) -> None:
        async with turns:
            await part

    await asyncio.gather(*(one(part) for part in work))


class Clients:
    def __init__(self, url: str) -> None:
        self._url = url
        self._active: dict[int, fencelock.aio.Client] = {}
        self._idle: list[fencelock.Client] = []
        self._leases: list[fencelock.aio.Lease] = []
        self._waiting: dict[str, list[asyncio.Task[int]]] = {}

    async def connect(self, first: int, active: int, idle: int) -> None:
        async def one(number: int) -> None:
            self._active[number] = await fencelock.aio.connect(
                self._url, connect_timeout=PATIENCE_S, response_timeout=PATIENCE_S
            )

        await in_turns(one(number) for number in range(first, first + active))
        self._idle = [fencelock.connect(self._url) for _ in range(idle)]

    async def hold(self, ttl_s: float) -> None:
        async def one(number: int, client: fencelock.aio.Client) -> None:
            self._leases.append(
                await client.lock(f"bench:invoice:{number:08}", ttl=ttl_s).acquire()
            )

        await in_turns(one(number, client) for number, client in self._active.items())

    async def free(self) -> int:
        """How many were still held."""
        held = [lease for lease in self._leases if lease.is_held()]
        await in_turns(lease.release() for lease in held)
        self._leases.clear()
        return len(held)

    def queue(self, locks: int, ttl_s: float) -> None:
        """Each client waits for one of the locks, and lets it go at once."""

        async def one(client: fencelock.aio.Client, name: str) -> int:
            lease = await client.lock(name, ttl=ttl_s).acquire()
            acquired = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            await lease.release()
            return acquired

        for number, client in self._active.items():
            name = f"bench:queue:{number % locks}"
            task = asyncio.create_task(one(client, name))
            self._waiting.setdefault(name, []).append(task)

    async def passed(self, name: str) -> list[int]:
        return await asyncio.gather(*self._waiting.pop(name, []))


async def main() -> None:
    clients = Clients(sys.argv[1])
    # Waiting and renewal go on meanwhile.
    while line := await asyncio.to_thread(sys.stdin.readline):
        answers: list[int] = []
        match line.split():
            case ["hello"]:
                pass
            case ["connect", first, active, idle]:
                await clients.connect(int(first), int(active), int(idle))
            case ["hold", ttl_ms]:
                await clients.hold(int(ttl_ms) / 1000)
            case ["free"]:
                answers = [await clients.free()]
            case ["queue", locks, ttl_ms]:
                clients.queue(int(locks), int(ttl_ms) / 1000)
            case ["passed", name]:
                answers = await clients.passed(name)
            case _:
                sys.exit(f"not understood: {line}")
        print("ok", *answers, flush=True)


asyncio.run(main())
