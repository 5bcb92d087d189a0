"""python-redis-lock's Lock, with redis-py's C parser (hiredis): a lapse of 10 s, not renewed but
where leases are to be kept (``auto_renewal``: a thread for each).

Its own default is a lock that never lapses.
"""

from __future__ import annotations

import functools
import sys
import threading

import redis
from py_serve import Keep, serve
from redis.utils import HIREDIS_AVAILABLE
from redis_lock import Lock  # type: ignore[import-untyped]


def main() -> None:
    if not HIREDIS_AVAILABLE:
        sys.exit("hiredis is missing; without it redis-py would be shown slower than it is")
    # The default pool refuses a 101st connection, and a thread that waits takes one.
    client = redis.Redis.from_url(sys.argv[1], max_connections=10_000)
    # Thousands of threads that renew are to wait for a connection, not to open one each.
    pool = redis.BlockingConnectionPool.from_url(sys.argv[1], max_connections=100, timeout=None)
    renewing = redis.Redis(connection_pool=pool)

    # Each thread has its own: one that is held refuses to be acquired again.
    @functools.cache
    def described(name: str, thread: int) -> Lock:
        return Lock(client, name, expire=10)

    def acquire(name: str) -> Lock:
        lock = described(name, threading.get_ident())
        lock.acquire()
        return lock

    # With 10,000 threads that renew, the last lease was taken after a minute, and all were lost.
    def take(name: str, ttl: float) -> Lock:
        lock = Lock(renewing, name, expire=ttl, auto_renewal=True)
        lock.acquire()
        return lock

    def is_held(lock: Lock) -> bool:
        return bool(lock.get_owner_id() == lock.id)

    # Its waiters are woken by the server (BLPOP), and do not poll.
    keep = Keep(take, is_held, most=1000)
    serve("python-redis-lock", acquire, Lock.release, keep=keep)


main()
