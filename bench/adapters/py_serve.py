"""The adapter's side of the line protocol (bench/README.md), for synchronous Python."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Held = TypeVar("Held")
Section = tuple[int, int, int]
"""When acquire was called, when it returned, and when release was called."""


@dataclass(frozen=True)
class Keep(Generic[Held]):
    """How a lease of its own TTL (in s) is taken that is renewed, and whether it is held yet."""

    take: Callable[[str, float], Held]
    is_held: Callable[[Held], bool]
    most: int | None = None
    """How many it can keep at all, about."""


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def say(*words: object) -> None:
    print(*words, flush=True)


def say_sections(sections: list[Section]) -> None:
    say("ok", *(moment for section in sections for moment in section))


def serve(
    name: str,
    acquire: Callable[[str], Held],
    release: Callable[[Held], None],
    poll_ms: int = 0,
    keep: Keep[Held] | None = None,
    threads: bool = True,
) -> None:
    """Answer the runner until it closes our standard input. ``acquire`` waits without limit.

    ``threads``: whether many threads may call ``acquire`` for one lock.
    """
    held: dict[str, Held] = {}
    ops = "pair,handoff,loop,cycle" + ",crowd" * threads + ",keep" * (keep is not None)

    def section(lock: str, hold_s: float) -> Section:
        requested = now_ns()
        lease = acquire(lock)
        acquired = now_ns()
        if hold_s:
            time.sleep(hold_s)
        released = now_ns()
        release(lease)
        return requested, acquired, released

    for line in sys.stdin:
        match line.split():
            case ["hello"]:
                most = f" leases={keep.most}" if keep and keep.most else ""
                say(f"ok name={name} ops={ops} poll_ms={poll_ms}{most}")
            case ["pair", lock, count]:
                samples = []
                for _ in range(int(count)):
                    start = now_ns()
                    release(acquire(lock))
                    samples.append(now_ns() - start)
                say("ok", *samples)
            case ["loop", lock, until, hold_us]:
                sections = []
                while now_ns() < int(until):
                    sections.append(section(lock, int(hold_us) / 1e6))
                say_sections(sections)
            case ["crowd", lock, waiters] if threads:
                with ThreadPoolExecutor(int(waiters)) as pool:
                    waiting = [pool.submit(section, lock, 0) for _ in range(int(waiters))]
                    say("waiting")
                    say_sections([waiter.result() for waiter in waiting])
            case ["cycle", lock, count]:
                start = now_ns()
                for _ in range(int(count)):
                    release(acquire(lock))
                say("ok", now_ns() - start)
            case ["keep", lock, leases, ttl_ms, ms] if keep:
                ttl_s = int(ttl_ms) / 1000
                kept = [keep.take(f"{lock}:{number}", ttl_s) for number in range(int(leases))]
                say("keeping")
                start, busy = now_ns(), time.process_time_ns()
                time.sleep(int(ms) / 1000)
                wall, busy = now_ns() - start, time.process_time_ns() - busy
                living = [lease for lease in kept if keep.is_held(lease)]
                for lease in living:
                    release(lease)
                say("ok", wall, busy, len(kept) - len(living))
            case ["hold", lock]:
                held[lock] = acquire(lock)
                say("ok")
            case ["wait", lock]:
                say("waiting")
                held[lock] = acquire(lock)
                say("ok", now_ns())
            case ["free", lock]:
                lease = held.pop(lock)
                start = now_ns()
                release(lease)
                say("ok", start)
            case _:
                say("err not understood:", line.strip())
