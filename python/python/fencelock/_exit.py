"""How fencelock leaves at the interpreter's exit."""

from __future__ import annotations

import atexit

from fencelock import _events, _native, client


@atexit.register
def _leave() -> None:
    # What is held is given back and every wait ends; then all threads come back to the
    # interpreter, or, after 1 s, never: entering it while it is torn down would abort.
    try:
        client.close_all()
        _events.stop()
    finally:
        _native.leave()
