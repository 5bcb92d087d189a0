"""The measures. Every sample is kept per round, so that ratios compare the same moments."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.child import Child, Failed
from harness.contenders import OUT, Contender
from harness.server import Counts, Server

TRIPS_PER_TURN = 500
FILES = OUT / "files"


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
class Kept:
    """What many leases cost that one client keeps."""

    leases: int
    lost: int
    client_cpu: float
    server_cpu: float
    extensions_per_s: float
    script_calls_per_s: float


@dataclass
class Entrant:
    """A contender in a run: its two processes and what was measured."""

    contender: Contender
    one: Child
    other: Child
    pairs: list[list[int]] = field(default_factory=list)
    handoffs: list[list[int]] = field(default_factory=list)
    flights: list[list[int]] = field(default_factory=list)
    trips: list[list[int]] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    kept: Kept | None = None
    failure: str | None = None

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def lock(self) -> str:
        return f"bench:{self.name}"

    def can(self, measure: str) -> bool:
        return self.failure is None and measure in self.one.features["ops"].split(",")

    def stop(self) -> None:
        self.one.stop()
        self.other.stop()


def enter(contender: Contender, url: str, core: int) -> Entrant:
    # A file of their own for all that lock in one, on the disk that the project is on.
    FILES.mkdir(exist_ok=True)
    command = [*contender.command, f"file:{FILES}/locks.db" if contender.local else url]
    one = Child(command, core)
    try:
        return Entrant(contender, one, Child(command, core))
    except Failed:
        one.stop()
        raise


def in_rounds(
    entrants: Iterable[Entrant], rounds: int, turn: Callable[[Entrant], None], dice: random.Random
) -> None:
    """Each takes a short turn per round, in a new order, so that noise hits all alike."""
    order = list(entrants)
    for _ in range(rounds):
        dice.shuffle(order)
        for entrant in order:
            if entrant.failure is None:
                try:
                    turn(entrant)
                except Failed as failure:
                    entrant.failure = str(failure)


def pair_turn(pairs: int) -> Callable[[Entrant], None]:
    """M1: acquire and release, uncontended, by one process."""

    def turn(entrant: Entrant) -> None:
        # The warm-up: caches were filled by somebody else since this one's last turn.
        entrant.one.ask(f"pair {entrant.lock} {max(10, pairs // 5)}")
        entrant.pairs.append([int(n) for n in entrant.one.ask(f"pair {entrant.lock} {pairs}")])

    return turn


def flight_turn(tasks: int, sections: int) -> Callable[[Entrant], None]:
    """M3: so many locks of one process in flight at once, each taken and given back in turn."""

    def turn(entrant: Entrant) -> None:
        entrant.one.ask(f"flight {entrant.lock} {tasks} 1")
        took = int(entrant.one.ask(f"flight {entrant.lock} {tasks} {sections}")[0])
        entrant.flights.append([round(took / (tasks * sections))])

    return turn


def keep_turn(
    leases: int, ttl_s: float, time_s: float, server: Server
) -> Callable[[Entrant], None]:
    """M4: one client keeps so many leases; once, for the time itself averages."""

    def turn(entrant: Entrant) -> None:
        lock = f"{entrant.lock}:kept"
        entrant.one.send(f"keep {lock} {leases} {round(ttl_s * 1000)} {round(time_s * 1000)}")
        # The middle of the time alone, by the server's own counts.
        server.await_keys(f"{lock}:{leases - 1}")
        before, busy, begun = server.counts(), server.processor_s(), time.monotonic()
        time.sleep(time_s * 0.8)
        counts, took = server.counts().since(before), time.monotonic() - begun
        server_cpu = (server.processor_s() - busy) / took
        wall, own, lost = map(int, entrant.one.answer())
        entrant.kept = Kept(
            leases, lost, own / wall, server_cpu,
            extensions_per_s=counts.calls.get("pexpire", 0) / took,
            script_calls_per_s=counts.scripts() / took,
        )  # fmt: skip

    return turn


def handoff_turn(handoffs: int, server: Server, pause: Pause) -> Callable[[Entrant], None]:
    """M2: the lock goes to and fro between two processes, and each waits for the other's."""

    def turn(entrant: Entrant) -> None:
        holder, waiter = entrant.one, entrant.other
        holder.ask(f"hold {entrant.lock}")
        hand_over(entrant.lock, holder, waiter, pause)  # the warm-up
        before = server.counts()
        samples = []
        for _ in range(handoffs):
            holder, waiter = waiter, holder
            samples.append(hand_over(entrant.lock, holder, waiter, pause))
        entrant.counts.append(server.counts().since(before))
        entrant.handoffs.append(samples)
        waiter.ask(f"free {entrant.lock}")

    return turn


def hand_over(lock: str, holder: Child, waiter: Child, pause: Pause) -> int:
    """From just before the release in one process to the return of acquire in the other."""
    waiter.send(f"wait {lock}")
    waiter.answer("waiting")
    pause.take(waiter)
    released = int(holder.ask(f"free {lock}")[0])
    acquired = int(waiter.answer()[0])
    if acquired < released:
        raise Failed("acquire returned before the holder began to release")
    return acquired - released


def trip_turn(trips: int, pause: Pause) -> Callable[[Entrant], None]:
    """What M2 is compared with: round trips at full speed, and one by one after M2's pause."""

    def turn(entrant: Entrant) -> None:
        entrant.one.ask(f"pair {entrant.lock} {TRIPS_PER_TURN // 5}")
        samples = entrant.one.ask(f"pair {entrant.lock} {TRIPS_PER_TURN}")
        entrant.trips.append([int(n) for n in samples])
        after_pause = []
        for _ in range(trips):
            pause.take(entrant.one)
            after_pause.append(int(entrant.one.ask(f"pair {entrant.lock} 1")[0]))
        entrant.handoffs.append(after_pause)

    return turn
