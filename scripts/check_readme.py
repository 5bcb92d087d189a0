"""Runs the documentation's Python examples, each as a program of its own in an empty folder, on a
private server where they name none.

Arguments: the Markdown files; by default those at the top and in docs/. A block that starts with
a line `# not run: <reason>` is only compiled. Links to files that are not there are told, too.
The one in docs/c.md is for check_c.py, which has the library that it loads.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from private_server import ROOT, cargo_build, private_server

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
LIMIT_S = 60


def main() -> int:
    files = [Path(name) for name in sys.argv[1:]] or [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    cargo_build("-p", "fencelock-testserver")
    run = passed = failed = 0
    with private_server("debug") as url:
        for file in files:
            text = file.read_text()
            for link in LINK.findall(text):
                if not (file.parent / link).exists():
                    failed += 1
                    print(f"{os.path.relpath(file)} links to {link}, which is not there")
            for block in BLOCK.finditer("" if file.name == "c.md" else text):
                code = block[1]
                line = text.count("\n", 0, block.start(1)) + 1
                name = f"{os.path.relpath(file)}:{line}"
                # Blank lines before it, so that a syntax error tells the line in the document.
                compile("\n" * (line - 1) + code, name, "exec")
                if code.startswith("# not run: "):
                    continue
                run += 1
                good = passes(name, code, url)
                passed += good
                failed += not good
    print(f"{passed} of {run} Python examples in the documentation work")
    return 1 if failed or not run else 0


def passes(name: str, code: str, url: str) -> bool:
    environment = os.environ | {"FENCELOCK_URL": url}
    # A warning that nobody meant to show (a lease thrown away, say) is a mistake in the example.
    command = [sys.executable, "-W", "error", "-c", code]
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
    except subprocess.TimeoutExpired:
        print(f"{name} takes more than {LIMIT_S} s:\n{code}")
        return False
    if done.returncode:
        print(f"{name} failed:\n{code}\n{done.stdout}{done.stderr}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
