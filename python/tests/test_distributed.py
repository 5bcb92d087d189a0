from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import redis

import fencelock
from conftest import LIMIT, Server
from fencelock import DistributedLock, _distributed

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("url")


def in_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(LIMIT)


def test_acquire_takes_and_keeps(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name, ttl=2)
    assert lock.acquire() is True
    token = raw.get(name)
    lease = lock.lease
    assert lease is not None
    # Renewed in the background, although nobody else refers to the lease.
    fence, first = lease.fence, lease.remaining()
    for _ in range(3):
        while lease.remaining() <= first:
            assert lease.is_held()
            first = lease.remaining()
        first = lease.remaining()
    assert raw.get(name) == token
    assert lease.fence == fence
    assert lock.release() is True
    assert raw.get(name) is None
    assert lock.lease is None


def test_acquire_raises_after_the_blocking_timeout(name: str) -> None:
    holder = DistributedLock(name)
    waiter = DistributedLock(name, blocking_timeout=0.05)
    assert holder.acquire()
    with pytest.raises(fencelock.AcquireTimeoutError):
        waiter.acquire()
    assert holder.release()
    assert waiter.acquire()
    assert waiter.release()


def test_the_blocking_timeout_is_5_s_unless_said() -> None:
    assert DistributedLock("a")._limit == 5.0
    assert DistributedLock("a", blocking_timeout=None)._limit is None


def test_acquire_without_blocking_returns_a_bool(name: str, raw: redis.Redis) -> None:
    holder, other = DistributedLock(name), DistributedLock(name)
    assert holder.acquire(blocking=False) is True
    assert other.acquire(blocking=False) is False
    with pytest.raises(fencelock.NotHeldError):
        other.release()
    assert raw.exists(name)
    assert holder.release()


def test_release_by_another_thread_after_its_time_out_frees_nothing(
    name: str, raw: redis.Redis
) -> None:
    lock = DistributedLock(name, blocking_timeout=0.05)
    assert lock.acquire()

    def contend() -> list[str]:
        caught = []
        try:
            lock.acquire()
        except fencelock.AcquireTimeoutError as error:
            caught.append(error.kind)
        finally:
            # What careless callers write.
            try:
                lock.release()
            except fencelock.NotHeldError as error:
                caught.append(error.kind)
        return caught

    assert in_thread(contend) == ["acquire_timeout", "not_held"]
    assert raw.exists(name)
    assert lock.lease is not None
    assert lock.lease.is_held()
    assert lock.release()


def test_any_thread_releases_if_it_is_not_thread_local(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name, thread_local=False)
    assert lock.acquire()
    with pytest.raises(fencelock.WouldDeadlockError):
        in_thread(lock.acquire)
    assert in_thread(lock.release)
    assert not raw.exists(name)
    with pytest.raises(fencelock.NotHeldError):
        lock.release()


def test_acquire_by_the_owner_would_deadlock(name: str) -> None:
    lock = DistributedLock(name)
    assert lock.acquire()
    for blocking in (True, False):
        with pytest.raises(fencelock.WouldDeadlockError, match=name):
            lock.acquire(blocking=blocking)
    assert lock.release()


def test_release_without_acquire_raises(name: str) -> None:
    with pytest.raises(fencelock.NotHeldError):
        DistributedLock(name).release()


def test_release_of_a_lost_lock_raises(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name)
    assert lock.acquire()
    raw.set(name, "somebody else")
    with pytest.raises(fencelock.LockLostError):
        lock.release()
    assert raw.get(name) == b"somebody else"
    raw.delete(name)
    assert lock.acquire()
    assert lock.release()


def test_owner_of_a_lost_lock_may_acquire_again(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name)
    assert lock.acquire()
    raw.delete(name)
    assert lock.lease is not None
    with pytest.raises(fencelock.LockLostError):
        lock.lease.renew()
    assert lock.acquire()
    assert lock.release()


def test_with_binds_the_lock_itself(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name)
    with lock as bound:
        assert bound is lock
        assert raw.exists(name)
    assert not raw.exists(name)
    with lock:
        assert lock.release()
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not raw.exists(name)


def test_exit_tells_a_loss(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name)
    with pytest.raises(fencelock.LockLostError), lock:
        raw.delete(name)
    with pytest.raises(KeyError) as caught, lock:
        raw.delete(name)
        raise KeyError
    assert caught.value.__notes__


class Counting(DistributedLock):
    """A subclass as users write it."""

    def __init__(self, lock_name: str, owner: str) -> None:
        super().__init__(lock_name, ttl=3)
        self.owner = owner
        self.taken = 0

    def acquire(self, blocking: bool = True) -> bool:
        self.taken += 1
        return super().acquire(blocking)


def test_subclasses_work_and_pickle(name: str) -> None:
    with Counting(name, "me") as lock:
        assert lock.taken == 1
        twin = pickle.loads(pickle.dumps(lock))
        assert (twin.lock_name, twin.owner, twin.taken) == (name, "me", 1)
        assert twin.lease is None
        with pytest.raises(fencelock.NotHeldError):
            twin.release()
        assert twin.acquire(blocking=False) is False
        assert lock.lease is not None
        assert lock.lease.is_held()
    assert twin.acquire()
    assert twin.release()


def test_pickles_as_its_options(name: str, url: str) -> None:
    lock = DistributedLock(name, url=url, ttl=3, blocking_timeout=None, thread_local=False)
    twin = pickle.loads(pickle.dumps(lock))
    for key in ("lock_name", "_url", "_ttl", "_limit", "_thread_local"):
        assert getattr(twin, key) == getattr(lock, key)
    with pytest.raises(TypeError), fencelock.connect(url) as client:
        pickle.dumps(DistributedLock(name, client=client))


def test_lock_name_is_an_attribute_that_counts(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock("something else")
    lock.lock_name = name
    with lock:
        assert raw.exists(name)


def test_client_may_be_given(client: fencelock.Client, url: str, name: str) -> None:
    with DistributedLock(name, client=client) as lock:
        assert lock.lease is not None
        assert client.inspect(name).holder is not None
    with pytest.raises(fencelock.InvalidArgumentError):
        DistributedLock(name, url=url, client=client)


def test_one_client_per_url(own_server: Server, url: str) -> None:
    def client_of(lock: DistributedLock) -> object:
        return lock._lock._client

    shared = client_of(DistributedLock("a"))
    assert client_of(DistributedLock("b", url=url)) is shared
    assert client_of(DistributedLock("a", url=own_server.url)) is not shared


def test_without_any_url_localhost_is_used_lazily_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("FENCELOCK_URL")
    monkeypatch.setattr(_distributed, "_told", [])
    locks = [DistributedLock("a") for _ in range(3)]
    assert {lock._lock._client.server for lock in locks} == {"redis://localhost:6379/0"}
    told = [record for record in caplog.records if "FENCELOCK_URL" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]


def test_thread_that_ends_without_release_frees_nothing(name: str, raw: redis.Redis) -> None:
    lock = DistributedLock(name, ttl=1.5)
    with pytest.warns(ResourceWarning, match=name):
        thread = threading.Thread(target=lock.acquire)
        thread.start()
        thread.join()
        del thread
    assert lock.acquire(blocking=False) is False
    assert raw.exists(name)
    assert lock.acquire()
    assert lock.release()
