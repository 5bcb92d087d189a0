from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import fencelock

BAD_TIMES = [-1, -0.001, timedelta(seconds=-1), math.nan, math.inf, True, "5", Decimal(5), 10**400]


@pytest.mark.parametrize("time", BAD_TIMES, ids=repr)
def test_bad_durations_are_refused(client: fencelock.Client, name: str, time: Any) -> None:
    for call in (
        lambda: client.lock(name, ttl=time),
        lambda: client.lock(name, max_hold=time),
        lambda: client.lock(name).acquire(timeout=time),
        lambda: fencelock.connect(connect_timeout=time),
        lambda: fencelock.connect(response_timeout=time),
        lambda: fencelock.DistributedLock(name, ttl=time),
        lambda: fencelock.DistributedLock(name, blocking_timeout=time),
    ):
        with pytest.raises(fencelock.InvalidArgumentError):
            call()
    assert client.inspect(name).holder is None


@pytest.mark.parametrize("time", [5, 5.0, timedelta(seconds=5)], ids=repr)
def test_durations_are_seconds_or_timedelta(
    client: fencelock.Client, name: str, time: fencelock.Duration
) -> None:
    lock = client.lock(name, ttl=time)
    assert lock.ttl == 5.0
    with lock.acquire(timeout=time) as lease:
        assert 4 < lease.remaining() < 5


def test_a_timeout_beyond_all_clocks_is_none(client: fencelock.Client, name: str) -> None:
    client.lock(name).acquire(timeout=1e300).release()


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": 0.049},
        {"ttl": 3601},
        {"ttl": 86401, "renew": False},
        {"max_hold": 0},
        {"label": "x" * 129},
        {"label": b"x"},
        {"label": "\ud800"},
        {"on_lost": 7},
        {"on_lost": asyncio.sleep},
    ],
    ids=repr,
)
def test_bad_options_are_refused_at_once(
    client: fencelock.Client, name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(fencelock.InvalidArgumentError):
        client.lock(name, **options)


@pytest.mark.parametrize("bad", ["", "x" * 513, "a:fl:q", "a{b", b"a", 7, None, "\ud800"], ids=repr)
def test_bad_names_are_refused_at_once(client: fencelock.Client, bad: Any) -> None:
    for call in (client.lock, client.inspect, fencelock.DistributedLock):
        with pytest.raises(fencelock.InvalidArgumentError):
            call(bad)


@pytest.mark.parametrize(
    "name", ["a b\n", "schlo\u00df", "\U0001f512", "a\x00b", "{tag}:1"], ids=repr
)
def test_names_are_any_text(client: fencelock.Client, name: str) -> None:
    with client.lock(name) as lease:
        assert lease.name == name
        assert client.inspect(name).holder is not None


@pytest.mark.parametrize("timeout", [5, None, 0, False])
def test_timeout_of_a_lock_is_refused_and_names_ttl(
    client: fencelock.Client, name: str, timeout: Any
) -> None:
    with pytest.raises(fencelock.InvalidArgumentError, match="ttl"):
        client.lock(name, timeout=timeout)


@pytest.mark.parametrize(
    "bad", ["", "localhost", "redis://h?timeout=3", "http://h", b"redis://h", 7]
)
def test_bad_urls_are_refused(bad: Any) -> None:
    with pytest.raises(fencelock.InvalidArgumentError):
        fencelock.connect(bad)


def test_what_is_not_built_yet_says_so() -> None:
    with pytest.raises(fencelock.UnsupportedError):
        fencelock.connect("zookeeper://h")


def test_without_a_url_the_variable_is_used(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fencelock.connect() as client:
        assert client.server == url
        client.lock(name).acquire().release()
    monkeypatch.delenv("FENCELOCK_URL")
    with pytest.raises(fencelock.InvalidArgumentError, match="FENCELOCK_URL"):
        fencelock.connect()


def test_prefixes_keep_apart(client: fencelock.Client, url: str, name: str) -> None:
    with fencelock.connect(url, prefix="p:") as other, client.lock(name), other.lock(name) as mine:
        assert mine.name == name
        assert client.inspect(f"p:{name}").holder is not None
    with pytest.raises(fencelock.InvalidArgumentError):
        fencelock.connect(f"{url}?prefix=q%3A", prefix="p:")
