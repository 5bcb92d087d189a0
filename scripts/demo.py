"""Eight processes increase one counter in a file under one lock, and one of them is killed.

They lock in a file (the embedded store), or on FENCELOCK_URL. Exit status 1 means that a promise
was broken.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import fencelock
from demo_verdict import Holding, Process, Run, Step, percentile
from private_server import ROOT, TARGET, cargo_build

ROUNDS = 50
TTL_S = 1.0
LANGUAGES = ("Python", "Rust") * 4
# Which process is killed, and in which of its rounds.
VICTIM, STALL = 2, 10
GIVE_UP_S = 60.0


class Worker(Process):
    """A running process, and a thread that reads what it prints."""

    def __init__(self, number: int, url: str, lock: str, counter: Path) -> None:
        language = LANGUAGES[number]
        program = {
            "Python": [sys.executable, str(ROOT / "scripts/demo_worker.py")],
            "Rust": [str(TARGET / "release/examples/counter"), url],
        }[language]
        stall = [str(STALL)] if number == VICTIM else []
        self.child = subprocess.Popen(
            [*program, lock, str(counter), str(ROUNDS), *stall],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"FENCELOCK_URL": url},
        )
        super().__init__(f"{language} {number + 1}", language, self.child.pid)
        self.ready = threading.Event()
        self.stalled = threading.Event()
        self._stall = STALL if number == VICTIM else None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self) -> None:
        assert self.child.stdin
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.write("go\n")
            self.child.stdin.flush()

    def kill(self) -> None:
        self.killed_at = time.monotonic_ns()
        self.child.kill()

    def finish(self, give_up: float) -> None:
        try:
            self.status = self.child.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.child.stdout
        for line in self.child.stdout:
            what, *numbers = line.split()
            match what, [int(number) for number in numbers]:
                case "ready", []:
                    self.ready.set()
                case "got", [asked, got, fence]:
                    self.holdings.append(Holding(asked, got, fence))
                    if len(self.holdings) == self._stall:
                        self.stalled.set()
                case "done", [done, number]:
                    self.holdings[-1].done, self.holdings[-1].number = done, number
        # It ended, so nobody needs to wait for it any longer.
        self.ready.set()
        self.stalled.set()


def run(url: str, folder: Path) -> Run:
    counter = folder / "counter"
    counter.write_text("0\n")
    lock = f"fencelock-demo-{secrets.token_hex(4)}"
    give_up = time.monotonic() + GIVE_UP_S
    workers: list[Worker] = []
    try:
        for number in range(len(LANGUAGES)):
            workers.append(Worker(number, url, lock, counter))
        for worker in workers:
            worker.ready.wait(GIVE_UP_S)
        for worker in workers:
            worker.start()
        victim = workers[VICTIM]
        if victim.stalled.wait(GIVE_UP_S) and len(victim.holdings) == STALL:
            victim.kill()
            print(f"  kill -9 {victim.pid} ({victim.label}), which holds the lock\n", flush=True)
        for worker in workers:
            worker.finish(give_up)
    finally:
        for worker in workers:
            worker.child.kill()
            worker.child.wait()
    return Run([*workers], ROUNDS, TTL_S, int(counter.read_text()))


def show_processes(run: Run) -> None:
    print(f"  {'process':<10} {'pid':>8} {'increments':>10}  {'first fence':<17} last fence")
    for process in run.processes:
        made = sum(h.number is not None for h in process.holdings)
        fences = [h.fence for h in process.holdings] or [0]
        note = "  killed while it held this one" if process.killed_at else ""
        row = f"{process.label:<10} {process.pid:>8} {made:>10}  {fences[0]:<17} {fences[-1]}{note}"
        print(f"  {row}")


def show_around_the_kill(run: Run) -> None:
    at = next((i for i, step in enumerate(run.steps) if step.holding.done is None), None)
    if at is None:
        return
    start = run.steps[at].holding.got
    print("\n  who held, around the kill:")
    print(f"  {'time':>11}  {'process':<10} {'fence':<17} counter")

    def row(step: Step) -> str:
        when = f"{(step.holding.got - start) / 1e6:+.1f} ms"
        wrote = "killed" if step.holding.number is None else str(step.holding.number)
        return f"{when:>11}  {step.process.label:<10} {step.holding.fence:<17} {wrote}"

    for step in run.steps[max(0, at - 4) : at + 5]:
        print(f"  {row(step)}")


def show_times(run: Run) -> None:
    times, recovery = run.handoffs_ms(), run.recovery_s()
    p50, p99 = percentile(times, 50), percentile(times, 99)
    print(f"\n  hand-off, release to next holder: p50 {p50:.2f} ms, p99 {p99:.2f} ms", end="")
    print(f" ({len(times)} hand-offs)")
    if recovery is not None:
        print(f"  recovery, kill to next holder: {recovery:.3f} s (lease {run.ttl_s:g} s)")
    print()


def verdict(run: Run) -> int:
    kept = True
    for good, what in run.checks():
        kept = kept and good
        print(f"  {'ok    ' if good else 'BROKEN'}  {what}")
    return 0 if kept else 1


def main() -> int:
    given = os.environ.get("FENCELOCK_URL")  # empty: not given
    print("building the Rust process of the demo", flush=True)
    cargo_build("--release", "-p", "fencelock", "--example", "counter")
    with tempfile.TemporaryDirectory(prefix="fencelock-demo-") as name:
        folder = Path(name)
        url = given or f"file:{folder}/locks.db"
        try:
            with fencelock.connect(url) as client:
                print(f"\n  locks in: {client.server}{'' if given else ', without a server'}")
        except fencelock.FencelockError as error:
            raise SystemExit(f"error: {error}") from None
        print(
            f"  {len(LANGUAGES)} processes, {ROUNDS} increments each, lease {TTL_S:g} s", flush=True
        )
        seen = run(url, folder)
    show_processes(seen)
    show_around_the_kill(seen)
    show_times(seen)
    return verdict(seen)


if __name__ == "__main__":
    sys.exit(main())
