"""The IMAP source at work: folders, listings, messages, quota."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

from archipec.contract import (
    ContentKey,
    Context,
    DeletionOrder,
    Fetched,
    Fingerprint,
    Folder,
    Item,
    Json,
    Listed,
    Quota,
)
from archipec.errors import ArchipecError, PermanentError, Refused, Scope, counted
from archipec.language import _
from archipec_plugins.imap import ImapSourceConfig
from archipec_plugins.imap.commands import CommandBatch
from archipec_plugins.imap.delete import ImapDeletion, Method
from archipec_plugins.imap.folders import (
    SPELT,
    Counts,
    FolderFilter,
    ImapMailbox,
    encode_name,
    fingerprint_of,
    folder_for,
    parse_counts,
    parse_list,
    parse_quota,
    parse_unusable,
    unambiguous,
)
from archipec_plugins.imap.grammar import FetchLine, flag_names, internal_date, quoted
from archipec_plugins.imap.listing import Cursor, FolderListing, fetch_listing, fetch_numbers, read_cursor
from archipec_plugins.imap.select import MailboxState, SelectedMailbox
from archipec_plugins.imap.session import ImapSession, open_session

_COUNTS: Final = b"(MESSAGES UIDNEXT UIDVALIDITY)"
# STATUS commands under way at once: a server may read no further until its answers are read.
_STATUS_AHEAD: Final = 100
# Keeps a command within the 8,192 bytes of RFC 7162 §4.
_NUMBERS: Final = 500
_MAX_FOLDERS: Final = 100_000
_MAX_HEAD: Final = 256 * 1024
_KIB: Final = 1024


@contextmanager
def open_source(config: ImapSourceConfig, context: Context) -> Iterator[ImapSource]:
    """Connect, log in, and log out at the end."""
    session = open_session(config.account)
    try:
        yield ImapSource(session, config, context)
    finally:
        session.close()


class ImapSource:
    """An `archipec.contract.Source` that also reads headers and the quota, counts, and deletes by order.

    One iterator at a time: a call ends the iterators that earlier calls returned.
    """

    def __init__(self, session: ImapSession, config: ImapSourceConfig, context: Context) -> None:
        self._session = session
        self._channel = session.channel
        self._filter = FolderFilter(config.folders, config.exclude)
        self._context = context
        self._encoded_names: dict[str, bytes] = {}
        self._counts: dict[str, Counts] = {}
        self._held: dict[str, int | None] = {}
        self._whole: set[str] = set()
        self._selected = SelectedMailbox(session.channel, context.temp)

    def folders(self) -> list[Folder]:
        """Return the folders to read, the inbox first, then by name.

        Raises:
            PermanentError: a folder that is named, not meant by a glob, is not there.
        """
        mailboxes, counts = self._list()
        for pattern, glob in self._filter.missing(mailboxes):
            if not glob:
                raise _no_folder(pattern, mailboxes)
            self._context.log.warning(_('no folder is called like "%s"'), pattern)
        chosen, left_out = self._filter.of(mailboxes)
        for mailbox, reason in left_out:
            self._context.log.info('folder "%s" is left out: %s', mailbox.name, reason)
        if "LIST-STATUS" not in self._session.capabilities:
            counts = dict(self._ask_counts([mailbox for mailbox, _ignored in chosen]))
        self._counts = {
            mailbox.name: counts[mailbox.encoded_name]
            for mailbox, _ignored in chosen
            if mailbox.encoded_name in counts
        }
        return [
            Folder(mailbox.name, use, known.messages if (known := self._counts.get(mailbox.name)) else None)
            for mailbox, use in chosen
        ]

    def folder_names(self) -> frozenset[str]:
        return frozenset(self._encoded_names)

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """List a folder by UID.

        The counts that `folders` got save the first listing after it, when nothing is new, its round trip.
        """
        cursor = read_cursor(after)
        counts = self._counts.pop(folder, None)
        self._held.pop(folder, None)
        self._whole.discard(folder)
        if counts is not None and _nothing_new(counts, cursor):
            self._held[folder] = counts.messages
            return
        # The last one listed is asked for again: it tells whether the numbers are still those of the same messages.
        state, batch, (fetch,) = self._selected.open(
            folder, self._encoded_name(folder), fetch_listing(cursor.uid)
        )
        whole = not cursor.uid
        if cursor.uid and state.uidvalidity != cursor.uidvalidity:
            whole = True
            # The numbers belong to a folder that is no more, and so do the answers to come.
            cursor = Cursor()
            batch = self._channel.begin()
            (fetch,) = batch.send(fetch_listing(0))
        listing = FolderListing(cursor, state.exists)
        yield from self._listed(state, listing, batch, fetch)
        if listing.renumbered:
            whole = True
            self._context.log.info('folder "%s" is listed whole: its messages are numbered anew', folder)
            listing.start_again()
            batch = self._channel.begin()
            (fetch,) = batch.send(fetch_listing(0))
            yield from self._listed(state, listing, batch, fetch)
        if listing.nameless:
            yield from self._listed_by_number(state, listing)
        if listing.nameless:
            self._context.log.warning(
                _(
                    'folder "%s": the server lists %s without a valid UID, and there is no other way to ask '
                    "for what has none; moved to another folder in the webmail, it gets a new one"
                ),
                folder,
                counted(len(listing.nameless), "message"),
            )
        self._held[folder] = listing.exists
        if whole:
            self._whole.add(folder)

    def _listed(
        self, state: MailboxState, listing: FolderListing, batch: CommandBatch, fetch: bytes
    ) -> Iterator[Listed]:
        """Yield the messages of a listing that is under way; end early when it is of no use."""
        what = _('folder "{folder}" can\'t be listed').format(folder=state.folder)
        for response in batch.answers(fetch, what, Scope.FOLDER):
            found = listing.take(response)
            if listing.renumbered:
                return
            if found is None:
                continue
            batch.useful()
            if listing.endless:
                raise self._session.connection.close_with(
                    _("{what}: the server lists many more messages than it says there are").format(what=what),
                    retry_after=math.inf,
                )
            yield _listed(state, listing, *found)
        for line, place in listing.rest():
            yield _listed(state, listing, line, place)

    def _listed_by_number(self, state: MailboxState, listing: FolderListing) -> Iterator[Listed]:
        """Ask for messages that were listed without a UID by their numbers."""
        numbers = sorted(listing.nameless - {0})
        for start in range(0, len(numbers), _NUMBERS):
            batch = self._channel.begin()
            (fetch,) = batch.send(fetch_numbers(numbers[start : start + _NUMBERS]))
            yield from self._listed(state, listing, batch, fetch)

    def count(self, folder: str) -> int | None:
        return self._held.get(folder)

    def listed_whole(self, folder: str) -> bool:
        return folder in self._whole

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        for ref, chunks in self._selected.read(folder, self._encoded_name(folder), refs):
            yield Fetched(ref, chunks)

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Read headers, the first 256 KiB of each; empty where the server refuses one."""
        for ref, chunks in self._selected.read(folder, self._encoded_name(folder), refs, "HEADER"):
            try:
                head = b"".join(_up_to(chunks, _MAX_HEAD))
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                self._context.log.info("%s", error)
                head = b""
            yield ref, head

    def quota(self) -> Quota | None:
        """Return bytes used and the limit of the mailbox (RFC 9208), None when the server states no limit."""
        if "QUOTA" not in self._session.capabilities:
            return None
        batch = self._channel.begin()
        (tag,) = batch.send(b"GETQUOTAROOT INBOX")
        quotas = [
            Quota(used * _KIB, limit * _KIB)
            for response in batch.answers(tag, _("the quota can't be read"), Scope.ENDPOINT)
            for resource, used, limit in parse_quota(response)
            if resource == "storage"
        ]
        return min(quotas, key=lambda quota: quota.limit - quota.used, default=None)

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        deletion = self._deletion(self._method())
        self._selected = SelectedMailbox(self._channel, self._context.temp)  # another folder will be open
        yield from deletion.delete(orders, self._encoded_name)

    def _deletion(self, method: Method) -> ImapDeletion:
        context = self._context
        return ImapDeletion(self._channel, method, context.now, context.temp, context.marking)

    def unmark(self, folder: str, refs: Iterable[str]) -> None:
        """Take back marks that a session which broke off left."""
        if folder not in {mailbox.name for mailbox in self._list()[0]}:
            return  # with its messages
        self._selected = SelectedMailbox(self._channel, self._context.temp)
        self._deletion(Method(None)).unmark(folder, self._encoded_name(folder), refs)

    def put_back(self, item: Item) -> None:
        """Add a message again that was deleted, and read it back."""
        from archipec_plugins.imap.append import Appender

        before = {listed.ref for listed in self.scan(item.folder, None)}
        (added,) = Appender(self._session).append(self._encoded_name(item.folder), [item])
        if added.refusal:
            raise PermanentError(
                _('folder "{folder}" does not take it back: {refusal}').format(
                    folder=item.folder, refusal=added.refusal
                )
            )
        self._selected = SelectedMailbox(self._channel, self._context.temp)
        new = [listed.ref for listed in self.scan(item.folder, None) if listed.ref not in before]
        for _ignored, chunks in self._selected.read(item.folder, self._encoded_name(item.folder), new):
            if ContentKey.of(b"".join(chunks)) == item.key:
                return
        raise PermanentError(_('what folder "{folder}" holds now has other bytes').format(folder=item.folder))

    def fingerprint(self) -> Fingerprint:
        mailboxes, counts = self._list()
        if "LIST-STATUS" not in self._session.capabilities:
            counts = dict(self._ask_counts([mailbox for mailbox in mailboxes if mailbox.selectable]))
        return fingerprint_of(mailboxes, counts)

    def shows(self, name: str) -> bool:
        return any(mailbox.path[-1] == name or name in mailbox.name for mailbox in self._list()[0])

    def trash(self) -> str | None:
        """Return the trash's name: as the server tells, else by what providers call it."""
        trash = folder_for("Trash", self._list()[0])
        return None if trash is None else trash.name

    def only_moves(self) -> bool:
        """Tell whether messages can only be moved to the trash.

        Raises:
            Refused: not even that.
        """
        return self._method().trash is not None

    def _method(self) -> Method:
        capabilities = self._session.capabilities
        if capabilities & {"UIDPLUS", "IMAP4REV2"}:
            return Method(None)
        trash = folder_for("Trash", self._list()[0]) if "MOVE" in capabilities else None
        if trash is None:
            lacks = (
                _("and has no trash to move them to")
                if "MOVE" in capabilities
                else _("or move them (UIDPLUS, MOVE)")
            )
            raise Refused(
                _("the server can't delete single messages, {lacks}").format(lacks=lacks),
                hint=_("delete them in the webmail"),
            )
        return Method(trash.encoded_name)

    def _list(self) -> tuple[list[ImapMailbox], dict[bytes, Counts]]:
        """Ask for all folders and, where the server can (RFC 5819), for their counts by the same command."""
        capabilities = self._session.capabilities
        returns = []
        if capabilities & {"LIST-EXTENDED", "LIST-STATUS"} and "SPECIAL-USE" in capabilities:
            returns.append(b"SPECIAL-USE")
        if "LIST-STATUS" in capabilities:
            returns.append(b"STATUS " + _COUNTS)
        command = b'LIST "" "*"' + (b" RETURN (%b)" % b" ".join(returns) if returns else b"")
        batch = self._channel.begin()
        (tag,) = batch.send(command)
        mailboxes: dict[bytes, ImapMailbox] = {}
        counts: dict[bytes, Counts] = {}
        for response in batch.answers(tag, _("the folders can't be listed"), Scope.ENDPOINT):
            if (mailbox := parse_list(response) or parse_unusable(response)) is not None:
                spelt = mailbox.encoded_name or mailbox.name.encode()
                # RFC 9051 §5.1: one folder, however it is written.
                spelt = b"INBOX" if spelt.upper() == b"INBOX" else spelt
                known = mailboxes.get(spelt)
                better = known is not None and spelt == mailbox.encoded_name != known.encoded_name
                if known is None or better or (mailbox.selectable and not known.selectable):
                    batch.useful()
                    mailboxes[spelt] = mailbox
                if len(mailboxes) > _MAX_FOLDERS:
                    raise PermanentError(
                        _("the mailbox has more than {most} folders").format(most=_MAX_FOLDERS)
                    )
            elif (told := parse_counts(response)) is not None and len(counts) < _MAX_FOLDERS:
                if told[0] not in counts:
                    batch.useful()
                counts[told[0]] = told[1]
        named = unambiguous(mailboxes.values())
        self._encoded_names = {mailbox.name: mailbox.encoded_name for mailbox in named}
        return named, counts

    def _ask_counts(self, mailboxes: list[ImapMailbox]) -> Iterator[tuple[bytes, Counts]]:
        """Ask for the counts of folders one by one, many commands ahead of the answers."""
        batch = self._channel.begin()
        rest = (mailbox for mailbox in mailboxes if mailbox.encoded_name)
        while some := list(islice(rest, _STATUS_AHEAD)):
            tags = batch.send(*(b"STATUS %b %b" % (quoted(one.encoded_name), _COUNTS) for one in some))
            for tag, mailbox in zip(tags, some, strict=True):
                try:
                    for response in batch.answers(tag, mailbox.name, Scope.FOLDER):
                        if (told := parse_counts(response)) is not None:
                            yield told
                except ArchipecError as error:
                    if error.scope > Scope.FOLDER:
                        raise
                    # Opening it will tell what is the matter, if anything.
                    self._context.log.debug("no counts for folder %s", error)

    def _encoded_name(self, folder: str) -> bytes:
        """How the server spells a folder. Names that have more than one spelling are looked up."""
        encoded = encode_name(folder)
        if folder not in self._encoded_names and (encoded != folder.encode("utf-8") or SPELT in folder):
            self._list()
        encoded_name = self._encoded_names.get(folder, encoded)
        if not encoded_name:
            raise PermanentError(
                _(
                    "a folder can't be opened, because its name can't be sent to the server: \"{folder}\""
                ).format(folder=folder),
                hint=_("rename it in the webmail, or leave it out with the option exclude"),
                scope=Scope.FOLDER,
            )
        return encoded_name


def _listed(state: MailboxState, listing: FolderListing, line: FetchLine, place: int) -> Listed:
    ref = f"{state.uidvalidity}/{line.uid}"
    return Listed(
        state.folder,
        ref if place == 1 else f"{ref} {place}",
        line.size,
        internal_date(line.date),
        flag_names(line.flags),
        listing.cursor(state.uidvalidity),
    )


def _nothing_new(counts: Counts, cursor: Cursor) -> bool:
    if counts.messages == 0 and counts.uidnext <= 1:
        return True
    # A folder that has had messages and holds none may have been counted wrongly: opening it tells.
    return counts.uidvalidity == cursor.uidvalidity and counts.uidnext <= cursor.uid + 1


def _up_to(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The first ``limit`` bytes; what comes after them is left unread."""
    while limit > 0 and (chunk := next(chunks, b"")):
        yield chunk[:limit]
        limit -= len(chunk)


def _no_folder(name: str, mailboxes: Iterable[ImapMailbox]) -> PermanentError:
    import difflib

    close = difflib.get_close_matches(name, [mailbox.name for mailbox in mailboxes], n=1)
    return PermanentError(
        _('the mailbox has no folder "{name}"').format(name=name),
        hint=_('did you mean "{close}"?').format(close=close[0])
        if close
        else _("folder names are those that the webmail shows"),
    )
