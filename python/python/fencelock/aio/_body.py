"""The body of an `async with`: a lost lease cancels it as `asyncio.timeout` cancels its own."""

from __future__ import annotations

import asyncio


class Body:
    """What runs inside; the task that entered it is the one to cancel."""

    __slots__ = ("_cancelled", "_cancelling", "_task")

    def __init__(self) -> None:
        """Begins the body, in the running task."""
        self._task = asyncio.current_task()
        # What is asked of the task by others, now and at the end, tells whose cancelling it is.
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._cancelled = False

    def lost(self, _reason: str) -> None:
        """Ends the body, unless it has ended."""
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    def end(self, exc: BaseException | None) -> bool:
        """Ends it; tells whether it was the loss alone that did."""
        task, self._task = self._task, None
        if task is None or not self._cancelled:
            return False
        others = task.uncancel() > self._cancelling
        return not others and isinstance(exc, asyncio.CancelledError)
