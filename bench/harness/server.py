"""A private redis-server on one core, without persistence, and what it counts."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import pinned

START_LIMIT_S = 10.0
REQUESTS_OF_A_LOOK = 2


@dataclass(frozen=True)
class Counts:
    """What the server did between two looks."""

    requests: int
    calls: dict[str, int]

    def since(self, earlier: Counts) -> Counts:
        calls = {name: n - earlier.calls.get(name, 0) for name, n in self.calls.items()}
        del calls["info"]
        return Counts(
            self.requests - earlier.requests - REQUESTS_OF_A_LOOK,
            {name: n for name, n in calls.items() if n > 0},
        )

    def scripts(self) -> int:
        """Script calls, without what the scripts called in their turn."""
        return sum(self.calls.get(name, 0) for name in ("eval", "evalsha", "fcall"))


class Server:
    def __init__(self, program: str, core: int, options: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fencelock-bench-")
        log = Path(self._folder.name) / "log"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        command = [program, "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--save", "", "--appendonly", "no", "--dir", self._folder.name]
        command += ["--logfile", str(log), *options]
        self._process = pinned.start(command, core, subprocess.DEVNULL, pipes=False)
        try:
            self._socket = self._connect(log)
        except BaseException:
            self.stop()
            raise
        self._replies = self._socket.makefile("rb")
        self.kind, self.version = "Redis", self._field("server", "redis_version")
        # Valkey says so, and calls itself the Redis that it can stand in for.
        if "\nvalkey_version:" in self._info("server"):
            self.kind, self.version = "Valkey", self._field("server", "valkey_version")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def counts(self) -> Counts:
        calls = {}
        for line in self._info("commandstats").splitlines():
            name, _, fields = line.removeprefix("cmdstat_").partition(":calls=")
            if fields:
                calls[name] = int(fields.partition(",")[0])
        # For one thing at a time a read is a request: unlike the count of commands, this one
        # leaves out what scripts call.
        return Counts(int(self._field("stats", "total_reads_processed")), calls)

    def processor_s(self) -> float:
        """Processor time that the server has used."""
        return sum(float(self._field("cpu", f"used_cpu_{kind}")) for kind in ("sys", "user"))

    def connections(self) -> int:
        return int(self._field("clients", "connected_clients"))

    def subscriptions(self) -> int:
        """Channels that are listened to."""
        return int(self._field("stats", "pubsub_channels"))

    def memory_bytes(self) -> int:
        return int(self._field("memory", "used_memory"))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is sent meanwhile is all there when it goes on, as under full load."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        self._socket.sendall(b"FLUSHALL SYNC\r\n")
        self._replies.readline()

    def _connect(self, log: Path) -> socket.socket:
        give_up = time.monotonic() + START_LIMIT_S
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=START_LIMIT_S)
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise RuntimeError(f"redis-server did not start:\n{log.read_text(errors='replace')}")

    def _field(self, section: str, field: str) -> str:
        for line in self._info(section).splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value
        raise RuntimeError(f"INFO {section} of this server has no {field}")

    def _info(self, section: str) -> str:
        self._socket.sendall(f"INFO {section}\r\n".encode())
        header = self._replies.readline()
        if not header.startswith(b"$"):
            raise RuntimeError(f"INFO {section}: {header!r}")
        return self._replies.read(int(header[1:]) + 2).decode()
