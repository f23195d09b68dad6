"""What tests do with the mailboxes of a real IMAP server, by means of their own."""

from __future__ import annotations

import contextlib
import imaplib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias, cast

from .imap import Deliverer, IMAPRefused, Message, from_modified_utf7, quoted

_LIST_LINE = re.compile(rb"\((?P<flags>[^)]*)\) \S+ (?P<name>.*)", re.DOTALL)
_UID = re.compile(rb"\bUID (\d+)")
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")

Snapshot: TypeAlias = dict[str, list[tuple[int, tuple[str, ...], int]]]


class Mailboxes:
    """Fill, change and look at the mailboxes of a server on loopback.

    `user` and `password` are the login that methods use unless given another; `passwords` holds all.
    """

    host = "127.0.0.1"

    def __init__(self, user: str, password: str, others: Mapping[str, str]) -> None:
        self.user = user
        self.password = password
        self.passwords = {user: password, **others}

    @property
    def plain_port(self) -> int:
        """Where IMAP without TLS is spoken."""
        raise NotImplementedError

    @contextlib.contextmanager
    def client(self, user: str | None = None) -> Iterator[imaplib.IMAP4]:
        """A logged-in imaplib connection without TLS, for whatever has no method here.

        Don't use its `append`: it rewrites line ends.
        """
        login = user or self.user
        connection = imaplib.IMAP4(self.host, self.plain_port, timeout=60)
        try:
            # imaplib quotes passwords, not users.
            connection.login(quoted(login), self.passwords[login])
            yield connection
        finally:
            # `logout` also closes the socket, and survives a server that is gone.
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                connection.logout()

    def create(self, folder: str, user: str | None = None) -> None:
        """Create a folder; one that exists already is fine."""
        with self.client(user) as connection:
            answer, data = connection.create(quoted(folder))
            if answer != "OK" and b"[ALREADYEXISTS]" not in data[0]:
                raise IMAPRefused(f"CREATE {folder}: {data}")

    def remove(self, folder: str, user: str | None = None) -> None:
        """Delete a folder with its messages; made again, it has another UIDVALIDITY."""
        with self.client(user) as connection:
            _ok(connection.delete(quoted(folder)))

    def append(
        self,
        folder: str,
        raw: bytes,
        received: datetime | None = None,
        flags: Sequence[str] = (),
        user: str | None = None,
    ) -> int:
        """Deliver one message, creating the folder when it isn't there; its UID."""
        return self.fill(folder, [(raw, received)], flags, user)[0]

    def fill(
        self, folder: str, messages: Iterable[Message], flags: Sequence[str] = (), user: str | None = None
    ) -> list[int]:
        """Deliver many messages quickly: bytes, (bytes, received) or objects with `raw` and `received`.

        Returns their UIDs. `received` must know its time zone.
        """
        if folder.upper() != "INBOX":
            self.create(folder, user)
        login = user or self.user
        with Deliverer(self.host, self.plain_port, login, self.passwords[login]) as deliverer:
            return deliverer.append(folder, messages, flags)

    def flag(self, folder: str, uids: Iterable[int], flags: str, user: str | None = None) -> None:
        """Add flags, as in `"\\\\Seen \\\\Flagged"`."""
        with self.client(user) as connection:
            _ok(connection.select(quoted(folder)))
            _ok(connection.uid("STORE", ",".join(map(str, uids)), "+FLAGS.SILENT", f"({flags})"))

    def expunge(self, folder: str, uids: Iterable[int], user: str | None = None) -> None:
        """Delete messages behind a client's back."""
        uid_set = ",".join(map(str, uids))
        with self.client(user) as connection:
            _ok(connection.select(quoted(folder)))
            _ok(connection.uid("STORE", uid_set, "+FLAGS.SILENT", "(\\Deleted)"))
            _ok(connection.uid("EXPUNGE", uid_set))

    def folders(self, user: str | None = None) -> list[str]:
        """The folders that can be opened, sorted."""
        with self.client(user) as connection:
            lines = _ok(connection.list('""', '"*"'))
        names = []
        for line in lines:
            # imaplib gives a line, or a pair when the name came as a literal.
            head, literal = line if isinstance(line, tuple) else (line, None)
            match = _LIST_LINE.fullmatch(head or b"")
            if match is None or b"\\noselect" in match["flags"].lower():
                continue
            name = literal if literal is not None else _unquoted(match["name"])
            names.append(from_modified_utf7(name.decode("ascii")))
        return sorted(names)

    def raw_fetch(self, folder: str, user: str | None = None) -> dict[int, bytes]:
        """Every message of a folder by UID, as plain imaplib gets it; changes nothing on the server."""
        messages: dict[int, bytes] = {}
        with self.client(user) as connection:
            _ok(connection.select(quoted(folder), readonly=True))
            # By UID: a plain FETCH of 1:* is an error in an empty folder.
            for part in _ok(connection.uid("FETCH", "1:*", "(UID BODY.PEEK[])")):
                if isinstance(part, tuple):
                    messages[_number(_UID, part[0])] = part[1]
                elif part and b'BODY[] ""' in part:
                    messages[_number(_UID, part)] = b""
        return messages

    def snapshot(self, user: str | None = None) -> Snapshot:
        """Every folder's messages as (uid, flags, size), `\\Recent` included.

        Equal before and after: nothing was read into, flagged, deleted or opened for writing.
        """
        shot: Snapshot = {}
        names = self.folders(user)
        with self.client(user) as connection:
            for name in names:
                _ok(connection.select(quoted(name), readonly=True))
                lines = _ok(connection.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE)"))
                shot[name] = [
                    (_number(_UID, line), _flags(line), _number(_SIZE, line))
                    for line in lines
                    if isinstance(line, bytes) and _UID.search(line)
                ]
        return shot


def _ok(answer: tuple[str, Sequence[object]]) -> list[bytes | tuple[bytes, bytes] | None]:
    status, data = answer
    if status != "OK":
        raise IMAPRefused(str(data))
    return cast("list[bytes | tuple[bytes, bytes] | None]", data)


def _unquoted(name: bytes) -> bytes:
    if name.startswith(b'"'):
        return re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return name


def _number(pattern: re.Pattern[bytes], line: bytes) -> int:
    match = pattern.search(line)
    if match is None:
        raise IMAPRefused(f"{pattern.pattern!r} not in {line!r}")
    return int(match.group(1))


def _flags(line: bytes) -> tuple[str, ...]:
    match = _FLAGS.search(line)
    return tuple(sorted(match.group(1).decode("ascii").split())) if match else ()
