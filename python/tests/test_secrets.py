"""Neither passwords nor owner tokens are shown to anybody."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
import redis

import fencelock
from conftest import Server, eventually

CANARY = "canary-pa55word"


def test_nothing_shows_password_or_token(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    server = Server("--requirepass", CANARY)
    request.addfinalizer(server.stop)
    caplog.set_level(logging.DEBUG)
    url = f"redis://:{CANARY}@127.0.0.1:{server.port}/0"
    shown: list[object] = []

    def failing(call: Callable[[], object]) -> None:
        with pytest.raises(fencelock.FencelockError) as caught:
            call()
        shown.extend(traceback.format_exception(caught.value))
        shown.append(pickle.dumps(caught.value))

    raw = redis.Redis(port=server.port, password=CANARY)
    client = fencelock.connect(url)
    lock = client.lock(name, ttl=1)
    own = fencelock.DistributedLock(name, url=url, blocking_timeout=0)
    lease = lock.acquire()
    token = raw.get(name)
    assert isinstance(token, bytes)
    shown += [client, lock, lease, own, client.inspect(name), client.server]
    failing(own.acquire)
    failing(lambda: fencelock.connect(url.replace(CANARY, CANARY + "-wrong")))
    for bad in (f"{url}?x=1", f"redis://:{CANARY}@@h", f"redis://:{CANARY}@h/x", f"x://{CANARY}"):
        failing(lambda bad=bad: fencelock.connect(bad))  # type: ignore[misc]
    raw.delete(name)
    eventually(lambda: not lease.is_held(), "the loss")
    failing(lease.check)
    lease = lock.acquire()
    server.kill()
    failing(lease.release)
    failing(lambda: fencelock.connect(url))
    failing(client.lock(name, ttl=1).try_acquire)
    client.close()

    eventually(lambda: len(caplog.records) > 1, "the log")
    shown += [record.getMessage() for record in caplog.records]
    shown += [vars(record) for record in caplog.records]
    text = " ".join(f"{thing!r} {thing}" for thing in shown)
    assert name in text
    assert CANARY not in text
    assert token.decode() not in text
    assert token.decode().removeprefix("fl1-") not in text


def test_wrong_password_is_denied(request: pytest.FixtureRequest) -> None:
    server = Server("--requirepass", CANARY)
    request.addfinalizer(server.stop)
    for url in (server.url, f"redis://:wrong@127.0.0.1:{server.port}"):
        with pytest.raises(fencelock.DeniedError) as caught:
            fencelock.connect(url)
        assert not caught.value.retryable
