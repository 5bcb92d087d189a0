"""fencelock's asyncio API, at its defaults (TTL 10 s, renewed)."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable

import fencelock.aio
from py_serve_aio import Keep, serve


async def main() -> None:
    # `maturin develop` points into the source tree, and builds without optimisation.
    if "site-packages" not in fencelock.__file__:
        sys.exit("fencelock is a development install; pip install ./python makes a release build")
    client = await fencelock.aio.connect(sys.argv[1])

    @functools.cache
    def described(name: str) -> fencelock.aio.Lock:
        return client.lock(name, ttl=10)

    def acquire(name: str) -> Awaitable[fencelock.aio.Lease]:
        return described(name).acquire()

    def take(name: str, ttl: float) -> Awaitable[fencelock.aio.Lease]:
        return client.lock(name, ttl=ttl).acquire()

    keep = Keep(take, fencelock.aio.Lease.is_held)
    await serve("fencelock-aio", acquire, fencelock.aio.Lease.release, keep=keep)


asyncio.run(main())
