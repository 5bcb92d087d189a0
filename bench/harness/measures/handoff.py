"""M2: the lock goes to and fro between two processes, and each waits for the other's release."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import Any

from harness.child import Child, Failed
from harness.contenders import PUSH, TRIP
from harness.entrant import Entrant
from harness.figures import Panel, head, ratio_cell, row, summary, time_cells
from harness.measure import Measure
from harness.server import Counts, Server

# Who sleeps so long between two attempts spends a turn on sleeping, and so has a shorter one.
SLOW_MS = 100
SLOW_SHARE = 0.4


@dataclass(frozen=True)
class Pause:
    """How long a waiter is left alone before the release, so that it surely waits."""

    dice: random.Random
    low_ms: float
    high_ms: float

    def take(self, waiter: Child) -> None:
        # Who polls is released at any moment of its period alike; without this, the fixed part
        # of the pause would decide how long a poller still sleeps.
        period_ms = int(waiter.features["poll_ms"])
        pause_ms = self.dice.uniform(self.low_ms, self.high_ms) + self.dice.uniform(0, period_ms)
        time.sleep(pause_ms / 1000)


@dataclass(frozen=True)
class HandOffs:
    nanos: list[int]
    counts: Counts


class HandOff(Measure[HandOffs]):
    key = "m2"
    name = "a hand-off from one process to another"
    operation = "handoff"
    minutes = 1.5

    def __init__(self, handoffs: int, pause: Pause, server: Server) -> None:
        super().__init__()
        self._handoffs = handoffs
        self._pause = pause
        self._server = server

    def takes(self, entrant: Entrant) -> bool:
        return super().takes(entrant) or (entrant.name == TRIP and entrant.can("pair"))

    def turn(self, entrant: Entrant) -> HandOffs:
        if entrant.name == TRIP:
            return self._trips(entrant)
        holder, waiter = entrant.one, entrant.other
        holder.ask(f"hold {entrant.lock}")
        self._hand_over(entrant.lock, holder, waiter)  # the warm-up
        before = self._server.counts()
        nanos = []
        slow = int(waiter.features["poll_ms"]) >= SLOW_MS
        for _ in range(math.ceil(self._handoffs * (SLOW_SHARE if slow else 1))):
            holder, waiter = waiter, holder
            nanos.append(self._hand_over(entrant.lock, holder, waiter))
        counts = self._server.counts().since(before)
        waiter.ask(f"free {entrant.lock}")
        return HandOffs(nanos, counts)

    def _hand_over(self, lock: str, holder: Child, waiter: Child) -> int:
        """From just before the release in one process to the return of acquire in the other."""
        waiter.send(f"wait {lock}")
        waiter.answer("waiting")
        self._pause.take(waiter)
        released = int(holder.ask(f"free {lock}")[0])
        acquired = int(waiter.answer()[0])
        if acquired < released:
            raise Failed("acquire returned before the holder began to release")
        return acquired - released

    def _trips(self, entrant: Entrant) -> HandOffs:
        """Bare round trips, each after such a pause."""
        before, nanos = self._server.counts(), []
        for _ in range(self._handoffs):
            self._pause.take(entrant.one)
            nanos.append(int(entrant.one.ask(f"pair {entrant.lock} 1")[0]))
        return HandOffs(nanos, self._server.counts().since(before))

    def figures(self) -> dict[str, dict[str, Any]]:
        push = self.turns.get(PUSH)
        floor = [turn.nanos for turn in push] if push else None
        return {
            name: summary([turn.nanos for turn in turns], floor) | {"per_section": each(turns)}
            for name, turns in self.turns.items()
        }

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        times = {name: found["p50_ns"] / 1e3 for name, found in figures.items()}
        tails = {name: found["p99_ns"] / 1e3 for name, found in figures.items()}
        return [Panel("µs, median and (line) p99", times, tails)]

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        low, high = self._pause.low_ms, self._pause.high_ms
        lines = [f"Released {low:g} to {high:g} ms after the waiter began to wait.", ""]
        lines += head(
            "contender", "p50 µs", "p99 µs", "mean µs", f"ratio to {PUSH}",
            "requests per section", "of these script calls",
        )  # fmt: skip
        for name, found in figures.items():
            section = found["per_section"]
            counts = (str(section["requests"]), str(section["script_calls"]))
            lines.append(row(name, *time_cells(found), ratio_cell(found), *counts))
        return lines


def each(turns: list[HandOffs]) -> dict[str, Any]:
    """What one contended section (an acquire that waits, and a release) asks of the server."""
    sections = sum(len(turn.nanos) for turn in turns)
    calls: dict[str, float] = {}
    for turn in turns:
        for name, n in turn.counts.calls.items():
            calls[name] = calls.get(name, 0) + n / sections
    return {
        "requests": round(sum(turn.counts.requests for turn in turns) / sections, 2),
        "script_calls": round(sum(turn.counts.scripts() for turn in turns) / sections, 2),
        "commands_also_within_scripts": {name: round(n, 2) for name, n in sorted(calls.items())},
    }
