#!/usr/bin/env python3
"""Measure fencelock beside its peers and the floors. What is measured and how: bench/README.md."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import time
from typing import Any

from harness.child import Failed
from harness.contenders import CONTENDERS, YARDSTICKS, Contender, build, not_installed
from harness.entrant import Entrant, enter
from harness.measure import Measure, RoundLimits
from harness.measures.crowd import OneCrowd
from harness.measures.cycles import Cycles
from harness.measures.flight import InFlight
from harness.measures.handoff import HandOff, Pause
from harness.measures.keep import Keep, Load
from harness.measures.pair import Pair
from harness.measures.queue import OneLock
from harness.pipelined import pipelined
from harness.report import environment, write
from harness.server import Server

KINDS: list[type[Measure[Any]]] = [Pair, HandOff, OneLock, InFlight, OneCrowd, Keep, Cycles]
MEASURES = [kind.key for kind in KINDS]


def names(text: str) -> list[str]:
    return text.split(",")


def limits(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    return low, high


def loads(text: str) -> list[Load]:
    parts = [part.split(":") for part in text.split(",")]
    return [Load(int(leases), float(ttl_s)) for leases, ttl_s in parts]


def arguments() -> argparse.Namespace:
    known = ", ".join(c.name for c in CONTENDERS)
    always = ", ".join(YARDSTICKS)
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--only", type=names, help=f"some of: {known} ({always} always run)")
    add("--measure", type=names, default=MEASURES, help=",".join(MEASURES))
    add("--minutes", type=float, default=10, help="for all measures together, about")
    add("--rounds", type=int, default=60, help="at most, if the time is enough; at least five")
    add("--pairs", type=int, default=500, help="M1: per turn")
    add("--handoffs", type=int, default=10, help="M2: per turn")
    pause = "M2: from waiting to the release, between so many ms"
    add("--pause", type=limits, default=(5.0, 30.0), metavar="LOW,HIGH", help=pause)
    add("--section-s", type=float, default=0.6, help="M3: seconds per turn")
    add("--in-flight", type=int, default=1000, help="M4: locks at once")
    add("--sections", type=int, default=20, help="M4: of each lock, per turn")
    add("--waiters", type=int, default=200, help="M5: at once")
    default = [Load(10_000, 3), Load(100_000, 12)]
    kept = "M6: kept at once, and their TTL (default: 10000:3,100000:12)"
    add("--leases", type=loads, default=default, metavar="N:TTL_S,…", help=kept)
    add("--keep-s", type=float, default=4, help="M6: for so many seconds at least")
    add("--cycles", type=int, help="M7: so many, instead of what the time allows (30 s at most)")
    add("--quick", action="store_true", help="seconds instead of minutes")
    add("--together", action="store_true", help="all processes on the server's core")
    add("--publish", action="store_true", help="write table and pictures to docs/bench, too")
    add("--core", type=int, default=max(os.sched_getaffinity(0)), help="the server's")
    add("--seed", type=int, default=random.randrange(1 << 32))
    add("--server", default="redis-server", help="the server's program")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.minutes, chosen.pairs, chosen.handoffs, chosen.section_s = 0.5, 200, 5, 0.5
        chosen.leases, chosen.keep_s, chosen.waiters = [Load(1000, 3)], 3, 50
    least = 2 if chosen.quick else 5
    chosen.rounds = RoundLimits(min(least, chosen.rounds), chosen.rounds)
    if unknown := set(chosen.measure) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    if unknown := set(chosen.only or ()) - {c.name for c in CONTENDERS}:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}; there are {known}")
    if shutil.which(chosen.server) is None:
        parser.error(f"{chosen.server} is not installed")
    return chosen


def start_all(
    contenders: list[Contender], server: Server, core: int, failed: dict[str, str]
) -> list[Entrant]:
    entrants = []
    for contender in contenders:
        if contender.name not in failed:
            try:
                entrants.append(enter(contender, server.url, core))
            except Failed as failure:
                failed[contender.name] = str(failure)
    return entrants


def described(
    chosen: argparse.Namespace, server: Server, dice: random.Random
) -> list[Measure[Any]]:
    every: list[Measure[Any]] = [
        Pair(chosen.pairs),
        HandOff(chosen.handoffs, Pause(dice, *chosen.pause), server),
        OneLock(chosen.section_s, server),
        InFlight(chosen.in_flight, chosen.sections),
        OneCrowd(chosen.waiters, server),
        Keep(chosen.leases, chosen.keep_s, server),
        Cycles(chosen.cycles),
    ]
    return [measure for measure in every if measure.key in chosen.measure]


def measure_all(
    measures: list[Measure[Any]],
    entrants: list[Entrant],
    chosen: argparse.Namespace,
    dice: random.Random,
    apart: int,
) -> None:
    """Each measure has its share of the time that the earlier ones left."""
    end = time.monotonic() + chosen.minutes * 60
    # Leases have to be kept for longer than a TTL, whatever that leaves for the others.
    order = sorted(measures, key=lambda measure: not isinstance(measure, Keep))
    for number, measure in enumerate(order):
        share = measure.minutes / sum(later.minutes for later in order[number:])
        seconds = max(0.0, end - time.monotonic()) * share
        about = f"measuring {measure.key.upper()}, {measure.name}: about {seconds:.0f} s"
        print(about, file=sys.stderr)
        together = chosen.together or measure.beside_server
        measure.core = chosen.core if together else apart
        for entrant in entrants:
            entrant.place(measure.core)
        begun = time.monotonic()
        measure.run(entrants, chosen.rounds, seconds, dice)
        rounds = max(map(len, measure.turns.values()), default=0)
        print(f"took {time.monotonic() - begun:.0f} s, rounds: {rounds}", file=sys.stderr)


def main() -> int:
    chosen = arguments()
    wanted = {*YARDSTICKS, *(chosen.only or ())}
    contenders = [c for c in CONTENDERS if not chosen.only or c.name in wanted]
    absent = not_installed(contenders)
    failed = absent | build([c for c in contenders if c.name not in absent])
    allowed = sorted(os.sched_getaffinity(0))
    apart = min(set(allowed) - {chosen.core} or {chosen.core})
    # The runner itself keeps off the measured cores where it can.
    rest = set(allowed) - {chosen.core, apart} or {apart}
    os.sched_setaffinity(0, rest)
    dice = random.Random(chosen.seed)
    server = Server(chosen.server, chosen.core)
    entrants: list[Entrant] = []
    try:
        run = {"environment": environment(server.version, chosen.core)}
        entrants = start_all(contenders, server, apart, failed)
        measures = described(chosen, server, dice)
        measure_all(measures, entrants, chosen, dice, apart)
        for measure in measures:
            if isinstance(measure, InFlight):
                calls = 50_000 if chosen.quick else 200_000
                measure.benchmark = pipelined(server.port, measure.core, calls)
    finally:
        for entrant in entrants:
            entrant.shrink(0)
        server.stop()
    run["environment"]["load_after"] = [round(n, 2) for n in os.getloadavg()]
    for measure in measures:
        for name, reason in measure.failed.items():
            failed[f"{name}, {measure.key.upper()}"] = reason
    failed |= {entrant.name: entrant.out for entrant in entrants if entrant.out}
    run["settings"] = {name: str(value) for name, value in vars(chosen).items()}
    run["failed"] = failed
    print(write(measures, entrants, run, chosen.publish))
    rows = [row for figures in run["measures"].values() for row in figures.values()]
    failures = failed.keys() - absent.keys()
    return 1 if failures or any(row.get("violations") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
