"""M7: memory and descriptors of one process after very many cycles of acquire and release."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.child import Child
from harness.entrant import Entrant
from harness.figures import Panel, head, row
from harness.measure import Measure, RoundLimits

# For a turn: the figures come from the number of cycles, not from the time.
LEAST_S, LONGEST_S = 1.0, 30.0
BATCH_S = 0.25


@dataclass(frozen=True)
class Reading:
    cycles: int
    resident_bytes: int
    descriptors: int


@dataclass(frozen=True)
class Growth:
    """At a tenth of the cycles, when all is warm, and at the end."""

    early: Reading
    late: Reading

    @property
    def bytes_per_cycle(self) -> float:
        grown = self.late.resident_bytes - self.early.resident_bytes
        return grown / (self.late.cycles - self.early.cycles)


class Cycles(Measure[Growth]):
    key = "m7"
    name = "memory and descriptors after many cycles"
    operation = "cycle"
    minutes = 1
    # More cycles in the time.
    beside_server = True

    def __init__(self, cycles: int | None) -> None:
        super().__init__()
        self._cycles = cycles
        self._seconds = LONGEST_S

    def run(
        self, entrants: Sequence[Entrant], rounds: RoundLimits, seconds: float, dice: random.Random
    ) -> None:
        able = sum(self.takes(entrant) for entrant in entrants)
        self._seconds = min(LONGEST_S, max(LEAST_S, seconds / max(1, able)))
        super().run(entrants, RoundLimits(1, 1), seconds, dice)

    def turn(self, entrant: Entrant) -> Growth:
        child = entrant.start()
        try:
            entrant.warm_up([child])
            return self._watch(child, entrant.lock)
        finally:
            child.stop()

    def _watch(self, child: Child, lock: str) -> Growth:
        begun, done, batch = time.monotonic(), 0, 20
        early = None
        while True:
            if self._cycles:
                batch = min(batch, max(1, self._cycles // 10), self._cycles - done)
            nanos = int(child.ask(f"cycle {lock} {batch}")[0])
            done += batch
            batch = max(1, round(batch * BATCH_S * 1e9 / nanos))
            share = (time.monotonic() - begun) / self._seconds
            if self._cycles:
                share = done / self._cycles
            if share >= 0.1:
                reading = Reading(done, child.resident_bytes(), child.descriptors())
                if early is None:
                    early = reading
                elif share >= 1:
                    return Growth(early, reading)

    def figures(self) -> dict[str, dict[str, Any]]:
        return {
            name: asdict(turns[0]) | {"bytes_per_cycle": turns[0].bytes_per_cycle}
            for name, turns in self.turns.items()
        }

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        grown = {
            name: (found["late"]["resident_bytes"] - found["early"]["resident_bytes"]) / 1024
            for name, found in figures.items()
        }
        ends = {name: found["late"]["resident_bytes"] / 1024 for name, found in figures.items()}
        return [Panel("memory at the end, KiB", ends), Panel("grown by, KiB", grown, log=False)]

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        lines = head(
            "contender", "cycles", "KiB at a tenth", "KiB at the end", "bytes per cycle",
            "descriptors at a tenth", "at the end",
        )  # fmt: skip
        for name, found in figures.items():
            early, late = found["early"], found["late"]
            cells = [
                name,
                f"{late['cycles']:,}",
                f"{early['resident_bytes'] // 1024:,}",
                f"{late['resident_bytes'] // 1024:,}",
                f"{found['bytes_per_cycle']:.3f}",
                str(early["descriptors"]),
                str(late["descriptors"]),
            ]
            lines.append(row(*cells))
        return lines
