"""Private servers, and programs of their own for what ends a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop

import fencelock

LIMIT = 30.0
"""Seconds that nothing here takes unless it hangs."""

LONG = os.environ.get("FENCELOCK_LONG") == "1"
"""Whether repeated tests may take minutes, as in `make test-all`."""


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Waits until a condition holds that cannot be waited for otherwise."""
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until, f"{what} did not come true"
        time.sleep(0.005)


class Server:
    """A Redis of one's own on a free port, without persistence."""

    def __init__(self, *args: str, binary: str | None = None) -> None:
        self.binary = binary or os.environ.get("FENCELOCK_REDIS_SERVER", "redis-server")
        self.folder = tempfile.TemporaryDirectory(prefix="fencelock-test-")
        self.args = args
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--save", "", *self.args]
        self.process = subprocess.Popen(
            [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", *options],
            cwd=self.folder.name,
            stdout=subprocess.DEVNULL,
        )
        eventually(self.answers, "the server's first answer")

    def answers(self) -> bool:
        assert self.process.poll() is None, "the server ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(1))
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.kill()
        self.folder.cleanup()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may kill."""
    server = Server()
    yield server
    server.stop()


ON_A_SERVER = {"server", "own_server", "raw"}
"""What a test asks for that is about a server, if it is not marked so; the others are run on a
file, too."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "url" in metafunc.fixturenames:
        marked = {mark.name for mark in metafunc.definition.iter_markers()}
        kinds = ["redis", "file"]
        if ON_A_SERVER & {*metafunc.fixturenames, *marked}:
            kinds.remove("file")
        if "file" in marked:
            kinds.remove("redis")
        metafunc.parametrize("url", kinds, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    if request.param == "file":
        url = f"file:{tmp_path}/locks.db"
    else:
        server: Server = request.getfixturevalue("server")
        url = server.url
    monkeypatch.setenv("FENCELOCK_URL", url)
    return url


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a new event loop, of each kind."""

    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param, debug=False) as runner:
            runner.run(main)

    return run


@pytest.fixture
def client(url: str) -> Iterator[fencelock.Client]:
    with fencelock.connect(url) as client:
        yield client


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    """A bare connection, for what the server knows."""
    with redis.Redis.from_url(url) as raw:
        yield raw


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A lock of the test's own."""
    return re.sub(r"\W+", "_", request.node.name)


def waiters(raw: redis.Redis, name: str) -> int:
    """How many wait in a lock's queue."""
    count = raw.zcard(f"{{{name}}}:fl:q")
    assert isinstance(count, int)
    return count


QUIET = """
import logging
logging.getLogger("fencelock").addHandler(logging.NullHandler())
"""


# Python 3.12 and later warn of every fork beside a thread; without one there is nothing to test.
FORK_IS_MEANT = "ignore:This process:DeprecationWarning"


class Program:
    """A Python program in a process of its own; its lines are events."""

    def __init__(self, path: Path, url: str, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", FORK_IS_MEANT, str(path), *args],
            env=os.environ | {"FENCELOCK_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What runs the tests may ignore it, in the background, say; and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def expect(self, line: str) -> None:
        got = self.line()
        if got != line:
            pytest.fail(f"expected {line!r}, got:\n{got}\n{self.end()[1]}")

    def end(self) -> tuple[int, str]:
        """The exit code and the rest of the output."""
        try:
            output, _ = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            pytest.fail(f"the program hangs:\n{output}")
        return self.process.returncode, output


@pytest.fixture
def program(url: str, name: str, tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Starts a program that gets the lock's name as its argument."""
    programs: list[Program] = []

    def start(code: str) -> Program:
        path = tmp_path / f"program{len(programs)}.py"
        path.write_text(QUIET + code)
        programs.append(Program(path, url, name))
        return programs[-1]

    yield start
    for started in programs:
        started.process.kill()
        started.process.communicate()
