#!/usr/bin/env python3
"""What a message to a waiter costs a cluster: PUBLISH, which goes to all nodes, and SPUBLISH.

    bench/cluster_messages.py --nodes 3,6 --server redis-server

Processor time of the node where it is published, and of each other node; and whether our scripts'
mode S hands a lock on there. No client of ours serves a cluster yet: docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from contextlib import ExitStack

from harness.figures import head, row
from harness.script_cases import Scripts, acquire, client, release, token
from harness.server import Server
from harness.wire import Wire, packed

SLOTS = 16384
MESSAGE = f"G {token(0)} 1764158886000000 10000 bench:invoice:00000000"
JOIN_LIMIT_S = 30.0


def start(program: str, core: int) -> Server:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        bus = str(probe.getsockname()[1])
    # Nobody is to be elected while a loaded machine lets them wait.
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000"]
    return Server(program, core, [*options, "--cluster-port", bus])


def join(nodes: list[Server], wires: list[Wire]) -> None:
    first = wires[0]
    for number, (node, wire) in enumerate(zip(nodes, wires, strict=True)):
        low, high = (SLOTS * part // len(nodes) for part in (number, number + 1))
        wire.ask("CLUSTER", "ADDSLOTSRANGE", str(low), str(high - 1))
        bus = wire.ask("CONFIG", "GET", "cluster-port")[1]
        first.ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), bus)
    give_up = time.monotonic() + JOIN_LIMIT_S
    while not all(
        "cluster_state:ok" in (info := wire.ask("CLUSTER", "INFO"))
        and f"cluster_known_nodes:{len(nodes)}\r" in info
        for wire in wires
    ):
        if time.monotonic() > give_up:
            raise RuntimeError(f"no cluster after {JOIN_LIMIT_S:.0f} s: {info}")
        time.sleep(0.1)


def owner(wires: list[Wire], key: str) -> int:
    slot = wires[0].ask("CLUSTER", "KEYSLOT", key)
    return next(n for n in range(len(wires)) if slot < SLOTS * (n + 1) // len(wires))


def cost(nodes: list[Server], wires: list[Wire], words: list[str], at: int, count: int) -> str:
    """µs per message where it is published, and at each other node."""

    def busy(send: bytes, replies: int) -> list[float]:
        start = [node.processor_s() for node in nodes]
        began = time.monotonic()
        wires[at].socket.sendall(send)
        for _ in range(replies):
            wires[at].reply()
        # What goes on between the nodes anyway is the same in the same time.
        time.sleep(max(0.0, began + 1.0 - time.monotonic()))
        return [node.processor_s() - was for node, was in zip(nodes, start, strict=True)]

    quiet = busy(b"", 0)
    used = busy(packed(words) * count, count)
    each = [(spent - rest) * 1e6 / count for spent, rest in zip(used, quiet, strict=True)]
    others = [us for number, us in enumerate(each) if number != at]
    return f"{each[at]:.1f} / {sum(others) / len(others):.1f}"


def hands_on(wires: list[Wire], port: int, at: int, name: str) -> bool:
    """Whether a waiter in mode S is granted the lock, by a message."""
    scripts, listener = Scripts(wires[at]), Wire(port)
    try:
        listener.ask("SSUBSCRIBE", f"fl:c:{client(1)}:{{{name}}}")
        wires[at].ask(*scripts.words(acquire(name, 0, 0)))
        wires[at].ask(*scripts.words(acquire(name, 1, 1, wait=True, mode="S")))
        handed = wires[at].ask(*scripts.words(release(name, 0))) == 2
        return handed and token(1) in listener.reply()[2]
    finally:
        listener.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--nodes", type=lambda text: [int(part) for part in text.split(",")], default=[3, 6])
    add("--messages", type=int, default=5000)
    add("--server", default="redis-server", help="a Redis 7.0, a Valkey 8 or later")
    add("--core", type=int, default=max(os.sched_getaffinity(0)), help="the nodes'")
    chosen = parser.parse_args()
    name = "bench:invoice:00000000"
    lines = head("nodes", "PUBLISH, µs there / at each other node", "SPUBLISH", "mode S hands on")
    for count in chosen.nodes:
        with ExitStack() as stack:
            nodes, wires = [], []
            for _ in range(count):
                nodes.append(start(chosen.server, chosen.core))
                stack.callback(nodes[-1].stop)
                wires.append(Wire(nodes[-1].port))
                stack.callback(wires[-1].close)
            join(nodes, wires)
            at = owner(wires, name)
            version = f"{nodes[0].kind} {nodes[0].version}"
            words = [f"fl:c:{client(0)}", MESSAGE]
            published = cost(nodes, wires, ["PUBLISH", *words], at, chosen.messages)
            words[0] += f":{{{name}}}"
            sharded = cost(nodes, wires, ["SPUBLISH", *words], at, chosen.messages)
            handed = "yes" if hands_on(wires, nodes[at].port, at, name) else "no"
            lines.append(row(f"{count}, {version}", published, sharded, handed))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
