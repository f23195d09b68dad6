"""The folders of the mailbox: those that are there, and those that are made for messages to come."""

from __future__ import annotations

from typing import Final

from archipec.contract import Fingerprint
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec_plugins.imap.commands import PASSING, Dialogue, refusal, words
from archipec_plugins.imap.folder_names import levels, plain_levels
from archipec_plugins.imap.folders import (
    Choice,
    Counts,
    Mailbox,
    encode_name,
    fingerprint_of,
    parse_counts,
    parse_list,
    unambiguous,
)
from archipec_plugins.imap.grammar import Status, Token, quoted, tokens

__all__ = ["Folders"]

_MAX_FOLDERS: Final = 100_000
# Refusals that have nothing to do with the name that was asked for.
_NOT_THE_NAME: Final = PASSING | {"NOPERM", "OVERQUOTA", "CONTACTADMIN"}


class Folders:
    """The folders of a mailbox by their names in Unicode.

    Args:
        below: the folder that everything goes below; empty for none.

    Attributes:
        lasting: names of the folders whose messages stay: not trash, drafts or junk, nor views of others.

    Raises:
        ArchipecError: they can't be listed.
    """

    def __init__(self, dialogue: Dialogue, capabilities: frozenset[str], below: str) -> None:
        self._dialogue = dialogue
        self._below = below
        self._targets: dict[str, str] = {}
        self._prefix, self._delimiter = self._hierarchy(capabilities)
        mailboxes = self._list()
        self._wire_names = {mailbox.name: mailbox.wire_name for mailbox in mailboxes if mailbox.selectable}
        chosen, _ = Choice(("*",), ()).of(mailboxes)
        self.lasting = [mailbox.name for mailbox, _ in chosen]

    def wire_name(self, name: str) -> bytes:
        """Return how the server spells a folder."""
        return self._wire_names.get(name, encode_name(name))

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
        exchange = self._dialogue.begin()
        for mailbox in mailboxes:
            (tag,) = exchange.send(b"STATUS %b (MESSAGES UIDNEXT UIDVALIDITY)" % quoted(mailbox.wire_name))
            try:
                for response in exchange.answers(tag, mailbox.name, Scope.FOLDER):
                    if (told := parse_counts(response)) is not None:
                        counts[mailbox.wire_name] = told[1]
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
            wire_name = encode_name(self._named([part for part in parts if part]))
            exchange = self._dialogue.begin()
            (tag,) = exchange.send(b"CREATE " + quoted(wire_name))
            status = exchange.outcome(tag)
            if status.word == "OK" or self._is_empty(wire_name):
                return wire_name
        raise PermanentError(f'no folder "{name}" can be made: {words(status)}')

    def _is_empty(self, wire_name: bytes) -> bool:
        """Tell whether a folder is there and holds no messages."""
        exchange = self._dialogue.begin()
        (tag,) = exchange.send(b"STATUS %b (MESSAGES UIDNEXT UIDVALIDITY)" % quoted(wire_name))
        try:
            told = [parse_counts(response) for response in exchange.answers(tag, "", Scope.FOLDER)]
        except ArchipecError as error:
            if error.scope > Scope.FOLDER:
                raise
            return False
        return any(one is not None and one[0] == wire_name and not one[1].messages for one in told)

    def remove_probe(self, wire_name: bytes) -> None:
        """Remove an empty folder that `make_probe` made."""
        exchange = self._dialogue.begin()
        (tag,) = exchange.send(b"DELETE " + quoted(wire_name))
        exchange.outcome(tag)

    def _made(self, folder: str) -> str:
        for spell in (levels, plain_levels):
            name = self._named(spell(self._below, folder, self._delimiter))
            if name in self._wire_names:
                return name
            status = self._make(name)
            if name in self._wire_names:
                return name
            if status.code in _NOT_THE_NAME:
                break
        raise refusal(status, f'no folder "{name}" can be made', Scope.ENDPOINT)

    def _named(self, parts: list[str]) -> str:
        name = self._delimiter.join(parts)
        return name if parts[0] == "INBOX" else self._prefix + name

    def _make(self, name: str) -> Status:
        """Make a folder, which is known from then on; return what the server said."""
        wire_name = encode_name(name)
        exchange = self._dialogue.begin()
        # Mail programs show the folders that are subscribed.
        create, _ = exchange.send(b"CREATE " + quoted(wire_name), b"SUBSCRIBE " + quoted(wire_name))
        status = exchange.outcome(create)
        if status.word == "OK" or status.code == "ALREADYEXISTS":
            self._wire_names[name] = wire_name
        return status

    def _list(self) -> list[Mailbox]:
        exchange = self._dialogue.begin()
        (tag,) = exchange.send(b'LIST "" "*"')
        mailboxes: dict[bytes, Mailbox] = {}
        for response in exchange.answers(tag, "the folders can't be listed", Scope.ENDPOINT):
            if (mailbox := parse_list(response)) is not None:
                if mailbox.wire_name not in mailboxes:
                    exchange.useful()
                mailboxes.setdefault(mailbox.wire_name, mailbox)
                if len(mailboxes) > _MAX_FOLDERS:
                    raise PermanentError(f"the mailbox has more than {_MAX_FOLDERS} folders")
        return unambiguous(mailboxes.values())

    def _hierarchy(self, capabilities: frozenset[str]) -> tuple[str, str]:
        """Ask what the names of one's own folders begin with (RFC 2342), and what parts their levels."""
        command = b"NAMESPACE" if "NAMESPACE" in capabilities else b'LIST "" ""'
        exchange = self._dialogue.begin()
        (tag,) = exchange.send(command)
        found = ("", "")
        for response in exchange.answers(tag, "the folders can't be listed", Scope.ENDPOINT):
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
