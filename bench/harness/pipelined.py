"""What redis-benchmark makes of our acquire script: the most that the server can do."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess

from harness import scripts
from harness.child import Failed

# Connections, and commands that each sends before it reads an answer.
SHAPES = [(50, 1), (50, 16), (1, 64)]


def _load(port: int) -> str:
    text = scripts.source("acquire")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n"
        connection.sendall(head + b"$%d\r\n%s\r\n" % (len(text), text))
        replies = connection.makefile("rb")
        sha = (replies.readline() and replies.readline()).decode().strip()
    if sha != hashlib.sha1(text).hexdigest():
        raise Failed(f"SCRIPT LOAD: {sha}")
    return sha


def pipelined(port: int, core: int, calls: int) -> dict[str, float]:
    """Script calls per second, each a grant of one of 100,000 locks for 1 ms, by shape."""
    sha, figures = _load(port), {}
    locks = "__rand_int__"
    keys = [f"b:{locks}", f"{{b:{locks}}}:fl:f", f"{{b:{locks}}}:fl:q", f"{{b:{locks}}}:fl:w"]
    arguments = [f"fl1-{locks}", "1", ""]
    for connections, pipeline in SHAPES:
        command = ["redis-benchmark", "-p", str(port), "-q", "-r", "100000", "-n", str(calls)]
        command += ["-c", str(connections), "-P", str(pipeline)]
        command += ["EVALSHA", sha, "4", *keys, *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        found = re.findall(r"([0-9.]+) requests per second", done.stdout)
        if not found:
            raise Failed(f"redis-benchmark: {done.stdout[-300:]}{done.stderr[-300:]}")
        about = f"{connections} connections, {pipeline} in a pipeline each"
        figures[about] = float(found[-1])
    return figures
