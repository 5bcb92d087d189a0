"""A lock as many have written it, with two mistakes: it is released by DEL, whoever holds it by
then, and its fence is counted by INCR. A negative control for torture. See ../README.md.
"""

from __future__ import annotations

import time
import uuid
from typing import NamedTuple

from redis_py import Fields, clients, connect, now, serve, unknown


class Lease(NamedTuple):
    name: str
    fence: int
    deadline: int


leases: dict[str, Lease] = {}


def claim(lease: Lease) -> str:
    at = now()
    return f"ok at={at} fence={lease.fence} remaining={max(0, lease.deadline - at)}"


def take(args: Fields, patience: float) -> str:
    client, name, ttl = clients[args["client"]], args["name"], int(args["ttl"])
    give_up = time.monotonic() + patience
    while True:
        sent = now()
        if client.set(name, uuid.uuid4().hex, nx=True, px=ttl):
            # A hundredth and 2 ms are left out, as fencelock does, for the clocks' sake.
            deadline = sent + (ttl * 99 // 100 - 2) * 1_000_000
            lease = Lease(name, int(client.incr(f"{name}:fl:f")), deadline)
            client.expire(f"{name}:fl:f", 3600)
            leases[args["lease"]] = lease
            return claim(lease)
        if time.monotonic() >= give_up:
            return "ok busy=1" if patience == 0 else "err acquire_timeout"
        time.sleep(0.01)


def release(args: Fields) -> str:
    at = now()
    lease = leases.pop(args["lease"])
    clients["c"].delete(lease.name)
    return f"ok at={at}"


def carry_out(op: str, args: Fields) -> str:
    match op:
        case "hello":
            return "ok name=reckless can=drop"
        case "connect":
            return connect(args)
        case "acquire":
            return take(args, int(args["timeout"]) / 1000)
        case "try":
            return take(args, 0)
        case "held":
            lease = leases[args["lease"]]
            return f"{claim(lease)} held={int(now() < lease.deadline)}"
        case "release" | "drop":
            return release(args)
    return unknown(op)


serve(carry_out)
