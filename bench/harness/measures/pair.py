"""M1: acquire and release, uncontended, by one process."""

from __future__ import annotations

from typing import Any

from harness.contenders import FLOOR
from harness.entrant import Entrant
from harness.figures import Panel, head, ratio_cell, row, summary, time_cells
from harness.measure import Measure


class Pair(Measure[list[int]]):
    key = "m1"
    name = "an uncontended pair (acquire and release)"
    operation = "pair"
    minutes = 1.0
    # Wake-ups from core to core, which vary, would be most of what is measured.
    beside_server = True

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self._pairs = pairs

    def turn(self, entrant: Entrant) -> list[int]:
        # The warm-up: caches were filled by somebody else since this one's last turn.
        entrant.one.ask(f"pair {entrant.lock} {max(10, self._pairs // 5)}")
        return [int(n) for n in entrant.one.ask(f"pair {entrant.lock} {self._pairs}")]

    def figures(self) -> dict[str, dict[str, Any]]:
        floor = self.turns.get(FLOOR)
        return {name: summary(turns, floor) for name, turns in self.turns.items()}

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        times = {name: found["p50_ns"] / 1e3 for name, found in figures.items()}
        tails = {name: found["p99_ns"] / 1e3 for name, found in figures.items()}
        return [Panel("µs, median and (line) p99", times, tails)]

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        lines = head("contender", "p50 µs", "p99 µs", "mean µs", f"ratio to {FLOOR}")
        for name, found in figures.items():
            lines.append(row(name, *time_cells(found), ratio_cell(found)))
        return lines
