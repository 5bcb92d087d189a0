"""A bare connection to a server: commands out, replies in, and nothing between."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any

Word = str | bytes
# A pipeline longer than this could fill both sides' buffers while nobody reads.
AT_ONCE = 200


class Refused(Exception):
    """The server answered with an error."""


def packed(words: Sequence[Word]) -> bytes:
    raw = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)


class Wire:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self.socket.makefile("rb")

    def ask(self, *words: Word) -> Any:
        self.socket.sendall(packed(words))
        return self.reply()

    def ask_all(self, commands: Iterable[Sequence[Word]]) -> list[Any]:
        waiting = [packed(words) for words in commands]
        replies = []
        for first in range(0, len(waiting), AT_ONCE):
            some = waiting[first : first + AT_ONCE]
            self.socket.sendall(b"".join(some))
            replies += [self.reply() for _ in some]
        return replies

    def reply(self) -> Any:
        line = self._replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        if kind == b"$":
            return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2].decode()
        if kind in b"*>~" and line:
            return [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return [(self.reply(), self.reply()) for _ in range(int(rest))]
        if kind == b"_":
            return None
        raise Refused(line.decode(errors="replace").strip() or "the server closed the connection")

    def close(self) -> None:
        self._replies.close()
        self.socket.close()
