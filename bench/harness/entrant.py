"""A contender in a run: its processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.child import Child, Failed
from harness.contenders import OUT, Contender

FILES = OUT / "files"


@dataclass
class Entrant:
    """Two processes for the whole run, and more where a measure asks for them."""

    contender: Contender
    command: list[str]
    core: int
    children: list[Child]
    out: str | None = None
    """Why it is not in the run any more."""

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def lock(self) -> str:
        return f"bench:{self.name}"

    @property
    def one(self) -> Child:
        return self.children[0]

    @property
    def other(self) -> Child:
        return self.children[1]

    def can(self, operation: str) -> bool:
        return self.out is None and operation in self.one.features["ops"].split(",")

    def start(self, limit_s: float = 60.0) -> Child:
        """One more process."""
        return Child(self.command, self.core, limit_s)

    def place(self, core: int) -> None:
        """Its processes run there from now on, and those that come."""
        self.core = core
        for child in self.children:
            child.move(core)

    def grow(self, processes: int) -> None:
        before = len(self.children)
        while len(self.children) < processes:
            self.children.append(self.start())
        self.warm_up(self.children[before:])

    def warm_up(self, children: Sequence[Child]) -> None:
        """All at once, since part of it is waiting."""
        if self.can("warm"):
            for child in children:
                child.begin_to_warm_up(f"{self.lock}:warm")
            for child in children:
                child.warmed_up()

    def shrink(self, processes: int) -> None:
        while len(self.children) > processes:
            self.children.pop().stop()

    def restart(self) -> None:
        """After a failure nobody knows what its processes still do."""
        self.shrink(0)
        try:
            self.grow(2)
        except Failed as failure:
            self.shrink(0)
            self.out = str(failure)


def enter(contender: Contender, url: str, core: int) -> Entrant:
    # A file of their own for all that lock in one, on the disk that the project is on.
    FILES.mkdir(exist_ok=True)
    command = [*contender.command, f"file:{FILES}/locks.db" if contender.local else url]
    entrant = Entrant(contender, command, core, [])
    try:
        entrant.grow(2)
    except Failed:
        entrant.shrink(0)
        raise
    return entrant
