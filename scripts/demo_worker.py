"""One Python process of `make demo`; core/examples/counter.rs is the same in Rust.

Arguments: LOCK FILE ROUNDS [STALL]; the server is FENCELOCK_URL. What is printed is told there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from fencelock import DistributedLock

# How long the number is kept in memory: without a lock, time enough to lose increments.
THINK_S = 0.003
TTL_S = 1


def write(file: Path, number: int) -> None:
    """By renaming, so that a process killed here leaves the old number or the new one."""
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(f"{number}\n")
    draft.rename(file)


def main() -> None:
    name, file, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    stall = int(sys.argv[4]) if len(sys.argv) > 4 else None
    lock = DistributedLock(name, ttl=TTL_S)
    print("ready", flush=True)
    sys.stdin.readline()
    for number_of_round in range(1, rounds + 1):
        asked = time.monotonic_ns()
        lock.acquire()
        assert lock.lease
        print("got", asked, time.monotonic_ns(), lock.lease.fence, flush=True)
        number = int(file.read_text()) + 1
        time.sleep(60 if number_of_round == stall else THINK_S)
        write(file, number)
        print("done", time.monotonic_ns(), number, flush=True)
        lock.release()


main()
