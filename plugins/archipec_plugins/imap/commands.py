"""Sends commands and reads their answers, literals included, several commands ahead of the answers.

IMAP lets a client send commands without waiting (RFC 9051 §5.5) and a server answer them in any order. What goes
through here is what imaplib and imapclient can't do: they wait after each command and hold whole messages in memory.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from archipec.errors import ArchipecError, PermanentError, Scope, TransientError
from archipec.language import _
from archipec_plugins.imap.grammar import StatusResponse, literal_size, parse_status
from archipec_plugins.net.connection import Connection, printable

_CHUNK = 128 * 1024
_USUAL_TAIL = b")\r\n"
_MAX_RESPONSE = 256 * 1024
_MOST_DROPPED = 2 * 1024**3
TRANSIENT_CODES = frozenset({"UNAVAILABLE", "SERVERBUG", "INUSE", "LIMIT"})
"""Response codes of refusals that pass by themselves (RFC 5530 §3, RFC 9051 §7.1)."""


def response_text(status: StatusResponse) -> str:
    """Return what a status response tells, to be shown."""
    code = f"[{status.code}] " if status.code else ""
    return f"{code}{printable(status.text).rstrip('. ')}"


def refusal(status: StatusResponse, what: str, scope: Scope) -> ArchipecError:
    """Return the error for a command that was answered NO or BAD.

    Args:
        what: goes before the server's own words.
    """
    kind = TransientError if status.code in TRANSIENT_CODES else PermanentError
    return kind(f"{what}: {response_text(status)}", scope=scope)


class Body:
    """The bytes of one literal, straight from the wire, each once."""

    __slots__ = ("_connection", "_left")

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._left = size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        data = self._connection.read(min(self._left, _CHUNK))
        self._left -= len(data)
        return data


class CommandChannel:
    """Whatever is said after the login: one batch of commands at a time.

    Attributes:
        identified: `identify` was called.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.identified = False
        self._tags = itertools.count(1)
        self._current: CommandBatch | None = None
        self._first: list[bytes] = []

    def begin(self) -> CommandBatch:
        """Begin a batch of commands. The one before is over: what is still to come of it is read and dropped."""
        if self._current is not None:
            self._current.end()
        self._current = CommandBatch(self.connection, self._tags, self._first)
        return self._current

    def identify(self) -> None:
        """Send ID (RFC 2971) together with the next command, ahead of it.

        Some servers open no folder before that. What they say of themselves isn't read.
        """
        if not self.identified:
            self.identified = True
            self._first.append(b'ID ("name" "archipec")')


class CommandBatch:
    """Commands sent and not yet answered.

    Attributes:
        codes: arguments of the response codes UIDVALIDITY and UIDNEXT that have come so far.
    """

    def __init__(self, connection: Connection, tags: Iterator[int], first: list[bytes]) -> None:
        self._connection = connection
        self._inbound = connection.inbound
        self._tags = tags
        self._first = first
        self._useful = False
        self._after_fetch = False
        self._ahead = b""
        self._waiting: set[bytes] = set()
        self._body: Iterator[bytes] | None = None
        self._over = False
        self.codes: dict[str, bytes] = {}

    def send(self, *commands: bytes) -> list[bytes]:
        """Send commands, without their CRLF, in one piece; return their tags."""
        first = len(self._first)
        commands = (*self._first, *commands)
        self._first.clear()
        tags = [b"A%d" % next(self._tags) for _ in commands]
        self._connection.send(b"".join(b"%b %b\r\n" % pair for pair in zip(tags, commands, strict=True)))
        self._waiting.update(tags)
        return tags[first:]

    def send_beginning(self, command: bytes) -> bytes:
        """Send the beginning of a command, whose literals and CRLF its sender puts on the wire; return its tag."""
        tag = b"A%d" % next(self._tags)
        self._connection.send(b"%b %b" % (tag, command))
        self._waiting.add(tag)
        return tag

    def answers(self, tag: bytes, what: str, scope: Scope) -> Iterator[bytes]:
        """Yield the data responses, whole, until the command is done.

        The caller says by `useful` that a response was asked for; only so many that were not are read.

        Args:
            what: says what failed, when it is refused.

        Raises:
            ArchipecError: of ``scope`` when the command is refused, else of the endpoint.
        """
        while True:
            line = self.line()
            # Most lines are about a message, and begin with its number.
            status = None if line[2:3].isdigit() and line[:2] == b"* " else self.status(line)
            if status is None:
                self._after_fetch = b" FETCH " in line[:20].upper()
                response = self.whole(line) if line.endswith(b"}\r\n") else line
                self._useful = False
                yield response
                if not self._useful:
                    self._connection.useless(len(response))
            elif status.tag == tag:
                if status.word != "OK":
                    raise refusal(status, what, scope)
                return

    def useful(self) -> None:
        """Say that what came last was asked for."""
        self._useful = True
        self._connection.useful()

    def useless(self, size: int) -> None:
        """Say that what came last, so many bytes, was not asked for.

        Raises:
            TransientError: there is no end to it.
        """
        self._connection.useless(size)

    def outcome(self, tag: bytes) -> StatusResponse:
        """Wait until a command is done, and return how it ended; its data responses are dropped."""
        while True:
            line = self.line()
            status = self.status(line)
            if status is None:
                self.useless(len(line) + self._skip(line))
            elif status.tag == tag:
                return status

    def line(self) -> bytes:
        """Return the first line of the next response; what is left of the one before is dropped."""
        if self._over:
            raise RuntimeError(
                _("an iterator of an IMAP source was used after a later call on the same source")
            )
        if self._body is not None:
            self._skip(self._after_body())
        line, self._ahead = self._ahead, b""
        return line or self._connection.readline()

    def usual(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Wait for the next line; when it is one that is expected, use it up, and return its match.

        Returns:
            None when it is another line, or not here to its end. The match is void after the next call.
        """
        if self._over or self._body is not None or self._ahead:
            return None
        inbound = self._inbound
        if inbound.at == inbound.end:
            self._connection.more()
        match = pattern.match(inbound.data, inbound.at, inbound.end)
        if match is not None:
            inbound.at = match.end()
        return match

    def leftover(self) -> bytes:
        """Return what stands behind a FETCH response whose list was closed too early; empty when nothing does."""
        line = self.line()
        if line.startswith(b" "):
            return self.whole(line)
        self._ahead = line
        return b""

    def status(self, line: bytes) -> StatusResponse | None:
        """Return the status response that ``line`` is, None when it begins a data response.

        Raises:
            TransientError: the server says BYE, or this is not a response.
        """
        status = parse_status(line)
        if status is None:
            if line.startswith(b"* "):
                self._after_fetch = b" FETCH " in line[:20].upper()
                return None
            if self._after_fetch and line[:1] in (b" ", b")", b"\r"):
                # The list was closed too early (Xeams): this is more of it.
                return None
            raise self._connection.protocol_error(line)
        status = self._shown(status)
        if status.tag != b"*":
            if status.tag not in self._waiting:
                raise self._connection.protocol_error(line)
            self._waiting.remove(status.tag)
            self._connection.answered()
            return status
        self.useless(len(line))
        if status.word == "BYE":
            raise self._connection.close_with(
                _("{connection} closed the connection: {answer}").format(
                    connection=self._connection, answer=response_text(status)
                )
            )
        if status.code in ("UIDVALIDITY", "UIDNEXT"):
            self.codes[status.code] = status.argument
        return status

    def _shown(self, status: StatusResponse) -> StatusResponse:
        """The status as it may be shown: a server may repeat the password anywhere."""
        mask = self._connection.mask
        if status.word == "OK":
            return status._replace(text=mask(status.text))
        code = mask(status.code.encode()).decode("ascii", "replace")
        return status._replace(code=code, text=mask(status.text))

    def whole(self, line: bytes) -> bytes:
        """Return the response that ``line`` begins or goes on with, its literals included.

        Raises:
            TransientError: it is larger than any that is read this way.
        """
        response = line
        while (size := literal_size(line)) is not None:
            literal, line = self.more(size, len(response))
            response += literal + line
        return response

    def more(self, size: int, so_far: int) -> tuple[bytes, bytes]:
        """Return a literal of a response of which ``so_far`` bytes are read, and the line after it.

        Raises:
            TransientError: the response becomes larger than any that is read this way.
        """
        if so_far + size > _MAX_RESPONSE:
            raise self._connection.close_with(
                _("{connection} sent a response of more than {most} bytes").format(
                    connection=self._connection, most=_MAX_RESPONSE
                )
            )
        return self._connection.read(size), self._connection.readline()

    def body(self, size: int) -> Iterator[bytes]:
        """Return the literal that the line just read announced: a small one whole, a large one streamed."""
        whole = 0 < size <= _CHUNK
        self._body = iter((self._connection.read(size),)) if whole else Body(self._connection, size)
        self._after_fetch = True
        return self._body

    def last_body(self, size: int) -> Iterator[bytes]:
        """Return the same; of what follows it nothing is wanted."""
        body = self.body(size)
        inbound = self._inbound
        if size <= _CHUNK and inbound.data.startswith(_USUAL_TAIL, inbound.at, inbound.end):
            inbound.at += len(_USUAL_TAIL)
            self._body = None
        return body

    def tail(self) -> bytes:
        """Return what follows the literal that was streamed last: the end of its response."""
        return self.whole(self._after_body())

    def end(self) -> None:
        """Read and drop what is still to come, so that others may speak."""
        dropped = 0
        while self._waiting:
            line = self.line()
            if self.status(line) is None:
                dropped += len(line) + self._skip(line)
                self._connection.pace.mark()
                if dropped > _MOST_DROPPED:
                    raise self._connection.close_with(
                        _("{connection} does not come to the end of its answers").format(
                            connection=self._connection
                        )
                    )
        self._over = True

    def _after_body(self) -> bytes:
        """The line after the literal that is being streamed, however much of it was read."""
        if self._body is not None:
            for _ in self._body:
                pass
            self._body = None
            self._connection.pace.mark()
        return self._connection.readline()

    def _skip(self, line: bytes) -> int:
        """Drop the response that ``line`` begins or goes on with; return how many more bytes that was."""
        dropped = 0
        while (size := literal_size(line)) is not None:
            for chunk in Body(self._connection, size):
                dropped += len(chunk)
            line = self._connection.readline()
            dropped += len(line)
        return dropped
