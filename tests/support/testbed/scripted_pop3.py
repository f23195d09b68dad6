"""A POP3 server over TLS that keeps messages in memory and misbehaves where a test scripts it: `ScriptedPop3`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from .scripted_imap import Dropped, ScriptedServer, say

__all__ = ["ScriptedPop3"]


class ScriptedPop3(ScriptedServer):
    """The server.

    Args:
        messages: in the order of their numbers; ``unique_ids`` beside them (u1, u2, … unless given).
        folder: for its certificate.

    Attributes:
        command: called first, with the command; its answer is whole, ``.`` line included; `DROP` at its end breaks
            the connection; None leaves the answer to the server.
        size: called with (message number, message): the octets that LIST and STAT tell.
        deleted: unique ids, in order.
    """

    scheme = "pop3s"

    def __init__(
        self,
        messages: Iterable[bytes],
        folder: Path,
        *,
        unique_ids: Iterable[str] = (),
        password: str = "x",
        command: Callable[[bytes], bytes | None] | None = None,
        size: Callable[[int, bytes], int] | None = None,
    ) -> None:
        super().__init__(folder, password)
        self.messages = list(messages)
        self.unique_ids = list(unique_ids) or [f"u{number}" for number in range(1, len(self.messages) + 1)]
        self.command = command
        self.size = size
        self.deleted: list[str] = []

    def converse(self, connection: ssl.SSLSocket, lines: BinaryIO, number: int) -> None:
        """Serve one connection."""
        say(connection, b"+OK ready\r\n")
        marked: set[int] = set()
        while True:
            line = lines.readline()
            if not line:
                raise Dropped
            command = line.strip()
            self.commands.append(command)
            scripted = None if self.command is None else self.command(command)
            say(connection, self._answer(command, marked) if scripted is None else scripted)
            if scripted is None and command.upper() == b"QUIT":
                return

    def _answer(self, command: bytes, marked: set[int]) -> bytes:
        word, *arguments = command.upper().split()
        match word:
            case b"CAPA":
                return b"+OK\r\nUIDL\r\nUSER\r\nTOP\r\n.\r\n"
            case b"USER" | b"NOOP":
                return b"+OK\r\n"
            case b"PASS":
                good = command.partition(b" ")[2] == self.password.encode()
                return b"+OK\r\n" if good else b"-ERR [AUTH] wrong\r\n"
            case b"STAT" | b"LIST" | b"UIDL" | b"RETR" | b"TOP":
                return self._told(word, arguments)
            case b"DELE":
                marked.add(int(arguments[0]))
                return b"+OK\r\n"
            case b"RSET":
                marked.clear()
                return b"+OK\r\n"
            case b"QUIT":
                self.deleted += [self.unique_ids[n - 1] for n in sorted(marked)]
                for n in sorted(marked, reverse=True):
                    del self.messages[n - 1], self.unique_ids[n - 1]
                return b"+OK\r\n"
        return b"-ERR unknown command\r\n"

    def _told(self, word: bytes, arguments: list[bytes]) -> bytes:
        numbers = range(1, len(self.messages) + 1)
        if word == b"STAT":
            return b"+OK %d %d\r\n" % (len(numbers), sum(map(self._size, numbers)))
        if word in (b"RETR", b"TOP"):
            raw = self.messages[int(arguments[0]) - 1]
            if word == b"TOP":
                raw = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            raw += b"" if raw.endswith(b"\r\n") else b"\r\n"
            return b"+OK\r\n" + re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n"
        rows = [
            b"%d %b" % (n, b"%d" % self._size(n) if word == b"LIST" else self.unique_ids[n - 1].encode())
            for n in numbers
        ]
        if arguments:
            return b"+OK %b\r\n" % rows[int(arguments[0]) - 1]
        return b"+OK\r\n" + b"".join(row + b"\r\n" for row in rows) + b".\r\n"

    def _size(self, number: int) -> int:
        raw = self.messages[number - 1]
        return len(raw) if self.size is None else self.size(number, raw)
