"""M4: so many locks of one process in flight at once, each taken and given back in turn."""

from __future__ import annotations

import statistics
from typing import Any

from harness.contenders import PIPELINED_OURS
from harness.entrant import Entrant
from harness.figures import Panel, head, ratio, ratio_cell, row
from harness.measure import Measure


class InFlight(Measure[float]):
    """A turn is pairs per second."""

    key = "m4"
    name = "many locks in flight from one process"
    operation = "flight"
    minutes = 1.0

    def __init__(self, locks: int, pairs: int) -> None:
        super().__init__()
        self._locks = locks
        self._pairs = pairs
        self.benchmark: dict[str, float] = {}
        """What redis-benchmark makes of our acquire script, in calls per second."""

    def turn(self, entrant: Entrant) -> float:
        entrant.one.ask(f"flight {entrant.lock} {self._locks} 1")
        took = int(entrant.one.ask(f"flight {entrant.lock} {self._locks} {self._pairs}")[0])
        return self._locks * self._pairs * 1e9 / took

    def figures(self) -> dict[str, dict[str, Any]]:
        floor = self.turns.get(PIPELINED_OURS)
        return {
            name: {
                "pairs_per_s": round(statistics.median(turns)),
                "pairs_per_s_range": [round(min(turns)), round(max(turns))],
            }
            | ratio(turns, floor)
            for name, turns in self.turns.items()
        }

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        rates = {name: found["pairs_per_s"] for name, found in figures.items()}
        return [Panel("pairs per second (more is better)", rates, most_first=True)]

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        lines = [f"{self._locks} locks at once.", ""]
        lines += head("contender", "pairs per s", f"of {PIPELINED_OURS}'s")
        for name, found in figures.items():
            lines.append(row(name, str(found["pairs_per_s"]), ratio_cell(found)))
        for about, per_s in self.benchmark.items():
            lines.append(row(f"redis-benchmark, {about}", f"{per_s:.0f} script calls per s", "-"))
        return lines
