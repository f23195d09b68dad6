"""The POP3 source at work: listing, messages, headers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from archipec.contract import Context, DeletionOrder, Fetched, Fingerprint, Folder, Json, Listed
from archipec.errors import ArchipecError, PermanentError, Scope, TransientError, counted
from archipec.language import _
from archipec.message import ContentKey
from archipec_plugins.net.account import Account
from archipec_plugins.pop3.commands import Pop3Batch, refusal
from archipec_plugins.pop3.delete import Pop3Deletion
from archipec_plugins.pop3.fetch import AHEAD, Pop3Answer, Pop3FetchPipeline
from archipec_plugins.pop3.maildrop import Maildrop, parse_counts, parse_sizes, parse_unique_ids
from archipec_plugins.pop3.session import Pop3Session, open_session

_INBOX: Final = "INBOX"
_MAX_LIST: Final = 64 * 1024 * 1024
_MAX_HEAD: Final = 256 * 1024
_MOST_UNNAMED: Final = 10_000


@contextmanager
def open_source(account: Account, context: Context) -> Iterator[Pop3Source]:
    """Connect, log in, and log out at the end."""
    session = open_session(account)
    kind = Pop3SourceWithHeaders if "TOP" in session.capabilities else Pop3Source
    source = kind(session, context)
    try:
        yield source
    finally:
        source.close()


class Pop3Source:
    """An `archipec.contract.Source` that can also delete.

    One iterator at a time: a call ends the iterators that earlier calls returned.
    """

    def __init__(self, session: Pop3Session, context: Context) -> None:
        self._session = session
        self._channel = session.channel
        self._context = context
        self._ahead = AHEAD if "PIPELINING" in session.capabilities else 1
        self._maildrop: Maildrop | None = None
        self._retrieved = False
        self._deleting = False

    def folders(self) -> list[Folder]:
        """Return the one folder that POP3 sees."""
        self._context.log.warning(
            _("POP3 sees only the inbox: sent messages and other folders of this mailbox are not archived")
        )
        return [Folder(_INBOX, None, len(self._names().refs))]

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """List the inbox by message number.

        POP3 always names everything. A cursor still spares the sizes, and the host the repetition: when the names
        begin with those it was made behind, only the others are listed.
        """
        if folder != _INBOX:
            return
        maildrop = self._names()
        if maildrop.covered(after) == len(maildrop.refs):
            return
        self._ask_sizes(maildrop)
        known = maildrop.covered(after)
        for ref, cursor in maildrop.after(known):
            yield Listed(folder, ref, maildrop.size(ref), None, (), cursor)

    def count(self, folder: str) -> int | None:
        return self._names().count if folder == _INBOX else None

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages.

        POP3 ends every message with CRLF. One that has none is recognised by its size, where the server counts
        exactly (RFC 1939 §11), as Dovecot does.
        """
        for ref, text in self._read(folder, refs, b"RETR %d"):
            yield Fetched(ref, text)

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        """Carry out orders, all at the end: POP3 deletes when a session is taken leave of, and not before.

        The session is over then: whatever is asked of this source afterwards fails.
        """
        maildrop = self._names()
        self._ask_sizes(maildrop)
        self._deleting = True
        deletion = Pop3Deletion(self._channel, maildrop, self._context.now, self._ahead)
        yield from deletion.delete(orders)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint({}, list(self._names().refs))

    def close(self) -> None:
        """End the session, changing nothing."""
        if self._deleting:
            # Either QUIT was said, or it must not be.
            self._session.connection.close()
            return
        if self._retrieved and self._ahead == 1:
            with contextlib.suppress(TransientError):
                batch = self._channel.begin()
                batch.send(b"RSET", text=False)
                batch.reply()
        self._session.leave()

    def _read(self, folder: str, refs: Iterable[str], command: bytes) -> Iterator[Pop3Answer]:
        if folder != _INBOX:
            return
        maildrop = self._names()
        if command.startswith(b"RETR"):
            self._ask_sizes(maildrop)
            self._retrieved = True
        batch = self._channel.begin()
        yield from Pop3FetchPipeline(batch, maildrop, iter(refs), command, self._ahead).answers()

    def _names(self) -> Maildrop:
        """The mailbox as it was at the login, sizes perhaps still unknown."""
        if self._maildrop is None:
            batch = self._channel.begin()
            batch.send(b"STAT", text=False)
            if self._ahead == 1:
                count, octets = parse_counts(batch.reply())
                reply, text = _ask(batch, b"UIDL")
            else:
                batch.send(b"UIDL", text=True)
                count, octets = parse_counts(batch.reply())
                reply, text = _answer(batch)
            unique_ids = self._unique_ids(reply, text)
            self._maildrop = Maildrop(unique_ids, self._without_unique_id(unique_ids, count or 0))
            self._maildrop.count, self._maildrop.octets = count, octets
            if self._maildrop.ambiguous:
                self._context.log.info(
                    "%s with a unique id that another one has, too",
                    counted(len(self._maildrop.ambiguous), "message"),
                )
        return self._maildrop

    def _unique_ids(self, reply: bytes, text: bytes) -> list[tuple[int, str]]:
        connection = self._session.connection
        if reply.startswith(b"-ERR"):
            error = refusal(
                reply,
                _("{connection} gives messages no lasting names (UIDL)").format(connection=connection),
                Scope.ENDPOINT,
            )
            error.hint = _("without them nothing can be resumed or deleted safely: use IMAP")
            raise error
        unique_ids = parse_unique_ids(text)
        if unique_ids is None:
            raise PermanentError(
                _("{connection} gives names to messages (UIDL) that can't be read").format(
                    connection=connection
                ),
                hint=_("use IMAP"),
            )
        return unique_ids

    def _without_unique_id(self, unique_ids: list[tuple[int, str]], count: int) -> dict[int, str]:
        """Return names for messages that UIDL leaves out, or gives no unique id: a digest of their header section.

        One whose header can't be had has no name that lasts, and stays unlisted: the count tells of it.
        """
        numbers = {number for number, unique_id in unique_ids if not unique_id}
        unnamed = set(range(1, count + 1)) - {number for number, _ignored in unique_ids}
        if 0 < len(unnamed) <= _MOST_UNNAMED:
            reply, text = _ask(self._channel.begin(), b"LIST")
            # STAT may count what isn't there: some servers close the connection when asked for it.
            numbers |= unnamed & parse_sizes(text).keys() if reply.startswith(b"+OK") else unnamed
        if not numbers:
            return {}
        self._context.log.info("%s without a unique id", counted(len(numbers), "message"))
        drop = Maildrop(
            [], {number: _("no unique id, number {number}").format(number=number) for number in numbers}
        )
        names: dict[int, str] = {}
        pipeline = Pop3FetchPipeline(self._channel.begin(), drop, iter(drop.refs), b"TOP %d 0", self._ahead)
        for ref, chunks in pipeline.answers():
            try:
                names[drop.numbers[ref]] = _("no unique id, header {digest}").format(
                    digest=_digest_of(chunks)
                )
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                self._context.log.warning(
                    _("%s, and it has no unique id: it can't be archived over POP3"), error
                )
        return names

    def _ask_sizes(self, maildrop: Maildrop) -> None:
        """Learn the sizes. A server that can't tell them is still good for reading."""
        if not maildrop.sizes and maildrop.refs:
            reply, text = _ask(self._channel.begin(), b"LIST")
            maildrop.sizes = parse_sizes(text)
            if reply.startswith(b"-ERR"):
                self._context.log.info("%s", refusal(reply, "no sizes", Scope.ENDPOINT))


class Pop3SourceWithHeaders(Pop3Source):
    """A source whose server can give headers alone (TOP, RFC 1939 §7)."""

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Read headers, the first 256 KiB of each; empty where the server refuses one."""
        for ref, text in self._read(folder, refs, b"TOP %d 0"):
            try:
                head = b"".join(_up_to(text, _MAX_HEAD))
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                self._context.log.info("%s", error)
                head = b""
            yield ref, head


def _ask(batch: Pop3Batch, command: bytes) -> tuple[bytes, bytes]:
    """Return the status line and the text of a reply."""
    batch.send(command, text=True)
    return _answer(batch)


def _answer(batch: Pop3Batch) -> tuple[bytes, bytes]:
    reply = batch.reply()
    return reply, batch.whole_text(_MAX_LIST) if reply.startswith(b"+OK") else b""


def _digest_of(chunks: Iterator[bytes]) -> str:
    return ContentKey.of_chunks(chunks).sha256[:32]


def _up_to(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The first ``limit`` bytes; what comes after them is left unread."""
    while limit > 0 and (chunk := next(chunks, b"")):
        yield chunk[:limit]
        limit -= len(chunk)
