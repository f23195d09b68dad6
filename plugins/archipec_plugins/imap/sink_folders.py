"""The folders of the mailbox: those that are there, and those that are made for messages to come."""

from __future__ import annotations

from typing import Final

from archipec.contract import Fingerprint
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec.language import _
from archipec_plugins.imap.commands import TRANSIENT_CODES, CommandChannel, refusal, response_text
from archipec_plugins.imap.folder_names import levels, plain_levels
from archipec_plugins.imap.folders import (
    Counts,
    FolderFilter,
    ImapMailbox,
    encode_name,
    fingerprint_of,
    parse_counts,
    parse_list,
    unambiguous,
)
from archipec_plugins.imap.grammar import StatusResponse, Token, quoted, tokens

_MAX_FOLDERS: Final = 100_000
# Refusals that have nothing to do with the name that was asked for.
_NOT_THE_NAME: Final = TRANSIENT_CODES | {"NOPERM", "OVERQUOTA", "CONTACTADMIN"}


class Folders:
    """The folders of a mailbox by their names in Unicode.

    Args:
        below: the folder that everything goes below; empty for none.

    Attributes:
        lasting: names of the folders whose messages stay: not trash, drafts or junk, nor views of others.

    Raises:
        ArchipecError: they can't be listed.
    """

    def __init__(self, channel: CommandChannel, capabilities: frozenset[str], below: str) -> None:
        self._channel = channel
        self._below = below
        self._targets: dict[str, str] = {}
        self._prefix, self._delimiter = self._hierarchy(capabilities)
        mailboxes = self._list()
        self._encoded_names = {
            mailbox.name: mailbox.encoded_name for mailbox in mailboxes if mailbox.selectable
        }
        chosen, _ = FolderFilter(("*",), ()).of(mailboxes)
        self.lasting = [mailbox.name for mailbox, _ in chosen]

    def encoded_name(self, name: str) -> bytes:
        """Return how the server spells a folder."""
        return self._encoded_names.get(name, encode_name(name))

    def target(self, folder: str) -> str:
        """Return the name of the folder for messages of a source's folder; it is made when it isn't there.

        Raises:
            ArchipecError: the server refuses to make it.
        """
        name = self._targets.get(folder)
        if name is None:
            name = self._targets[folder] = self._made(folder)
        return name

    def fingerprint(self) -> Fingerprint:
        """Return the numbers of every folder, asked now; one that can't be asked is left out."""
        mailboxes = [mailbox for mailbox in self._list() if mailbox.selectable]
        counts: dict[bytes, Counts] = {}
        batch = self._channel.begin()
        for mailbox in mailboxes:
            (tag,) = batch.send(b"STATUS %b (MESSAGES UIDNEXT UIDVALIDITY)" % quoted(mailbox.encoded_name))
            try:
                for response in batch.answers(tag, mailbox.name, Scope.FOLDER):
                    if (told := parse_counts(response)) is not None:
                        counts[mailbox.encoded_name] = told[1]
            except ArchipecError as error:
                if error.scope > Scope.FOLDER:
                    raise
        return fingerprint_of(mailboxes, counts)

    def make_probe(self, name: str) -> bytes:
        """Make an empty folder, below the one that everything goes below; return how the server spells it.

        One of that name that is there and empty will do: a run that was killed left it.

        Raises:
            PermanentError: it can't be made.
        """
        for parts in ([self._below, name] if self._below else [name], ["INBOX", name]):
            encoded_name = encode_name(self._named([part for part in parts if part]))
            batch = self._channel.begin()
            (tag,) = batch.send(b"CREATE " + quoted(encoded_name))
            status = batch.outcome(tag)
            if status.word == "OK" or self._is_empty(encoded_name):
                return encoded_name
        raise PermanentError(
            _('no folder "{name}" can be made: {answer}').format(name=name, answer=response_text(status))
        )

    def _is_empty(self, encoded_name: bytes) -> bool:
        """Tell whether a folder is there and holds no messages."""
        batch = self._channel.begin()
        (tag,) = batch.send(b"STATUS %b (MESSAGES UIDNEXT UIDVALIDITY)" % quoted(encoded_name))
        try:
            told = [parse_counts(response) for response in batch.answers(tag, "", Scope.FOLDER)]
        except ArchipecError as error:
            if error.scope > Scope.FOLDER:
                raise
            return False
        return any(one is not None and one[0] == encoded_name and not one[1].messages for one in told)

    def remove_probe(self, encoded_name: bytes) -> None:
        """Remove an empty folder that `make_probe` made."""
        batch = self._channel.begin()
        (tag,) = batch.send(b"DELETE " + quoted(encoded_name))
        batch.outcome(tag)

    def _made(self, folder: str) -> str:
        for spell in (levels, plain_levels):
            name = self._named(spell(self._below, folder, self._delimiter))
            if name in self._encoded_names:
                return name
            status = self._make(name)
            if name in self._encoded_names:
                return name
            if status.code in _NOT_THE_NAME:
                break
        raise refusal(status, _('no folder "{name}" can be made').format(name=name), Scope.ENDPOINT)

    def _named(self, parts: list[str]) -> str:
        name = self._delimiter.join(parts)
        return name if parts[0] == "INBOX" else self._prefix + name

    def _make(self, name: str) -> StatusResponse:
        """Make a folder, which is known from then on; return what the server said."""
        encoded_name = encode_name(name)
        batch = self._channel.begin()
        # Mail programs show the folders that are subscribed.
        create, _ = batch.send(b"CREATE " + quoted(encoded_name), b"SUBSCRIBE " + quoted(encoded_name))
        status = batch.outcome(create)
        if status.word == "OK" or status.code == "ALREADYEXISTS":
            self._encoded_names[name] = encoded_name
        return status

    def _list(self) -> list[ImapMailbox]:
        batch = self._channel.begin()
        (tag,) = batch.send(b'LIST "" "*"')
        mailboxes: dict[bytes, ImapMailbox] = {}
        for response in batch.answers(tag, _("the folders can't be listed"), Scope.ENDPOINT):
            if (mailbox := parse_list(response)) is not None:
                if mailbox.encoded_name not in mailboxes:
                    batch.useful()
                mailboxes.setdefault(mailbox.encoded_name, mailbox)
                if len(mailboxes) > _MAX_FOLDERS:
                    raise PermanentError(
                        _("the mailbox has more than {most} folders").format(most=_MAX_FOLDERS)
                    )
        return unambiguous(mailboxes.values())

    def _hierarchy(self, capabilities: frozenset[str]) -> tuple[str, str]:
        """Ask what the names of one's own folders begin with (RFC 2342), and what parts their levels."""
        command = b"NAMESPACE" if "NAMESPACE" in capabilities else b'LIST "" ""'
        batch = self._channel.begin()
        (tag,) = batch.send(command)
        found = ("", "")
        for response in batch.answers(tag, _("the folders can't be listed"), Scope.ENDPOINT):
            match _tokens(response):
                case [_, b"NAMESPACE", [[bytes(prefix), (bytes() | None) as delimiter, *_], *_], *_]:
                    found = prefix.decode("latin-1"), _text(delimiter)
                case [_, b"LIST", list(), (bytes() | None) as delimiter, *_]:
                    found = "", _text(delimiter)
        return found


def _tokens(response: bytes) -> list[Token]:
    try:
        return tokens(response)
    except ValueError:
        return []


def _text(delimiter: bytes | None) -> str:
    return "" if delimiter is None else delimiter.decode("latin-1")
