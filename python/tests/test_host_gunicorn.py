"""gunicorn --preload: a client made and used in the master, and in the workers that it forks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import fencelock
from conftest import LIMIT, eventually, waiters

WORKERS = 3

APP = """
import contextlib, os, threading
import fencelock

client = fencelock.connect()
lock = client.lock(os.environ["LOCK"], ttl=4)
# The master's, for as long as it lives.
lease = lock.acquire()

def wait():
    with contextlib.suppress(fencelock.ClosedError):
        lock.acquire()

threading.Thread(target=wait, daemon=True).start()
while client.inspect(lock.name).waiters == 0:
    pass

def app(environ, start_response):
    if environ["PATH_INFO"] == "/section":
        with client.lock(lock.name + "-section") as own:
            body = f"{os.getpid()} {own.fence}"
    else:
        body = f"{lease.lost_reason()} {lock.try_acquire()}"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]
"""


class Gunicorn:
    def __init__(self, folder: Path, url: str, name: str) -> None:
        (folder / "app.py").write_text(APP)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)),
                *("--bind", "127.0.0.1:0", "--worker-tmp-dir", str(folder), "app:app"),
            ],
            cwd=folder,
            env=os.environ | {"FENCELOCK_URL": url, "LOCK": name},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.log += line

    def wait_for(self, pattern: str, times: int) -> None:
        def seen() -> bool:
            assert self.process.poll() is None, self.log
            return len(re.findall(pattern, self.log)) >= times

        eventually(seen, f"{times} times {pattern}")

    @property
    def booted(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log)]

    def get(self, path: str) -> list[str]:
        address = re.findall(r"Listening at: (\S+)", self.log)[0]
        with urllib.request.urlopen(address + path, timeout=LIMIT) as answer:
            return bytes(answer.read()).decode().split()

    def end(self) -> int:
        self.process.terminate()
        code = self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        return code


@pytest.fixture
def gunicorn(tmp_path: Path, url: str, name: str) -> Iterator[Gunicorn]:
    gunicorn = Gunicorn(tmp_path, url, name)
    yield gunicorn
    gunicorn.process.kill()
    gunicorn.process.wait()
    gunicorn.reader.join(LIMIT)
    for pid in gunicorn.booted:
        # Workers see that their master is gone, but not at once.
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def connections(raw: redis.Redis) -> set[str]:
    return {one["id"] for one in raw.client_list()}


def test_preloaded_client_serves_master_and_workers(
    gunicorn: Gunicorn, client: fencelock.Client, raw: redis.Redis, name: str
) -> None:
    before = connections(raw)
    gunicorn.wait_for("Booting worker", WORKERS)
    started = time.monotonic()
    # The workers have not been asked for anything: these are the master's.
    masters = connections(raw) - before
    assert masters
    holder = client.inspect(name).holder
    assert holder is not None

    def check() -> None:
        answers = [gunicorn.get("/section") for _ in range(30)]
        assert str(gunicorn.process.pid) not in {pid for pid, _ in answers}
        assert len({fence for _, fence in answers}) == 30
        assert gunicorn.get("/held") == ["forked", "None"]
        seen = client.inspect(name)
        assert seen.holder is not None
        assert (seen.holder.id, seen.waiters) == (holder.id, 1)

    check()
    # Every worker leaves and is replaced; the preloaded application stays.
    gunicorn.process.send_signal(signal.SIGHUP)
    gunicorn.wait_for("Booting worker", 2 * WORKERS)
    gunicorn.wait_for("Worker exiting", WORKERS)
    check()
    os.kill(gunicorn.booted[-1], signal.SIGKILL)
    gunicorn.wait_for("Booting worker", 2 * WORKERS + 1)
    check()
    # Beyond the TTL: it was renewed all along, over connections that nobody disturbed.
    eventually(lambda: time.monotonic() - started > 3, "three seconds")
    check()
    assert masters <= connections(raw)

    assert gunicorn.end() == 0, gunicorn.log
    assert "Traceback" not in gunicorn.log
    assert "Fatal" not in gunicorn.log
    assert not raw.exists(name)
    assert waiters(raw, name) == 0
