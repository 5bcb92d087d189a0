"""Drives redis-py's own lock, a foreign client on the same keys. See ../README.md."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import quote, unquote

import redis
from redis.lock import Lock

Fields = dict[str, str]

clients: dict[str, redis.Redis] = {}
leases: dict[str, Lock] = {}
output = threading.Lock()


def say(line: str) -> None:
    with output:
        print(line, flush=True)


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def lock(args: Fields) -> Lock:
    ttl = int(args["ttl"]) / 1000
    # The default looks every 100 ms; the runner has not that much time.
    return Lock(clients[args["client"]], args["name"], ttl, sleep=0.02, thread_local=False)


def claim(args: Fields) -> str:
    at = now()
    remaining = clients[args["client"]].pttl(args["name"])
    return f"ok at={at} remaining={remaining * 1_000_000}"


def take(args: Fields, blocking: bool) -> str:
    held = lock(args)
    limit = int(args["timeout"]) / 1000 if "timeout" in args else None
    if not held.acquire(blocking=blocking, blocking_timeout=limit):
        return "err acquire_timeout" if blocking else "ok busy=1"
    leases[args["lease"]] = held
    return claim(args)


def release(args: Fields) -> str:
    at = now()
    leases.pop(args["lease"]).release()
    return f"ok at={at}"


def sections(args: Fields) -> str:
    spans = []
    for _ in range(int(args["n"])):
        held = lock(args)
        if not held.acquire(blocking_timeout=int(args["timeout"]) / 1000):
            return "err acquire_timeout"
        spans.append(f"0:{now()}:{now()}")
        held.release()
    return "ok spans=" + ",".join(spans)


def connect(args: Fields) -> str:
    clients[args["client"]] = redis.Redis.from_url(args["url"])
    return "ok"


def unknown(op: str) -> str:
    return f"err usage message={quote('no operation ' + op)}"


def carry_out(op: str, args: Fields) -> str:
    match op:
        case "hello":
            return "ok name=redis-py can="
        case "connect":
            return connect(args)
        case "acquire" | "try":
            return take(args, blocking=op == "acquire")
        case "release":
            return release(args)
        case "sections":
            return sections(args)
    return unknown(op)


def serve(carry_out: Callable[[str, Fields], str]) -> None:
    """Carries out what comes on standard input, a thread for each request."""

    def answer(number: str, op: str, args: Fields) -> None:
        try:
            said = carry_out(op, args)
        except Exception as error:
            said = f"err foreign message={quote(repr(error))}"
        say(f"{number} {said}")

    for line in sys.stdin:
        number, op, *words = line.split()
        pairs = (word.split("=", 1) for word in words)
        args = {key: unquote(value) for key, value in pairs}
        threading.Thread(target=answer, args=(number, op, args), daemon=True).start()


if __name__ == "__main__":
    serve(carry_out)
