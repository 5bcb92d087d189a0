"""portalocker's Lock at its defaults, but without an end to the wait: flock on a file that is
opened and closed each time, tried again while it is taken."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from portalocker import Lock
from py_serve import serve

# Its default: a waiter sleeps this long between two attempts.
POLL_MS = 250


def main() -> None:
    folder = Path(sys.argv[1].removeprefix("file:")).parent

    @functools.cache
    def described(name: str) -> Lock:
        return Lock(folder / f"{name}.portalocker", timeout=3600)

    def acquire(name: str) -> Lock:
        lock = described(name)
        lock.acquire()
        return lock

    def release(lock: Lock) -> None:
        lock.release()

    # Its Lock has one open file, not one for each thread.
    serve("portalocker", acquire, release, POLL_MS, threads=False)


main()
