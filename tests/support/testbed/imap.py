"""The little IMAP that the test bed itself speaks, deliberately not archipec's and not imapclient's."""

from __future__ import annotations

import base64
import imaplib
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Protocol, Self, TypeAlias


class Mail(Protocol):
    """A message with the moment the provider received it; the simulator's samples fit."""

    @property
    def raw(self) -> bytes: ...
    @property
    def received(self) -> datetime | None: ...


Message: TypeAlias = "bytes | tuple[bytes, datetime | None] | Mail"

# One APPEND command: few enough that a refusal loses little, many enough that round trips don't count.
_BATCH_MESSAGES = 200
_BATCH_BYTES = 8_000_000
_UID_SET = re.compile(rb"\[APPENDUID \d+ ([0-9:,]+)\]")


class IMAPRefused(Exception):
    """The server answered NO or BAD."""


def quoted(folder: str) -> str:
    """A folder's name as an IMAP quoted string, in modified UTF-7."""
    escaped = modified_utf7(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def modified_utf7(name: str) -> str:
    """RFC 3501 §5.1.3."""

    def shift(match: re.Match[str]) -> str:
        if match.group() == "&":
            return "&-"
        encoded = base64.b64encode(match.group().encode("utf-16-be")).decode("ascii")
        return "&" + encoded.rstrip("=").replace("/", ",") + "-"

    return re.sub(r"&|[^\x20-\x7e]+", shift, name)


def from_modified_utf7(name: str) -> str:
    """The inverse of `modified_utf7`."""

    def unshift(match: re.Match[str]) -> str:
        encoded = match.group(1).replace(",", "/")
        if not encoded:
            return "&"
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-16-be")

    return re.sub(r"&([^-]*)-", unshift, name)


class Deliverer:
    """A plain connection that only appends.

    imaplib can't be used for this: its `append` rewrites bare CR and LF. Literals go out without
    waiting (LITERAL+) and many in one command (MULTIAPPEND), so a mailbox fills at disk speed.
    """

    def __init__(self, host: str, port: int, user: str, password: str, timeout: float = 60) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._tag = 0
        try:
            greeting = self._file.readline()
            if not greeting.startswith(b"* OK"):
                raise IMAPRefused(f"unexpected greeting {greeting!r}")
            self._command([b"LOGIN ", _literal(user.encode()), b" ", _literal(password.encode())])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def append(self, folder: str, messages: Iterable[Message], flags: Sequence[str] = ()) -> list[int]:
        """Deliver into a folder that exists; the UIDs they got, in order."""
        uids: list[int] = []
        for batch in _batches(_unpacked(messages)):
            parts = [b"APPEND ", quoted(folder).encode("ascii")]
            for raw, received in batch:
                parts.append(b" (" + " ".join(flags).encode("ascii") + b") ")
                if received is not None:
                    parts.append(imaplib.Time2Internaldate(received).encode("ascii") + b" ")
                parts.append(_literal(raw))
            answer = self._command(parts)
            match = _UID_SET.search(answer)
            if match is None:
                raise IMAPRefused(f"no APPENDUID in {answer!r}")
            got = list(_expanded(match.group(1)))
            if len(got) != len(batch):
                raise IMAPRefused(f"{len(batch)} messages appended, {len(got)} UIDs answered")
            uids += got
        return uids

    def _command(self, parts: Iterable[bytes]) -> bytes:
        self._tag += 1
        tag = b"A%d " % self._tag
        self._socket.sendall(b"".join(chain([tag], parts, [b"\r\n"])))
        for line in self._file:
            if line.startswith(tag):
                if not line.startswith(tag + b"OK"):
                    raise IMAPRefused(line.decode("utf-8", "replace").strip())
                return line
        raise IMAPRefused("the server closed the connection")


def _literal(data: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(data), data)


def _unpacked(messages: Iterable[Message]) -> Iterator[tuple[bytes, datetime | None]]:
    for message in messages:
        if isinstance(message, bytes):
            yield message, None
        elif isinstance(message, tuple):
            yield message
        else:
            yield message.raw, message.received


def _batches(
    messages: Iterable[tuple[bytes, datetime | None]],
) -> Iterator[list[tuple[bytes, datetime | None]]]:
    batch: list[tuple[bytes, datetime | None]] = []
    size = 0
    for message in messages:
        batch.append(message)
        size += len(message[0])
        if len(batch) >= _BATCH_MESSAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _expanded(uid_set: bytes) -> Iterator[int]:
    for part in uid_set.split(b","):
        first, _, last = part.partition(b":")
        yield from range(int(first), int(last or first) + 1)
