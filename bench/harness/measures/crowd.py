"""M5: many waiters of one process for a lock that another process gives back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from harness.child import Failed
from harness.contenders import PUSH
from harness.entrant import Entrant
from harness.figures import Panel, head, ratio_cell, row, summary
from harness.measure import Measure
from harness.sections import overlaps, parse
from harness.server import Counts, Server

# For all to have asked for the lock: they have only begun to when they say so.
PAUSE_S = 0.3


@dataclass(frozen=True)
class Crowd:
    nanos: int
    counts: Counts
    violations: int


class OneCrowd(Measure[Crowd]):
    key = "m5"
    name = "many waiters on one lock"
    operation = "crowd"
    minutes = 2.5
    # The slowest take ten seconds a turn.
    least_rounds = 3

    def __init__(self, waiters: int, server: Server) -> None:
        super().__init__()
        self._waiters = waiters
        self._server = server

    def turn(self, entrant: Entrant) -> Crowd:
        lock = entrant.lock
        entrant.other.ask(f"hold {lock}")
        before = self._server.counts()
        entrant.one.send(f"crowd {lock} {self._waiters}")
        entrant.one.answer("waiting")
        time.sleep(PAUSE_S)
        released = int(entrant.other.ask(f"free {lock}")[0])
        sections = parse(entrant.one.answer())
        counts = self._server.counts().since(before)
        if len(sections) != self._waiters:
            raise Failed(f"{len(sections)} waiters of {self._waiters} had the lock")
        if min(section.acquired for section in sections) < released:
            raise Failed("acquire returned before the holder began to release")
        last = max(section.acquired for section in sections)
        return Crowd(last - released, counts, overlaps(sections))

    def figures(self) -> dict[str, dict[str, Any]]:
        push = self.turns.get(PUSH)
        floor = [[turn.nanos] for turn in push] if push else None
        found = {}
        for name, turns in self.turns.items():
            requests = sum(turn.counts.requests for turn in turns) / len(turns)
            scripts = sum(turn.counts.scripts() for turn in turns) / len(turns)
            found[name] = summary([[turn.nanos] for turn in turns], floor) | {
                "requests_per_section": round(requests / self._waiters, 2),
                "script_calls_per_section": round(scripts / self._waiters, 2),
                "violations": sum(turn.violations for turn in turns),
            }
        return found

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        times = {name: found["p50_ns"] / 1e6 for name, found in figures.items()}
        tails = {name: found["p99_ns"] / 1e6 for name, found in figures.items()}
        return [
            Panel(
                f"ms, median and (line) p99, until {self._waiters} waiters have had the lock",
                times,
                tails,
            )
        ]

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        lines = [f"{self._waiters} waiters; from the release to the last one's acquire.", ""]
        lines += head(
            "contender", "p50 ms", "p99 ms", "a waiter, µs", f"ratio to {PUSH}",
            "requests per section", "script calls per section", "violations",
        )  # fmt: skip
        for name, found in figures.items():
            cells = [
                name,
                f"{found['p50_ns'] / 1e6:.1f}",
                f"{found['p99_ns'] / 1e6:.1f}",
                f"{found['p50_ns'] / 1e3 / self._waiters:.0f}",
                ratio_cell(found),
                str(found["requests_per_section"]),
                str(found["script_calls_per_section"]),
                str(found["violations"]),
            ]
            lines.append(row(*cells))
        return lines
