"""`multiprocessing` and process pools, with each way to start a process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import Program

WORKERS = """
import concurrent.futures, multiprocessing, os, sys, threading
import fencelock

name, method, path = sys.argv[1], {method!r}, __file__ + ".count"
# Made anew where a process starts afresh, inherited where it is forked.
client = fencelock.connect()
lock = client.lock(name, ttl=5)

def count(_):
    with lock as lease:
        with open(path) as file:
            number = int(file.read())
        with open(path, "w") as file:
            file.write(str(number + 1))
        return os.getpid(), lease.fence

def fail():
    client.lock(name + "-held").acquire(timeout=0.05)

def one(results):
    results.put(count(None))

def main():
    with open(path, "w") as file:
        file.write("0")
    lease = client.lock(name + "-held", ttl=2).acquire()
    waiter = threading.Thread(target=lambda: client.lock(lease.name).acquire().release())
    waiter.start()
    lock.acquire().release()
    context = multiprocessing.get_context(method)

    results = context.SimpleQueue()
    processes = [context.Process(target=one, args=(results,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, process.exitcode
    fences = [results.get()[1] for _ in processes]

    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        counted = list(pool.map(count, range(30)))
        assert os.getpid() not in [pid for pid, _ in counted]
        fences += [fence for _, fence in counted]
        # An error comes back whole.
        error = pool.submit(fail).exception()
        assert type(error) is fencelock.AcquireTimeoutError, error
        assert error.lock == name + "-held" and error.kind == "acquire_timeout"
        # What belongs to this process is refused on its way to another.
        for thing in (client, lock, lease):
            error = pool.submit(print, thing).exception()
            assert type(error) is TypeError and "can't be pickled" in str(error), error
    assert len(set(fences)) == 33
    with open(path) as file:
        assert file.read() == "33"

    lease.renew()
    lease.release()
    waiter.join()
    print("done", flush=True)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_share_a_lock_and_leave_their_parents(
    program: Callable[[str], Program], method: str
) -> None:
    workers = program(WORKERS.format(method=method))
    workers.expect("done")
    assert workers.end() == (0, "")
