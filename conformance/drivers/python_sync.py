"""Drives fencelock's synchronous Python API: a thread for each request. See ../README.md."""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple
from urllib.parse import quote, unquote

import fencelock

Fields = dict[str, str]


class Request(NamedTuple):
    number: str
    op: str
    args: Fields


clients: dict[str, fencelock.Client] = {}
leases: dict[str, fencelock.Lease] = {}

# Python interrupts its main thread only: what may be cancelled runs there.
main_thread: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
cancelled: set[str] = set()
running: str | None = None


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def say(line: str) -> None:
    # Unbuffered: a buffer's lock must not be held when the interpreter exits.
    os.write(1, f"{line}\n".encode())


def ok(**fields: object) -> str:
    return "ok" + "".join(f" {key}={quote(str(value))}" for key, value in fields.items())


def err(error: fencelock.FencelockError) -> str:
    loss = "" if error.reason is None else f" loss={error.reason}"
    return (
        f"err {error.kind} code={error.code} message={quote(str(error))}{loss} "
        f"retryable={error.retryable:d} ambiguous={error.ambiguous:d}"
    )


def describe(args: Fields) -> fencelock.Lock:
    return clients[args["client"]].lock(
        args["name"],
        ttl=int(args.get("ttl", "10000")) / 1000,
        renew=args.get("renew") != "0",
        max_hold=int(args["max_hold"]) / 1000 if "max_hold" in args else None,
        label=args.get("label", ""),
    )


def patience(args: Fields) -> float | None:
    return int(args["timeout"]) / 1000 if "timeout" in args else None


def connect(args: Fields) -> str:
    timeout = int(args.get("response_timeout", "5000")) / 1000
    client = fencelock.connect(args["url"], prefix=args.get("prefix"), response_timeout=timeout)
    clients[args["client"]] = client
    return ok()


def close(args: Fields) -> str:
    clients[args["client"]].close()
    return ok()


def claim(lease: fencelock.Lease) -> dict[str, int]:
    at = now()
    return {"at": at, "fence": lease.fence, "remaining": int(lease.remaining() * 1e9)}


def keep(args: Fields, lease: fencelock.Lease) -> str:
    number = args["lease"]
    leases[number] = lease
    said = ok(**claim(lease))

    def on_lost(lease: fencelock.Lease) -> None:
        say(f"! lost lease={number} reason={lease.lost_reason()} at={now()}")

    lease.on_lost(on_lost)
    return said


def acquire(args: Fields) -> str:
    return keep(args, describe(args).acquire(timeout=patience(args)))


def try_acquire(args: Fields) -> str:
    lease = describe(args).try_acquire()
    return ok(busy=1) if lease is None else keep(args, lease)


def cancel(args: Fields) -> str:
    cancelled.add(args["request"])
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    return ok()


def held(args: Fields) -> str:
    lease = leases[args["lease"]]
    said = claim(lease)
    return ok(**said, held=int(lease.is_held()))


def check(args: Fields) -> str:
    leases[args["lease"]].check()
    return ok()


def renew(args: Fields) -> str:
    leases[args["lease"]].renew()
    return ok()


def release(args: Fields) -> str:
    at = now()
    leases[args["lease"]].release()
    return ok(at=at)


def drop(args: Fields) -> str:
    at = now()
    del leases[args["lease"]]
    return ok(at=at)


def inspect(args: Fields) -> str:
    seen = clients[args["client"]].inspect(args["name"])
    if seen.holder is None:
        return ok(held=0, waiters=seen.waiters)
    said = {"foreign": int(seen.holder.foreign), "label": seen.holder.label}
    fence = {} if seen.holder.fence is None else {"fence": seen.holder.fence}
    return ok(held=1, waiters=seen.waiters, **said, **fence)


def sections(args: Fields) -> str:
    lock, spans = describe(args), []
    for _ in range(int(args["n"])):
        lease = lock.acquire(timeout=patience(args))
        spans.append(f"{lease.fence}:{now()}:{now()}")
        lease.release()
    return ok(spans=",".join(spans))


def block(args: Fields) -> str:
    # Called with the interpreter's lock held, as a careless extension does.
    ctypes.PyDLL(None).usleep(int(args["ms"]) * 1000)
    return ok()


def fork(args: Fields) -> str:
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(outside, carry_out(Request("0", "in_child", args)).encode())
        os._exit(0)
    os.close(outside)
    with os.fdopen(inside) as told:
        said = told.read()
    os.waitpid(child, 0)
    return said


def in_child(args: Fields) -> str:
    lease, found = leases[args["lease"]], {}
    for what, ask in {"check": lease.check, "release": lease.release}.items():
        try:
            ask()
        except fencelock.LockLostError as error:
            found[what] = error.reason
    with describe(args).acquire(timeout=patience(args)) as own:
        return ok(held=int(lease.is_held()), fence=own.fence, **found)


OPERATIONS: dict[str, Callable[[Fields], str]] = {
    "hello": lambda _: ok(name="python-sync", can="apart,block,cancel,discard,fork,release_twice"),
    "try": try_acquire,
    **{
        operation.__name__: operation
        for operation in [
            *(connect, close, acquire, cancel, held, check, renew, release, drop),
            *(inspect, sections, block, fork, in_child),
        ]
    },
}


def carry_out(request: Request) -> str:
    try:
        return OPERATIONS[request.op](request.args)
    except fencelock.FencelockError as error:
        return err(error)
    except Exception as error:
        return f"err usage message={quote(repr(error))}"


def answer(request: Request) -> None:
    say(f"{request.number} {carry_out(request)}")


def interrupt(number: int, frame: FrameType | None) -> None:
    if running in cancelled:
        raise KeyboardInterrupt


def answer_here(request: Request) -> None:
    """Answers a request that may be cancelled."""
    global running
    try:
        running = request.number
        if running in cancelled:
            raise KeyboardInterrupt
        said = carry_out(request)
        running = None
    except KeyboardInterrupt:
        running = None
        said = "err cancelled"
        # Interrupted with the lease in its hands already, as a `with` would be.
        if lease := leases.pop(request.args["lease"], None):
            lease.release()
    say(f"{request.number} {said}")


def read() -> None:
    for line in sys.stdin:
        number, op, *words = line.split()
        pairs = (word.split("=", 1) for word in words)
        request = Request(number, op, {key: unquote(value) for key, value in pairs})
        if op == "exit":
            say(f"{number} ok")
            break
        if "cancellable" in request.args:
            main_thread.put(request)
        else:
            threading.Thread(target=answer, args=(request,), daemon=True).start()
    main_thread.put(None)


logging.basicConfig(level=logging.CRITICAL if "FENCELOCK_DRIVER_QUIET" in os.environ else 1)
signal.signal(signal.SIGINT, interrupt)
threading.Thread(target=read, daemon=True).start()
while (request := main_thread.get()) is not None:
    answer_here(request)
