"""Adds messages to a folder: APPEND (RFC 9051 §6.3.12), as few round trips as the server allows.

MULTIAPPEND (RFC 3502) adds many messages by one command, all or none; literals sent without waiting are LITERAL+ and
LITERAL- (RFC 7888); APPENDUID (RFC 4315) gives the UIDs that messages got.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

from archipec.errors import ArchipecError, PermanentError, Scope, TransientError
from archipec.language import _
from archipec.message import Item
from archipec_plugins.files.streams import item_chunks, unix_time
from archipec_plugins.imap.commands import TRANSIENT_CODES, CommandBatch, refusal, response_text
from archipec_plugins.imap.grammar import StatusResponse, number, quoted
from archipec_plugins.imap.session import ImapSession

_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_SYSTEM_FLAGS: Final = {flag.casefold(): flag for flag in ("\\Seen", "\\Answered", "\\Flagged", "\\Draft")}
# Servers refuse longer ones, and more.
_KEYWORD: Final = re.compile(r"\$?[A-Za-z0-9][A-Za-z0-9_.-]{0,28}")
_MOST_KEYWORDS: Final = 10
# What a refusal costs again, one message at a time.
_TOGETHER: Final = 100
_TOGETHER_BYTES: Final = 4 * 1024 * 1024
_SMALL: Final = 4096  # LITERAL-
_LARGE: Final = 1024 * 1024  # worth asking first: it may be refused
_BUFFER: Final = 64 * 1024
# Commands under way at once, where each adds one message: their answers must fit into the buffers of the connection.
_AHEAD: Final = 16
# The folder is gone since it was listed: the next opening makes it anew.
_TRANSIENT_CODES: Final = TRANSIENT_CODES | {"TRYCREATE", "NONEXISTENT"}
_FORBIDDING: Final = frozenset({"NOPERM", "AUTHORIZATIONFAILED", "CONTACTADMIN", "READ-ONLY"})


class Appended(NamedTuple):
    """What became of a message.

    Attributes:
        uid: its number, None when the server doesn't tell.
        refusal: why the server doesn't take this one; empty when it did.
    """

    uid: int | None = None
    refusal: str = ""


class Appender:
    """Adds messages over one session.

    Attributes:
        largest: bytes of the largest message the server takes (RFC 7889), None when it doesn't tell.
    """

    def __init__(self, session: ImapSession) -> None:
        self._channel = session.channel
        self._connection = session.connection
        self._multi = "MULTIAPPEND" in session.capabilities
        self._unasked = 0
        if "LITERAL-" in session.capabilities:
            self._unasked = _SMALL
        if "LITERAL+" in session.capabilities:
            self._unasked = _LARGE
        self._proven: set[tuple[bytes, bytes]] = set()
        self._takes_messages = False
        self.largest = min(_limits(session.capabilities), default=None)

    def append(self, encoded_name: bytes, items: Sequence[Item]) -> list[Appended]:
        """Add messages to a folder, in order.

        Raises:
            ArchipecError: the server takes none now. Some may have been added.
        """
        outcomes: list[Appended] = []
        groups = self._groups(items)
        while window := list(islice(groups, 1 if self._multi else _AHEAD)):
            for group, status in zip(window, self._send_all(encoded_name, window), strict=True):
                if status.word != "OK" and len(group) > 1:
                    outcomes += self._append_singly(encoded_name, group)
                else:
                    outcomes += self._outcomes(status, group)
        return outcomes

    def _append_singly(self, encoded_name: bytes, items: Sequence[Item]) -> Iterator[Appended]:
        """Add messages of which the server refuses some one."""
        singles = iter([[item] for item in items])
        answered: list[tuple[list[Item], StatusResponse]] = []
        while window := list(islice(singles, _AHEAD)):
            answered += zip(window, self._send_all(encoded_name, window), strict=True)
        for single, status in answered:
            yield from self._outcomes(status, single)

    def _groups(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        """Part messages into those that go into one command."""
        group: list[Item] = []
        size = 0
        for item in items:
            size += item.key.size
            if group and (not self._multi or len(group) >= _TOGETHER or size > _TOGETHER_BYTES):
                yield group
                group, size = [], item.key.size
            group.append(item)
        if group:
            yield group

    def _send_all(self, encoded_name: bytes, groups: Sequence[Sequence[Item]]) -> list[StatusResponse]:
        """Send a command for each group; return how each ended.

        Raises:
            ArchipecError: one ended in a way that the others will, too.
        """
        batch = self._channel.begin()
        ended: dict[bytes, StatusResponse] = {}
        try:
            tags = [self._send(batch, ended, encoded_name, group) for group in groups]
        except BaseException:
            # Part of a message may be on its way: nothing else can be said on this connection.
            self._connection.close()
            raise
        for tag in tags:
            while tag not in ended:
                self._hear(batch, ended)
        statuses = [ended[tag] for tag in tags]
        for status in statuses:
            if (error := self._wide(status)) is not None:
                raise error
        self._takes_messages |= any(status.word == "OK" for status in statuses)
        return statuses

    def _send(
        self,
        batch: CommandBatch,
        ended: dict[bytes, StatusResponse],
        encoded_name: bytes,
        items: Sequence[Item],
    ) -> bytes:
        """Send a command, or as much of it as the server wants; return its tag.

        A server that refuses a line takes the literal behind it for commands, unless it was asked before: so each
        kind of line, which differs by folder and flags, is asked for the first time it is sent.
        """
        tag = batch.send_beginning(b"APPEND " + quoted(encoded_name))
        buffer = bytearray()
        for item in items:
            flags = _flags(item.flags)
            unasked = item.key.size <= self._unasked and (encoded_name, flags) in self._proven
            buffer += b' (%b) "%b" {%d%b}\r\n' % (
                flags,
                _internal_date(item.received or item.date),
                item.key.size,
                b"+" if unasked else b"",
            )
            if not unasked:
                self._flush(buffer)
                while (goes_ahead := self._hear(batch, ended)) is False and tag not in ended:
                    pass
                if not goes_ahead:
                    return tag
                self._proven.add((encoded_name, flags))
            for chunk in item_chunks(item):
                buffer += chunk
                if len(buffer) >= _BUFFER:
                    self._flush(buffer)
        buffer += b"\r\n"
        self._flush(buffer)
        return tag

    def _flush(self, buffer: bytearray) -> None:
        self._connection.send(bytes(buffer))
        buffer.clear()

    def _hear(self, batch: CommandBatch, ended: dict[bytes, StatusResponse]) -> bool:
        """Take the next response in; tell whether it is the go-ahead for a literal."""
        line = batch.line()
        if line.startswith(b"+"):
            return True
        status = batch.status(line)
        if status is None:
            batch.whole(line)
        elif status.tag != b"*":
            ended[status.tag] = status
        return False

    def _wide(self, status: StatusResponse) -> ArchipecError | None:
        """Return the error for a refusal that has nothing to do with the message; None for any other outcome."""
        if status.word == "OK":
            return None
        what = _("{connection} is not accepting messages").format(connection=self._connection)
        if status.word == "BAD":
            self._connection.close()
            return PermanentError(f"{what}: {response_text(status)}")
        if status.code == "OVERQUOTA":
            return TransientError(
                _("the mailbox at {connection} is full: {answer}").format(
                    connection=self._connection, answer=response_text(status)
                ),
                hint=_("delete something there and run the same command again: it goes on where it stopped"),
                retry_after=math.inf,
            )
        if status.code in _TRANSIENT_CODES:
            return TransientError(_("{what} now: {answer}").format(what=what, answer=response_text(status)))
        if status.code in _FORBIDDING:
            return PermanentError(
                f"{what}: {response_text(status)}", hint=_("the account must be allowed to add messages")
            )
        return None

    def _outcomes(self, status: StatusResponse, items: Sequence[Item]) -> list[Appended]:
        """Return what became of the messages of one command.

        Raises:
            PermanentError: a single message is refused, and it may not be because of it: no other was
                accepted.
        """
        if status.word == "OK":
            uids = _uids(status, len(items))
            return [Appended(uid) for uid in uids] if uids else [Appended()] * len(items)
        if status.code == "TOOBIG" or self._takes_messages:
            return [
                Appended(refusal=_("the server refuses it: {answer}").format(answer=response_text(status)))
            ]
        raise refusal(
            status,
            _("{connection} is not accepting messages").format(connection=self._connection),
            Scope.ENDPOINT,
        )


def _flags(flags: Iterable[str]) -> bytes:
    """Return flags as they are sent: none that servers refuse, nor those about a session or a deletion."""
    system = {_SYSTEM_FLAGS.get(flag.casefold(), "") for flag in flags} - {""}
    keywords = [flag for flag in dict.fromkeys(flags) if _KEYWORD.fullmatch(flag)][:_MOST_KEYWORDS]
    return " ".join([*sorted(system), *keywords]).encode("ascii")


def _internal_date(time: datetime) -> bytes:
    """Return an INTERNALDATE between 1970 and 9999."""
    utc = datetime.fromtimestamp(unix_time(time), UTC)
    day = b"%2d-%b-%04d" % (utc.day, _MONTHS[utc.month - 1], utc.year)
    return b"%b %02d:%02d:%02d +0000" % (day, utc.hour, utc.minute, utc.second)


def _uids(status: StatusResponse, count: int) -> list[int]:
    """Return the numbers that APPENDUID tells; none when they aren't as many as the messages."""
    if status.code != "APPENDUID":
        return []
    uids: list[int] = []
    for part in status.argument.rpartition(b" ")[2].split(b","):
        first, _, last = part.partition(b":")
        start, end = number(first), number(last or first)
        if start is None or end is None or not start <= end < start + count:
            return []
        uids += range(start, end + 1)
    return uids if len(uids) == count else []


def _limits(capabilities: Iterable[str]) -> Iterator[int]:
    for capability in capabilities:
        name, _, size = capability.partition("=")
        if name == "APPENDLIMIT" and size.isdecimal():
            yield int(size)
