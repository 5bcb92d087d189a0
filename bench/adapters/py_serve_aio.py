"""The adapter's side of the line protocol (bench/README.md), for asyncio."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from py_serve import Section, now_ns, say, say_sections

Held = TypeVar("Held")
AT_ONCE = 1000


@dataclass(frozen=True)
class Keep(Generic[Held]):
    """How a lease of its own TTL (in s) is taken that is renewed, and whether it is held yet."""

    take: Callable[[str, float], Awaitable[Held]]
    is_held: Callable[[Held], bool]


async def serve(
    name: str,
    acquire: Callable[[str], Awaitable[Held]],
    release: Callable[[Held], Awaitable[None]],
    poll_ms: int = 0,
    keep: Keep[Held] | None = None,
) -> None:
    """Answer the runner until it closes our standard input. ``acquire`` waits without limit."""
    held: dict[str, Held] = {}
    ops = "pair,handoff,loop,flight,cycle,crowd" + ",keep" * (keep is not None)

    async def sections(lock: str, count: int) -> None:
        for _ in range(count):
            await release(await acquire(lock))

    async def section(lock: str, hold_s: float) -> Section:
        requested = now_ns()
        lease = await acquire(lock)
        acquired = now_ns()
        if hold_s:
            # Not asyncio's, whose timers count in whole milliseconds.
            time.sleep(hold_s)
        released = now_ns()
        await release(lease)
        return requested, acquired, released

    async def take_all(lock: str, leases: int, ttl_s: float, keep: Keep[Held]) -> list[Held]:
        kept: list[Held] = []
        for first in range(0, leases, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, leases))
            kept += await asyncio.gather(*(keep.take(f"{lock}:{n}", ttl_s) for n in numbers))
        return kept

    # Reading blocks the loop, which has nothing else to do meanwhile.
    for line in sys.stdin:
        match line.split():
            case ["hello"]:
                say(f"ok name={name} ops={ops} poll_ms={poll_ms}")
            case ["pair", lock, count]:
                samples = []
                for _ in range(int(count)):
                    start = now_ns()
                    await release(await acquire(lock))
                    samples.append(now_ns() - start)
                say("ok", *samples)
            case ["loop", lock, until, hold_us]:
                done = []
                while now_ns() < int(until):
                    done.append(await section(lock, int(hold_us) / 1e6))
                say_sections(done)
            case ["crowd", lock, waiters]:
                async with asyncio.TaskGroup() as group:
                    waiting = [group.create_task(section(lock, 0)) for _ in range(int(waiters))]
                    await asyncio.sleep(0)
                    say("waiting")
                say_sections([waiter.result() for waiter in waiting])
            case ["flight", lock, tasks, count]:
                start = now_ns()
                async with asyncio.TaskGroup() as group:
                    for number in range(int(tasks)):
                        group.create_task(sections(f"{lock}:{number}", int(count)))
                say("ok", now_ns() - start)
            case ["cycle", lock, count]:
                start = now_ns()
                await sections(lock, int(count))
                say("ok", now_ns() - start)
            case ["keep", lock, leases, ttl_ms, ms] if keep:
                kept = await take_all(lock, int(leases), int(ttl_ms) / 1000, keep)
                say("keeping")
                start, busy = now_ns(), time.process_time_ns()
                await asyncio.sleep(int(ms) / 1000)
                wall, busy = now_ns() - start, time.process_time_ns() - busy
                living = [lease for lease in kept if keep.is_held(lease)]
                for first in range(0, len(living), AT_ONCE):
                    await asyncio.gather(*map(release, living[first : first + AT_ONCE]))
                say("ok", wall, busy, len(kept) - len(living))
            case ["hold", lock]:
                held[lock] = await acquire(lock)
                say("ok")
            case ["wait", lock]:
                say("waiting")
                held[lock] = await acquire(lock)
                say("ok", now_ns())
            case ["free", lock]:
                lease = held.pop(lock)
                start = now_ns()
                await release(lease)
                say("ok", start)
            case _:
                say("err not understood:", line.strip())
