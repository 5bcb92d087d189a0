"""The adapter's side of the line protocol (bench/README.md), for asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from py_serve import now_ns

Held = TypeVar("Held")


async def serve(
    name: str,
    acquire: Callable[[str], Awaitable[Held]],
    release: Callable[[Held], Awaitable[None]],
    poll_ms: int = 0,
) -> None:
    """Answer the runner until it closes our standard input. ``acquire`` waits without limit."""
    held: dict[str, Held] = {}

    def say(answer: str) -> None:
        print(answer, flush=True)

    async def sections(lock: str, count: int) -> None:
        for _ in range(count):
            await release(await acquire(lock))

    # Reading blocks the loop, which has nothing else to do meanwhile.
    for line in sys.stdin:
        match line.split():
            case ["hello"]:
                say(f"ok name={name} ops=pair,handoff,flight poll_ms={poll_ms}")
            case ["pair", lock, count]:
                samples = []
                for _ in range(int(count)):
                    start = now_ns()
                    await release(await acquire(lock))
                    samples.append(now_ns() - start)
                say("ok " + " ".join(map(str, samples)))
            case ["flight", lock, tasks, count]:
                start = now_ns()
                async with asyncio.TaskGroup() as group:
                    for number in range(int(tasks)):
                        group.create_task(sections(f"{lock}:{number}", int(count)))
                say(f"ok {now_ns() - start}")
            case ["hold", lock]:
                held[lock] = await acquire(lock)
                say("ok")
            case ["wait", lock]:
                say("waiting")
                held[lock] = await acquire(lock)
                say(f"ok {now_ns()}")
            case ["free", lock]:
                lease = held.pop(lock)
                start = now_ns()
                await release(lease)
                say(f"ok {start}")
            case _:
                say(f"err not understood: {line.strip()}")
