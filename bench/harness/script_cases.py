"""What each script can meet: the calls that make it so, and the calls whose cost is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import scripts
from harness.wire import Wire, Word

# Longer than a batch takes, on however busy a machine.
TTL_MS = 600_000
WINDOW_MS = "30000"
NAMES = ("acquire", "release", "poll", "extend", "cancel", "inspect")
# Seven strings as acquire sends them; what is left is what any script call costs.
NOTHING = b"return 1"

Call = tuple[str, str, tuple[str, ...]]
"""A script, a lock, and the arguments."""


def lock(number: int) -> str:
    return f"bench:invoice:{number:08}"


def client(number: int) -> str:
    return f"bench-client-{number:09}"


def token(number: int) -> str:
    return f"fl1-bench-token-{number:010}-"[:26]


def channel(number: int) -> str:
    return f"fl:c:{client(number)}"


HOLDER = 9_999_999_999


def acquire(
    name: str, who: int, of: int, wait: bool = False, mode: str = "P", ttl_ms: int = TTL_MS
) -> Call:
    place = f"{client(of)} {mode} {WINDOW_MS} 0" if wait else ""
    return "acquire", name, (token(who), str(ttl_ms), place)


def release(name: str, who: int) -> Call:
    return "release", name, (token(who),)


def poll(name: str, of: int, waiters: Sequence[int]) -> Call:
    each = [word for who in waiters for word in (token(who), str(TTL_MS))]
    return "poll", name, (client(of), WINDOW_MS, *each)


class Scripts:
    """The scripts as one server knows them."""

    def __init__(self, wire: Wire) -> None:
        self._hashes = {name: wire.ask("SCRIPT", "LOAD", scripts.source(name)) for name in NAMES}
        self._hashes["nothing"] = wire.ask("SCRIPT", "LOAD", NOTHING)

    def words(self, call: Call) -> list[Word]:
        script, name, arguments = call
        keys = [name, *(f"{{{name}}}:fl:{side}" for side in "fqw")]
        if script == "extend":
            del keys[2:]
        return ["EVALSHA", self._hashes[script], str(len(keys)), *keys, *arguments]


@dataclass(frozen=True)
class Case:
    name: str
    before: Callable[[int], list[Call]]
    timed: Callable[[int], list[Call]]
    answers: Callable[[object], bool]


def _held(count: int) -> list[Call]:
    return [acquire(lock(n), HOLDER, 0) for n in range(count)]


def _known(count: int) -> list[Call]:
    """Locks that were held before, as most are."""
    return [call for n in range(count) for call in (acquire(lock(n), n, n), release(lock(n), n))]


def _one_waits(count: int) -> list[Call]:
    """Each lock is held, and another client waits for it."""
    return _held(count) + [acquire(lock(n), n, n, wait=True) for n in range(count)]


def _line(length: int) -> list[Call]:
    """The first lock is held, and so many clients wait for it."""
    return [*_held(1), *(acquire(lock(0), n, n, wait=True) for n in range(length))]


def _hundred_of_one(_count: int) -> list[Call]:
    return [*_held(1), *(acquire(lock(0), n, 0, wait=True) for n in range(100))]


def _begins(word: str) -> Callable[[object], bool]:
    return lambda answer: isinstance(answer, list) and answer[0] == word


def _is(number: int) -> Callable[[object], bool]:
    return lambda answer: answer == number


def _waits(states: int) -> Callable[[object], bool]:
    def check(answer: object) -> bool:
        return (
            isinstance(answer, list)
            and len(answer) == states + 2
            and all(state[0] == "queued" for state in answer[2:])
        )

    return check


FREE, BUSY, FREED, HANDED, EXTEND = (
    "acquire, free", "acquire, taken", "release, nobody waits", "release, handed on", "extend",
)  # fmt: skip
JOIN, JOIN_LINE, POLL, POLL_LINE, POLL_MANY = (
    "acquire, first in the queue", "acquire, behind 99 or more", "poll, the only waiter",
    "poll, in a queue of 200", "poll for 100 waiters",
)  # fmt: skip
CANCEL, INSPECT, FIXED = "cancel, from the queue", "inspect", "any script with 7 strings"

CASES = [
    Case(
        FIXED,
        lambda count: [],
        lambda count: [("nothing", call[1], call[2]) for call in _held(count)],
        _is(1),
    ),
    Case(FREE, _known, _held, lambda answer: isinstance(answer, str)),
    Case(
        BUSY, _held, lambda count: [acquire(lock(n), n, n) for n in range(count)], _begins("busy")
    ),
    Case(JOIN, _held, lambda count: _one_waits(count)[count:], _begins("queued")),
    Case(
        JOIN_LINE,
        lambda count: _line(99),
        lambda count: [acquire(lock(0), 99 + n, n, wait=True) for n in range(count)],
        _begins("queued"),
    ),
    Case(FREED, _held, lambda count: [release(lock(n), HOLDER) for n in range(count)], _is(1)),
    Case(
        HANDED, _one_waits, lambda count: [release(lock(n), HOLDER) for n in range(count)], _is(2)
    ),
    Case(POLL, _one_waits, lambda count: [poll(lock(n), n, [n]) for n in range(count)], _waits(1)),
    Case(
        POLL_LINE,
        lambda count: _line(200),
        lambda count: [poll(lock(0), n % 200, [n % 200]) for n in range(count)],
        _waits(1),
    ),
    Case(
        POLL_MANY,
        _hundred_of_one,
        lambda count: [poll(lock(0), 0, range(100)) for _ in range(count)],
        _waits(100),
    ),
    Case(
        EXTEND,
        _held,
        lambda count: [("extend", lock(n), (token(HOLDER), str(TTL_MS))) for n in range(count)],
        _is(1),
    ),
    Case(
        CANCEL,
        _one_waits,
        lambda count: [("cancel", lock(n), (token(n),)) for n in range(count)],
        _is(1),
    ),
    Case(
        INSPECT,
        _held,
        lambda count: [("inspect", lock(n), ()) for n in range(count)],
        lambda answer: isinstance(answer, list) and len(answer) == 7,
    ),
]
