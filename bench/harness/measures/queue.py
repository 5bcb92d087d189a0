"""M3: eight processes that want one lock all the time, each for a section of 1 ms."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.contenders import PUSH
from harness.entrant import Entrant
from harness.figures import Panel, head, percentile, ratio, ratio_cell, row
from harness.measure import Measure, RoundLimits
from harness.sections import Section, jain, overlaps, parse
from harness.server import Counts, Server

PROCESSES = 8
HOLD_US = 1000
# Until all are under way; what happens before does not count.
WARM_UP_S = 0.2


@dataclass(frozen=True)
class Queue:
    """What eight processes did in a window of time."""

    per_s: float
    fairness: float
    waits: list[int]
    hold_ns: int
    violations: int
    requests: float
    script_calls: float


class OneLock(Measure[Queue]):
    key = "m3"
    name = f"{PROCESSES} processes, one lock, sections of {HOLD_US / 1000:g} ms"
    operation = "loop"
    minutes = 3

    def __init__(self, seconds: float, server: Server) -> None:
        super().__init__()
        self._seconds = seconds
        self._server = server

    def run(
        self, entrants: Sequence[Entrant], rounds: RoundLimits, seconds: float, dice: random.Random
    ) -> None:
        try:
            super().run(entrants, rounds, seconds, dice)
        finally:
            for entrant in entrants:
                entrant.shrink(2)

    def turn(self, entrant: Entrant) -> Queue:
        entrant.grow(PROCESSES)
        before = self._server.counts()
        begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + round(WARM_UP_S * 1e9)
        end = begin + round(self._seconds * 1e9)
        for child in entrant.children:
            child.send(f"loop {entrant.lock} {end} {HOLD_US}")
        done = [parse(child.answer()) for child in entrant.children]
        return queue(done, begin, end, self._server.counts().since(before))

    def figures(self) -> dict[str, dict[str, Any]]:
        push = self.turns.get(PUSH)
        floor = [turn.per_s for turn in push] if push else None
        return {name: summary(turns, floor) for name, turns in self.turns.items()}

    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        rates = {name: found["sections_per_s"] for name, found in figures.items()}
        waits = {name: found["wait_longest_ns"] / 1e6 for name, found in figures.items()}
        return [
            Panel("sections per second (more is better)", rates, most_first=True),
            Panel("longest wait, ms", waits),
        ]

    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        lines = head(
            "contender", "sections per s", f"of {PUSH}'s", "Jain's fairness", "wait p99 ms",
            "longest wait ms", "that to the mean", "requests per section", "of these script calls",
            "violations",
        )  # fmt: skip
        for name, found in figures.items():
            cells = [
                name,
                f"{found['sections_per_s']:.0f}",
                ratio_cell(found),
                f"{found['jain']:.3f}",
                f"{found['wait_p99_ns'] / 1e6:.1f}",
                f"{found['wait_longest_ns'] / 1e6:.1f}",
                f"{found['wait_longest_ns'] / found['wait_mean_ns']:.1f}",
                f"{found['requests_per_section']:.1f}",
                f"{found['script_calls_per_section']:.1f}",
                str(found["violations"]),
            ]
            lines.append(row(*cells))
        return lines


def queue(done: list[list[Section]], begin: int, end: int, counts: Counts) -> Queue:
    inside = [[s for s in own if begin <= s.released < end] for own in done]
    # Who got nothing until the end has waited so long at least.
    waits = [min(s.acquired, end) - s.requested for own in done for s in own if s.acquired >= begin]
    sections = [section for own in done for section in own]
    held = [section.released - section.acquired for section in sections]
    return Queue(
        per_s=sum(map(len, inside)) * 1e9 / (end - begin),
        fairness=jain([len(own) for own in inside]),
        waits=waits,
        hold_ns=percentile(held, 50),
        violations=overlaps(sections),
        requests=counts.requests / len(sections),
        script_calls=counts.scripts() / len(sections),
    )


def summary(turns: list[Queue], floor: list[float] | None) -> dict[str, Any]:
    waits = [wait for turn in turns for wait in turn.waits]
    return {
        "sections_per_s": statistics.median(turn.per_s for turn in turns),
        "jain": round(statistics.median(turn.fairness for turn in turns), 4),
        "wait_mean_ns": round(statistics.fmean(waits)),
        "wait_p50_ns": percentile(waits, 50),
        "wait_p99_ns": percentile(waits, 99),
        "wait_longest_ns": max(waits),
        "hold_p50_ns": round(statistics.median(turn.hold_ns for turn in turns)),
        "violations": sum(turn.violations for turn in turns),
        "requests_per_section": statistics.fmean(turn.requests for turn in turns),
        "script_calls_per_section": statistics.fmean(turn.script_calls for turn in turns),
    } | ratio([turn.per_s for turn in turns], floor)
