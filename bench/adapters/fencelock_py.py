"""fencelock's synchronous Python API, at its defaults (TTL 10 s, renewed)."""

from __future__ import annotations

import functools
import sys
import time

import fencelock
from py_serve import now_ns, serve


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

    def keep(names: list[str], ttl: float, time_s: float) -> tuple[int, int, int]:
        leases = [client.lock(name, ttl=ttl).acquire() for name in names]
        start, busy = now_ns(), time.process_time_ns()
        time.sleep(time_s)
        wall, busy = now_ns() - start, time.process_time_ns() - busy
        lost = sum(not lease.is_held() for lease in leases)
        for lease in leases:
            lease.release()
        return wall, busy, lost

    serve("fencelock-python", acquire, fencelock.Lease.release, keep=keep)


main()
