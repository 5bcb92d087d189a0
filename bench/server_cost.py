#!/usr/bin/env python3
"""What our scripts, keys and connections cost a server, without any client of ours.

    bench/server_cost.py            # Debian's redis-server and those of scripts/servers.sh
    bench/server_cost.py --server redis-server --calls 100 --rounds 3

Prints a table, and writes it with all figures to bench/out/server_cost.md and server_cost.json,
from which bench/clients.py makes its predictions. docs/scale.md says what follows from them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from harness.contenders import OUT, ROOT
from harness.figures import head, row
from harness.footprint import Footprint, footprint
from harness.report import environment
from harness.script_cases import CASES, FREE, FREED
from harness.script_cost import Cost, script_costs
from harness.server import Server


def servers(chosen: list[str] | None) -> list[str]:
    if chosen:
        return chosen
    script = ROOT / "scripts/servers.sh"
    printed = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout
    return ["redis-server", *(line.split(" ", 1)[1] for line in printed.splitlines())]


def table(found: dict[str, dict[str, Any]]) -> str:
    names = list(found)
    lines = [
        "µs of the server's processor per call: many in a pipeline / each on a connection of its"
        " own, all at once / the same, one after the other",
        "",
    ]
    lines += head("call", *names)
    costs: dict[str, list[Cost]] = {name: figures["cost"] for name, figures in found.items()}
    for number, case in enumerate(CASES):
        of_each = [costs[name][number] for name in names]
        calls = (f"{c.pipelined_us:.1f} / {c.own_us:.1f} / {c.alone_us:.1f}" for c in of_each)
        lines.append(row(case.name, *calls))
    for about, field in (
        ("pairs per s of one core, in a pipeline", "pipelined_us"),
        ("pairs per s of one core, each on a connection of its own", "own_us"),
    ):
        pairs = []
        for name in names:
            by_case = {cost.case: getattr(cost, field) for cost in costs[name]}
            pairs.append(f"{1e6 / (by_case[FREE] + by_case[FREED]):,.0f}")
        lines.append(row(about, *pairs))
    lines += ["", "Bytes of the server's memory", "", *head("of", *names)]
    prints: dict[str, Footprint] = {name: figures["memory"] for name, figures in found.items()}
    about_of = {
        "held": "a lock that is held",
        "record": "a lock that was held: the last fence, 7 days",
        "connection": "a connection, idle for 10 s",
        "used_connection": "a connection, used just now",
        "subscription": "a subscription on top",
        "cron_us": "µs per s for an idle connection",
    }
    for field, about in about_of.items():
        cells = [getattr(prints[name], field) for name in names]
        shown = [f"{cell:.1f}" if field == "cron_us" else f"{cell:,.0f}" for cell in cells]
        lines.append(row(about, *shown))
    for length in next(iter(prints.values())).waiter:
        cells = [f"{prints[name].waiter[length]:,.0f}" for name in names]
        lines.append(row(f"a waiter, in a queue of {length:,}", *cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--server", action="append", help="a server's program; may be repeated")
    add("--calls", type=int, default=200, help="of one script in a batch")
    add("--rounds", type=int, default=15, help="the least of them counts")
    add("--keys", type=int, default=10_000, help="locks, or waiters, whose memory is taken")
    add("--connections", type=int, default=2_000, help="whose memory and time is taken")
    add("--core", type=int, default=max(os.sched_getaffinity(0)), help="the server's")
    chosen = parser.parse_args()
    core: int = chosen.core
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {core} or {core})
    found: dict[str, dict[str, Any]] = {}
    about = environment("", core)
    for program in servers(chosen.server):
        server = Server(program, core, ["--maxclients", str(chosen.connections + 500)])
        try:
            name = f"{server.kind} {server.version}"
            print(f"measuring {name}", file=sys.stderr)
            found[name] = {
                "cost": script_costs(server, chosen.calls, chosen.rounds),
                "memory": footprint(server, chosen.keys, chosen.connections),
            }
        finally:
            server.stop()
    load = f"load {about['load_before'][0]} before, {os.getloadavg()[0]:.2f} after"
    text = f"{about['at']}, {about['cpu']}, commit {about['commit']}; {load}\n\n{table(found)}\n"
    print(text)
    OUT.mkdir(exist_ok=True)
    (OUT / "server_cost.md").write_text(text)
    figures = {
        name: {"cost": [asdict(cost) for cost in of["cost"]], "memory": asdict(of["memory"])}
        for name, of in found.items()
    }
    (OUT / "server_cost.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
