"""Drives fencelock's asyncio API: a task for each request. See ../README.md."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote, unquote

import fencelock
import fencelock.aio

Fields = dict[str, str]

clients: dict[str, fencelock.aio.Client] = {}
leases: dict[str, fencelock.aio.Lease] = {}
tasks: dict[str, asyncio.Task[None]] = {}


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def ok(**fields: object) -> str:
    return "ok" + "".join(f" {key}={quote(str(value))}" for key, value in fields.items())


def err(error: fencelock.FencelockError) -> str:
    loss = "" if error.reason is None else f" loss={error.reason}"
    return (
        f"err {error.kind} code={error.code} message={quote(str(error))}{loss} "
        f"retryable={error.retryable:d} ambiguous={error.ambiguous:d}"
    )


def describe(args: Fields) -> fencelock.aio.Lock:
    return clients[args["client"]].lock(
        args["name"],
        ttl=int(args.get("ttl", "10000")) / 1000,
        renew=args.get("renew") != "0",
        max_hold=int(args["max_hold"]) / 1000 if "max_hold" in args else None,
        label=args.get("label", ""),
    )


def patience(args: Fields) -> float | None:
    return int(args["timeout"]) / 1000 if "timeout" in args else None


async def hello(args: Fields) -> str:
    can = "block,cancel,discard,exact_cancel,fork,release_twice"
    return ok(name="python-aio", can=can)


async def connect(args: Fields) -> str:
    timeout = int(args.get("response_timeout", "5000")) / 1000
    clients[args["client"]] = await fencelock.aio.connect(
        args["url"], prefix=args.get("prefix"), response_timeout=timeout
    )
    return ok()


async def close(args: Fields) -> str:
    await clients[args["client"]].close()
    return ok()


def claim(lease: fencelock.aio.Lease) -> dict[str, int]:
    at = now()
    return {"at": at, "fence": lease.fence, "remaining": int(lease.remaining() * 1e9)}


def keep(args: Fields, lease: fencelock.aio.Lease) -> str:
    number = args["lease"]
    leases[number] = lease
    said = ok(**claim(lease))

    def on_lost(lease: fencelock.aio.Lease) -> None:
        say(f"! lost lease={number} reason={lease.lost_reason()} at={now()}")

    lease.on_lost(on_lost)
    return said


async def acquire(args: Fields) -> str:
    return keep(args, await describe(args).acquire(timeout=patience(args)))


async def try_acquire(args: Fields) -> str:
    lease = await describe(args).try_acquire()
    return ok(busy=1) if lease is None else keep(args, lease)


async def cancel(args: Fields) -> str:
    if task := tasks.get(args["request"]):
        task.cancel()
    return ok()


async def held(args: Fields) -> str:
    lease = leases[args["lease"]]
    said = claim(lease)
    return ok(**said, held=int(lease.is_held()))


async def check(args: Fields) -> str:
    leases[args["lease"]].check()
    return ok()


async def renew(args: Fields) -> str:
    await leases[args["lease"]].renew()
    return ok()


async def release(args: Fields) -> str:
    at = now()
    await leases[args["lease"]].release()
    return ok(at=at)


async def drop(args: Fields) -> str:
    at = now()
    del leases[args["lease"]]
    return ok(at=at)


async def inspect(args: Fields) -> str:
    seen = await clients[args["client"]].inspect(args["name"])
    if seen.holder is None:
        return ok(held=0, waiters=seen.waiters)
    said = {"foreign": int(seen.holder.foreign), "label": seen.holder.label}
    fence = {} if seen.holder.fence is None else {"fence": seen.holder.fence}
    return ok(held=1, waiters=seen.waiters, **said, **fence)


async def sections(args: Fields) -> str:
    lock, spans = describe(args), []
    for _ in range(int(args["n"])):
        lease = await lock.acquire(timeout=patience(args))
        spans.append(f"{lease.fence}:{now()}:{now()}")
        await lease.release()
    return ok(spans=",".join(spans))


async def block(args: Fields) -> str:
    # Called with the interpreter's lock held, as a careless extension does.
    ctypes.PyDLL(None).usleep(int(args["ms"]) * 1000)
    return ok()


async def fork(args: Fields) -> str:
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(outside, asyncio.run(carry_out(in_child, args)).encode())
        os._exit(0)
    os.close(outside)
    with os.fdopen(inside) as told:
        said = await asyncio.to_thread(told.read)
    os.waitpid(child, 0)
    return said


async def in_child(args: Fields) -> str:
    lease, found = leases[args["lease"]], {}
    try:
        lease.check()
    except fencelock.LockLostError as error:
        found["check"] = error.reason
    try:
        await lease.release()
    except fencelock.LockLostError as error:
        found["release"] = error.reason
    async with describe(args).acquire(timeout=patience(args)) as own:
        return ok(held=int(lease.is_held()), fence=own.fence, **found)


Operation = Callable[[Fields], Awaitable[str]]
OPERATIONS: dict[str, Operation] = {
    "try": try_acquire,
    **{
        operation.__name__: operation
        for operation in [
            *(hello, connect, close, acquire, cancel, held, check, renew, release, drop),
            *(inspect, sections, block, fork),
        ]
    },
}


async def carry_out(operation: Operation, args: Fields) -> str:
    try:
        return await operation(args)
    except asyncio.CancelledError:
        return "err cancelled"
    except fencelock.FencelockError as error:
        return err(error)
    except Exception as error:
        return f"err usage message={quote(repr(error))}"


async def answer(number: str, op: str, args: Fields) -> None:
    operation = OPERATIONS.get(op)
    if operation is None:
        said = f"err usage message={quote(op)}"
    else:
        said = await carry_out(operation, args)
    say(f"{number} {said}")
    tasks.pop(number, None)


async def main() -> None:
    lines = asyncio.StreamReader()
    reading = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: reading, sys.stdin)
    while line := await lines.readline():
        number, op, *words = line.decode().split()
        pairs = (word.split("=", 1) for word in words)
        args = {key: unquote(value) for key, value in pairs}
        if op == "exit":
            say(f"{number} ok")
            return
        tasks[number] = asyncio.create_task(answer(number, op, args))


logging.basicConfig(level=logging.CRITICAL if "FENCELOCK_DRIVER_QUIET" in os.environ else 1)
# asyncio's own log says nothing of interest.
logging.getLogger("asyncio").setLevel(logging.WARNING)
asyncio.run(main())
