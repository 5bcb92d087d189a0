"""From samples to figures, and from figures to a table."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.contenders import ASYNCIO_PEER, FLOOR, ROOT, TRIP
from harness.measure import Entrant

Rounds = list[list[int]]


def percentile(samples: Sequence[int], percent: float) -> int:
    """The nearest rank: always a value that was really measured."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def summary(rounds: Rounds, yardstick: Rounds | None) -> dict[str, Any]:
    samples = [sample for round_ in rounds for sample in round_]
    figures: dict[str, Any] = {
        "samples": len(samples),
        "p50_ns": percentile(samples, 50),
        "p99_ns": percentile(samples, 99),
        "mean_ns": round(statistics.fmean(samples)),
        "ratio": None,
    }
    if yardstick:
        # Round by round, so that a slow stretch of the machine divides out; then the middle one.
        pairs = zip(rounds, yardstick, strict=True)
        ratios = sorted(percentile(ours, 50) / percentile(other, 50) for ours, other in pairs)
        figures["ratio"] = round(statistics.median(ratios), 3)
        figures["ratio_range"] = [round(ratios[0], 3), round(ratios[-1], 3)]
    return figures


def per_section(entrant: Entrant) -> dict[str, Any]:
    """What one contended section (an acquire that waits, and a release) asks of the server."""
    sections = sum(map(len, entrant.handoffs))
    calls: dict[str, float] = {}
    for counts in entrant.counts:
        for name, n in counts.calls.items():
            calls[name] = calls.get(name, 0) + n / sections
    return {
        "requests": round(sum(c.requests for c in entrant.counts) / sections, 2),
        "script_calls": round(sum(c.scripts() for c in entrant.counts) / sections, 2),
        "commands_also_within_scripts": {name: round(n, 2) for name, n in sorted(calls.items())},
    }


def results(entrants: Iterable[Entrant], failed: dict[str, str]) -> dict[str, Any]:
    entrants = list(entrants)
    whole = {e.name: e for e in entrants if e.failure is None}
    floor = whole[FLOOR].pairs if FLOOR in whole else None
    trips = whole[TRIP].trips if TRIP in whole else None
    slow = whole[ASYNCIO_PEER].flights if ASYNCIO_PEER in whole else None
    m1, m2, m3 = {}, {}, {}
    for name, entrant in whole.items():
        about = {"about": entrant.contender.about}
        if entrant.pairs:
            m1[name] = about | summary(entrant.pairs, floor)
        if entrant.flights:
            m3[name] = about | summary(entrant.flights, slow)
        if entrant.handoffs:
            row = f"{TRIP}-after-pause" if name == TRIP else name
            m2[row] = about | summary(entrant.handoffs, trips)
        if entrant.counts:
            m2[name]["per_section"] = per_section(entrant)
    if trips:
        m2[f"{TRIP}-at-full-speed"] = {"about": "one GET at full speed: the yardstick"} | summary(
            trips, trips
        )
    failures = failed | {e.name: e.failure for e in entrants if e.failure is not None}
    m4 = {name: asdict(entrant.kept) for name, entrant in whole.items() if entrant.kept}
    measures = {"m1_uncontended_pair": m1, "m2_handoff": m2, "m3_in_flight": m3, "m4_kept": m4}
    return measures | {"failed": failures}


def environment(server_version: str, core: int) -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "core_of_server_and_clients": core,
        "kernel": platform.release(),
        "redis": server_version,
        "load_before": [round(n, 2) for n in os.getloadavg()],
    }


def markdown(run: dict[str, Any]) -> str:
    env, settings = run["environment"], run["settings"]
    about = f"""\
{env["at"]}, commit {env["commit"]}, {env["cpu"]}, Redis {env["redis"]};
server and clients share core {env["core_of_server_and_clients"]} of {env["cores"]};
load {env["load_before"][0]} before and {env["load_after"][0]} after.
{settings["rounds"]} rounds in which all take turns.
The ratio is the median of each round's p50 over the yardstick's p50 of the same round
(in brackets the extremes)."""
    lines = ["# fencelock's figures", "", about.replace("\n", " ")]
    if m1 := run["m1_uncontended_pair"]:
        lines += ["", "## M1: an uncontended pair (acquire and release)", ""]
        lines += _row("contender", "p50 µs", "p99 µs", "mean µs", "ratio to floor", "what it is")
        lines += _row("---", "---:", "---:", "---:", "---:", "---")
        for name, figures in m1.items():
            lines += _row(name, *_times(figures), _ratio(figures), figures["about"])
    if m2 := run["m2_handoff"]:
        low, high = settings["pause_ms"]
        lines += ["", "## M2: a hand-off from one process to another", ""]
        lines += [f"Released {low:g} to {high:g} ms after the waiter began to wait.", ""]
        lines += _row(
            "contender", "p50 µs", "p99 µs", "mean µs", "ratio to a bare round trip",
            "requests per section", "of these script calls",
        )  # fmt: skip
        lines += _row("---", "---:", "---:", "---:", "---:", "---:", "---:")
        for name, figures in m2.items():
            section = figures.get("per_section", {"requests": "-", "script_calls": "-"})
            counts = (str(section["requests"]), str(section["script_calls"]))
            lines += _row(name, *_times(figures), _ratio(figures), *counts)
    if m3 := run["m3_in_flight"]:
        lines += ["", f"## M3: {settings['in_flight']} locks in flight from one process", ""]
        lines += _row("contender", "sections per s", f"ratio of times to {ASYNCIO_PEER}")
        lines += _row("---", "---:", "---:")
        for name, figures in m3.items():
            lines += _row(name, f"{1e9 / figures['p50_ns']:.0f}", _ratio(figures))
        if run.get("benchmark"):
            for about, per_s in run["benchmark"].items():
                lines += _row(f"redis-benchmark, {about}", f"{per_s:.0f} script calls per s", "-")
    if m4 := run["m4_kept"]:
        kept = next(iter(m4.values()))["leases"]
        lines += ["", f"## M4: {kept} leases of 10 s, renewed by one client", ""]
        lines += _row(
            "contender", "CPU of the client", "CPU of the server", "script calls per s", "lost"
        )
        lines += _row("---", "---:", "---:", "---:", "---:")
        for name, kept in m4.items():
            shares = (f"{kept['client_cpu']:.1%}", f"{kept['server_cpu']:.1%}")
            lines += _row(name, *shares, f"{kept['script_calls_per_s']:.0f}", str(kept["lost"]))
    if failed := run["failed"]:
        lines += ["", "## Not measured", ""]
        lines += [f"- {name}: {reason}" for name, reason in failed.items()]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _times(figures: dict[str, Any]) -> tuple[str, str, str]:
    p50, p99, mean = (figures[f"{name}_ns"] / 1000 for name in ("p50", "p99", "mean"))
    return f"{p50:.1f}", f"{p99:.1f}", f"{mean:.1f}"


def _ratio(figures: dict[str, Any]) -> str:
    if figures["ratio"] is None:
        return "-"
    low, high = figures["ratio_range"]
    return f"{figures['ratio']:.2f} ({low:.2f} to {high:.2f})"
