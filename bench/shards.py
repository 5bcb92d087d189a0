#!/usr/bin/env python3
"""What so many clients need of a cluster, by the formulas of docs/scale.md: nothing is run.

    bench/shards.py --server 'Redis 7.0.15' --clients 1000000

The costs are those that bench/server_cost.py wrote.
"""

from __future__ import annotations

import argparse
import math

from harness.contenders import OUT
from harness.figures import head, row
from harness.scale import JITTER, SHARE, Costs
from harness.script_cases import EXTEND, FREE, FREED, HANDED, JOIN, POLL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--server", default="Redis 7.0.15", help="as server_cost.py names it")
    add("--clients", type=int, default=1_000_000)
    add("--loops", type=float, default=1, help="of each client, or threads (e)")
    add("--leases", type=float, default=1, help="that each client holds (h)")
    add("--waits", type=float, default=0.1, help="locks that each client waits for (w)")
    add("--free", type=float, default=0.1, help="free locks that each takes, per s (p)")
    add("--contended", type=float, default=0.1, help="contended ones, per s (g)")
    add("--names", type=int, default=2_000_000, help="locked within a week (D)")
    add("--ttl", type=float, default=10, help="s (T)")
    add("--touched", type=float, default=1, help="shards that each client uses (s)")
    add("--connections", type=int, default=20_000, help="that a shard has at most")
    add("--busy", type=float, default=0.5, help="of its core that a shard uses at most")
    of = parser.parse_args()
    costs = Costs.read(OUT / "server_cost.json", of.server)
    memory, clients = costs.memory, of.clients
    window = min(max(of.ttl, 3), 30)
    connections = clients * (1 + of.loops) * of.touched
    renewals = SHARE * clients * of.leases / of.ttl
    heartbeats = SHARE * clients * of.waits / (window * JITTER)
    listening = clients * of.touched
    lines = head("in all", "number", "cores", "GB")

    def cores(per_s: float, *cases: str) -> float:
        return per_s * sum(costs.call[case].low for case in cases)

    # What for, how many, cores, and bytes.
    needs = [
        ("connections", connections, connections * memory["cron_us"] / 1e6,
         connections * memory["used_connection"]),
        ("subscriptions, mode P", listening, 0, listening * memory["subscription"]),
        ("leases, renewals per s", renewals, cores(renewals, EXTEND),
         clients * of.leases * memory["held"]),
        ("waiters, heartbeats per s", heartbeats, cores(heartbeats, POLL),
         clients * of.waits * costs.waiter(1)),
        ("free locks per s", clients * of.free, cores(clients * of.free, FREE, FREED), 0),
        ("hand-offs per s", clients * of.contended, cores(clients * of.contended, JOIN, HANDED), 0),
        ("names of the week", of.names, 0, of.names * memory["record"]),
    ]  # fmt: skip
    for about, number, used, size in needs:
        lines.append(row(about, f"{number:,.0f}", f"{used:.2f}", f"{size / 1e9:.2f}"))
    busy, size = sum(need[2] for need in needs), sum(need[3] for need in needs)
    lines.append(row("all", "", f"{busy:.1f}", f"{size / 1e9:.1f}"))
    print("\n".join(lines))
    by_core, by_connections = busy / of.busy, connections / of.connections
    print(f"\nshards by processor {math.ceil(by_core)}, by connections {math.ceil(by_connections)}")


if __name__ == "__main__":
    main()
