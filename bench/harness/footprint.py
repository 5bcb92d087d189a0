"""What locks, waiters and connections take of the server's memory, and connections of its time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from harness.script_cases import HOLDER, Call, Scripts, acquire, channel, lock, release
from harness.server import Server
from harness.wire import Wire

LENGTHS = (1, 10, 100, 1_000, 10_000)
# The server gives back what a connection had for buffers some seconds after its last use.
SETTLE_S = 10.0
IDLE_S = 5.0


@dataclass(frozen=True)
class Footprint:
    held: float
    record: float
    waiter: dict[int, float]
    """By the length of the queue, each waiter of a client of its own."""
    connection: float
    used_connection: float
    subscription: float
    cron_us: float
    """Processor time for each idle connection, per second."""


def footprint(server: Server, keys: int, connections: int) -> Footprint:
    control = Wire(server.port)
    scripts = Scripts(control)

    def grown(calls: Iterable[Call], than: int) -> int:
        control.ask_all(scripts.words(call) for call in calls)
        return server.memory_bytes() - than

    try:
        server.empty()
        empty = server.memory_bytes()
        held = grown((acquire(lock(n), HOLDER, 0) for n in range(keys)), empty)
        record = grown((release(lock(n), HOLDER) for n in range(keys)), empty)
        waiter = {}
        for length in LENGTHS:
            if length > keys:
                continue
            locks = keys // length
            server.empty()
            before = grown((acquire(lock(n), HOLDER, 0) for n in range(locks)), 0)
            # In mode P the next to join would remove a head that does not listen.
            waiting = (acquire(lock(n % locks), n, n, True, "-") for n in range(keys))
            waiter[length] = grown(waiting, before) / keys
        server.empty()
        return Footprint(held / keys, record / keys, waiter, *_connections(server, connections))
    finally:
        control.close()


def _connections(server: Server, count: int) -> tuple[float, float, float, float]:
    """Idle, just used, subscribed; and µs per second."""
    time.sleep(SETTLE_S)
    empty, quiet = server.memory_bytes(), _busy_s(server)
    crowd = [Wire(server.port) for _ in range(count)]
    try:
        for wire in crowd:
            wire.ask("HELLO", "3")
        time.sleep(SETTLE_S)
        idle, busy = server.memory_bytes(), _busy_s(server)
        for wire in crowd:
            wire.ask("PING")
        used = server.memory_bytes()
        for number, wire in enumerate(crowd):
            wire.ask("SUBSCRIBE", channel(number))
        time.sleep(SETTLE_S)
        subscribed = server.memory_bytes()
    finally:
        for wire in crowd:
            wire.close()
    per = ((idle - empty), (used - empty), (subscribed - idle))
    return per[0] / count, per[1] / count, per[2] / count, (busy - quiet) * 1e6 / count / IDLE_S


def _busy_s(server: Server) -> float:
    start = server.processor_s()
    time.sleep(IDLE_S)
    return server.processor_s() - start
