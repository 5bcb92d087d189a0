from typing import Final, Literal, final

__all__ = [
    "DEFAULT_TTL",
    "URL_VARIABLE",
    "Client",
    "Lease",
    "Lock",
    "__version__",
    "close_all",
    "error_kinds",
    "forward_log",
    "loss_reasons",
    "next_event",
    "resolve_url",
    "stop_events",
]

DEFAULT_TTL: Final[float]
URL_VARIABLE: Final[str]
__version__: Final[str]

_Tls = tuple[
    str | bytes | None,
    str | bytes | None,
    str | bytes | None,
    str | None,
    str | None,
    bool | None,
]
_Holder = tuple[str, bool, int | None, float | None, float | None, str]

@final
class Client:
    def __new__(
        cls,
        url: str,
        prefix: str | None,
        connect_timeout: float | None,
        response_timeout: float | None,
        tls: _Tls | None,
        lazy: bool,
        /,
    ) -> Client: ...
    @property
    def server(self) -> str: ...
    def inspect(self, name: str, /) -> tuple[_Holder | None, int]: ...
    def close(self) -> None: ...

@final
class Lock:
    def __new__(
        cls,
        client: Client,
        name: str,
        ttl: float,
        renew: bool,
        max_hold: float | None,
        label: str,
        /,
    ) -> Lock: ...
    def acquire(self, timeout: float | None, /) -> Lease: ...
    def try_acquire(self) -> Lease | None: ...

@final
class Lease:
    @property
    def name(self) -> str: ...
    @property
    def fence(self) -> int: ...
    def is_held(self) -> bool: ...
    def remaining(self) -> float: ...
    def lost_reason(self) -> str | None: ...
    def check(self) -> None: ...
    def renew(self) -> None: ...
    def release(self) -> None: ...
    def watch(self, id: int, /) -> None: ...
    @property
    def handed_over(self) -> bool: ...
    @handed_over.setter
    def handed_over(self, value: bool, /) -> None: ...

def close_all(clients: list[Client]) -> None: ...
def error_kinds() -> list[tuple[int, str]]: ...
def forward_log(level: int, /) -> None: ...
def loss_reasons() -> list[str]: ...
def next_event() -> (
    tuple[Literal["lost"], int] | tuple[Literal["log"], int, str, list[tuple[str, str]]] | None
): ...
def resolve_url(url: str | None, /) -> str: ...
def stop_events() -> None: ...
