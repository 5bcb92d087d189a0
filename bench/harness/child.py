"""One process of a contender, spoken to in lines (bench/README.md)."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness import pinned

# Six of them at once, on cores that others may be busy on.
WARM_LIMIT_S = 300.0


class Failed(Exception):
    """A contender did not answer as it should; the others go on."""


class Child:
    def __init__(self, command: Sequence[str], core: int, limit_s: float = 60.0) -> None:
        self._limit_s = limit_s
        self._core = core
        # A file, not a pipe: nobody reads it before the end, and a full pipe would block.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._buffer = b""
        try:
            self._process = pinned.start(command, core, self._errors)
        except OSError as error:
            raise Failed(f"cannot start {command[0]}: {error.strerror}") from error
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self.features = dict(word.split("=", 1) for word in self.ask("hello"))

    def begin_to_warm_up(self, lock: str) -> None:
        """Nothing is measured meanwhile, so it may use all cores."""
        pinned.move(self._process.pid, pinned.ALLOWED)
        self.send(f"warm {lock}")

    def warmed_up(self) -> None:
        self.answer(limit_s=WARM_LIMIT_S)
        pinned.move(self._process.pid, {self._core})

    def move(self, core: int) -> None:
        """From now on it runs there."""
        self._core = core
        pinned.move(self._process.pid, {core})

    def resident_bytes(self) -> int:
        """What of its memory is in the machine's."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise self._failure("ended")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def processor_s(self) -> float:
        """Processor time that all its threads have used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, request: str) -> list[str]:
        self.send(request)
        return self.answer()

    def send(self, request: str) -> None:
        try:
            self._input.write(request.encode() + b"\n")
            self._input.flush()
        except BrokenPipeError as error:
            raise self._failure("ended") from error

    def answer(self, first: str = "ok", limit_s: float | None = None) -> list[str]:
        line = self._line(limit_s or self._limit_s)
        words = line.split()
        if not words or words[0] != first:
            raise self._failure(f"answered {line!r}")
        return words[1:]

    def stop(self) -> None:
        """End of input is the request to end; who does not obey is killed."""
        self._input.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._output.close()
            self._errors.close()

    def _line(self, limit_s: float) -> str:
        give_up = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            if not self._selector.select(give_up - time.monotonic()):
                raise self._failure(f"gave no answer within {limit_s:.0f} s")
            data = os.read(self._output.fileno(), 1 << 16)
            if not data:
                raise self._failure("ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def _failure(self, what: str) -> Failed:
        self._errors.seek(0)
        tail = self._errors.read().decode(errors="replace").strip()[-2000:]
        return Failed(f"{what}; its last words: {tail}" if tail else what)
