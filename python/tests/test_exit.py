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
lease.on_lost(lambda lease: print("lost", lease.lost_reason(), flush=True))

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
            assert not raw.exists(name + "-own", name + "-orphan")
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
    def __del__(self, kill=os.kill, sleep=time.sleep, go_on=signal.SIGCONT):
        # The answers come while the interpreter is torn down.
        kill(server, go_on)
        sleep(0.5)

client = fencelock.connect(response_timeout=600)
lock = client.lock(sys.argv[1], ttl=1000)
leases = [client.lock(f"{sys.argv[1]}-{number}", ttl=1000).acquire() for number in range(4)]
server = int(sys.argv[2])
os.kill(server, signal.SIGSTOP)
entered = threading.Semaphore(0)

def stuck(lease):
    entered.release()
    lease.release()

for lease in leases:
    threading.Thread(target=stuck, args=(lease,), daemon=True).start()
for lease in leases:
    entered.acquire()
keep = AtTheVeryEnd()
print("ready", flush=True)
"""


def test_answer_that_comes_during_the_exit_aborts_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "late.py"
    path.write_text(LATE)
    server = Server()
    try:
        late = Program(path, server.url, name, str(server.process.pid))
        late.expect("ready")
        code, output = late.end()
        assert code == 0, output
    finally:
        server.stop()


AFTER = """
import atexit, sys

@atexit.register
def late():
    try:
        lock.acquire()
    except fencelock.ClosedError:
        print("closed", flush=True)
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
    after = program(AFTER)
    assert after.end() == (0, "still works\nclosed\nFalse\n")
