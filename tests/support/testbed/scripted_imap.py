"""An IMAP server over TLS that keeps mailboxes in memory and misbehaves where a test scripts it: `ScriptedImap`.

It knows what archipec needs of RFC 9051: LOGIN, LIST, STATUS, EXAMINE, UID FETCH, UID STORE, UID EXPUNGE. A hook
answers in its place; ``None`` from a hook leaves the answer to the server, `DROP` at the end of one breaks the
connection there.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self
from urllib.parse import quote

from .certificates import Authority

__all__ = ["DROP", "Box", "Dropped", "ScriptedImap", "ScriptedServer", "a_message"]

DROP: Final = b"<drop>"
"""At the end of an answer: the connection breaks after it."""
_DATE: Final = b"03-Mar-2025 10:00:00 +0100"


def a_message(number: int, body: bytes = b"Corpo di prova\r\n") -> bytes:
    """Return a small message of its own."""
    return (
        b"From: a@example.it\r\nTo: b@example.it\r\nSubject: prova %d\r\nMessage-ID: <m%d@example.it>\r\n"
        b"Date: Mon, 3 Mar 2025 10:00:%02d +0100\r\n\r\n" % (number, number, number % 60)
    ) + body


class Dropped(Exception):
    """The connection ends here."""


class ScriptedServer:
    """Takes connections over TLS, each in a thread of its own, until the context ends.

    Attributes:
        commands: what clients said, in order, without their tags; wait for the client's end before you look.
        connections: how many there were.
    """

    scheme = "imaps"

    def __init__(self, folder: Path, password: str) -> None:
        folder.mkdir(exist_ok=True)
        self.certificate = Authority(folder).issue()
        self.password = password
        self.commands: list[bytes] = []
        self.connections = 0
        self.problem: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._closing = False

    def __enter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.cert_file, self.certificate.key_file)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(context,))
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        # Closing a listener wakes nobody who waits in accept; connecting to it does.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=20):
            pass
        self._acceptor.join(20)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._acceptor, *self._threads):
            thread.join(20)
            assert not thread.is_alive(), "the scripted server hangs"
        if error is None:
            assert self.problem is None, self.problem

    def url(self, path: str = "", **options: object) -> str:
        """Return the mailbox's URL; the password is in PEC_PASSWORD."""
        parameters = {"password": "env:PEC_PASSWORD", "ca_file": self.certificate.ca_file, **options}
        query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parameters.items())
        return f"{self.scheme}://u@127.0.0.1:{self.port}/{quote(path)}?{query}"

    def converse(self, connection: ssl.SSLSocket, lines: BinaryIO, number: int) -> None:
        """Serve one connection, the ``number``-th, counted from 1; its end is `Dropped` or a return."""
        raise NotImplementedError

    def _accept(self, context: ssl.SSLContext) -> None:
        while True:
            plain, _ = self._listener.accept()
            if self._closing:
                plain.close()
                return
            plain.settimeout(60)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(context, plain, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, context: ssl.SSLContext, plain: socket.socket, number: int) -> None:
        self._open.add(plain)
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                self._open.add(connection)
                with connection.makefile("rb") as lines:
                    self.converse(connection, lines, number)
                self._open.discard(connection)
        except (OSError, Dropped):
            pass  # what a client that leaves, or a server that drops it, looks like from here
        except BaseException as error:
            self.problem = error
            raise
        finally:
            self._open.discard(plain)
            plain.close()


def say(connection: ssl.SSLSocket, answer: bytes) -> None:
    """Send an answer; break the connection where it ends with `DROP`."""
    connection.sendall(answer.removesuffix(DROP))
    if answer.endswith(DROP):
        raise Dropped


@dataclass
class Box:
    """A folder: its messages by UID.

    Attributes:
        expunged: UIDs that a client deleted, in order.
    """

    messages: dict[int, bytes] = field(default_factory=dict)
    validity: int = 1
    attributes: bytes = b"\\HasNoChildren"
    uidnext: int = 1
    flags: dict[int, set[bytes]] = field(default_factory=dict)
    dates: dict[int, bytes] = field(default_factory=dict)
    expunged: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, messages: Iterable[bytes], *, first: int = 1, validity: int = 1) -> Self:
        """Return a folder with these messages under ascending UIDs."""
        box = cls(validity=validity, uidnext=first)
        for raw in messages:
            box.add(raw)
        return box

    def add(self, raw: bytes) -> int:
        """Deliver a message; return its UID."""
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = raw
        return uid


class ScriptedImap(ScriptedServer):
    """The server. Answers of hooks are whole: they hold the tagged line where one is due, `tag` given for that.

    Args:
        boxes: by name as the server spells it.
        folder: for its certificate.
        capabilities: what CAPABILITY tells.

    Attributes:
        greeting: called with the connection's number.
        command: called first, with (tag, command).
        status: called with (tag, folder's name); select: the same, for EXAMINE and SELECT.
        fetch: called with (tag, folder's name, UID, what is wanted in upper case) for each message of a UID FETCH;
            its answer is that of one message, without tagged line.
        fetched: called with (tag, what is wanted, UIDs) for the tagged line of a UID FETCH.
        size: called with (UID, message): the RFC822.SIZE to tell.
    """

    def __init__(
        self,
        boxes: Mapping[bytes, Box],
        folder: Path,
        *,
        capabilities: bytes = b"IMAP4rev1 UIDPLUS",
        delimiter: bytes = b"/",
        password: str = "x",
        greeting: Callable[[int], bytes] | None = None,
        command: Callable[[bytes, bytes], bytes | None] | None = None,
        status: Callable[[bytes, bytes], bytes | None] | None = None,
        select: Callable[[bytes, bytes], bytes | None] | None = None,
        fetch: Callable[[bytes, bytes, int, bytes], bytes | None] | None = None,
        fetched: Callable[[bytes, bytes, list[int]], bytes | None] | None = None,
        size: Callable[[int, bytes], int] | None = None,
    ) -> None:
        super().__init__(folder, password)
        self.boxes = dict(boxes)
        self.capabilities = capabilities
        self.delimiter = delimiter
        self.greeting = greeting
        self.command = command
        self.status = status
        self.select = select
        self.fetch = fetch
        self.fetched = fetched
        self.size = size

    def converse(self, connection: ssl.SSLSocket, lines: BinaryIO, number: int) -> None:
        """Serve one connection."""
        say(connection, b"* OK ready\r\n" if self.greeting is None else self.greeting(number))
        opened = [b""]
        while True:
            line, literals = _command(connection, lines)
            tag, _, command = line.partition(b" ")
            self.commands.append(command)
            scripted = None if self.command is None else self.command(tag, command)
            if scripted is not None:
                say(connection, scripted)
                continue
            for answer in self._answers(tag, command, literals, opened):
                say(connection, answer)
            if command.upper() == b"LOGOUT":
                return

    def _answers(
        self, tag: bytes, command: bytes, literals: list[bytes], opened: list[bytes]
    ) -> Iterator[bytes]:
        done = tag + b" OK done\r\n"
        word = b" ".join(command.upper().split(b" ")[: 2 if command.upper().startswith(b"UID ") else 1])
        match word:
            case b"CAPABILITY":
                yield b"* CAPABILITY " + self.capabilities + b"\r\n" + done
            case b"LOGIN":
                password = literals[-1] if literals else _names(command)[-1]
                wrong = tag + b" NO [AUTHENTICATIONFAILED] wrong\r\n"
                yield done if password == self.password.encode() else wrong
            case b"LIST":
                yield from (
                    b'* LIST (%b) "%b" %b\r\n' % (box.attributes, self.delimiter, _quoted(name))
                    for name, box in self.boxes.items()
                )
                yield done
            case b"STATUS":
                yield self._status(tag, literals[0] if literals else _names(command)[0])
            case b"EXAMINE" | b"SELECT":
                name = literals[0] if literals else _names(command)[0]
                opened[0] = name
                yield self._select(tag, name, read_only=word == b"EXAMINE")
            case b"UID FETCH":
                yield from self._fetch(tag, command, opened[0])
            case b"UID STORE":
                yield self._store(tag, command, self.boxes[opened[0]])
            case b"UID EXPUNGE":
                yield from self._expunge(tag, command, self.boxes[opened[0]])
            case b"LOGOUT":
                yield b"* BYE\r\n" + done
            case _:
                yield done

    def _status(self, tag: bytes, name: bytes) -> bytes:
        scripted = None if self.status is None else self.status(tag, name)
        box = self.boxes.get(name)
        if scripted is not None:
            return scripted
        if box is None:
            return tag + b" NO [NONEXISTENT] no such folder\r\n"
        counts = b"MESSAGES %d UIDNEXT %d UIDVALIDITY %d" % (len(box.messages), box.uidnext, box.validity)
        return b"* STATUS %b (%b)\r\n%b OK done\r\n" % (_quoted(name), counts, tag)

    def _select(self, tag: bytes, name: bytes, *, read_only: bool) -> bytes:
        scripted = None if self.select is None else self.select(tag, name)
        box = self.boxes.get(name)
        if scripted is not None:
            return scripted
        if box is None:
            return tag + b" NO [NONEXISTENT] no such folder\r\n"
        return (
            b"* FLAGS (\\Seen \\Deleted \\Flagged)\r\n* %d EXISTS\r\n* 0 RECENT\r\n"
            b"* OK [UIDVALIDITY %d] valid\r\n* OK [UIDNEXT %d] next\r\n%b OK [%b] done\r\n"
        ) % (len(box.messages), box.validity, box.uidnext, tag, b"READ-ONLY" if read_only else b"READ-WRITE")

    def _fetch(self, tag: bytes, command: bytes, name: bytes) -> Iterator[bytes]:
        _, _, numbers, wanted = command.split(b" ", 3)
        if name not in self.boxes:
            yield tag + b" BAD no folder is open\r\n"
            return
        box, wanted = self.boxes[name], wanted.upper()
        uids = _uids(numbers, box)
        for uid in uids:
            scripted = None if self.fetch is None else self.fetch(tag, name, uid, wanted)
            yield self._one(box, uid, wanted) if scripted is None else scripted
        scripted = None if self.fetched is None else self.fetched(tag, wanted, uids)
        yield tag + b" OK done\r\n" if scripted is None else scripted

    def _one(self, box: Box, uid: int, wanted: bytes) -> bytes:
        raw = box.messages[uid]
        items = [b"UID %d" % uid]
        if b"RFC822.SIZE" in wanted:
            items.append(b"RFC822.SIZE %d" % (len(raw) if self.size is None else self.size(uid, raw)))
        if b"INTERNALDATE" in wanted:
            items.append(b'INTERNALDATE "%b"' % box.dates.get(uid, _DATE))
        if b"FLAGS" in wanted:
            items.append(b"FLAGS (%b)" % b" ".join(sorted(box.flags.get(uid, ()))))
        if b"[HEADER]" in wanted:
            head = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            items.append(b"BODY[HEADER] {%d}\r\n%b" % (len(head), head))
        elif b"[]" in wanted:
            items.append(b"BODY[] {%d}\r\n%b" % (len(raw), raw))
        return b"* %d FETCH (%b)\r\n" % (sorted(box.messages).index(uid) + 1, b" ".join(items))

    def _store(self, tag: bytes, command: bytes, box: Box) -> bytes:
        _, _, numbers, what = command.split(b" ", 3)
        for uid in _uids(numbers, box):
            change = box.flags.setdefault(uid, set())
            named = set(re.findall(rb"\\[A-Za-z]+", what))
            change.difference_update(named) if what.startswith(b"-") else change.update(named)
        return tag + b" OK done\r\n"

    def _expunge(self, tag: bytes, command: bytes, box: Box) -> Iterator[bytes]:
        for uid in _uids(command.split(b" ")[2], box):
            if b"\\Deleted" in box.flags.get(uid, ()):
                number = sorted(box.messages).index(uid) + 1
                del box.messages[uid]
                box.expunged.append(uid)
                yield b"* %d EXPUNGE\r\n" % number
        yield tag + b" OK done\r\n"


def _command(connection: ssl.SSLSocket, lines: BinaryIO) -> tuple[bytes, list[bytes]]:
    """Read a command; its literals are taken out of the line, ``{}`` in their place."""
    whole = b""
    literals: list[bytes] = []
    while True:
        line = lines.readline()
        if not line:
            raise Dropped
        whole += line.rstrip(b"\r\n")
        match = re.search(rb"\{(\d+)(\+?)\}$", whole)
        if match is None:
            return whole, literals
        if not match[2]:
            connection.sendall(b"+ go on\r\n")
        literals.append(lines.read(int(match[1])))
        whole = whole[: match.start()] + b"{}"


def _names(command: bytes) -> list[bytes]:
    """Return a command's arguments, quoted strings as what they quote."""
    found = re.findall(rb'"((?:[^"\\]|\\.)*)"|([^\s"]+)', command)[1:]
    return [re.sub(rb"\\(.)", rb"\1", quoted) or plain for quoted, plain in found]


def _quoted(name: bytes) -> bytes:
    return b'"%b"' % name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _uids(numbers: bytes, box: Box) -> list[int]:
    """Return the UIDs of a folder that a set names, in order."""
    highest = max(box.messages, default=0)
    found: set[int] = set()
    for part in numbers.split(b","):
        first, _, last = part.partition(b":")
        ends = sorted(highest if end == b"*" else int(end) for end in (first, last or first))
        found.update(uid for uid in box.messages if ends[0] <= uid <= ends[1])
    return sorted(found)
