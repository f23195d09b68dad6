"""The IMAP sink at work: putting, committing, finding; `archipec_plugins.imap` says what it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple

from archipec.contract import ContentKey, Context, Fingerprint, Item, Json, Receipt, State
from archipec.errors import MissingCopy, PermanentError, Scope
from archipec.language import _
from archipec_plugins.files.streams import item_chunks, stream_of
from archipec_plugins.imap import ImapSinkConfig
from archipec_plugins.imap.append import Appended, Appender
from archipec_plugins.imap.index import MailboxIndex, MessageLocation
from archipec_plugins.imap.session import ImapSession, open_session
from archipec_plugins.imap.sink_folders import Folders

# What IMAP can't carry (RFC 9051 §4.3), and what mail servers end lines with: they make it CRLF, or refuse it.
_IMPOSSIBLE: Final = re.compile(rb"(\0)|(?<!\r)(\n)")
# What some servers replace in place, so that the size tells nothing.
_DOUBTFUL: Final = re.compile(rb"[^\t\n\r -~]|\r(?=[^\n])")


@contextmanager
def open_sink(config: ImapSinkConfig, context: Context) -> Iterator[ImapSink]:
    """Connect, log in, and log out at the end."""
    session = open_session(config.account)
    try:
        yield ImapSink(session, config, context)
    finally:
        session.close()


class _Staged(NamedTuple):
    item: Item
    doubtful: bool


class ImapSink:
    """Keeps messages in a mailbox; see `archipec.contract.Sink`.

    Opening, finding and reading change nothing there.
    """

    def __init__(self, session: ImapSession, config: ImapSinkConfig, context: Context) -> None:
        self._session = session
        self._config = config
        self._context = context
        self._appender = Appender(session)
        self._known_folders: Folders | None = None
        self._known_messages: MailboxIndex | None = None
        self._puts: list[ContentKey] = []
        self._staged: dict[ContentKey, _Staged] = {}
        self._receipts: dict[ContentKey, Receipt] = {}

    @property
    def _folders(self) -> Folders:
        if self._known_folders is None:
            self._known_folders = Folders(
                self._session.channel, self._session.capabilities, self._config.folder
            )
        return self._known_folders

    @property
    def _catalog(self) -> MailboxIndex:
        if self._known_messages is None:
            self._known_messages = MailboxIndex(self._session.channel, self._folders, self._context)
        return self._known_messages

    def put(self, item: Item) -> None:
        """Read the message into the batch; nothing is sent before `commit`."""
        if item.key not in self._staged and item.key not in self._receipts:
            reason, doubtful = self._examine(item)
            if reason:
                self._receipts[item.key] = Receipt(item.key, State.REJECTED, None, reason)
            else:
                self._staged[item.key] = _Staged(item, doubtful)
        self._puts.append(item.key)

    def _examine(self, item: Item) -> tuple[str, bool]:
        """Return why a message can't be kept here, empty when it can, and whether its size alone proves little."""
        reason, doubtful, last = "", False, b""
        largest = self._appender.largest
        if not item.key.size:
            reason = _("IMAP has no messages without any bytes")
        elif largest is not None and item.key.size > largest:
            reason = _("the server is not accepting messages of more than {largest} bytes").format(
                largest=largest
            )
        for chunk in item_chunks(item):
            text = last + chunk
            if not reason and (found := _IMPOSSIBLE.search(text, len(last))):
                reason = (
                    _("it holds a NUL, which IMAP can't carry")
                    if found[1]
                    else _("it has line ends other than CRLF, which mail servers change")
                )
            doubtful = doubtful or _DOUBTFUL.search(text) is not None
            last = chunk[-1:]
        return reason, doubtful or last == b"\r"

    def commit(self) -> Sequence[Receipt]:
        staged, self._staged = self._staged, {}
        receipts, self._receipts = self._receipts, {}
        puts, self._puts = self._puts, []
        held = self._catalog.held(staged)
        receipts |= {key: _stored(key, place) for key, place in held.items()}
        lacking: dict[str, list[_Staged]] = {}
        for key, each in staged.items():
            if key not in held:
                lacking.setdefault(self._folders.target(each.item.folder), []).append(each)
        for folder, group in lacking.items():
            receipts |= {receipt.key: receipt for receipt in self._add(folder, group)}
        return [receipts[key] for key in puts]

    def _add(self, folder: str, staged: Sequence[_Staged]) -> Iterator[Receipt]:
        """Add messages to a folder."""
        # A folder that doesn't last, such as trash, counts for what is put into it.
        self._catalog.add_unread(folder, self._catalog.list_new(folder))
        held = self._catalog.held(each.item.key for each in staged)
        for key, place in held.items():
            yield _stored(key, place)
        lacking = [each for each in staged if each.item.key not in held]
        if lacking:
            encoded_name = self._folders.encoded_name(folder)
            outcomes = self._appender.append(encoded_name, [each.item for each in lacking])
            yield from self._compared(folder, lacking, outcomes)

    def _compared(
        self, folder: str, staged: Sequence[_Staged], outcomes: Sequence[Appended]
    ) -> Iterator[Receipt]:
        """Look at what was added: it must be what was sent."""
        catalog = self._catalog
        sizes = catalog.list_new(folder)
        to_read: dict[MessageLocation, ContentKey] = {}
        unnumbered: list[ContentKey] = []
        for (item, doubtful), outcome in zip(staged, outcomes, strict=True):
            if outcome.refusal:
                yield Receipt(item.key, State.REJECTED, None, outcome.refusal)
            elif outcome.uid not in sizes:
                unnumbered.append(item.key)
            else:
                place, size = catalog.place(folder, outcome.uid), sizes.pop(outcome.uid)
                if doubtful or size != item.key.size:
                    to_read[place] = item.key
                else:
                    catalog.add(item.key, place)
                    yield _stored(item.key, place)
        found = catalog.keys(to_read)
        for place, key in to_read.items():
            if found.get(place) == key:
                catalog.add(key, place)
                yield _stored(key, place)
            else:
                yield _changed(
                    key, _('number {uid} of folder "{folder}"').format(uid=place.uid, folder=folder)
                )
        catalog.add_unread(folder, sizes)
        held = catalog.held(unnumbered)
        for key in unnumbered:
            yield (
                _stored(key, held[key])
                if key in held
                else _changed(key, _('folder "{folder}"').format(folder=folder))
            )

    def fingerprint(self) -> Fingerprint:
        return self._folders.fingerprint()

    @contextmanager
    def probe(self, name: str) -> Iterator[None]:
        """Make an empty folder, which is removed at the end."""
        encoded_name = self._folders.make_probe(name)
        try:
            yield
        finally:
            self._folders.remove_probe(encoded_name)

    def present(self, receipts: Iterable[Receipt]) -> Iterator[Receipt]:
        """Yield those that are where they were, of their size."""
        by_folder: dict[str, dict[MessageLocation, Receipt]] = {}
        for receipt in receipts:
            if (place := _place(receipt.token)) is not None:
                by_folder.setdefault(place.folder, {})[place] = receipt
        for folder, wanted in by_folder.items():
            yield from (wanted[place] for place in self._catalog.there(folder, wanted))

    def find(self, key: ContentKey) -> Receipt | None:
        place = self._catalog.held([key]).get(key)
        return None if place is None else _stored(key, place)

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        """Stream a copy; one with other bytes ends in IntegrityError."""
        chunks = self._chunks(receipt)
        with stream_of(chunks) as stream:
            yield stream

    def _chunks(self, receipt: Receipt) -> Iterator[bytes]:
        """Return the bytes of the copy a receipt names, or of another one: people move messages about."""
        key = receipt.key
        place = _place(receipt.token)
        if place is not None:
            try:
                chunks = self._catalog.chunks(key, place)
            except PermanentError as error:
                if error.scope != Scope.FOLDER:
                    raise
                chunks = None  # the folder is gone, or has another name
            if chunks is not None:
                return chunks
        place = self._catalog.held([key]).get(key)
        chunks = None if place is None else self._catalog.chunks(key, place)
        if chunks is None:
            raise MissingCopy(
                _("message {key} is no longer in {url}").format(key=key, url=self._config.account.url)
            )
        return chunks


def _stored(key: ContentKey, place: MessageLocation) -> Receipt:
    return Receipt(key, State.STORED, place._asdict())


def _changed(key: ContentKey, where: str) -> Receipt:
    reason = _("the server changed it: what is now {where} has other bytes, and is no copy").format(
        where=where
    )
    return Receipt(key, State.REJECTED, None, reason)


def _place(token: Json) -> MessageLocation | None:
    match token:
        case {"folder": str(folder), "uidvalidity": int(uidvalidity), "uid": int(uid)} if folder:
            return MessageLocation(folder, uidvalidity, uid)
    return None
