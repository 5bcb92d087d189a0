"""Puts the results of torture runs into docs/reliability.md: reliability.py REPORT.json…

Each report is what `make torture REPORT=FILE` wrote. The table and the figures between the marks
are replaced; nothing is taken from anywhere else.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- results: scripts/reliability.py -->", "<!-- end of results -->"

Report = dict[str, Any]


def seconds(ns: int) -> str:
    return f"{ns / 1e9:.2f} s"


def row(name: str, reports: list[Report]) -> str:
    def total(key: str) -> int:
        return sum(report[key] for report in reports)

    worst = max(
        (report["worst_recovery"] for report in reports if report["worst_recovery"]),
        key=lambda recovery: int(recovery["took_ns"]),
    )
    recovery = f"{seconds(worst['took_ns'])} of {seconds(worst['bound_ns'])} ({worst['after']})"
    cells = [
        name,
        f"{total('seconds') / 60:.0f}",
        " ".join(str(report["seed"]) for report in reports),
        f"{total('operations'):,}",
        f"{total('grants'):,}",
        f"{sum(sum(report['faults'].values()) for report in reports):,}",
        str(total("overlaps_inside")),
        f"{total('overlaps_outside')}; {total('overlaps_refused')}; {total('overlaps_accepted')}",
        f"{total('refused_old')}; {total('lost_updates_unfenced')}",
        recovery,
        str(sum(len(report["violations"]) for report in reports)),
    ]
    return "| " + " | ".join(cells) + " |"


def results(reports: list[Report]) -> str:
    by_server: dict[str, list[Report]] = {}
    for report in reports:
        by_server.setdefault(report["server"], []).append(report)
    lines = [
        "| on | minutes | seeds | operations | grants | faults | overlaps inside the promise"
        " | outside: all; older holder tried and was refused; was not"
        " | fence refused; updates lost without it | worst recovery | violations |",
        "|" + "---|" * 11,
        *(row(server, of_server) for server, of_server in by_server.items()),
        row("all", reports),
    ]
    faults: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    for report in reports:
        faults.update(report["faults"])
        losses.update(report["losses"])
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(losses.items()))
    commits = " ".join(sorted({f"{report['version']} ({report['commit']})" for report in reports}))
    late = max(report["worst_telling_ns"] for report in reports)
    lines += [
        "",
        f"Faults by kind: {counted}.",
        "",
        f"Losses told: {told}; of leases without renewal at most {seconds(late)} after the deadline"
        f" ({sum(report['ends'] for report in reports):,} judged). Grants with somebody waiting who"
        f" came later: {sum(report['orders'] for report in reports):,}; recoveries judged:"
        f" {sum(report['recoveries'] for report in reports):,}. fencelock {commits}.",
    ]
    return "\n".join(lines)


def main() -> None:
    reports = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    if not reports:
        sys.exit(__doc__)
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{results(reports)}\n{END}{after}")


if __name__ == "__main__":
    main()
