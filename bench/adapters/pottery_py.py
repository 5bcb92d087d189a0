"""pottery's Redlock on one server, with redis-py's C parser (hiredis), at its defaults
(TTL 10 s, never renewed)."""

from __future__ import annotations

import functools
import sys
import threading

import redis
from pottery import Redlock
from py_serve import serve
from redis.utils import HIREDIS_AVAILABLE

# A waiter sleeps for a random time of up to this between two attempts.
POLL_MS = 200


def main() -> None:
    if not HIREDIS_AVAILABLE:
        sys.exit("hiredis is missing; without it redis-py would be shown slower than it is")
    # The default pool refuses a 101st connection, and a thread that waits takes one.
    client = redis.Redis.from_url(sys.argv[1], max_connections=10_000)

    # Each thread has its own: an attempt of one would take the other's token away.
    @functools.cache
    def described(name: str, thread: int) -> Redlock:
        return Redlock(key=name, masters={client})

    def acquire(name: str) -> Redlock:
        lock = described(name, threading.get_ident())
        lock.acquire()
        return lock

    serve("pottery", acquire, Redlock.release, POLL_MS)


main()
