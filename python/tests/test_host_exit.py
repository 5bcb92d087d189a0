"""The interpreter's exit again and again, in every way: it never hangs and never aborts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from conftest import FORK_IS_MEANT, LIMIT, LONG, QUIET

# Of each of ten ways.
ROUNDS = 100 if LONG else 4

BUSY = """
import contextlib, os, signal, sys, threading
import fencelock

# Who runs the tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
name = sys.argv[1]
client = fencelock.connect()
# Nobody's death is waited for: what is left lapses soon.
leases = [client.lock(f"{name}-{number}", ttl=1.5).acquire() for number in range(3)]
leases[0].on_lost(lambda lease: None)
many = [fencelock.connect() for _ in range(2)]
leases += [one.lock(f"{name}-{one.server}-{id(one)}", ttl=1.5).acquire() for one in many]

def wait(timeout=None):
    with contextlib.suppress(fencelock.ClosedError, fencelock.AcquireTimeoutError):
        client.lock(f"{name}-0").acquire(timeout)

def pairs(count):
    lock = client.lock(f"{name}-pairs", ttl=1.5)
    # What the exit finds between the two is lost.
    with contextlib.suppress(fencelock.ClosedError, fencelock.LockLostError):
        for _ in range(count):
            lock.acquire().release()

def start(work, *args, daemon=True):
    thread = threading.Thread(target=work, args=args, daemon=daemon)
    thread.start()
    return thread

for _ in range(2):
    start(wait)
    start(pairs, 10**9)
while client.inspect(f"{name}-0").waiters < 2:
    pass
"""

WAYS = {
    "end": ("", 0),
    "exit": ("sys.exit(3)", 3),
    "raise": ("raise RuntimeError('meant')", 1),
    "os._exit": ("os._exit(4)", 4),
    "exit in a thread": ("start(sys.exit, 5).join()", 0),
    "os._exit in a thread": ("start(os._exit, 6); wait()", 6),
    "threads that go on": (
        "start(pairs, 300, daemon=False); start(wait, 0.2, daemon=False)",
        0,
    ),
    "Ctrl-C": (
        "threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start(); wait()",
        -signal.SIGINT,
    ),
    "termination": ("start(os.kill, os.getpid(), signal.SIGTERM); wait()", -signal.SIGTERM),
    "a child": (
        "pid = os.fork()\nif pid: assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0",
        0,
    ),
}
KILLED = ("os._exit", "os._exit in a thread", "termination")
"""Ways that leave no time to give anything back."""
TOLD = {"raise": "RuntimeError: meant\n", "Ctrl-C": "KeyboardInterrupt\n"}
"""How the last lines of standard error end."""


@pytest.mark.parametrize("way", WAYS)
def test_exit_never_hangs_or_aborts(url: str, raw: redis.Redis, tmp_path: Path, way: str) -> None:
    leave, expected = WAYS[way]
    path = tmp_path / "busy.py"
    path.write_text(QUIET + BUSY + leave)
    for number in range(ROUNDS):
        name = f"exit-{way}-{number}"
        # A hang fails by its time-out.
        ended = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-W", FORK_IS_MEANT, str(path), name],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode == expected, ended.stderr
        assert "Fatal" not in ended.stderr
        assert "panicked" not in ended.stderr
        if way in TOLD:
            assert ended.stderr.endswith(TOLD[way])
        else:
            assert ended.stderr == ""
        if way not in KILLED:
            assert raw.keys(f"{name}*") == []
            assert raw.exists(f"{{{name}-0}}:fl:q") == 0
