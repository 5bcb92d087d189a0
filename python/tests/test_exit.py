"""The interpreter's exit: nothing hangs, nothing aborts, what is held is given back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

import fencelock
from conftest import LIMIT, Program, Server, eventually, waiters

BUSY = """
import sys, threading
import fencelock

client = fencelock.connect()
name = sys.argv[1]
lease = client.lock(name, ttl=1).acquire()
own = fencelock.DistributedLock(name + "-own", ttl=1)
own.acquire()
orphan = fencelock.connect().lock(name + "-orphan", ttl=1).acquire()

def told(lease):
    try:
        fencelock.connect()
    except fencelock.ClosedError:
        print("lost", lease.lost_reason(), flush=True)

lease.on_lost(told)

def wait():
    try:
        client.lock(name).acquire()
    except fencelock.ClosedError:
        pass

def pairs():
    lock = client.lock(name + "-pairs")
    try:
        while True:
            lock.acquire().release()
    except fencelock.FencelockError:
        pass

for work in (wait, wait, pairs, pairs):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
{leave}
"""


@pytest.mark.parametrize(
    ("leave", "rounds"), [("", 20), ("sys.exit(0)", 20), ("del client, lease", 3)]
)
def test_exit_with_leases_waiters_and_renewal(
    program: Callable[[str], Program],
    name: str,
    raw: redis.Redis,
    client: fencelock.Client,
    leave: str,
    rounds: int,
) -> None:
    times = []
    for _ in range(rounds):
        busy = program(BUSY.format(leave=leave))
        busy.expect("ready")
        eventually(lambda: waiters(raw, name) == 2, "the waiters")
        started = time.monotonic()
        output = busy.process.communicate("\n", timeout=LIMIT)[0]
        assert busy.process.returncode == 0, output
        times.append(time.monotonic() - started)
        if leave != "del client, lease":
            assert output == "lost closed\n"
            assert not raw.exists(name)
            assert not raw.exists(*(f"{name}-{what}" for what in ("own", "orphan", "pairs")))
        assert waiters(raw, name) == 0
        with client.lock(name).acquire(timeout=5):
            pass
    assert max(times) < 5
    # Nothing waits for a thread that could leave at once.
    assert min(times) < 0.9


SILENT = """
import os, signal, sys, threading
import fencelock

client = fencelock.connect(response_timeout=600)
held = client.lock(sys.argv[1] + "-held", ttl=1000).acquire()
lock = client.lock(sys.argv[1], ttl=1000)
lease = lock.acquire()
server = int(sys.argv[2])
os.kill(server, signal.SIGSTOP)

def stuck(call):
    entered.release()
    call()

entered = threading.Semaphore(0)
calls = [lease.release, lock.acquire, held.renew, lambda: client.inspect("a")]
for call in calls:
    threading.Thread(target=stuck, args=(call,), daemon=True).start()
for call in calls:
    entered.acquire()
print("ready", flush=True)
"""


def test_exit_while_calls_are_stuck(tmp_path: Path, name: str) -> None:
    path = tmp_path / "stuck.py"
    path.write_text(SILENT)
    for _ in range(3):
        server = Server()
        try:
            stuck = Program(path, server.url, name, str(server.process.pid))
            stuck.expect("ready")
            started = time.monotonic()
            code, output = stuck.end()
            assert code == 0, output
            assert time.monotonic() - started < 5
        finally:
            server.stop()


LATE = """
import os, signal, sys, threading, time
import fencelock

class AtTheVeryEnd:
    def __init__(self):
        self.kill, self.go_on = os.kill, (int(sys.argv[2]), signal.SIGCONT)
        self.sleep = time.sleep

    def __del__(self):
        # The answers come while the interpreter is torn down.
        self.kill(*self.go_on)
        self.sleep(0.5)
        print("the end", flush=True)

client = fencelock.connect(response_timeout=600)
lock = client.lock(sys.argv[1], ttl=1000)
leases = [client.lock(f"{sys.argv[1]}-{number}", ttl=1000).acquire() for number in range(4)]
os.kill(int(sys.argv[2]), signal.SIGSTOP)
entered = threading.Semaphore(0)

def stuck(lease):
    entered.release()
    lease.release()

for lease in leases:
    threading.Thread(target=stuck, args=(lease,), daemon=True).start()
for lease in leases:
    entered.acquire()
sys.modules["keep"] = AtTheVeryEnd()
print("ready", flush=True)
"""


def test_answer_that_comes_during_the_exit_aborts_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "late.py"
    path.write_text(LATE)
    server = Server()
    try:
        late = Program(path, server.url, name, str(server.process.pid))
        late.expect("ready")
        assert late.end() == (0, "the end\n")
    finally:
        server.stop()


AFTER = """
import atexit, sys

def closed(call):
    try:
        call()
    except fencelock.FencelockError as error:
        print(error.kind, flush=True)

class AtTheVeryEnd:
    def __init__(self):
        self.calls = [lease.release, client.close, lock.acquire]
        self.closed = closed

    def __del__(self):
        for call in self.calls:
            self.closed(call)
        print(lease.is_held(), flush=True)

@atexit.register
def late():
    closed(lock.acquire)
    closed(fencelock.connect)
    client.close()
    sys.modules["keep"] = AtTheVeryEnd()
    print(lease.is_held(), flush=True)

import fencelock

@atexit.register
def early():
    lock.acquire().release()
    print("still works", flush=True)

client = fencelock.connect()
lock = client.lock(sys.argv[1])
lease = client.lock(sys.argv[1] + "-held").acquire()
"""


def test_calls_after_the_end_are_refused(program: Callable[[str], Program]) -> None:
    code, output = program(AFTER).end()
    assert code == 0
    assert output.split("\n") == [
        "still works",
        *["closed", "closed", "False"],
        *["lost", "closed", "False"],
        "",
    ]
