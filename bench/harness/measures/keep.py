"""M6: one client keeps many leases; once for each number of them, for the time itself averages."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.entrant import Entrant
from harness.figures import Panel, head, row
from harness.measure import Measure, RoundLimits
from harness.server import Server

LIMIT_S = 300.0
# At the end of the time, so that the server's counts are taken before the leases are released.
MARGIN_S = 0.5
# The server gives back what a connection had for buffers when it is idle for 2 s.
SETTLE_S = 3.0


@dataclass(frozen=True)
class Load:
    """So many leases of this TTL, each to be renewed at every third of it."""

    leases: int
    ttl_s: float

    def time_s(self, least_s: float) -> float:
        """Whole thirds of a TTL; with the margin longer than one: what is not renewed is lost."""
        third = self.ttl_s / 3
        return max(3, math.ceil(least_s / third)) * third


@dataclass(frozen=True)
class Kept:
    leases: int
    ttl_s: float
    lost: int
    connections: int
    acquired_in_s: float
    client_us: float
    """Processor time per lease and second."""
    server_us: float
    client_bytes: float
    """Memory per lease."""
    server_bytes: float
    script_calls_per_s: float
    extensions_per_s: float


class Keep(Measure[list[Kept]]):
    key = "m6"
    name = "leases being renewed by one client"
    operation = "keep"
    minutes = 5

    def __init__(self, loads: Sequence[Load], least_s: float, server: Server) -> None:
        super().__init__()
        self._loads = loads
        self._least_s = least_s
        self._server = server

    def run(
        self, entrants: Sequence[Entrant], rounds: RoundLimits, seconds: float, dice: random.Random
    ) -> None:
        time.sleep(SETTLE_S)
        super().run(entrants, RoundLimits(1, 1), seconds, dice)

    def takes(self, entrant: Entrant) -> bool:
        return super().takes(entrant) and not entrant.contender.local

    def turn(self, entrant: Entrant) -> list[Kept]:
        kept: list[Kept] = []
        most = int(entrant.one.features.get("leases", sys.maxsize))
        for load in self._loads:
            kept.append(self._keep(entrant, replace(load, leases=min(load.leases, most))))
            # Who loses some would lose more of more.
            if kept[-1].lost or load.leases >= most:
                break
        return kept

    def _keep(self, entrant: Entrant, load: Load) -> Kept:
        server, time_s = self._server, load.time_s(self._least_s)
        # What earlier measures left behind would go away meanwhile.
        server.empty()
        connected = server.connections()
        # A process of its own, whose memory has nothing else in it.
        child = entrant.start(LIMIT_S)
        try:
            lock = f"{entrant.lock}:kept"
            entrant.warm_up([child])
            child.ask(f"pair {lock} 100")
            resident, used, begun = child.resident_bytes(), server.memory_bytes(), time.monotonic()
            ms = round((time_s + MARGIN_S) * 1000)
            child.send(f"keep {lock} {load.leases} {round(load.ttl_s * 1000)} {ms}")
            child.answer("keeping")
            before, busy, start = server.counts(), server.processor_s(), time.monotonic()
            time.sleep(time_s)
            counts, took = server.counts().since(before), time.monotonic() - start
            busy = server.processor_s() - busy
            resident, used = child.resident_bytes() - resident, server.memory_bytes() - used
            connections = server.connections() - connected
            wall, own, lost = map(int, child.answer())
        finally:
            child.stop()
        return Kept(
            load.leases,
            load.ttl_s,
            lost,
            connections,
            acquired_in_s=round(start - begun, 2),
            client_us=own / wall * 1e6 / load.leases,
            server_us=busy / took * 1e6 / load.leases,
            client_bytes=resident / load.leases,
            server_bytes=used / load.leases,
            script_calls_per_s=counts.scripts() / took,
            extensions_per_s=counts.calls.get("pexpire", 0) / took,
        )

    def figures(self) -> dict[str, dict[str, Any]]:
        return {
            name: {str(kept.leases): asdict(kept) for kept in turns[0]}
            for name, turns in self.turns.items()
        }

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        found = []
        for load in self._loads:
            able = {
                n: loads[str(load.leases)]
                for n, loads in figures.items()
                if str(load.leases) in loads
            }
            about = f"{load.leases:,} leases, TTL {load.ttl_s:g} s"
            spent = {name: kept["client_us"] for name, kept in able.items()}
            memory = {name: kept["client_bytes"] for name, kept in able.items()}
            found.append(Panel(f"client µs per lease and s\n{about}", spent))
            found.append(Panel(f"client bytes per lease\n{about}", memory))
        return found

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        lines = head(
            "contender", "leases", "TTL s", "client µs per lease and s",
            "server µs per lease and s", "client bytes per lease", "server bytes per lease",
            "connections", "script calls per s", "lost",
        )  # fmt: skip
        sizes = {int(size) for loads in figures.values() for size in loads if size.isdecimal()}
        for size in sorted(sizes):
            for name, loads in figures.items():
                kept = loads.get(str(size))
                if kept:
                    cells = [
                        name,
                        f"{size:,}",
                        f"{kept['ttl_s']:g}",
                        f"{kept['client_us']:.2f}",
                        f"{kept['server_us']:.2f}",
                        f"{kept['client_bytes']:.0f}",
                        f"{kept['server_bytes']:.0f}",
                        str(kept["connections"]),
                        f"{kept['script_calls_per_s']:.0f}",
                        str(kept["lost"]),
                    ]
                    lines.append(row(*cells))
        return lines
