from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Callable

import pytest
import redis

import fencelock
from conftest import LIMIT, Server, eventually


def test_check_tells_released_from_lost(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    lock = client.lock(name)
    lease = lock.acquire()
    lease.check()
    lease.release()
    with pytest.raises(fencelock.NotHeldError):
        lease.check()
    with pytest.raises(fencelock.NotHeldError):
        lease.release()
    with pytest.raises(fencelock.NotHeldError), lease:
        pytest.fail("entered a lease that was released")

    lease = lock.acquire()
    raw.delete(name)
    with pytest.raises(fencelock.LockLostError):
        lease.renew()
    with pytest.raises(fencelock.LockLostError) as caught:
        lease.check()
    assert caught.value.reason is lease.lost_reason() is fencelock.LossReason.REFUSED
    assert lease.remaining() == 0
    with pytest.raises(fencelock.LockLostError), lease:
        pytest.fail("entered a lease that was lost")


def test_lease_without_renewal_expires(client: fencelock.Client, name: str) -> None:
    lease = client.lock(name, ttl=0.05, renew=False).acquire()
    eventually(lambda: not lease.is_held(), "the end of the TTL")
    assert lease.lost_reason() is fencelock.LossReason.EXPIRED


def test_renewal_outlasts_the_ttl_up_to_max_hold(client: fencelock.Client, name: str) -> None:
    lost: queue.Queue[fencelock.Lease] = queue.Queue()
    lock = client.lock(name, ttl=1, max_hold=1.5, on_lost=lost.put)
    lease = lock.acquire()
    fence = lease.fence
    assert lost.get(timeout=LIMIT) is lease
    assert lease.lost_reason() is fencelock.LossReason.MAX_HOLD
    with lock as lease:
        assert lease.fence > fence


def test_renew_gives_the_full_ttl(client: fencelock.Client, name: str, raw: redis.Redis) -> None:
    with client.lock(name, ttl=20, renew=False) as lease:
        raw.pexpire(name, 10_000)
        lease.renew()
        left = raw.pttl(name)
        assert isinstance(left, int)
        assert left > 15_000


def test_on_lost_is_called_once_on_a_thread_of_its_own(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    calls: queue.Queue[tuple[fencelock.Lease, str]] = queue.Queue()

    def told(lease: fencelock.Lease) -> None:
        calls.put((lease, threading.current_thread().name))

    lease = client.lock(name, ttl=1).acquire()
    lease.on_lost(told)
    raw.delete(name)
    assert calls.get(timeout=LIMIT) == (lease, "fencelock-events")
    # Registered after the loss: called all the same.
    lease.on_lost(told)
    assert calls.get(timeout=LIMIT)[0] is lease
    assert calls.empty()


def test_on_lost_is_not_called_for_a_release(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    calls: queue.Queue[fencelock.Lease] = queue.Queue()
    lock = client.lock(name, ttl=1, on_lost=calls.put)
    lock.acquire().release()
    lease = lock.acquire()
    raw.delete(name)
    # Events come in order: the first lease's would be here before the second one's.
    assert calls.get(timeout=LIMIT) is lease
    assert calls.empty()


def test_what_cannot_be_called_back_is_refused_at_once(client: fencelock.Client, name: str) -> None:
    with client.lock(name) as lease:
        for callback in (None, 7, asyncio.sleep, Awaited()):
            with pytest.raises(fencelock.InvalidArgumentError, match="on_lost"):
                lease.on_lost(callback)  # type: ignore[arg-type]


class Awaited:
    async def __call__(self, lease: fencelock.Lease) -> None:
        raise AssertionError("nobody awaits this")


def test_failing_callback_is_logged_and_others_run(
    client: fencelock.Client, name: str, raw: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    called = threading.Event()

    def fail(lease: fencelock.Lease) -> None:
        raise KeyError("callback")

    lease = client.lock(name, ttl=1).acquire()
    lease.on_lost(fail)
    lease.on_lost(lambda _: called.set())
    raw.delete(name)
    assert called.wait(LIMIT)
    assert any(record.exc_info and name in record.message for record in caplog.records)


def _drop(lock: fencelock.Lock) -> None:
    lock.acquire()


def _drop_in_a_cycle(lock: fencelock.Lock) -> None:
    cycle: list[object] = [lock.acquire()]
    cycle.append(cycle)
    del cycle
    gc.collect()


@pytest.mark.parametrize("drop", [_drop, _drop_in_a_cycle])
def test_discarded_lease_warns_and_does_not_unlock(
    client: fencelock.Client,
    name: str,
    raw: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    drop: Callable[[fencelock.Lock], None],
) -> None:
    with pytest.warns(ResourceWarning, match=name):
        drop(client.lock(name, ttl=1.5))
    assert raw.exists(name)
    assert client.lock(name).try_acquire() is None
    eventually(lambda: not raw.exists(name), "the end of the discarded lease")
    eventually(
        lambda: any("discarded" in record.getMessage() for record in caplog.records),
        "the line in the log",
    )


def test_lease_discarded_by_an_exception_leaves_it_alone(
    client: fencelock.Client, name: str
) -> None:
    lock = client.lock(name, ttl=1.5)
    with pytest.warns(ResourceWarning, match=name), pytest.raises(ZeroDivisionError):
        print(lock.acquire(), 1 / 0)


def test_released_or_lost_lease_is_collected_in_silence(
    client: fencelock.Client, name: str, raw: redis.Redis
) -> None:
    # Warnings are errors here.
    client.lock(name).acquire().release()
    lease = client.lock(name).acquire()
    raw.delete(name)
    with pytest.raises(fencelock.LockLostError):
        lease.renew()
    del lease
    gc.collect()


def test_lease_keeps_its_client_alive(url: str, name: str, raw: redis.Redis) -> None:
    lease = fencelock.connect(url).lock(name, ttl=1.5).acquire()
    gc.collect()
    first = raw.get(name)
    until = lease.remaining()
    eventually(lambda: lease.remaining() > until, "a renewal")
    assert raw.get(name) == first
    lease.release()


def test_lease_works_from_any_thread(client: fencelock.Client, name: str) -> None:
    lease = client.lock(name).acquire()
    thread = threading.Thread(target=lease.release)
    thread.start()
    thread.join()
    assert client.inspect(name).holder is None


def test_unreachable_server_is_a_connection_error(own_server: Server, name: str) -> None:
    client = fencelock.connect(own_server.url, connect_timeout=1, response_timeout=1)
    lease = client.lock(name, ttl=1).acquire()
    own_server.kill()
    with pytest.raises(ConnectionError, match=name) as caught:
        lease.release()
    assert isinstance(caught.value, fencelock.UnavailableError)
    assert caught.value.retryable
    with pytest.raises(fencelock.UnavailableError):
        fencelock.connect(own_server.url, connect_timeout=1)
    client.close()
