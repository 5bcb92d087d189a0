"""What all measures have in common: rounds of short turns, and a time for them."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from harness.child import Failed
from harness.entrant import Entrant
from harness.figures import Panel

Turn = TypeVar("Turn")


class RoundLimits(NamedTuple):
    least: int
    """Whatever time they take."""
    most: int


class Measure(ABC, Generic[Turn]):
    """One measure: every turn's result is kept, so that ratios compare the same moments."""

    key: ClassVar[str]
    """As it is called on the command line, such as ``m1``."""
    name: ClassVar[str]
    operation: ClassVar[str]
    """What an adapter must offer."""
    minutes: ClassVar[float]
    """About how much of a whole run it takes."""
    least_rounds: ClassVar[int] = 5
    """Whatever time they take, unless fewer are asked for."""
    beside_server: ClassVar[bool] = False
    """Whether the clients are on the server's core, or on one of their own."""

    def __init__(self) -> None:
        self.turns: dict[str, list[Turn]] = {}
        self.about: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.core = 0
        """The clients'."""

    @abstractmethod
    def turn(self, entrant: Entrant) -> Turn: ...

    @abstractmethod
    def figures(self) -> dict[str, dict[str, Any]]:
        """By contender."""

    @abstractmethod
    def panels(self, figures: dict[str, dict[str, Any]]) -> list[Panel]:
        """What of them to draw, in one picture."""

    @abstractmethod
    def table(self, figures: dict[str, dict[str, Any]]) -> list[str]:
        """The lines of markdown below the heading."""

    def takes(self, entrant: Entrant) -> bool:
        return entrant.can(self.operation)

    def run(
        self, entrants: Sequence[Entrant], rounds: RoundLimits, seconds: float, dice: random.Random
    ) -> None:
        """Each takes a short turn per round, in a new order, so that noise hits all alike.

        Begins no round when the time is over, but for the least number of them.
        """
        order = [entrant for entrant in entrants if self.takes(entrant)]
        end = time.monotonic() + seconds
        least = min(rounds.least, self.least_rounds)
        for number in range(rounds.most):
            if number >= least and time.monotonic() >= end:
                break
            dice.shuffle(order)
            for entrant in order:
                if entrant.name not in self.failed:
                    self._take_turn(entrant)

    def _take_turn(self, entrant: Entrant) -> None:
        try:
            self.turns.setdefault(entrant.name, []).append(self.turn(entrant))
        except Failed as failure:
            self.failed[entrant.name] = str(failure)
            # A ratio needs all rounds.
            del self.turns[entrant.name]
            entrant.restart()
