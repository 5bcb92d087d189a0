"""What a forked child may and may not do."""

from __future__ import annotations

import signal
from collections.abc import Callable

import redis

import fencelock
from conftest import Program

LIVE = """
import os, queue, sys, threading
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1], ttl=2)
free = client.lock(sys.argv[1] + "-free", ttl=2)
lease = lock.acquire()
lost = queue.Queue()
lease.on_lost(lost.put)
later = []
waiter = threading.Thread(target=lambda: later.append(lock.acquire()))
waiter.start()

if os.fork() == 0:
    assert not lease.is_held()
    assert lease.lost_reason() is fencelock.LossReason.FORKED
    for call in (lease.check, lease.release, lease.renew):
        try:
            call()
        except fencelock.LockLostError as error:
            assert error.reason is fencelock.LossReason.FORKED
        else:
            raise AssertionError(call)
    # Everything works anew: locks, waiting, callbacks.
    with free as own:
        own.on_lost(lost.put)
        assert client.lock(free.name).try_acquire() is None
        assert client.inspect(lock.name).holder.fence == lease.fence
        try:
            lock.acquire(timeout=0.1)
        except fencelock.AcquireTimeoutError:
            pass
        fencelock.connect().close()
    again = free.acquire()
    again.on_lost(lost.put)
    client.close()
    assert lost.get(timeout=20) is again
    del lease, again
    print("child", flush=True)
    sys.exit(0)

assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
lease.renew()
assert lease.is_held() and lost.empty()
lease.release()
waiter.join()
later[0].release()
print("parent", flush=True)
"""


def test_child_connects_anew_and_the_lease_stays_with_the_parent(
    program: Callable[[str], Program],
) -> None:
    forking = program(LIVE)
    forking.expect("child")
    forking.expect("parent")
    assert forking.end() == (0, "")


WITH = """
import os, sys
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1])
own = fencelock.DistributedLock(sys.argv[1] + "-own")
own.acquire()
child = None
try:
    with lock as lease:
        child = os.fork()
        if child == 0:
            # Not inside: what the parent entered is the parent's, and waited for.
            with lock as later:
                assert later.fence > lease.fence
            assert own.acquire(blocking=False) is False
            try:
                own.release()
            except fencelock.NotHeldError:
                pass
            else:
                raise AssertionError
except fencelock.LockLostError as error:
    assert child == 0 and error.reason == "forked"
    print("child", flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
own.release()
print("parent", flush=True)
"""


def test_child_leaves_the_scope_of_its_parent(program: Callable[[str], Program]) -> None:
    forking = program(WITH)
    forking.expect("child")
    forking.expect("parent")
    assert forking.end() == (0, "")


KILLED = """
import os, sys, time
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1], ttl=2)
lease = lock.acquire()
if os.fork() == 0:
    sys.stdin.readline()
    lease = lock.acquire(timeout=20)
    print("child", flush=True)
    os._exit(0)
print("forked", flush=True)
time.sleep(1000)
"""


def test_child_does_not_keep_the_lock_of_a_killed_parent(
    program: Callable[[str], Program], name: str, client: fencelock.Client, raw: redis.Redis
) -> None:
    forking = program(KILLED)
    forking.expect("forked")
    assert raw.exists(name)
    forking.process.send_signal(signal.SIGKILL)
    assert forking.process.stdin is not None
    forking.process.stdin.write("\n")
    forking.process.stdin.flush()
    forking.expect("child")


POOL = """
import multiprocessing, sys
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1])
lock.acquire().release()

def work(_):
    with lock as lease:
        return lease.fence

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(4) as pool:
        fences = pool.map(work, range(40))
    assert len(set(fences)) == 40
    print("done", flush=True)
"""


def test_prefork_workers_share_a_lock(program: Callable[[str], Program]) -> None:
    pool = program(POOL)
    pool.expect("done")
    assert pool.end() == (0, "")


EXITING = """
import os, sys, threading, time
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1])
lease = lock.acquire()
waiter = threading.Thread(target=lock.acquire, daemon=True)
waiter.start()
while client.inspect(lock.name).waiters == 0:
    pass
times = []
for _ in range(5):
    started = time.monotonic()
    if os.fork() == 0:
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    times.append(time.monotonic() - started)
lease.check()
print("at once" if min(times) < 0.9 else times, flush=True)
client.close()
waiter.join()
"""


def test_child_exits_without_waiting_for_threads_of_its_parent(
    program: Callable[[str], Program],
) -> None:
    program(EXITING).expect("at once")


PENDING = """
import logging, os, queue, sys, threading
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1], ttl=0.05, renew=False)
entered, go_on = threading.Event(), threading.Event()

def slow(lease):
    entered.set()
    go_on.wait()

def lose(told):
    lease = lock.acquire()
    lease.on_lost(told)
    return lease

first = lose(slow)
entered.wait()
# These events stay on the queue of the parent.
second = lose(slow)
while second.is_held():
    pass
if os.fork() == 0:
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("fencelock").addHandler(handler)
    told = queue.Queue()
    third = lose(told.put)
    assert told.get(timeout=20) is third
    print("records", len(records), flush=True)
    os._exit(0)
os.wait()
go_on.set()
"""


def test_child_does_not_hear_its_parents_events(program: Callable[[str], Program]) -> None:
    program(PENDING).expect("records 1")
