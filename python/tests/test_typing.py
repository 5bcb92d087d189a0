"""The types: our own package, a user's program, and the stubs beside the binary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PYTHON = Path(__file__).parents[1]


def check(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=PYTHON,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_package_is_strictly_typed() -> None:
    code, output = check("mypy", "--strict", "python/fencelock")
    assert code == 0, output


def test_the_stubs_are_those_of_the_binary() -> None:
    code, output = check("mypy.stubtest", "fencelock._native")
    assert code == 0, output


USER = """
from datetime import timedelta
from typing import assert_type

import fencelock

client = fencelock.connect("redis://h", connect_timeout=1.5)
assert_type(client, fencelock.Client)
lock = client.lock("n", ttl=timedelta(seconds=3), on_lost=lambda lease: print(lease.fence))
with lock as lease:
    assert_type(lease, fencelock.Lease)
    assert_type(lease.fence, int)
    assert_type(lease.remaining(), float)
    assert_type(lease.lost_reason(), fencelock.LossReason | None)
with lock.acquire(timeout=5) as lease:
    pass
assert_type(lock.try_acquire(), fencelock.Lease | None)
assert_type(client.inspect("n").waiters, int)


@lock
def work(a: int, *, b: str = "") -> float:
    return 1.0


assert_type(work(1, b=""), float)


class Own(fencelock.DistributedLock):
    pass


with Own("n", ttl=3) as own:
    assert_type(own, Own)
    assert_type(own.acquire(blocking=False), bool)
try:
    own.release()
except fencelock.LockLostError as error:
    assert_type(error.reason, fencelock.LossReason | None)
"""

WRONG = [
    'client.lock("n", timeout=5)',
    'client.lock(b"n")',
    'lock.acquire("5")',
    "lock.try_acquire().release()",
    'work("1")',
    "lease.fence = 3",
    'fencelock.DistributedLock("n", timeout=5)',
    "lease.on_lost(lambda: None)",
]


def test_a_users_program_is_checked(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(USER)
    wrong.write_text(USER + "\n".join(WRONG))
    code, output = check("mypy", "--strict", "--config-file=", right)
    assert code == 0, output
    code, output = check("mypy", "--strict", "--config-file=", wrong)
    first = USER.count("\n") + 1
    found = {line.split(":")[1] for line in output.splitlines() if ": error:" in line}
    assert found == {str(first + index) for index in range(len(WRONG))}, output
