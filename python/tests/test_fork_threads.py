"""Forks while other threads connect, lock and close: engine threads begin and end meanwhile, and no
child is left with a lock that such a thread had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import LONG, Program

ROUNDS, FORKS = (6, 250) if LONG else (1, 40)

FORKING = """
import os, signal, sys, threading
import fencelock

name, forks = sys.argv[1], FORKS
over = threading.Event()

def churn(number):
    lock_name = f"{name}-{number}"
    while not over.is_set():
        with fencelock.connect() as client:
            client.lock(lock_name).acquire().release()

threads = [threading.Thread(target=churn, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
own = fencelock.connect()
lease = own.lock(f"{name}-own").acquire()
for number in range(forks):
    pid = os.fork()
    if pid == 0:
        # A child that hangs is ended by it, and so seen.
        signal.alarm(30)
        status = 1
        try:
            with fencelock.connect() as client:
                client.lock(f"{name}-child-{number}").acquire().release()
            own.lock(f"{name}-copy-{number}").acquire().release()
            assert not lease.is_held()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"child {number}: {status}"
over.set()
for thread in threads:
    thread.join()
lease.check()
lease.release()
print("all forks", flush=True)
""".replace("FORKS", str(FORKS))


@pytest.mark.parametrize("part", range(ROUNDS))
def test_no_child_of_a_busy_process_hangs(program: Callable[[str], Program], part: int) -> None:
    forking = program(FORKING)
    forking.expect("all forks")
    assert forking.end() == (0, "")
