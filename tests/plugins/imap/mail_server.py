"""A small IMAP server that keeps messages in memory, and does to them whatever a test wants it to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MailServer"]

_LITERAL = re.compile(rb"\{(\d+)(\+?)\}\r\n\Z")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class MailServer:
    """Knows LIST, NAMESPACE, CREATE, EXAMINE, APPEND and the FETCHes of a sink; whatever else it answers OK.

    Attributes:
        folders: messages by name as on the wire; an expunged one is None.
        commands: lines taken for commands, without their tags; literals are not among them.
        keep: makes of a message what is kept.
        refuse: given the folder, the line and the messages of an APPEND, returns what is said instead of OK.
        refuse_line: the same before any literal is read; what the client sends anyway is taken for commands.
        refuse_folder: given a name, returns what is said instead of OK to CREATE.
    """

    def __init__(self, delimiter: bytes = b"/", prefix: bytes = b"", *, tells_uids: bool = True) -> None:
        self.folders: dict[bytes, list[bytes | None]] = {b"INBOX": []}
        self.commands: list[bytes] = []
        self.uidvalidity = 7
        self.keep: Callable[[bytes], bytes] = lambda raw: raw
        self.refuse: Callable[[bytes, list[bytes]], bytes] = lambda folder, raws: b""
        self.refuse_line: Callable[[bytes], bytes] = lambda line: b""
        self.refuse_folder: Callable[[bytes], bytes] = lambda name: b""
        self._delimiter = delimiter
        self._prefix = prefix
        self._tells_uids = tells_uids
        self._open = b""

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """The client's end of a connection, past the login."""
        near, far = socket.socketpair()
        near.settimeout(10)
        far.settimeout(10)
        thread = threading.Thread(target=self._serve, args=(far,))
        thread.start()
        try:
            yield near
        finally:
            near.close()
            thread.join(20)
            assert not thread.is_alive(), "the server hangs"

    def _serve(self, connection: socket.socket) -> None:
        try:
            # Closing it writes what is left, which fails where the client has gone.
            with connection, connection.makefile("rwb") as stream:
                for line in stream:
                    tag, _, command = line.partition(b" ")
                    self.commands.append(command.rstrip(b"\r\n"))
                    stream.write(self._answer(command, stream).replace(b"<tag>", tag))
                    stream.flush()
        except OSError:
            pass

    def _answer(self, command: bytes, stream: Any) -> bytes:
        word = command.split(b" ")[0].strip().upper()
        if word == b"UID":
            return self._fetch(command)
        known = {b"APPEND", b"CREATE", b"EXAMINE", b"LIST", b"NAMESPACE"}
        name = (_QUOTED.findall(command) or [b""])[0]
        match word.decode() if word in known else "":
            case "APPEND":
                return self._append(name, command, stream)
            case "CREATE":
                if refusal := self.refuse_folder(name):
                    return b"<tag> %b\r\n" % refusal
                self.folders.setdefault(name, [])
            case "EXAMINE":
                return self._examine(name)
            case "LIST":
                lines = (b'* LIST () "%b" "%b"\r\n' % (self._delimiter, each) for each in self.folders)
                return b"".join(lines) + b"<tag> OK\r\n"
            case "NAMESPACE":
                return b'* NAMESPACE (("%b" "%b")) NIL NIL\r\n<tag> OK\r\n' % (self._prefix, self._delimiter)
        return b"<tag> OK done\r\n"

    def _append(self, name: bytes, line: bytes, stream: Any) -> bytes:
        raws = []
        while match := _LITERAL.search(line):
            if refusal := self.refuse_line(line):
                return b"<tag> %b\r\n" % refusal
            if not match[2]:
                stream.write(b"+ go on\r\n")
                stream.flush()
            raws.append(stream.read(int(match[1])))
            line = stream.readline()
        if name not in self.folders:
            return b"<tag> NO [TRYCREATE] no such folder\r\n"
        if refusal := self.refuse(name, raws):
            return b"<tag> %b\r\n" % refusal
        first = len(self.folders[name]) + 1
        self.folders[name] += map(self.keep, raws)
        if not self._tells_uids:
            return b"<tag> OK done\r\n"
        uids = b"%d:%d" % (first, first + len(raws) - 1) if len(raws) > 1 else b"%d" % first
        return b"<tag> OK [APPENDUID %d %b] done\r\n" % (self.uidvalidity, uids)

    def _examine(self, name: bytes) -> bytes:
        if name not in self.folders:
            return b"<tag> NO [NONEXISTENT] no such folder\r\n"
        self._open = name
        uidnext = len(self.folders[name]) + 1
        return b"* OK [UIDVALIDITY %d] x\r\n* OK [UIDNEXT %d] x\r\n<tag> OK done\r\n" % (
            self.uidvalidity,
            uidnext,
        )

    def _fetch(self, command: bytes) -> bytes:
        if self._open not in self.folders:
            return b"<tag> BAD no folder is open\r\n"
        answers = []
        messages = self.folders[self._open]
        for part in command.split(b" ")[2].split(b","):
            first, _, last = part.partition(b":")
            end = len(messages) if last == b"*" else int(last or first)
            for uid in range(int(first), min(end, len(messages)) + 1):
                raw = messages[uid - 1]
                if raw is None:
                    continue
                if b"RFC822.SIZE" in command:
                    answers.append(b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (uid, uid, len(raw)))
                else:
                    answers.append(b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (uid, uid, len(raw), raw))
        return b"".join(answers) + b"<tag> OK done\r\n"
