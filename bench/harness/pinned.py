"""Processes that run on one core and end with us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
# Asked at the start: the runner itself keeps off the measured core later.
ALLOWED = frozenset(os.sched_getaffinity(0))


def _before_exec(core: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        # Set before exec, so that every thread the program starts inherits it.
        os.sched_setaffinity(0, {core})
        # A runner that is killed must not leave a server behind.
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


def start(
    command: Sequence[str], core: int, stderr: IO[bytes] | int, pipes: bool = True
) -> subprocess.Popen[bytes]:
    """Start ``command`` on ``core``, with or without pipes to its standard input and output."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stderr=stderr,
        # Safe here: the runner has one thread.
        preexec_fn=_before_exec(core),
    )


def move(pid: int, cores: Collection[int]) -> None:
    """All threads of a process that runs already; those that they start inherit it."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
