"""Our scripts as the core sends them: with the shared parts put in."""

from __future__ import annotations

from harness.contenders import ROOT

LUA = ROOT / "core/src/backend/redis/lua"


def source(name: str) -> bytes:
    text = (LUA / f"{name}.lua").read_text()
    for part in ("quick", "common"):
        text = text.replace(f"--@{part}", (LUA / f"{part}.lua").read_text(), 1)
    return text.encode()
