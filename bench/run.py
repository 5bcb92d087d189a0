#!/usr/bin/env python3
"""Measure fencelock beside its peers and the floor. What is measured and how: bench/README.md."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys

from harness.child import Failed
from harness.contenders import CONTENDERS, FLOOR, OUT, TRIP, Contender, build, not_installed
from harness.measure import (
    Entrant,
    Pause,
    enter,
    flight_turn,
    handoff_turn,
    in_rounds,
    keep_turn,
    pair_turn,
    trip_turn,
)
from harness.pipelined import pipelined
from harness.report import environment, markdown, results
from harness.server import Server

MEASURES = ("m1", "m2", "m3", "m4")
KEEP_TTL_S = 10.0


def names(text: str) -> list[str]:
    return text.split(",")


def limits(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    return low, high


def arguments() -> argparse.Namespace:
    known = ", ".join(c.name for c in CONTENDERS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=names, help=f"some of: {known} (the yardsticks always run)")
    parser.add_argument("--measure", type=names, default=[*MEASURES], help=",".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=500, help="M1: per turn")
    parser.add_argument("--handoffs", type=int, default=20, help="M2: per turn")
    parser.add_argument("--in-flight", type=int, default=1000, help="M3: locks at once")
    parser.add_argument("--sections", type=int, default=3, help="M3: of each lock, per turn")
    parser.add_argument("--leases", type=int, default=10_000, help="M4: kept at once")
    parser.add_argument("--keep-s", type=float, default=15, help="M4: for so many seconds")
    pause = "M2: from waiting to the release, between so many ms"
    parser.add_argument("--pause", type=limits, default=(5.0, 30.0), metavar="LOW,HIGH", help=pause)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--server", default="redis-server", help="the server's program")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.pairs, chosen.handoffs = 5, 200, 5
        chosen.leases, chosen.keep_s = 1000, 5
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


def measure(entrants: list[Entrant], chosen: argparse.Namespace, server: Server) -> None:
    dice = random.Random(chosen.seed)
    if "m1" in chosen.measure:
        print("measuring M1, uncontended pairs", file=sys.stderr)
        able = [e for e in entrants if e.can("pair")]
        in_rounds(able, chosen.rounds, pair_turn(chosen.pairs), dice)
    if "m2" in chosen.measure:
        print("measuring M2, hand-offs", file=sys.stderr)
        pause = Pause(dice, *chosen.pause)
        handoff = handoff_turn(chosen.handoffs, server, pause)
        trip = trip_turn(chosen.handoffs, pause)
        able = [e for e in entrants if e.can("handoff") or e.name == TRIP]
        in_rounds(able, chosen.rounds, lambda e: (trip if e.name == TRIP else handoff)(e), dice)
    if "m3" in chosen.measure:
        print("measuring M3, many locks in flight", file=sys.stderr)
        able = [e for e in entrants if e.can("flight")]
        in_rounds(able, chosen.rounds, flight_turn(chosen.in_flight, chosen.sections), dice)
    if "m4" in chosen.measure:
        print("measuring M4, many leases", file=sys.stderr)
        able = [e for e in entrants if e.can("keep") and not e.contender.local]
        in_rounds(able, 1, keep_turn(chosen.leases, KEEP_TTL_S, chosen.keep_s, server), dice)


def main() -> int:
    chosen = arguments()
    contenders = [c for c in CONTENDERS if not chosen.only or c.name in {FLOOR, TRIP, *chosen.only}]
    absent = not_installed(contenders)
    failed = absent | build([c for c in contenders if c.name not in absent])
    # The runner itself keeps off the measured core where it can.
    elsewhere = os.sched_getaffinity(0) - {chosen.core}
    os.sched_setaffinity(0, elsewhere or {chosen.core})
    server = Server(chosen.server, chosen.core)
    entrants: list[Entrant] = []
    try:
        run = {"environment": environment(server.version, chosen.core)}
        entrants = start_all(contenders, server, chosen.core, failed)
        measure(entrants, chosen, server)
        if "m3" in chosen.measure:
            run["benchmark"] = pipelined(
                server.port, chosen.core, 50_000 if chosen.quick else 300_000
            )
    finally:
        for entrant in entrants:
            entrant.stop()
        server.stop()
    run["environment"]["load_after"] = [round(n, 2) for n in os.getloadavg()]
    run["settings"] = {
        "rounds": chosen.rounds,
        "pairs_per_turn": chosen.pairs,
        "handoffs_per_turn": chosen.handoffs,
        "pause_ms": chosen.pause,
        "in_flight": chosen.in_flight,
        "sections_in_flight_per_turn": chosen.sections,
        "seed": chosen.seed,
    }
    run |= results(entrants, failed)
    (OUT / "results.json").write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n")
    (OUT / "results.md").write_text(table := markdown(run))
    print(table)
    return 1 if run["failed"].keys() - absent.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
