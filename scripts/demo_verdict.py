"""What `make demo` saw, and whether it is what a lock owes its users."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

MS = 1_000_000
# A process that waits looks after its lock at least so often (docs/protocol.md: a third of the
# window, which is 3 s at least), so a dead holder costs its lease and this at most.
HEARTBEAT_S = 1.0
SLACK_S = 0.5


@dataclass
class Holding:
    """One process's time with the lock; times are nanoseconds of CLOCK_MONOTONIC."""

    asked: int
    got: int
    fence: int
    done: int | None = None
    number: int | None = None


@dataclass
class Process:
    label: str
    language: str
    pid: int
    killed_at: int | None = None
    status: int | None = None
    holdings: list[Holding] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """A holding in the order of all processes' holdings."""

    process: Process
    holding: Holding

    @property
    def end(self) -> int:
        """When it was given back, or its process died."""
        return self.holding.done or self.process.killed_at or 0


@dataclass
class Run:
    processes: list[Process]
    rounds: int
    ttl_s: float
    counter: int

    def __post_init__(self) -> None:
        steps = [Step(process, h) for process in self.processes for h in process.holdings]
        self.steps = sorted(steps, key=lambda step: step.holding.got)

    @property
    def increments(self) -> int:
        return sum(step.holding.number is not None for step in self.steps)

    def pairs(self) -> Iterator[tuple[Step, Step]]:
        return zip(self.steps, self.steps[1:], strict=False)

    def handoffs_ms(self) -> list[float]:
        """From just before a release to the acquire's return in another process that waited."""
        return [
            (after.holding.got - before.end) / MS
            for before, after in self.pairs()
            if before.process is not after.process
            and before.process.killed_at != before.end
            and after.holding.asked < before.end
        ]

    def recovery_s(self) -> float | None:
        """From the kill to the next holder."""
        for before, after in self.pairs():
            if before.holding.done is None:
                return (after.holding.got - before.end) / 1e9
        return None

    def checks(self) -> Iterator[tuple[bool, str]]:
        """Each promise, and whether it was kept."""
        living = [p for p in self.processes if p.killed_at is None]
        whole = all(p.status == 0 and len(p.holdings) == self.rounds for p in living)
        yield whole, f"the {len(living)} living processes made all their {self.rounds} increments"

        killed = [p for p in self.processes if p.killed_at is not None]
        held = [p for p in killed if p.holdings and p.holdings[-1].done is None]
        yield len(killed) == len(held) == 1, "one process was killed while it held the lock"

        apart = all(before.end <= after.holding.got for before, after in self.pairs())
        yield apart, f"never two holders at a time, in {len(self.steps)} holdings"

        growing = all(a.holding.fence < b.holding.fence for a, b in self.pairs())
        yield growing, "every holding got a larger fence than the one before"

        numbers = [step.holding.number for step in self.steps if step.holding.number is not None]
        in_order = numbers == list(range(1, self.increments + 1))
        yield (
            in_order and self.counter == self.increments,
            f"no update was lost: {self.increments} increments, the counter says {self.counter}",
        )

        recovery, limit = self.recovery_s(), self.ttl_s + HEARTBEAT_S + SLACK_S
        yield (
            recovery is not None and recovery <= limit,
            f"the killed holder's lock came free in time (at most {limit:g} s)",
        )


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
