#!/usr/bin/env python3
"""Check the formulas of docs/scale.md: real clients, each with its own connections, on one server.

    bench/server_cost.py --server redis-server && bench/clients.py     # 250, 1,000 and 10,000
    bench/clients.py --clients 20,200 --seconds 7 --settle 5           # does it work?

Predicted from bench/out/server_cost.json, measured, and measured over predicted; also written to
bench/out/clients.md. Ten thousand clients need 20,000 descriptors (ulimit -n) and 3 GB of memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.child import Child
from harness.contenders import BENCH, OUT, VENV_PYTHON
from harness.figures import head, row
from harness.report import environment
from harness.scale import Costs, Load, Range
from harness.script_cases import HOLDER, Scripts, acquire, release
from harness.server import Server
from harness.wire import Wire

ADAPTER = [VENV_PYTHON, str(BENCH / "adapters/fencelock_clients.py")]
LIMIT_S = 600.0
# Redis keeps so many descriptors for itself.
SPARE = 32
# And we have some connections.
CONTROL = 20
# Of a hundred clients so many have connected only.
IDLE = 1
IN_QUEUE = 1000

Predicted = Range | float | None
Line = tuple[str, Predicted, float]


def load_of(clients: int, ttl_s: float) -> Load:
    return Load(clients, clients - clients * IDLE // 100, ttl_s)


def kernel_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Slab:")) * 1024


class Trial:
    """So many clients on one server, from their connecting to the end of the last queue."""

    def __init__(self, server: Server, costs: Costs, children: Sequence[Child], load: Load) -> None:
        self._server, self._costs, self._children, self._load = server, costs, children, load
        self._wire = Wire(server.port)
        self._scripts = Scripts(self._wire)
        self.lines: list[Line] = []
        # What the server does and needs without the clients.
        self._empty, self._quiet = 0.0, 0.0
        # Per s, of the server and the clients while all wait.
        self._beating = (0.0, 0.0)
        self.hop_s = 0.0

    def say(self, about: str, predicted: Predicted, measured: float) -> None:
        self.lines.append((about, predicted, measured))

    def all(self, request: str) -> list[int]:
        for child in self._children:
            child.send(request)
        return [int(word) for child in self._children for word in child.answer()]

    def watch(self, seconds: float) -> tuple[float, float, float, float]:
        """Script calls per s, the server's and the clients' processor time per s, its memory."""
        before, busy = self._server.counts(), self._server.processor_s()
        own, start = self._own_s(), time.monotonic()
        memory = []
        while (left := start + seconds - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            memory.append(self._server.memory_bytes() - self._empty)
        took = time.monotonic() - start
        calls = self._server.counts().since(before).scripts() / took
        busy, own = self._server.processor_s() - busy, self._own_s() - own
        return calls, busy / took - self._quiet, own / took, sum(memory) / len(memory)

    def _own_s(self) -> float:
        return sum(child.processor_s() for child in self._children)

    def connect(self, settle_s: float) -> None:
        server, load = self._server, self._load
        _, self._quiet, _, self._empty = self.watch(settle_s)
        slab = kernel_bytes()
        connected, descriptors = server.connections(), server.descriptors()
        own = sum(child.descriptors() for child in self._children)
        resident = sum(child.resident_bytes() for child in self._children)
        start = time.monotonic()
        idle = load.clients - load.active
        first = 0
        for number, child in enumerate(self._children):
            last = load.active * (number + 1) // len(self._children)
            child.send(f"connect {first} {last - first} {idle if number == 0 else 0}")
            first = last
        for child in self._children:
            child.answer()
        self.say("clients connected per s", None, load.clients / (time.monotonic() - start))
        time.sleep(settle_s)
        expected = load.connections()
        self.say("connections", expected, server.connections() - connected)
        self.say("the server's descriptors", expected, server.descriptors() - descriptors)
        own = sum(child.descriptors() for child in self._children) - own
        self.say("the clients' descriptors", expected, own)
        self.say("subscriptions", load.subscriptions(), server.subscriptions())
        used = (server.memory_bytes() - self._empty) / load.clients
        self.say(
            "connected, bytes per client on the server",
            load.connected_bytes(self._costs) / load.clients,
            used,
        )
        resident = sum(child.resident_bytes() for child in self._children) - resident
        self.say("connected, bytes per client in its process", None, resident / load.clients)
        slab = kernel_bytes() - slab
        self.say("the kernel's bytes per connection, both ends", None, slab / load.connections())

    def renew(self, settle_s: float, seconds: float) -> None:
        load, costs = self._load, self._costs
        self.all(f"hold {load.ttl_s * 1000:.0f}")
        time.sleep(settle_s)
        calls, busy, own, memory = self.watch(seconds)
        rate = load.renewals_per_s(load.active)
        self.say("renewing, script calls per s", rate, calls)
        self.say(
            "renewing, µs of the server per s and lease",
            load.renewing(costs, load.active).times(1e6 / load.active),
            busy * 1e6 / load.active,
        )
        self.say("renewing, µs of the clients per s and lease", None, own * 1e6 / load.active)
        leases = load.active * costs.memory["held"]
        total = load.connected_bytes(costs) + load.buffers_bytes(costs, rate) + leases
        self.say(
            "renewing, bytes per client on the server", total / load.clients, memory / load.clients
        )
        self.say("leases held at the end", load.active, sum(self.all("free")))

    def wait(self, settle_s: float, seconds: float) -> list[str]:
        """The locks, each of which a call of ours holds."""
        load, costs = self._load, self._costs
        locks = [f"bench:queue:{n}" for n in range(-(-load.active // IN_QUEUE))]
        held = [acquire(name, HOLDER, 0, ttl_ms=3_600_000) for name in locks]
        self._wire.ask_all(self._scripts.words(call) for call in held)
        self.all(f"queue {len(locks)} {load.ttl_s * 1000:.0f}")
        give_up = time.monotonic() + LIMIT_S
        while sum(self.queued(locks)) < load.active:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{sum(self.queued(locks))} of {load.active} clients queued")
            time.sleep(0.2)
        time.sleep(settle_s)
        calls, busy, own, memory = self.watch(seconds)
        self._beating = (busy, own)
        rate = load.heartbeats_per_s(load.active)
        self.say("waiting, script calls per s", rate, calls)
        self.say(
            "waiting, µs of the server per s and waiter",
            load.waiting(costs, load.active).times(1e6 / load.active),
            busy * 1e6 / load.active,
        )
        self.say("waiting, µs of the clients per s and waiter", None, own * 1e6 / load.active)
        # Those of the leases before: what is kept of them for a week.
        records = load.active * costs.memory["record"]
        waiters = load.active * costs.waiter(load.active / len(locks))
        total = load.connected_bytes(costs) + load.buffers_bytes(costs, rate) + waiters + records
        self.say(
            "waiting, bytes per client on the server", total / load.clients, memory / load.clients
        )
        self.say("still in the queues", load.active, sum(self.queued(locks)))
        return locks

    def queued(self, locks: Sequence[str]) -> list[int]:
        return self._wire.ask_all(["ZCARD", f"{{{name}}}:fl:q"] for name in locks)

    def hand_through(self, locks: Sequence[str], small_hop_s: float | None) -> None:
        """One queue after the other, while the others wait."""
        load = self._load
        took_s, before = 0.0, self._server.counts()
        busy, own = self._server.processor_s(), self._own_s()
        for name in locks:
            for child in self._children:
                child.send(f"passed {name}")
            start = time.monotonic_ns()
            self._wire.ask(*self._scripts.words(release(name, HOLDER)))
            last = max(int(word) for child in self._children for word in child.answer())
            took_s += (last - start) / 1e9
        counts = self._server.counts().since(before)
        # Fewer and fewer wait: half of them on average.
        quiet = (self._quiet + self._beating[0] / 2) * took_s
        busy = (self._server.processor_s() - busy - quiet) * 1e6 / load.active
        own = (self._own_s() - own - self._beating[1] * took_s / 2) * 1e6 / load.active
        self.hop_s = took_s / load.active
        heartbeats = load.heartbeats_per_s(load.active) * took_s / 2
        small = small_hop_s and small_hop_s * 1000
        self.say("a queue, handed through, ms per waiter", small, self.hop_s * 1000)
        hop = load.handing_on(self._costs).times(1e6)
        self.say("handing on, µs of the server per hand-off", hop, busy)
        self.say("handing on, µs of the clients per hand-off", None, own)
        self.say("messages per hand-off", 1, counts.calls.get("publish", 0) / load.active)
        # Each gives back what it got; and those behind go on saying that they live.
        self.say(
            "script calls per hand-off",
            1 + (1 + heartbeats) / load.active,
            counts.scripts() / load.active,
        )

    def close(self) -> None:
        self._wire.close()


def table(trials: dict[int, list[Line]]) -> str:
    def number(value: float) -> str:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

    cells = [cell for n in trials for cell in (f"{n:,} clients, predicted", "measured", "ratio")]
    lines = head("", *cells)
    for position, (about, _, _) in enumerate(next(iter(trials.values()))):
        shown = []
        for found in trials.values():
            _, predicted, measured = found[position]
            match predicted:
                case None:
                    shown += ["-", number(measured), "-"]
                case Range(low, high):
                    shown += [f"{number(low)} to {number(high)}", number(measured)]
                    shown.append(f"{measured / low:.2f}, {measured / high:.2f}")
                case _:
                    shown += [number(predicted), number(measured), f"{measured / predicted:.2f}"]
        lines.append(row(about, *shown))
    return "\n".join(lines)


def trial(chosen: argparse.Namespace, count: int, small_hop_s: float | None) -> Trial:
    load = load_of(count, chosen.ttl)
    options = ["--maxclients", str(load.connections() + CONTROL)]
    others = sorted(os.sched_getaffinity(0)) or [chosen.core]
    with ExitStack() as stack:
        server = Server(chosen.server, chosen.core, options)
        stack.callback(server.stop)
        costs = Costs.read(OUT / "server_cost.json", f"{server.kind} {server.version}")
        children = []
        for number in range(-(-count // chosen.in_process)):
            command = [*ADAPTER, server.url]
            children.append(Child(command, others[number % len(others)], LIMIT_S))
            stack.callback(children[-1].stop)
        found = Trial(server, costs, children, load)
        stack.callback(found.close)
        for step in ("connect", "renew", "wait", "hand through"):
            print(f"{count:,} clients: {step}", file=sys.stderr)
            match step:
                case "connect":
                    found.connect(chosen.settle)
                case "renew":
                    found.renew(chosen.settle, chosen.seconds)
                case "wait":
                    locks = found.wait(chosen.settle, chosen.seconds)
                case _:
                    found.hand_through(locks, small_hop_s)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    counts = [250, 1_000, 10_000]
    add("--clients", type=lambda text: [int(part) for part in text.split(",")], default=counts)
    add("--ttl", type=float, default=10.0, help="of leases and waiters, in s")
    add("--seconds", type=float, default=30.0, help="to watch renewal, and waiting")
    add("--settle", type=float, default=10.0, help="seconds before that")
    # A loop looks at the connections of all its clients whenever it is woken.
    add("--in-process", type=int, default=250, help="clients of one process, and of one loop")
    add("--server", default="redis-server", help="the server's program")
    add("--core", type=int, default=max(os.sched_getaffinity(0)), help="the server's")
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for count in chosen.clients:
        if (needed := load_of(count, chosen.ttl).connections() + CONTROL + SPARE) > most:
            parser.error(f"{count} clients need {needed} descriptors, there are {most} (ulimit -n)")
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {chosen.core} or {chosen.core})
    about = environment("", chosen.core)
    trials: dict[int, list[Line]] = {}
    hop_s: float | None = None
    for count in chosen.clients:
        found = trial(chosen, count, hop_s)
        trials[count] = found.lines
        hop_s = hop_s or found.hop_s
    load = f"load {about['load_before'][0]} before, {os.getloadavg()[0]:.2f} after"
    text = f"{about['at']}, {about['cpu']}, commit {about['commit']}; {load}\n\n{table(trials)}\n"
    print(text)
    (OUT / "clients.md").write_text(text)


if __name__ == "__main__":
    main()
