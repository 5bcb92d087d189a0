"""python-redis-lock's Lock, with redis-py's C parser (hiredis): a lapse of 10 s, never renewed.

Its own default is a lock that never lapses.
"""

from __future__ import annotations

import functools
import sys

import redis
from py_serve import serve
from redis.utils import HIREDIS_AVAILABLE
from redis_lock import Lock  # type: ignore[import-untyped]


def main() -> None:
    if not HIREDIS_AVAILABLE:
        sys.exit("hiredis is missing; without it redis-py would be shown slower than it is")
    client = redis.Redis.from_url(sys.argv[1])

    @functools.cache
    def described(name: str) -> Lock:
        return Lock(client, name, expire=10)

    def acquire(name: str) -> Lock:
        lock = described(name)
        lock.acquire()
        return lock

    # Its waiters are woken by the server (BLPOP), and do not poll.
    serve("python-redis-lock", acquire, Lock.release)


main()
