"""The adapter's side of the line protocol (bench/README.md), for synchronous Python."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

Held = TypeVar("Held")


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def serve(
    name: str,
    acquire: Callable[[str], Held],
    release: Callable[[Held], None],
    poll_ms: int = 0,
    keep: Callable[[list[str], float, float], tuple[int, int, int]] | None = None,
) -> None:
    """Answer the runner until it closes our standard input. ``acquire`` waits without limit."""
    held: dict[str, Held] = {}

    def say(answer: str) -> None:
        print(answer, flush=True)

    for line in sys.stdin:
        match line.split():
            case ["hello"]:
                ops = "pair,handoff,keep" if keep else "pair,handoff"
                say(f"ok name={name} ops={ops} poll_ms={poll_ms}")
            case ["pair", lock, count]:
                samples = []
                for _ in range(int(count)):
                    start = now_ns()
                    release(acquire(lock))
                    samples.append(now_ns() - start)
                say("ok " + " ".join(map(str, samples)))
            case ["keep", lock, leases, ttl_ms, ms] if keep:
                names = [f"{lock}:{number}" for number in range(int(leases))]
                say("ok " + " ".join(map(str, keep(names, int(ttl_ms) / 1000, int(ms) / 1000))))
            case ["hold", lock]:
                held[lock] = acquire(lock)
                say("ok")
            case ["wait", lock]:
                say("waiting")
                held[lock] = acquire(lock)
                say(f"ok {now_ns()}")
            case ["free", lock]:
                lease = held.pop(lock)
                start = now_ns()
                release(lease)
                say(f"ok {start}")
            case _:
                say(f"err not understood: {line.strip()}")
