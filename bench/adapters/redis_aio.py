"""redis.asyncio's own Lock, with its C parser (hiredis).

Everything else is at its defaults, but for the pool of connections: the default one refuses a
101st command at a time, so this one lets it wait.
"""

from __future__ import annotations

import asyncio
import functools
import sys

from py_serve_aio import serve
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.lock import Lock
from redis.utils import HIREDIS_AVAILABLE

# Lock's documented default: a waiter sleeps this long between two attempts.
POLL_MS = 100


async def main() -> None:
    if not HIREDIS_AVAILABLE:
        sys.exit("hiredis is missing; without it redis-py would be shown slower than it is")
    pool = BlockingConnectionPool.from_url(sys.argv[1], max_connections=100, timeout=None)
    client = Redis(connection_pool=pool)

    @functools.cache
    def described(name: str) -> Lock:
        return client.lock(name, timeout=10)

    async def acquire(name: str) -> Lock:
        lock = described(name)
        await lock.acquire()
        return lock

    async def release(lock: Lock) -> None:
        await lock.release()

    await serve("redis-aio", acquire, release, POLL_MS)


asyncio.run(main())
