"""pottery's Redlock on one server, with redis-py's C parser (hiredis), at its defaults
(TTL 10 s, never renewed)."""

from __future__ import annotations

import functools
import sys

import redis
from pottery import Redlock
from py_serve import serve
from redis.utils import HIREDIS_AVAILABLE

# A waiter sleeps for a random time of up to this between two attempts.
POLL_MS = 200


def main() -> None:
    if not HIREDIS_AVAILABLE:
        sys.exit("hiredis is missing; without it redis-py would be shown slower than it is")
    client = redis.Redis.from_url(sys.argv[1])

    @functools.cache
    def described(name: str) -> Redlock:
        return Redlock(key=name, masters={client})

    def acquire(name: str) -> Redlock:
        lock = described(name)
        lock.acquire()
        return lock

    serve("pottery", acquire, Redlock.release, POLL_MS)


main()
