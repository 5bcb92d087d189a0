"""Toolchains that setup does not install, and whether this machine has them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True)
class Tool:
    program: str
    tell: tuple[str, ...] = ()
    """The arguments to ask it for its version with."""
    least: Version = ()

    def lack(self) -> str | None:
        """Why this machine cannot build with it."""
        if shutil.which(self.program) is None:
            return f"{self.program} is not installed"
        found = self._version()
        if found < self.least:
            return f"{self.program} {dotted(self.least)} is not installed, only {dotted(found)}"
        return None

    def _version(self) -> Version:
        if not self.tell:
            return ()
        # Outside of any project: Go would read go.mod, and fetch what it asks for.
        told = subprocess.run(
            [self.program, *self.tell],
            cwd="/",
            env=os.environ | {"GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            check=False,
        )
        return parse(told.stdout)


def parse(text: str) -> Version:
    """The first version in it; none is older than all."""
    found = re.search(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def dotted(version: Version) -> str:
    return ".".join(map(str, version)) or "an older one"
