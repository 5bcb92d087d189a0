"""From samples to figures, and from figures to cells of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Rounds = list[list[int]]


@dataclass(frozen=True)
class Panel:
    """A number of each contender, to be drawn."""

    about: str
    values: dict[str, float]
    tails: dict[str, float] = field(default_factory=dict)
    most_first: bool = False
    log: bool = True


def percentile(samples: Sequence[int], percent: float) -> int:
    """The nearest rank: always a value that was really measured."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def summary(rounds: Rounds, yardstick: Rounds | None) -> dict[str, Any]:
    samples = [sample for round_ in rounds for sample in round_]
    times = [percentile(round_, 50) for round_ in rounds]
    floor = [percentile(round_, 50) for round_ in yardstick] if yardstick else None
    return {
        "samples": len(samples),
        "p50_ns": percentile(samples, 50),
        "p99_ns": percentile(samples, 99),
        "mean_ns": round(statistics.fmean(samples)),
    } | ratio(times, floor)


def ratio(ours: Sequence[float], yardstick: Sequence[float] | None) -> dict[str, Any]:
    """Round by round, so that a slow stretch of the machine divides out; then the middle one."""
    if not yardstick:
        return {"ratio": None}
    ratios = sorted(own / other for own, other in zip(ours, yardstick, strict=True))
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
    }


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def head(*cells: str) -> list[str]:
    """The first column is a name, the others are numbers."""
    return [row(*cells), row("---", *["---:"] * (len(cells) - 1))]


def time_cells(figures: dict[str, Any]) -> tuple[str, str, str]:
    p50, p99, mean = (figures[f"{name}_ns"] / 1000 for name in ("p50", "p99", "mean"))
    return f"{p50:.1f}", f"{p99:.1f}", f"{mean:.1f}"


def ratio_cell(figures: dict[str, Any]) -> str:
    if figures["ratio"] is None:
        return "-"
    low, high = figures["ratio_range"]
    return f"{figures['ratio']:.2f} ({low:.2f} to {high:.2f})"
