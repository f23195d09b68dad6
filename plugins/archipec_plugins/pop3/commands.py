"""Commands and their replies, several commands ahead of the replies; texts of any length streamed as they come.

A server that offers PIPELINING (RFC 2449 §6.6) takes commands without being waited for and answers them in order.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Final

from archipec.errors import ArchipecError, PermanentError, Scope, TransientError
from archipec.language import _
from archipec_plugins.net.connection import MAX_LINE, Connection, printable

_CRLF: Final = b"\r\n"
# The dot at the beginning of a line. Looked for by the dot, it is found faster than by the line end before it.
_DOT: Final = re.compile(rb"\.(?<=\r\n\.)")
_LAST: Final = b".\r\n"
_PIECE: Final = 128 * 1024
# Sizes by LIST are wrong on many servers, but not that wrong.
_SPARE: Final = 64 * 1024 * 1024
_MOST_UNKNOWN: Final = 2 * 1024**3
_CODE = re.compile(rb"-ERR \[([A-Za-z0-9/.-]{1,60})\]")
_TRANSIENT_CODES: Final = frozenset({"IN-USE", "LOGIN-DELAY", "SYS/TEMP"})


def response_code(reply: bytes) -> str:
    """Return the response code of a refusal (RFC 2449 §8, RFC 3206), in upper case; empty when there is none."""
    match = _CODE.match(reply)
    return match[1].decode("ascii").upper() if match else ""


def response_text(reply: bytes) -> str:
    """Return what a refusal tells, to be shown."""
    return printable(reply.removeprefix(b"-ERR")).rstrip(".")


def refusal(reply: bytes, what: str, scope: Scope) -> ArchipecError:
    """Return the error for a command that was answered -ERR.

    Args:
        what: goes before the server's own words.
    """
    kind = TransientError if response_code(reply) in _TRANSIENT_CODES else PermanentError
    return kind(f"{what}: {response_text(reply)}", scope=scope)


class _Replies:
    """What comes from the server: lines, and the texts behind some of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbound = connection.inbound

    def line(self) -> bytes:
        """Return the next line without its CRLF."""
        inbound = self._inbound
        while (end := inbound.data.find(_CRLF, inbound.at, inbound.end)) < 0:
            if inbound.end - inbound.at > MAX_LINE:
                raise self._connection.protocol_error(inbound.take(MAX_LINE))
            self._connection.more()
        line = inbound.take(end - inbound.at)
        inbound.at += len(_CRLF)
        return line

    def back_before_line_end(self) -> None:
        """Give back the CRLF of the line just read, so that a text's first line has one before it as others have."""
        self._inbound.at -= len(_CRLF)

    def text(self, skip: int) -> tuple[bytes, bool]:
        """Return more of a text, dots taken off, and whether it is whole now.

        Every line comes with the CRLF before it; behind the last one comes its own.

        Args:
            skip: leave out so many bytes at the beginning.
        """
        inbound = self._inbound
        pieces: list[bytes] = []
        looked_through, room = 0, _PIECE
        while True:
            dot = _DOT.search(inbound.data, inbound.at + looked_through, inbound.end)
            stop = inbound.end if dot is None else dot.start()
            looked_through = stop - inbound.at
            over = False
            if dot is not None and stop + len(_LAST) <= inbound.end:
                over = inbound.data.startswith(_LAST, stop)
                next_line = stop + (len(_LAST) if over else 1)
            elif looked_through > room:
                # What may be the beginning of the end waits for more.
                next_line = stop = stop - len(_CRLF)
            else:
                self._connection.more()
                continue
            room -= looked_through
            inbound.at += skip
            pieces.append(inbound.take(stop - inbound.at))
            inbound.at = next_line
            skip = looked_through = 0
            if over or room < 0:
                return b"".join(pieces), over

    def endless(self) -> TransientError:
        """Close the connection, and return the error for a text that is longer than any message can be."""
        return self._connection.close_with(
            _("{connection} does not come to the end of a message").format(connection=self._connection)
        )


class Text:
    """The text of a multi-line reply (RFC 1939 §3), straight from the wire, each byte once.

    On the wire a text always ends with CRLF. Whether that belongs to it only its announced size can tell.

    Args:
        octets: the size by LIST, None when it is not known. A text that is longer than this by just its last CRLF
            is given without it.
    """

    __slots__ = ("_given", "_most", "_octets", "_over", "_replies")

    def __init__(self, replies: _Replies, octets: int | None) -> None:
        self._replies = replies
        self._octets = octets
        self._given = 0
        self._most = _MOST_UNKNOWN if octets is None else 2 * octets + _SPARE
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._over:
            # Before the first line comes the end of the status line.
            piece, self._over = self._replies.text(0 if self._given else len(_CRLF))
            self._given += len(piece)
            if self._given > self._most:
                raise self._replies.endless()
            if self._over and self._given - len(_CRLF) == self._octets:
                piece = piece.removesuffix(_CRLF)
            if piece:
                return piece
        raise StopIteration


class Pop3Channel:
    """Whatever is said after the login: one batch of commands at a time."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._replies = _Replies(connection)
        self._current: Pop3Batch | None = None

    def begin(self) -> Pop3Batch:
        """Begin a batch of commands. The one before is over: what is still to come of it is read and dropped."""
        if self._current is not None:
            self._current.end()
        self._current = Pop3Batch(self.connection, self._replies)
        return self._current


class Pop3Batch:
    """Commands sent and not yet answered."""

    def __init__(self, connection: Connection, replies: _Replies) -> None:
        self._connection = connection
        self._replies = replies
        self._has_text: deque[bool] = deque()
        self._text: Text | None = None
        self._over = False

    def send(self, *commands: bytes, text: bool) -> None:
        """Send commands, without their CRLF, in one piece.

        Args:
            text: whether a good reply to them has a text.
        """
        self._connection.send(b"".join(b"%b\r\n" % command for command in commands))
        self._has_text.extend([text] * len(commands))

    def reply(self) -> bytes:
        """Return the status line of the next reply; what is left of the text before is dropped.

        Raises:
            TransientError: this is not a reply.
        """
        if self._over:
            raise RuntimeError(
                _("an iterator of a POP3 source was used after a later call on the same source")
            )
        self._drop_text()
        line = self._replies.line()
        if line.startswith(b"-ERR"):
            line = line[:4] + self._connection.mask(line[4:])  # it may be shown
        self._connection.answered()
        has_text = self._has_text.popleft()
        if line.startswith(b"+OK"):
            if has_text:
                self._replies.back_before_line_end()
                self._text = Text(self._replies, None)
        elif not line.startswith(b"-ERR"):
            raise self._connection.protocol_error(line)
        return line

    def text(self, octets: int | None = None) -> Text:
        """Return the text of the reply just read, to be streamed; see `Text`."""
        self._text = Text(self._replies, octets)
        return self._text

    def whole_text(self, limit: int) -> bytes:
        """Return the text of the reply just read.

        Raises:
            TransientError: it has more than ``limit`` bytes.
        """
        pieces = []
        for piece in self.text():
            pieces.append(piece)
            limit -= len(piece)
            if limit < 0:
                raise self._connection.close_with(
                    _("{connection} sent a longer list than any mailbox has").format(
                        connection=self._connection
                    )
                )
        return b"".join(pieces)

    def end(self) -> None:
        """Read and drop what is still to come."""
        while self._has_text:
            self.reply()
        self._drop_text()
        self._over = True

    def _drop_text(self) -> None:
        for _chunk in self._text or ():
            pass
        self._text = None
