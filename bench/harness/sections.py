"""Sections under a lock, as the adapters tell of them, and what they say about the lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Section:
    """Three moments in ns: acquire called, acquire returned, release called."""

    acquired: int
    released: int
    requested: int

    @property
    def wait(self) -> int:
        return self.acquired - self.requested


def parse(words: Sequence[str]) -> list[Section]:
    moments = [int(word) for word in words]
    triples = zip(moments[::3], moments[1::3], moments[2::3], strict=True)
    return [Section(acquired, released, requested) for requested, acquired, released in triples]


def overlaps(sections: Iterable[Section]) -> int:
    """How many began before an earlier one had ended: each is a violation of exclusion."""
    count, ended = 0, 0
    for section in sorted(sections):
        count += section.acquired < ended
        ended = max(ended, section.released)
    return count


def jain(shares: Sequence[int]) -> float:
    """Jain's index of fairness: 1 if all have the same share, 1/n if one has it all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0
