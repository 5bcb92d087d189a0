"""The formulas of docs/scale.md, and the costs that they are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.script_cases import EXTEND, HANDED, POLL_LINE

# Renewals come each third of the TTL, heartbeats each third of the window or up to 10 % sooner.
SHARE = 3
JITTER = 0.95
# Until Redis 7.0 gives back the buffer of a connection that is not used: at its first look, one a
# second, that finds it idle for more than two whole seconds.
BUFFER_S = 3.0


@dataclass(frozen=True)
class Range:
    """Between a server that always has work and one that wakes up for each call."""

    low: float
    high: float

    def times(self, number: float) -> Range:
        return Range(self.low * number, self.high * number)

    def plus(self, other: float) -> Range:
        return Range(self.low + other, self.high + other)


@dataclass(frozen=True)
class Costs:
    """What bench/server_cost.py measured on one server."""

    call: dict[str, Range]
    memory: dict[str, Any]

    @classmethod
    def read(cls, path: Path, server: str) -> Self:
        figures = json.loads(path.read_text())[server]
        call = {
            cost["case"]: Range(cost["own_us"] / 1e6, cost["alone_us"] / 1e6)
            for cost in figures["cost"]
        }
        return cls(call, figures["memory"])

    def waiter(self, queue: float) -> float:
        """By the nearest length that was measured."""
        lengths = {int(length): size for length, size in self.memory["waiter"].items()}
        return float(lengths[min(lengths, key=lambda length: abs(length - queue))])


@dataclass(frozen=True)
class Load:
    clients: int
    active: int
    """Use locks from one event loop or thread; the others have only connected."""
    ttl_s: float

    @property
    def window_s(self) -> float:
        return min(max(self.ttl_s, 3.0), 30.0)

    def connections(self) -> int:
        return self.clients + self.active

    def subscriptions(self) -> int:
        return self.clients

    def renewals_per_s(self, leases: int) -> float:
        return leases * SHARE / self.ttl_s

    def heartbeats_per_s(self, waiting: int) -> float:
        """`waiting`: clients and locks, however many tasks of a client wait for one."""
        return waiting * SHARE / self.window_s / JITTER

    def connected_bytes(self, costs: Costs) -> float:
        each = float(costs.memory["connection"])
        listening = float(costs.memory["subscription"])
        return self.connections() * each + self.subscriptions() * listening

    def buffers_bytes(self, costs: Costs, per_s: float) -> float:
        """What connections in use have on top; `per_s` uses of `active` connections."""
        each = float(costs.memory["used_connection"]) - float(costs.memory["connection"])
        return min(float(self.active), per_s * BUFFER_S) * each

    def renewing(self, costs: Costs, leases: int) -> Range:
        """Of the server's core."""
        cron = self.connections() * costs.memory["cron_us"] / 1e6
        return costs.call[EXTEND].times(self.renewals_per_s(leases)).plus(cron)

    def waiting(self, costs: Costs, waiting: int) -> Range:
        cron = self.connections() * costs.memory["cron_us"] / 1e6
        return costs.call[POLL_LINE].times(self.heartbeats_per_s(waiting)).plus(cron)

    def handing_on(self, costs: Costs) -> Range:
        """Of the server's core, per hand-off."""
        return costs.call[HANDED]
