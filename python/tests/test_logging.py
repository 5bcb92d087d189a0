from __future__ import annotations

import logging
import queue
from collections.abc import Iterator

import pytest
import redis

import fencelock
from conftest import LIMIT, eventually

logger = logging.getLogger("fencelock")


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: queue.Queue[logging.LogRecord] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.queue.put(record)


@pytest.fixture
def records() -> Iterator[Records]:
    records = Records()
    logger.addHandler(records)
    yield records
    logger.removeHandler(records)


def lose(client: fencelock.Client, name: str, raw: redis.Redis) -> fencelock.Lease:
    lease = client.lock(name, ttl=1).acquire()
    raw.delete(name)
    eventually(lambda: not lease.is_held(), "the loss")
    return lease


def test_lost_lease_is_a_warning(
    client: fencelock.Client, name: str, raw: redis.Redis, records: Records
) -> None:
    lose(client, name, raw)
    record = records.queue.get(timeout=LIMIT)
    assert (record.name, record.levelno) == ("fencelock", logging.WARNING)
    assert record.getMessage() == f"lease lost (lock={name!r}, reason='refused')"
    assert record.__dict__["fencelock"] == {"lock": name, "reason": "refused"}


def test_percent_signs_and_line_breaks_are_text(
    client: fencelock.Client, raw: redis.Redis, records: Records
) -> None:
    lose(client, "100%s\nWARNING forged", raw)
    assert r"'100%s\nWARNING forged'" in records.queue.get(timeout=LIMIT).getMessage()


def test_failing_handler_does_not_stop_callbacks(
    client: fencelock.Client,
    name: str,
    raw: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Failing(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise KeyError("handler")

    monkeypatch.setattr(logger, "handlers", [Failing()])
    called: queue.Queue[fencelock.Lease] = queue.Queue()
    lease = lose(client, name, raw)
    lease.on_lost(called.put)
    assert called.get(timeout=LIMIT) is lease
    assert "KeyError: 'handler'" in capfd.readouterr().err


def test_what_nobody_listens_to_is_not_written(
    url: str,
    name: str,
    raw: redis.Redis,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: queue.Queue[fencelock.Lease] = queue.Queue()
    monkeypatch.setattr(logger, "level", logging.CRITICAL)
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    with fencelock.connect(url) as client:
        lease = lose(client, name, raw)
        lease.on_lost(told.put)
        # Events come in order: the line would be here before the callback.
        assert told.get(timeout=LIMIT) is lease
        monkeypatch.undo()
        logger.manager._clear_cache()  # type: ignore[attr-defined]
        assert records.queue.empty()
    with fencelock.connect(url) as client:
        lose(client, name, raw)
        assert name in records.queue.get(timeout=LIMIT).getMessage()
