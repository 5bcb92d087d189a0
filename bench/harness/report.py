"""What a run found: figures for programs, a table and pictures for people."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.contenders import CONTENDERS, OUT, ROOT
from harness.entrant import Entrant
from harness.measure import Measure
from harness.plot import draw

PUBLISHED = ROOT / "docs/bench"


def environment(server_version: str, server_core: int) -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "core_of_server": server_core,
        "kernel": platform.release(),
        "redis": server_version,
        "load_before": [round(n, 2) for n in os.getloadavg()],
    }


def write(
    measures: Sequence[Measure[Any]],
    entrants: Iterable[Entrant],
    run: dict[str, Any],
    publish: bool,
) -> str:
    """Write everything to bench/out, and with ``publish`` to docs/bench too. The table."""
    contenders = {entrant.name: entrant.contender for entrant in entrants}
    order = list(contenders)
    pictures = []
    run["measures"] = {}
    for measure in measures:
        figures = measure.figures()
        run["measures"][measure.key] = {
            name: {"about": contenders[name].about, "kind": contenders[name].kind} | figures[name]
            for name in sorted(figures, key=order.index)
        }
        if figures:
            kinds = {name: contenders[name].kind for name in figures}
            pictures.append(OUT / f"{measure.key}.png")
            title = f"{measure.key.upper()}: {measure.name}"
            draw(title, measure.panels(figures), kinds, pictures[-1])
    (OUT / "results.json").write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n")
    (OUT / "results.md").write_text(table := markdown(measures, run))
    if publish:
        PUBLISHED.mkdir(exist_ok=True)
        for file in (*pictures, OUT / "results.md"):
            shutil.copy(file, PUBLISHED / file.name)
    return table


def markdown(measures: Sequence[Measure[Any]], run: dict[str, Any]) -> str:
    env = run["environment"]
    about = f"""\
{env["at"]}, commit {env["commit"]}, {env["cpu"]}, Redis {env["redis"]} on core
{env["core_of_server"]} of {env["cores"]} (from 0);
load {env["load_before"][0]} before and {env["load_after"][0]} after.
A ratio is the median of each round's median over the yardstick's of the same round (in brackets
the extremes). [What is measured, and how to measure it again](/bench/README.md)."""
    lines = ["# fencelock's figures", "", about.replace("\n", " ")]
    for measure in measures:
        figures = run["measures"][measure.key]
        if figures:
            title = f"{measure.key.upper()}: {measure.name}"
            lines += ["", f"## {title}", "", f"![{title}]({measure.key}.png)", ""]
            together = measure.core == env["core_of_server"]
            where = "the server's core" if together else f"core {measure.core}"
            lines += [f"All clients on {where}.", ""]
            lines += measure.table(figures)
    if failed := run["failed"]:
        lines += ["", "## Not measured", ""]
        lines += [f"- {name}: {_short(reason)}" for name, reason in failed.items()]
    lines += ["", "## Who is who", ""]
    measured = {name for figures in run["measures"].values() for name in figures}
    lines += [f"- `{c.name}`: {c.about}" for c in CONTENDERS if c.name in measured]
    return "\n".join(lines) + "\n"


def _short(reason: str) -> str:
    """The whole of it is in results.json."""
    lines = [line.strip() for line in reason.splitlines()]
    return lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"
