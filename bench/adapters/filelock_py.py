"""filelock's FileLock at its defaults: flock on a file, tried again while it is taken."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from filelock import FileLock
from py_serve import serve

# Its default: a waiter sleeps this long between two attempts.
POLL_MS = 50


def main() -> None:
    folder = Path(sys.argv[1].removeprefix("file:")).parent

    @functools.cache
    def described(name: str) -> FileLock:
        return FileLock(folder / f"{name}.filelock")

    def acquire(name: str) -> FileLock:
        lock = described(name)
        lock.acquire()
        return lock

    serve("filelock", acquire, FileLock.release, POLL_MS)


main()
