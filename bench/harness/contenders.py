"""Who takes part: one entry each. To add one, write an adapter and name it here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.tools import Tool, parse

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
OUT = BENCH / "out"
NODE = BENCH / "adapters/node"
VENV_PYTHON = os.environ.get("FENCELOCK_BENCH_PYTHON", str(ROOT / ".venv/bin/python"))
CARGO_TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")

FLOOR = "floor"
PUSH = "push"
PIPELINED_OURS = "pipelined-ours"
TRIP = "trip"
FLOORS = (FLOOR, PUSH, "push-threads", "pipelined", PIPELINED_OURS, "commands", TRIP, "wake")
YARDSTICKS = (FLOOR, PUSH, PIPELINED_OURS)


@dataclass(frozen=True)
class Contender:
    name: str
    about: str
    command: list[str]
    build: list[str] | None = None
    local: bool = False
    """Whether it locks in a file, and not on the server."""
    needs: tuple[Tool, ...] = ()

    @property
    def kind(self) -> str:
        if self.name in FLOORS:
            return "floor"
        return "ours" if self.name.startswith("fencelock") else "peer"


CC = shlex.split("cc -O2 -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror")


def _cc(program: str, sources: list[str], *libraries: str) -> list[str]:
    paths = [str(BENCH / "adapters" / f"{name}.c") for name in (*sources, "serve")]
    return [*CC, *paths, "-o", str(OUT / program), *libraries]


def _c(name: str, about: str) -> Contender:
    scripts = ROOT / "core/src/backend/redis/lua"
    sources = [f"floor/{part}" for part in ("main", "conn", "bare", "ours", "push", "pipelined")]
    build = _cc("floor", sources, "-pthread", "-lhiredis", f'-DLUA="{scripts}"')
    return Contender(name, about, [str(OUT / "floor"), name], build)


def _fencelock_c(about: str) -> Contender:
    prefix = OUT / "c"
    link = [f"-I{prefix}/include", f"-L{prefix}/lib", "-lfencelock", f"-Wl,-rpath,{prefix}/lib"]
    install = f"PREFIX={shlex.quote(str(prefix))} {shlex.quote(str(ROOT / 'scripts/install.sh'))}"
    compile_it = _cc("fencelock_c", ["fencelock_c"], "-pthread", *link)
    build = ["bash", "-c", f"{install} >&2 && {shlex.join(compile_it)}"]
    return Contender("fencelock-c", about, [str(OUT / "fencelock_c")], build)


def _python(name: str, about: str, adapter: str) -> Contender:
    return Contender(name, about, [VENV_PYTHON, str(BENCH / "adapters" / adapter)])


def _node(name: str, about: str, adapter: str) -> Contender:
    program = os.environ.get("FENCELOCK_NODE", "node")
    install = ["npm", "ci", "--prefix", str(NODE), "--ignore-scripts", "--loglevel=error"]
    installed = (NODE / "node_modules").is_dir() or adapter == "fencelock.mjs"
    return Contender(name, about, [program, str(NODE / adapter)], None if installed else install)


def _rust(mode: str, about: str) -> Contender:
    program = CARGO_TARGET / "release" / "fencelock-bench"
    build = ["cargo", "build", "--release", "--quiet", "-p", "fencelock-bench"]
    return Contender(f"fencelock-rust-{mode}", about, [str(program), "--mode", mode], build)


def _rslock(about: str) -> Contender:
    manifest = BENCH / "adapters/rslock/Cargo.toml"
    build = ["cargo", "build", "--release", "--quiet", "--locked"]
    build += ["--manifest-path", str(manifest), "--target-dir", str(CARGO_TARGET)]
    return Contender("rslock", about, [str(CARGO_TARGET / "release" / "rslock-bench")], build)


def _go(name: str, about: str) -> Contender:
    program, folder = OUT / "go-peers", BENCH / "adapters/go"
    build = ["env", "GOTOOLCHAIN=local", "GOFLAGS=-mod=readonly", "go", "build"]
    build += ["-C", str(folder), "-o", str(program), "."]
    asked = (folder / "go.mod").read_text().partition("\ngo ")[2].splitlines()[0]
    go = Tool("go", ("env", "GOVERSION"), parse(asked))
    return Contender(name, about, [str(program), name], build, needs=(go,))


def _java(name: str, about: str, main: str) -> Contender:
    build = ["mvn", "--quiet", "--batch-mode", "--file", str(BENCH / "adapters/java"), "compile"]
    command = ["java", "-cp", f"{OUT}/java/classes:{OUT}/java/lib/*", main]
    jdk = Tool("javac", ("--version",), (17,))
    return Contender(name, about, command, build, needs=(jdk, Tool("mvn")))


def _local(name: str, about: str, same: Contender) -> Contender:
    return Contender(name, about, same.command, same.build, local=True)


CONTENDERS = [
    _c(FLOOR, "C, hiredis: SET NX PX + compare-and-delete; its waiter retries without a pause"),
    _c(PUSH, "C, hiredis: a list of waiters; the release grants to the first and tells it"),
    _c("push-threads", "C, hiredis: push in M5 with a thread and two connections for each waiter"),
    _c("pipelined", "C, hiredis: floor's commands, 1,000 locks at once, pipelined"),
    _c(PIPELINED_OURS, "C, hiredis: our two commands, 1,000 locks at once, pipelined"),
    _c(TRIP, "C, hiredis: one GET there and back; not a lock"),
    _c(
        "commands", "C, hiredis: the two commands that ours send, no client around them; not a lock"
    ),
    _c("wake", "C, hiredis: BLPOP + RPUSH, the barest hand-off; not a safe lock"),
    _rust("blocking", "ours, fencelock::blocking"),
    _rust("async", "ours, fencelock on Tokio"),
    _fencelock_c("ours, the C library"),
    _python("fencelock-python", "ours, Python, synchronous", "fencelock_py.py"),
    _python("fencelock-aio", "ours, Python, asyncio", "fencelock_aio.py"),
    _python("redis-py", "redis-py's Lock with the hiredis parser", "redis_py.py"),
    _python("redis-aio", "redis.asyncio's Lock with the hiredis parser", "redis_aio.py"),
    _python("python-redis-lock", "python-redis-lock: BLPOP; not renewed", "redis_lock_py.py"),
    _python("pottery", "pottery's Redlock, one server; not renewed", "pottery_py.py"),
    _node("fencelock-node", "ours, Node", "fencelock.mjs"),
    _node("ioredis", "Node, bare: SET NX PX + compare-and-delete, asked each 10 ms", "ioredis.mjs"),
    _node("redlock", "redlock 5.0.0-beta.2 on ioredis", "redlock.mjs"),
    _node("sesamecare-redlock", "@sesamecare-oss/redlock on ioredis", "sesamecare.mjs"),
    _node("redlock-universal", "redlock-universal's single lock on ioredis", "universal.mjs"),
    _node("redis-semaphore", "redis-semaphore's Mutex on ioredis", "semaphore.mjs"),
    _rslock("Rust on Tokio, rslock, one server; not renewed"),
    _go("redsync", "Go, redsync on go-redis, one server; not renewed"),
    _go("redislock", "Go, bsm/redislock on go-redis, asked each 100 ms; not renewed"),
    _java("redisson", "Java, Redisson's RLock: lock(), renewed by its watchdog", "Serve"),
    _local("fencelock-rust-file", "ours, fencelock::blocking, embedded", _rust("blocking", "")),
    _local("fencelock-python-file", "ours, Python, embedded", _python("", "", "fencelock_py.py")),
    _local("filelock", "filelock's FileLock: flock", _python("", "", "filelock_py.py")),
    _local("portalocker", "portalocker's Lock: flock", _python("", "", "portalocker_py.py")),
]


def not_installed(chosen: list[Contender]) -> dict[str, str]:
    """Whose toolchain this machine lacks. That is no failure of the run."""
    lacks = {c.name: [lack for tool in c.needs if (lack := tool.lack())] for c in chosen}
    return {name: ", ".join(reasons) for name, reasons in lacks.items() if reasons}


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
