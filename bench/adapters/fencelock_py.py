"""fencelock's synchronous Python API, at its defaults (TTL 10 s, renewed)."""

from __future__ import annotations

import functools
import sys

import fencelock
from py_serve import Keep, serve


def main() -> None:
    # `maturin develop` points into the source tree, and builds without optimisation.
    if "site-packages" not in fencelock.__file__:
        sys.exit("fencelock is a development install; pip install ./python makes a release build")
    client = fencelock.connect(sys.argv[1])

    @functools.cache
    def described(name: str) -> fencelock.Lock:
        return client.lock(name, ttl=10)

    def acquire(name: str) -> fencelock.Lease:
        return described(name).acquire()

    def take(name: str, ttl: float) -> fencelock.Lease:
        return client.lock(name, ttl=ttl).acquire()

    keep = Keep(take, fencelock.Lease.is_held)
    serve("fencelock-python", acquire, fencelock.Lease.release, keep=keep)


main()
