from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis

import fencelock
from conftest import LIMIT, Server, eventually, waiters
from fencelock._entries import Entries


def test_acquire_excludes_until_release(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    lease = lock.acquire()
    assert lease.is_held()
    assert lock.try_acquire() is None
    lease.release()
    assert not lease.is_held()
    again = lock.try_acquire()
    assert again is not None
    assert again.fence > lease.fence
    again.release()


def test_timeout_tells_who_waited(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    with lock.acquire(), pytest.raises(TimeoutError, match=name) as caught:
        lock.acquire(timeout=timedelta(milliseconds=50))
    assert isinstance(caught.value, fencelock.AcquireTimeoutError)
    assert caught.value.lock == name
    assert caught.value.retryable


def test_timeout_zero_makes_one_attempt(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    with client.lock(name).acquire(timeout=0):
        with pytest.raises(fencelock.AcquireTimeoutError):
            client.lock(name).acquire(0)
        assert waiters(raw, name) == 0


def test_lock_keeps_what_it_was_described_with(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name, ttl=timedelta(seconds=2), renew=False, max_hold=3, label="nightly")
    assert (lock.name, lock.ttl, lock.renew, lock.max_hold) == (name, 2.0, False, 3.0)
    assert lock.label == "nightly"
    for attribute in ("name", "ttl", "renew", "max_hold", "label"):
        with pytest.raises(AttributeError):
            setattr(lock, attribute, getattr(lock, attribute))
    with lock as lease:
        assert 1 < lease.remaining() <= 2
        seen = client.inspect(name)
        assert seen.holder is not None
        assert seen.holder.label == "nightly"
        assert seen.holder.fence == lease.fence
        assert seen.holder.ttl == 2.0
        assert not seen.holder.foreign
    assert client.inspect(name) == fencelock.Inspection(name, None, 0)


def test_with_gives_the_lease_and_releases(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    with lock as lease:
        assert isinstance(lease, fencelock.Lease)
        assert lease.is_held()
    assert lease.lost_reason() is None
    with lock.acquire(timeout=0):
        pass


def test_exception_of_the_body_passes_and_releases(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    with pytest.raises(KeyError, match="body"), lock:
        raise KeyError("body")
    with lock.acquire(timeout=0):
        pass


def test_release_in_the_body_is_no_error(
    client: fencelock.Client, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with client.lock(name) as lease:
        lease.release()
    with client.lock(name).acquire() as lease:
        lease.release()
    assert caplog.records == []


def test_lost_lease_is_raised_at_the_exit(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    with pytest.raises(fencelock.LockLostError) as caught, client.lock(name):
        raw.delete(name)
    assert caught.value.reason is fencelock.LossReason.REFUSED
    assert caught.value.lock == name


def test_exception_of_the_body_wins_and_notes_the_loss(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    with pytest.raises(KeyError) as caught, client.lock(name):
        raw.delete(name)
        raise KeyError("body")
    assert "no longer has this lease" in caught.value.__notes__[0]


def test_unconfirmed_release_is_a_warning(
    own_server: Server, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with fencelock.connect(own_server.url) as client, client.lock(name, ttl=1):
        own_server.kill()
    assert any("not confirmed" in record.message for record in caplog.records)


def test_entering_again_would_deadlock(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    with lock as lease:
        with pytest.raises(fencelock.WouldDeadlockError, match=name), lock:
            pytest.fail("entered")
        assert lease.is_held()
    with lock:
        pass


def test_another_thread_may_wait_inside_the_same_lock(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    lock = client.lock(name)

    def enter() -> int:
        with lock as lease:
            return lease.fence

    with ThreadPoolExecutor() as pool:
        with lock as lease:
            other = pool.submit(enter)
            eventually(lambda: waiters(raw, name) == 1, "the second thread's wait")
        assert other.result(LIMIT) > lease.fence


def test_exit_in_another_thread_takes_the_oldest(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    lease = lock.__enter__()
    with ThreadPoolExecutor() as pool:
        pool.submit(lock.__exit__, None, None, None).result(LIMIT)
    assert not lease.is_held()
    assert client.inspect(name).holder is None
    with pytest.raises(fencelock.NotHeldError):
        lock.__exit__(None, None, None)


def test_entries_are_kept_by_task() -> None:
    entries: Entries[str] = Entries("n")
    order = []

    async def inside(lease: str, leave: asyncio.Event) -> None:
        entries.inside[entries.place()] = lease
        with pytest.raises(fencelock.WouldDeadlockError):
            entries.place()
        await leave.wait()
        order.append((lease, entries.leave()))

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        tasks = [
            asyncio.create_task(inside("a", first)),
            asyncio.create_task(inside("b", second)),
        ]
        await asyncio.sleep(0)
        second.set()
        await tasks[1]
        first.set()
        await tasks[0]

    asyncio.run(main())
    assert order == [("b", "b"), ("a", "a")]


def test_threads_exclude_each_other(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)
    inside, fences = [0], []

    def work() -> None:
        for _ in range(50):
            with lock as lease:
                inside[0] += 1
                assert inside[0] == 1
                fences.append(lease.fence)
                inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work) for _ in range(8)]:
            done.result(LIMIT)
    assert len(fences) == 400
    assert fences == sorted(set(fences))


def test_decorated_function_holds_the_lock(client: fencelock.Client, name: str) -> None:
    lock = client.lock(name)

    @lock
    def work(a: int, *, b: int) -> int:
        """Adds."""
        assert lock.try_acquire() is None
        return a + b

    assert work(1, b=2) == 3
    assert work(a=3, b=4) == 7
    assert (work.__name__, work.__doc__) == ("work", "Adds.")
    assert client.inspect(name).holder is None


def test_decorated_function_that_calls_itself_is_told(client: fencelock.Client, name: str) -> None:
    @client.lock(name)
    def again() -> None:
        again()

    with pytest.raises(fencelock.WouldDeadlockError):
        again()


async def _coroutine() -> None: ...


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _generator() -> Iterator[int]:
    yield 1


class _Deferred:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "function", [_coroutine, _async_generator, _generator, _Deferred(), 7], ids=repr
)
def test_what_runs_later_is_not_decorated(
    client: fencelock.Client, name: str, function: Callable[..., object]
) -> None:
    with pytest.raises(TypeError):
        client.lock(name)(function)


def test_redis_py_is_excluded_and_excludes(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    lock, theirs = client.lock(name), raw.lock(name, timeout=10, thread_local=False)
    with lock:
        assert not theirs.acquire(blocking=False)
    assert theirs.acquire(blocking=False)
    assert lock.try_acquire() is None
    seen = client.inspect(name).holder
    assert seen is not None
    assert seen.foreign
    threading.Timer(0.05, theirs.release).start()
    lock.acquire(timeout=LIMIT).release()


def test_closed_client_says_so(url: str, name: str) -> None:
    client = fencelock.connect(url)
    lock = client.lock(name)
    lease = lock.acquire()
    client.close()
    client.close()
    assert lease.lost_reason() is fencelock.LossReason.CLOSED
    for call in (lock.acquire, lock.try_acquire, lambda: client.inspect(name)):
        with pytest.raises(fencelock.ClosedError):
            call()
    with fencelock.connect(url) as other:
        other.lock(name).acquire(timeout=0).release()


def test_close_ends_waits(url: str, client: fencelock.Client, name: str, raw: redis.Redis) -> None:
    other = fencelock.connect(url)
    with client.lock(name), ThreadPoolExecutor() as pool:
        wait = pool.submit(other.lock(name).acquire)
        eventually(lambda: waiters(raw, name) == 1, "the wait")
        other.close()
        with pytest.raises(fencelock.ClosedError):
            wait.result(LIMIT)
        assert waiters(raw, name) == 0
