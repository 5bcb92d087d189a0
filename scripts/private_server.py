"""A private Redis on a free port of 127.0.0.1, which ends with the program that asked for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def cargo_build(*arguments: str) -> None:
    subprocess.run(["cargo", "build", "--locked", "--quiet", *arguments], cwd=ROOT, check=True)


@contextlib.contextmanager
def private_server(profile: str) -> Iterator[str]:
    """Yields the server's URL. `profile` is cargo's folder: debug or release."""
    # It stops its server when its standard input closes, so also when we are killed.
    process = subprocess.Popen(
        [TARGET / profile / "fencelock-testserver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C at the terminal is for us alone: the server is to outlive what uses it.
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("error: the private server did not start")
        yield url
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()
