"""fencelock for asyncio: the same names, to be awaited.

    >>> import asyncio
    >>> import fencelock.aio
    >>> async def main() -> None:
    ...     async with fencelock.aio.connect() as client:  # the URL from FENCELOCK_URL
    ...         async with client.lock("orders") as lease:
    ...             print(lease.is_held(), lease.fence > 0)
    >>> asyncio.run(main())
    True True

A task can be cancelled at any moment: nothing is left behind. A lease that is lost cancels the
body of its `async with`, which then raises `LockLostError`, as `asyncio.timeout` does with
`TimeoutError`. A client may be used from several event loops, one after the other or at once.

The exceptions are those of `fencelock`.
"""

from fencelock.aio.client import Client, connect
from fencelock.aio.lease import Lease
from fencelock.aio.lock import Lock

__all__ = ["Client", "Lease", "Lock", "connect"]
