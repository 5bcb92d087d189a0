"""How much of the server's processor each script takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.script_cases import CASES, Case, Scripts, channel
from harness.server import Server
from harness.wire import Wire, packed


@dataclass(frozen=True)
class Cost:
    case: str
    pipelined_us: float
    """Many calls by one connection: the script and its command alone."""
    own_us: float
    """Each call by a connection of its own, all at once: reading and writing, too."""
    alone_us: float
    """One call after the other: waking up for it, too."""


def script_costs(server: Server, calls: int, rounds: int) -> list[Cost]:
    control = Wire(server.port)
    scripts = Scripts(control)
    crowd = [Wire(server.port) for _ in range(calls)]
    # Each waiting client is told on a connection of its own.
    listeners = [Wire(server.port) for _ in range(calls)]
    for number, listener in enumerate(listeners):
        listener.ask("SUBSCRIBE", channel(number))
    try:
        return [_cost(server, control, scripts, crowd, case, rounds) for case in CASES]
    finally:
        for wire in (control, *crowd, *listeners):
            wire.close()


def _cost(
    server: Server, control: Wire, scripts: Scripts, crowd: list[Wire], case: Case, rounds: int
) -> Cost:
    before = [scripts.words(call) for call in case.before(len(crowd))]
    timed = [packed(scripts.words(call)) for call in case.timed(len(crowd))]

    def busy_s(run: Callable[[], list[object]]) -> float:
        server.empty()
        control.ask_all(before)
        start = server.processor_s()
        answers = run()
        used = server.processor_s() - start
        if wrong := [answer for answer in answers if not case.answers(answer)]:
            raise RuntimeError(f"{case.name}: {wrong[0]!r}")
        return used

    def pipelined() -> list[object]:
        control.socket.sendall(b"".join(timed))
        return [control.reply() for _ in timed]

    def own() -> list[object]:
        with server.paused():
            for wire, call in zip(crowd, timed, strict=True):
                wire.socket.sendall(call)
        return [wire.reply() for wire in crowd]

    def alone() -> list[object]:
        answers = []
        for wire, call in zip(crowd, timed, strict=True):
            wire.socket.sendall(call)
            answers.append(wire.reply())
        return answers

    least = [min(busy_s(run) for _ in range(rounds)) for run in (list, pipelined, own, alone)]
    return Cost(case.name, *((used - least[0]) * 1e6 / len(timed) for used in least[1:]))
