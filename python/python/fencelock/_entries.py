"""Who is inside the `with` of a shared lock."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from typing import Generic, TypeAlias, TypeVar

from fencelock.errors import NotHeldError, WouldDeadlockError

Held = TypeVar("Held")
Place: TypeAlias = tuple[int, int, object]


class Entries(Generic[Held]):
    """The leases of a lock's `with` blocks, by process, thread and asyncio task.

    Nothing here is locked, and so nothing can be inherited locked by a forked child: each step is
    one operation of a dictionary.

    Attributes:
        inside: The leases, in the order of entering.
    """

    __slots__ = ("_name", "inside")

    def __init__(self, name: str) -> None:
        self._name = name
        self.inside: OrderedDict[Place, Held] = OrderedDict()

    def place(self) -> Place:
        """Where the caller is.

        Raises:
            WouldDeadlockError: It is inside already, and would wait for itself.
        """
        place = _here()
        if place in self.inside:
            raise WouldDeadlockError(
                f"lock {self._name!r}: this thread or task holds it already and would wait for "
                "itself; leave the first `with` before entering again",
                lock=self._name,
            )
        return place

    def leave(self) -> Held:
        """Gives the caller's lease, or, where it has entered none, the oldest.

        Raises:
            NotHeldError: Nobody is inside.
        """
        lease = self.inside.pop(_here(), None)
        if lease is not None:
            return lease
        try:
            return self.inside.popitem(last=False)[1]
        except KeyError:
            raise NotHeldError(
                f"lock {self._name!r}: nobody is inside its `with`; enter before leaving",
                lock=self._name,
            ) from None


def _here() -> Place:
    return os.getpid(), threading.get_ident(), _task()


def _task() -> object:
    # Without importing asyncio where nobody has.
    asyncio = sys.modules.get("asyncio")
    running_loop = getattr(asyncio, "_get_running_loop", None)
    if asyncio is None or running_loop is None or running_loop() is None:
        return None
    return asyncio.current_task()
