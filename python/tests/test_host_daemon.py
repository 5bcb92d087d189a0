"""Hosts that become daemons as Celery does: fork twice, and close every descriptor."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import Program

DAEMON = """
import gc, os, socket, sys, threading, time, traceback
import fencelock

client = fencelock.connect()
lock = client.lock(sys.argv[1], ttl=2)
free = client.lock(sys.argv[1] + "-free", ttl=2)
lease = lock.acquire()
later = []
waiter = threading.Thread(target=lambda: later.append(lock.acquire()))
waiter.start()
while client.inspect(lock.name).waiters == 0:
    pass
report = __file__ + ".report"
used = [int(number) for number in os.listdir("/proc/self/fd")]

def daemon():
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    # Files and sockets under each number that something of ours had.
    foreign = []
    while len(foreign) <= max(used) + 8:
        file = os.open(f"{report}.{len(foreign)}", os.O_RDWR | os.O_CREAT)
        foreign.append(file)
        ends = socket.socketpair()
        foreign += [end.detach() for end in ends]
    identities = [os.fstat(number) for number in foreign]

    assert lease.lost_reason() is fencelock.LossReason.FORKED
    with free as own:
        own.renew()
        assert client.inspect(lock.name).holder.fence > 0
        try:
            lock.acquire(timeout=0.1)
        except fencelock.AcquireTimeoutError:
            pass
        else:
            raise AssertionError
    # What workers of a daemon do.
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            with free:
                pass
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with free:
        pass
    globals().pop("lease")
    gc.collect()
    client.close()

    for number, identity in zip(foreign, identities, strict=True):
        now = os.fstat(number)
        assert (now.st_dev, now.st_ino, now.st_size) == (
            identity.st_dev, identity.st_ino, identity.st_size
        ), number
    for first, second in zip(foreign[1::3], foreign[2::3], strict=True):
        os.write(first, b"only this")
        assert os.read(second, 100) == b"only this"

if os.fork() == 0:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    try:
        daemon()
        outcome = "daemon"
    except BaseException:
        outcome = traceback.format_exc()
    with open(report + ".part", "w") as file:
        file.write(outcome)
    os.rename(report + ".part", report)
    sys.exit(0)

assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
while not os.path.exists(report):
    lease.check()
    time.sleep(0.01)
with open(report) as file:
    print(file.read(), flush=True)
lease.renew()
lease.release()
waiter.join()
later[0].release()
print("parent", flush=True)
"""


def test_daemon_that_closes_every_descriptor_works_anew(
    program: Callable[[str], Program],
) -> None:
    daemon = program(DAEMON)
    daemon.expect("daemon")
    daemon.expect("parent")
    assert daemon.end() == (0, "")


STRIPPED = """
import os, sys, threading, time
from pathlib import Path
import fencelock

CLOCK_MONOTONIC_COARSE = 6

def others():
    tasks = [Path("/proc/self/task", task) for task in os.listdir("/proc/self/task")]
    own = str(threading.get_native_id())
    return [(task / "status").read_text() for task in tasks if task.name != own]

client = fencelock.connect(response_timeout=20)
lock = client.lock(sys.argv[1], ttl=1.5)
lease = lock.acquire()
used = [int(number) for number in os.listdir("/proc/self/fd")]
# A thread that is on its way into a system call can't be told any more that the number is not its
# own now: all of them sleep, and none did anything between two looks.
before, now = None, others()
while now != before or any("S (sleeping)" not in thread for thread in now):
    before, now = now, others()
os.closerange(3, os.sysconf("SC_OPEN_MAX"))
flags = os.O_RDWR | os.O_CREAT
foreign = [os.open(f"{__file__}.{number}", flags) for number in range(max(used) + 8)]
identities = [os.fstat(number) for number in foreign]
# The look for closed descriptors is made once per tick of this clock.
tick = time.clock_gettime(CLOCK_MONOTONIC_COARSE)
while time.clock_gettime(CLOCK_MONOTONIC_COARSE) == tick:
    pass

try:
    lease.release()
except fencelock.LockLostError as error:
    print(error.reason, flush=True)
assert not lease.is_held()
# It lapses, and is renewed when it is held again.
with lock as own:
    own.renew()
    assert client.inspect(lock.name).holder.fence == own.fence
    if os.fork() == 0:
        assert client.lock(lock.name + "-child").acquire().release() is None
        assert identities == [os.fstat(number) for number in foreign]
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
client.close()
assert identities == [os.fstat(number) for number in foreign]
print("done", flush=True)
"""


@pytest.mark.server
def test_every_descriptor_is_closed_without_a_fork(program: Callable[[str], Program]) -> None:
    stripped = program(STRIPPED)
    stripped.expect("forked")
    stripped.expect("done")
    code, output = stripped.end()
    assert code == 0, output


# SQLite keeps what it knows of a file for as long as the process lives: there it can't begin anew.
STRIPPED_OF_A_FILE = (
    STRIPPED.split("# It lapses")[0]
    + """
try:
    lock.acquire()
except fencelock.UnavailableError as error:
    assert "start this process again" in str(error), error
    print("told", flush=True)
assert fencelock.connect("memory:").lock("x").acquire().release() is None
assert identities == [os.fstat(number) for number in foreign]
print("done", flush=True)
"""
)


@pytest.mark.file
def test_every_descriptor_is_closed_under_a_file(program: Callable[[str], Program]) -> None:
    stripped = program(STRIPPED_OF_A_FILE)
    for line in ("forked", "told", "done"):
        stripped.expect(line)
    code, output = stripped.end()
    assert code == 0, output
