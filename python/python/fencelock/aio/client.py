"""A client for asyncio: one backend, by URL."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from fencelock import _native
from fencelock._options import Duration, Pem, text, tls_parts
from fencelock._shared import Absent, ClientBase, refuse_timeout
from fencelock.aio._entering import Entering
from fencelock.aio._port import outcome, unswerving
from fencelock.aio.lease import Lease
from fencelock.aio.lock import Lock, OnLoss
from fencelock.client import Inspection, inspection


def connect(
    url: str | None = None,
    *,
    prefix: str | None = None,
    connect_timeout: Duration | None = None,
    response_timeout: Duration | None = None,
    tls_ca: Pem | None = None,
    tls_cert: Pem | None = None,
    tls_key: Pem | None = None,
    tls_server_name: str | None = None,
    tls_min_version: str | None = None,
    danger_accept_invalid_certs: bool | None = None,
) -> Entering[Client]:
    """Connects to the server that a URL names; to be awaited, or entered by `async with`.

    Args:
        url: Such as `redis://user:password@host:6379/0`, `rediss://...` for TLS, or
            `redis+unix:///path?db=0`; without a server `file:PATH` (all processes of this
            machine), `file:` (the user's own file) or `memory:` (this process); if None, the
            environment variable `FENCELOCK_URL`.
        prefix: Put before every lock's name to make the key. Clients with different prefixes do
            not exclude each other. Default none.
        connect_timeout: How many seconds connecting may take. Default 5.
        response_timeout: How many seconds an answer may take. Default 5.
        tls_ca: The CA certificates to trust instead of the system's: a file's path, or PEM as
            bytes. This and the following are for `rediss://` and refused with other URLs; the
            URL may say each of them, too, under the same name (files by their paths).
        tls_cert: The client certificate to show; goes with `tls_key`.
        tls_key: The certificate's private key, not encrypted.
        tls_server_name: The name that the server's certificate must be for. Default the URL's
            host.
        tls_min_version: The oldest version of TLS to speak, "1.2" or "1.3". Default "1.2".
        danger_accept_invalid_certs: Takes whoever answers for the server: anybody on the way can
            read the password, and grant locks. For trying things out. Default False.

    Returns:
        A client, good for any number of locks, tasks and event loops. Close it at the end, or
        use `async with`.

    Raises:
        InvalidArgumentError: There is no URL, or it or an option can't be read.
        UnavailableError: The server can't be reached, or its certificate is not accepted.
        DeniedError: The server refuses the password, the user or the client certificate.
        UnsupportedError: The event loop can't watch descriptors.

    Examples:
        >>> import asyncio
        >>> async def main() -> None:
        ...     async with connect(prefix="billing:") as client:
        ...         print(await client.inspect("orders"))
        >>> asyncio.run(main())
        Inspection(name='orders', holder=None, waiters=0)
    """
    url = _native.resolve_url(None if url is None else text(url, "the URL"))
    tls = tls_parts(
        tls_ca, tls_cert, tls_key, tls_server_name, tls_min_version, danger_accept_invalid_certs
    )
    client = Client._open(url, prefix, connect_timeout, response_timeout, tls, lazy=True)
    return Entering(_connected(client))


async def _connected(client: Client) -> Client:
    await outcome(client._native.begin_connect)
    return client


class Client(ClientBase):
    """One backend, by URL: gives locks. `connect` makes it.

    It may be used from any event loop and thread. After a `fork` the child's copy connects anew
    when it is used first; leases stay with the parent. As an asynchronous context manager it is
    closed at the end.
    """

    __slots__ = ()

    _title = "fencelock.aio.Client"

    def lock(
        self,
        name: str,
        *,
        ttl: Duration = _native.DEFAULT_TTL,
        renew: bool = True,
        max_hold: Duration | None = None,
        label: str = "",
        on_lost: Callable[[Lease], object] | None = None,
        on_loss: OnLoss = "cancel",
        timeout: Absent = Absent.ABSENT,
    ) -> Lock:
        """Describes a lock. Nothing is sent.

        Args:
            name: 1 to 512 bytes in UTF-8.
            ttl: How many seconds a lease lasts without renewal, and so how long a crashed holder
                blocks others: 0.05 to 86400, with renewal on at most 3600. Default 10.
            renew: Whether the lease is renewed in the background at each third of its TTL.
            max_hold: For how many seconds a lease is kept by renewal at most. Default no limit.
            label: What `inspect` shows of the holder, at most 128 bytes.
            on_lost: Called with each lease that is lost, as by `Lease.on_lost`.
            on_loss: `"cancel"`: a lost lease cancels the body of its `async with`. `"event"`: it
                does not; the body looks for itself.
            timeout: Refused. It means the TTL in redis-py, and here nothing.

        Raises:
            InvalidArgumentError: Name or options can't be served.
        """
        refuse_timeout(name, timeout)
        return Lock(
            self,
            name,
            ttl=ttl,
            renew=renew,
            max_hold=max_hold,
            label=label,
            on_lost=on_lost,
            on_loss=on_loss,
        )

    async def inspect(self, name: str) -> Inspection:
        """Shows who holds a lock and how many wait, without taking part.

        Raises:
            InvalidArgumentError: The name can't be served.
            UnavailableError: The server can't be reached.
            DeniedError: The server refused the password or a command.
            ClosedError: The client was closed.
            BackendError: The server answered with an error.
        """
        return inspection(name, await outcome(self._native.begin_inspect, text(name, "the name")))

    async def close(self) -> None:
        """Ends every wait, releases every lease and closes the connections.

        Waits end with `ClosedError`; leases are lost, with the reason `closed`. Takes at most
        about 1 s, and goes on to its end if it is cancelled. Closing again does nothing.
        """
        await unswerving(self._native.begin_close)

    async def aclose(self) -> None:
        """As `close`, under asyncio's usual name."""
        await self.close()

    async def __aenter__(self) -> Client:
        """Returns the client itself."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the client."""
        await self.close()
