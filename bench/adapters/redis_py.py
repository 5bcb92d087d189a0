"""redis-py's own Lock, with its C parser (hiredis), everything else at its defaults."""

from __future__ import annotations

import functools
import sys

import redis
from py_serve import serve
from redis.lock import Lock
from redis.utils import HIREDIS_AVAILABLE

# Lock's documented default: a waiter sleeps this long between two attempts.
POLL_MS = 100


def main() -> None:
    if not HIREDIS_AVAILABLE:
        sys.exit("hiredis is missing; without it redis-py would be shown slower than it is")
    # The default pool refuses a 101st connection, and a thread that waits takes one.
    client = redis.Redis.from_url(sys.argv[1], max_connections=10_000)

    @functools.cache
    def described(name: str) -> Lock:
        lock: Lock = client.lock(name, timeout=10)
        return lock

    def acquire(name: str) -> Lock:
        lock = described(name)
        lock.acquire()
        return lock

    serve("redis-py", acquire, Lock.release, POLL_MS)


main()
