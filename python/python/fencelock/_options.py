"""Arguments that every class takes alike."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TypeAlias

from fencelock.errors import InvalidArgumentError

Duration: TypeAlias = int | float | timedelta
"""A time: seconds as int or float, or a `timedelta`."""


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
