"""Who takes part: one entry each. To add one, write an adapter and name it here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
OUT = BENCH / "out"
VENV_PYTHON = os.environ.get("FENCELOCK_BENCH_PYTHON", str(ROOT / ".venv/bin/python"))
CARGO_TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")

FLOOR = "floor"
TRIP = "trip"
ASYNCIO_PEER = "redis-aio"


@dataclass(frozen=True)
class Contender:
    name: str
    about: str
    command: list[str]
    build: list[str] | None = None
    local: bool = False
    """Whether it locks in a file, and not on the server."""


def _c(name: str, about: str) -> Contender:
    build = shlex.split("cc -O2 -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror")
    build += [str(BENCH / "adapters/floor.c"), "-o", str(OUT / "floor"), "-lhiredis"]
    return Contender(name, about, [str(OUT / "floor"), name], build)


def _python(name: str, about: str, adapter: str) -> Contender:
    return Contender(name, about, [VENV_PYTHON, str(BENCH / "adapters" / adapter)])


def _rust(mode: str, about: str) -> Contender:
    program = CARGO_TARGET / "release" / "fencelock-bench"
    build = ["cargo", "build", "--release", "--quiet", "-p", "fencelock-bench"]
    return Contender(f"fencelock-rust-{mode}", about, [str(program), "--mode", mode], build)


def _local(name: str, about: str, same: Contender) -> Contender:
    return Contender(name, about, same.command, same.build, local=True)


CONTENDERS = [
    _c(FLOOR, "C, hiredis: SET NX PX + compare-and-delete; its waiter retries without a pause"),
    _c(TRIP, "C, hiredis: one GET there and back; not a lock"),
    _c("wake", "C, hiredis: BLPOP + RPUSH, the barest hand-off; not a safe lock"),
    _rust("blocking", "ours, fencelock::blocking"),
    _rust("async", "ours, fencelock on Tokio"),
    _python("fencelock-python", "ours, Python, synchronous", "fencelock_py.py"),
    _python("fencelock-aio", "ours, Python, asyncio", "fencelock_aio.py"),
    _python("redis-py", "redis-py's Lock with the hiredis parser", "redis_py.py"),
    _python(ASYNCIO_PEER, "redis.asyncio's Lock with the hiredis parser", "redis_aio.py"),
    _local("fencelock-rust-file", "ours, fencelock::blocking, embedded", _rust("blocking", "")),
    _local("fencelock-python-file", "ours, Python, embedded", _python("", "", "fencelock_py.py")),
    _local("filelock", "filelock's FileLock: flock", _python("", "", "filelock_py.py")),
    _local("portalocker", "portalocker's Lock: flock", _python("", "", "portalocker_py.py")),
]


def build(chosen: list[Contender]) -> dict[str, str]:
    """Build what needs it, each command once. Returns why a contender could not be built."""
    OUT.mkdir(exist_ok=True)
    done: dict[str, str | None] = {}
    failed = {}
    for contender in chosen:
        if contender.build is None:
            continue
        key = shlex.join(contender.build)
        if key not in done:
            print(f"building: {key}", file=sys.stderr)
            try:
                subprocess.run(contender.build, cwd=ROOT, check=True)
                done[key] = None
            except (OSError, subprocess.CalledProcessError) as error:
                done[key] = f"not built: {error}"
        reason = done[key]
        if reason is not None:
            failed[contender.name] = reason
    return failed
