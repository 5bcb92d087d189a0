"""Arguments that every class takes alike."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias, TypeVar

from fencelock.errors import InvalidArgumentError

Duration: TypeAlias = int | float | timedelta
"""A time: seconds as int or float, or a `timedelta`."""

Pem: TypeAlias = str | os.PathLike[str] | bytes
"""Certificates or a key in PEM: a file's path, or what is in one."""

TlsParts: TypeAlias = tuple[
    str | bytes | None,
    str | bytes | None,
    str | bytes | None,
    str | None,
    str | None,
    bool | None,
]
"""CA, certificate, key (paths as str, PEM as bytes), server name, oldest version, danger."""


def seconds(value: Duration, what: str) -> float:
    """A duration in seconds; refuses what is none."""
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _float(value)
    else:
        raise InvalidArgumentError(
            f"{what} is {value!r}, of type {type(value).__name__}; give seconds as int or float, "
            "or a timedelta"
        )
    if not 0 <= number < math.inf:
        raise InvalidArgumentError(f"{what} is {value!r}; give a time of 0 or more, and finite")
    return number


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def optional_seconds(value: Duration | None, what: str) -> float | None:
    """As `seconds`, with None left as it is."""
    return None if value is None else seconds(value, what)


def text(value: str, what: str) -> str:
    """A `str`; refuses what is none."""
    if not isinstance(value, str):
        raise InvalidArgumentError(
            f"{what} is {value!r}, of type {type(value).__name__}; give a str"
        )
    return value


def optional_text(value: str | None, what: str) -> str | None:
    """As `text`, with None left as it is."""
    return None if value is None else text(value, what)


CallbackT = TypeVar("CallbackT", bound=Callable[..., object])


def callback(value: CallbackT, what: str) -> CallbackT:
    """What can be called back; a coroutine function would be called, and its body never run."""
    if not callable(value):
        raise InvalidArgumentError(f"{what} is {value!r}, which can't be called; give a function")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(
        getattr(value, "__call__", None)  # noqa: B004 -- an object with one
    ):
        raise InvalidArgumentError(
            f"{what} is {value!r}, a coroutine function, whose body nobody would run; give a "
            "plain function, which may begin a task"
        )
    return value


def optional_pem(value: Pem | None, what: str) -> str | bytes | None:
    """A path as `str`, PEM as `bytes`; refuses what is neither, and does not show it."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and "-----BEGIN" in value:
        return value.encode()
    if value is None or isinstance(value, (str, bytes)):
        return value
    raise InvalidArgumentError(
        f"{what} is of type {type(value).__name__}; give a path, or PEM as bytes or str"
    )


def tls_parts(
    ca: Pem | None,
    cert: Pem | None,
    key: Pem | None,
    server_name: str | None,
    min_version: str | None,
    danger_accept_invalid_certs: bool | None,
) -> TlsParts:
    """The options of TLS as the engine takes them."""
    if danger_accept_invalid_certs not in (None, True, False):
        raise InvalidArgumentError(
            "danger_accept_invalid_certs is not True or False; leave it out, and give the "
            "server's CA as tls_ca"
        )
    return (
        optional_pem(ca, "tls_ca"),
        optional_pem(cert, "tls_cert"),
        optional_pem(key, "tls_key"),
        optional_text(server_name, "tls_server_name"),
        optional_text(min_version, "tls_min_version"),
        danger_accept_invalid_certs,
    )
