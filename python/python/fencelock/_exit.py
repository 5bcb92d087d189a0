"""How fencelock leaves at the interpreter's exit."""

from __future__ import annotations

import atexit

from fencelock import _events, client


@atexit.register
def _leave() -> None:
    # What is held is given back, and every wait ends; then the callbacks have their turn.
    client.close_all()
    _events.stop()
