#!/usr/bin/env python3
"""Takes each rule of conformance/rules.toml out, one at a time, and checks that its test fails.

Works in a copy of the tree.

check_rules.py [WORDS]: only the rules with these words in them.
check_rules.py --texts: only whether what each rule's change replaces is there; quick.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "rules" / "tree"
BUILT = ROOT / "target" / "rules" / "build"
# A test that waits for what never comes has failed as well.
LIMIT_S = 60


def copy_tree() -> None:
    """The files that git knows, as they are now.

    Unchanged ones keep their times, so that little is built again.
    """
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, COPY / name
        if not source.is_file():
            continue
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for old in COPY.rglob("*"):
        if old.is_file() and str(old.relative_to(COPY)) not in names and ".venv" not in old.parts:
            old.unlink()
    venv = COPY / ".venv"
    if not venv.exists():
        venv.symlink_to(ROOT / ".venv")


def cargo(arguments: list[str], *, build_only: bool) -> tuple[bool | None, str]:
    """Whether it went well (None: not in time), and the end of what it printed."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILT)}
    split = arguments.index("--") if "--" in arguments else len(arguments)
    command = ["cargo", "test", "--locked", *arguments[:split]]
    command += ["--no-run"] if build_only else arguments[split:]
    try:
        done = subprocess.run(
            command,
            cwd=COPY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=None if build_only else LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    ran_none = not build_only and " 1 passed" not in done.stdout and " 1 failed" not in done.stdout
    if ran_none and done.returncode == 0:
        return False, "no test of this name\n" + done.stdout[-2000:]
    return done.returncode == 0, done.stdout[-2000:]


def build_arguments(arguments: list[str]) -> list[str]:
    """Without the test's name, which would be built for as well."""
    kept = [
        a
        for i, a in enumerate(arguments)
        if a.startswith("-") or i == 0 or arguments[i - 1] in ("-p", "--test")
    ]
    return kept[: kept.index("--")] if "--" in kept else kept


def misplaced(rule: dict[str, str]) -> str | None:
    """What is wrong with the text that the rule's change replaces, if anything."""
    count = (ROOT / rule["file"]).read_text().count(rule["find"])
    return None if count == 1 else f"{rule['file']} has its text {count} times, not once"


def check(rule: dict[str, str]) -> str | None:
    """What is wrong, if anything."""
    wrong = misplaced(rule)
    if wrong:
        return wrong
    path = COPY / rule["file"]
    text = path.read_text()
    arguments = rule["test"].split()
    try:
        path.write_text(text.replace(rule["find"], rule["put"]))
        built, output = cargo(build_arguments(arguments), build_only=True)
        if not built:
            return f"it does not build without the rule:\n{output}"
        passed, output = cargo(arguments, build_only=False)
        if passed:
            return "its test passes without it"
        if passed is False and " 1 failed" not in output and "FAILED" not in output:
            return f"its test did not run:\n{output}"
        return None
    finally:
        path.write_text(text)


def main() -> None:
    rules = tomllib.loads((ROOT / "conformance" / "rules.toml").read_text())["rule"]
    if sys.argv[1:] == ["--texts"]:
        stale = [f"{rule['rule']}: {misplaced(rule)}" for rule in rules if misplaced(rule)]
        sys.exit("\n".join(stale) or 0)
    copy_tree()
    words = " ".join(sys.argv[1:])
    failures = 0
    chosen = [rule for rule in rules if words in rule["rule"]]
    # With every rule in place each test passes: else its failing says nothing.
    for test in sorted({rule["test"] for rule in chosen}):
        built, output = cargo(build_arguments(test.split()), build_only=True)
        passed, output = cargo(test.split(), build_only=False) if built else (False, output)
        if not passed:
            failures += 1
            print(f"FAILED with every rule in place: {test}\n{output}", flush=True)
    for rule in chosen:
        wrong = check(rule)
        failures += wrong is not None
        said = "ok    " if wrong is None else "FAILED"
        print(said, rule["rule"], wrong or "", flush=True)
    print(f"{len(chosen)} rules, each taken out once: {failures} not guarded")
    sys.exit(1 if failures or not chosen else 0)


if __name__ == "__main__":
    main()
