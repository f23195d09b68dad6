"""The folders of a mailbox: what LIST and STATUS say of them, what they are called, and which of them to read."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from archipec.message import Fingerprint, FolderPrint
from archipec_plugins.imap.grammar import Token, number, tokens

_USES: Final = {
    use.casefold(): use for use in ("All", "Archive", "Drafts", "Flagged", "Junk", "Sent", "Trash")
}

# What providers and mail programs call them, casefolded, where the server doesn't say which is which.
_NAMES: Final = {
    name: use
    for use, names in {
        "Trash": "cestino|trash|deleted|deleted items|deleted messages"
        "|posta eliminata|elementi eliminati|eliminati",
        "Drafts": "bozze|bozza|drafts|draft",
        "Junk": "spam|junk|junk mail|junk e-mail|junk email|bulk mail"
        "|posta indesiderata|indesiderata|posta spazzatura",
        "Sent": "inviata|inviati|posta inviata|elementi inviati|spedite|sent|sent items|sent messages|sent mail",
    }.items()
    for name in names.split("|")
}

_LEFT_OUT: Final = {
    "Trash": "it is the trash",
    "Drafts": "it holds drafts",
    "Junk": "it holds junk",
    "All": "it shows again what other folders hold",
    "Flagged": "it shows again what other folders hold",
}

# What tokens can't tell: a backslash that isn't escaped, a name with blanks that isn't quoted.
_LIST = re.compile(
    rb'\* +LIST +\((?P<attributes>[^()"{]*)\) +(?P<delimiter>NIL|"\\?.?") +(?P<name>[^\r\n]+)\r\n',
    re.IGNORECASE,
)
_PLAIN_NAME = re.compile(rb"[ -%'-~]*")


_LIST_BEGINS: Final = re.compile(rb"\* +LIST\b", re.IGNORECASE)
_LIST_ROOT: Final = re.compile(rb' (?:""|\{0\}\r\n)\r\n\Z')
SPELT: Final = " (spelt "
"""Stands before the spelling of a folder whose name alone is not its own."""


@dataclass(frozen=True, slots=True)
class ImapMailbox:
    """A folder as LIST tells of it.

    Attributes:
        encoded_name: as the server spells it; empty when no command can name it.
        name: in Unicode.
        path: the name's levels.
        uses: its special uses, in the words of RFC 6154 without the backslash.
        selectable: it may hold messages.
    """

    encoded_name: bytes
    name: str
    path: tuple[str, ...]
    uses: frozenset[str]
    selectable: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What STATUS says of a folder."""

    messages: int
    uidnext: int
    uidvalidity: int


def encode_name(name: str) -> bytes:
    """Return a folder's name in modified UTF-7 (RFC 3501 §5.1.3)."""
    from imapclient import (
        imap_utf7,  # here, because it takes as long to import as to log in, which needs it, too
    )

    encoded: bytes = imap_utf7.encode(name)
    return encoded


def decode_name(encoded_name: bytes) -> str:
    """Return a folder's name in Unicode.

    A name that `encode_name` would spell otherwise was made by a program that broke the rules: it is shown
    as UTF-8, or else byte by byte.
    """
    if _PLAIN_NAME.fullmatch(encoded_name):
        return encoded_name.decode("ascii")
    from imapclient import imap_utf7

    try:
        name: str = imap_utf7.decode(encoded_name)
        if encode_name(name) == encoded_name:
            return name
        return encoded_name.decode("utf-8")
    except ValueError:
        return encoded_name.decode("latin-1")


def parse_list(response: bytes) -> ImapMailbox | None:
    """Return the folder that a LIST response (RFC 9051 §7.3.1) tells of, None for any other response."""
    match _data(response, b"LIST"):
        case [list(attributes), (bytes() | None) as delimiter, bytes(encoded_name)] if _usable(encoded_name):
            return _mailbox(attributes, delimiter, encoded_name)
        case [list(attributes), (bytes() | None) as delimiter, bytes(encoded_name), list(), *_] if _usable(
            encoded_name
        ):
            return _mailbox(attributes, delimiter, encoded_name)
    match = _LIST.fullmatch(response)
    if match is None:
        return None
    quoted_delimiter, encoded_name = match["delimiter"], match["name"].rstrip(b" ")
    delimiter = None if quoted_delimiter.upper() == b"NIL" else quoted_delimiter[1:-1][-1:]
    if len(encoded_name) > 1 and encoded_name.startswith(b'"') and encoded_name.endswith(b'"'):
        encoded_name = encoded_name[1:-1]
    elif b'"' in encoded_name or encoded_name.endswith(b")"):
        return None
    return _mailbox(match["attributes"].split(), delimiter, encoded_name) if _usable(encoded_name) else None


def _mailbox(attributes: Iterable[Token], delimiter: bytes | None, encoded_name: bytes) -> ImapMailbox:
    name = decode_name(encoded_name)
    names = {_word(attribute) for attribute in attributes}
    return ImapMailbox(
        encoded_name,
        name,
        tuple(name.split(delimiter.decode("latin-1"))) if delimiter else (name,),
        frozenset(_USES[word] for word in names & _USES.keys()),
        not names & {"noselect", "nonexistent"},
    )


def parse_unusable(response: bytes) -> ImapMailbox | None:
    """Return a folder that a LIST response tells of in a way that no command can name; None for any other response.

    It is there: an error must say so, or it would seem that nothing is missing.
    """
    if _LIST_BEGINS.match(response) is None or _LIST_ROOT.search(response) is not None:
        return None
    if parse_list(response) is not None:
        return None
    line = response.partition(b" ")[2].strip().decode("latin-1").encode("unicode_escape").decode("ascii")
    name = f"unreadable: {line[:120]}"
    return ImapMailbox(b"", name, (name,), frozenset(), selectable=True)


def unambiguous(mailboxes: Iterable[ImapMailbox]) -> list[ImapMailbox]:
    """Return folders, each under a name of its own that looks different from all others.

    Two spellings on the server may be one name in Unicode (modified UTF-7 and bare UTF-8, composed and decomposed
    accents), and what can't be printed all looks the same. The one that is spelt as RFC 3501 wants it keeps the name;
    to the others their spelling is added, so that names depend on nothing else, and `FolderFilter` knows them by either.
    """
    everything = list(mailboxes)
    looks = Counter(_looks(mailbox.name) for mailbox in everything)
    taken = {mailbox.name for mailbox in everything}
    named: list[ImapMailbox] = []
    for mailbox in everything:
        name = mailbox.name
        if looks[_looks(name)] > 1 and (_looks(name) != name or encode_name(name) != mailbox.encoded_name):
            spelt = mailbox.encoded_name.decode("latin-1").encode("unicode_escape").decode("ascii")
            name = f"{name}{SPELT}{spelt})"
            while name in taken:
                name += "'"
            taken.add(name)
            path = (*mailbox.path[:-1], mailbox.path[-1] + name.removeprefix(mailbox.name))
            mailbox = replace(mailbox, name=name, path=path)
        named.append(mailbox)
    return named


def _looks(name: str) -> str:
    """Return a name as it looks."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    return unicodedata.normalize("NFC", shown)


def parse_counts(response: bytes) -> tuple[bytes, Counts] | None:
    """Return (name on the wire, counts) from a STATUS response (RFC 9051 §7.3.4), None for any other response."""
    match _data(response, b"STATUS"):
        case [bytes(encoded_name), list(items), *_]:
            told = {_word(name): number(value) for name, value in zip(items[::2], items[1::2], strict=False)}
            match told:
                case {"messages": int(messages), "uidnext": int(uidnext), "uidvalidity": int(uidvalidity)}:
                    return encoded_name, Counts(messages, uidnext, uidvalidity)
    return None


def fingerprint_of(mailboxes: Iterable[ImapMailbox], counts: Mapping[bytes, Counts]) -> Fingerprint:
    """Return what a mailbox is known by, from its folders and what STATUS says of them."""
    return Fingerprint(
        {
            "INBOX" if one.name.upper() == "INBOX" else one.name: FolderPrint(
                known.uidvalidity, known.uidnext, known.messages
            )
            for one in mailboxes
            if (known := counts.get(one.encoded_name)) is not None
        }
    )


def parse_quota(response: bytes) -> list[tuple[str, int, int]]:
    """Return (resource, used, limit) from a QUOTA response (RFC 9208 §5.1), nothing for any other response."""
    match _data(response, b"QUOTA"):
        case [bytes(), list(items), *_]:
            triples = zip(items[::3], items[1::3], items[2::3], strict=False)
            return [
                (_word(resource), used, limit)
                for resource, told_used, told_limit in triples
                if (used := number(told_used)) is not None and (limit := number(told_limit)) is not None
            ]
    return []


class FolderFilter:
    """Which folders of a mailbox to read.

    Args:
        include: names and globs (``*`` any text, separators too; ``?`` one character).
        exclude: the same; they win.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = [_Pattern(text) for text in include]
        self._exclude = [_Pattern(text) for text in exclude]

    def of(
        self, mailboxes: Iterable[ImapMailbox]
    ) -> tuple[list[tuple[ImapMailbox, str | None]], list[tuple[ImapMailbox, str]]]:
        """Sort folders into those to read, each with its use, and those left out, each with the reason.

        Trash, drafts and junk, and views of other folders, are read only when they are named without a glob.
        """
        everything = sorted(mailboxes, key=lambda mailbox: (mailbox.name.upper() != "INBOX", mailbox.name))
        told = frozenset[str]().union(*(mailbox.uses for mailbox in everything))
        chosen: list[tuple[ImapMailbox, str | None]] = []
        left_out: list[tuple[ImapMailbox, str]] = []
        for mailbox in everything:
            use = _use(mailbox, told)
            reason = self._reason(mailbox, use)
            if reason is None:
                chosen.append((mailbox, use))
            else:
                left_out.append((mailbox, reason))
        return chosen, left_out

    def missing(self, mailboxes: Iterable[ImapMailbox]) -> Iterator[tuple[str, bool]]:
        """Yield (pattern, it is a glob) for each include that no folder answers to."""
        names = [name for mailbox in mailboxes for name in _names(mailbox)]
        for pattern in self._include:
            if not any(pattern.names(name) or pattern.matches(name) for name in names):
                yield pattern.text, pattern.glob

    def _reason(self, mailbox: ImapMailbox, use: str | None) -> str | None:
        names = _names(mailbox)
        if not mailbox.selectable:
            return "it can hold no messages"
        if any(pattern.matches(name) for pattern in self._exclude for name in names):
            return "it is excluded"
        if any(pattern.names(name) for pattern in self._include for name in names):
            return None
        if not any(pattern.matches(name) for pattern in self._include for name in names):
            return "it is not among those to read"
        return _LEFT_OUT.get(use or "")


def folder_for(use: str, mailboxes: Iterable[ImapMailbox]) -> ImapMailbox | None:
    """Return the folder with a special use, None when none has it or it can hold no messages."""
    everything = list(mailboxes)
    told = frozenset[str]().union(*(mailbox.uses for mailbox in everything))
    return next((one for one in everything if one.selectable and _use(one, told) == use), None)


class _Pattern:
    """A folder's name, or a glob for many."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.glob = "*" in text or "?" in text
        wild = {"*": ".*", "?": "."}
        self._expression = re.compile(
            "".join(wild.get(char, re.escape(char)) for char in _plain(text)), re.DOTALL
        )

    def names(self, name: str) -> bool:
        """Tell whether this is exactly the name."""
        return _plain(name) == _plain(self.text)

    def matches(self, name: str) -> bool:
        """Tell whether this is the name, or a glob that covers it."""
        return self._expression.fullmatch(_plain(name)) is not None


def _names(mailbox: ImapMailbox) -> set[str]:
    """Return the names by which the user may call a folder: as it is shown, and as its spelling decodes, though others may decode alike."""
    return {mailbox.name, decode_name(mailbox.encoded_name)} if mailbox.encoded_name else {mailbox.name}


def _plain(name: str) -> str:
    """A name as names are compared: people and file systems differ in how they put an accent on a letter."""
    return "INBOX" if name.upper() == "INBOX" else unicodedata.normalize("NFC", name)


def _use(mailbox: ImapMailbox, told: frozenset[str]) -> str | None:
    """The folder's special use: as the server tells, else by a known name at the top or below the inbox.

    A name counts only for a use that the server gives to no folder at all, and never deeper down, where
    people call folders as they like.
    """
    if mailbox.uses:
        return min(mailbox.uses & _LEFT_OUT.keys() or mailbox.uses)
    levels = mailbox.path[1:] if mailbox.path[0].upper() == "INBOX" else mailbox.path
    use = _NAMES.get(levels[0].casefold()) if len(levels) == 1 else None
    return None if use in told else use


def _data(response: bytes, name: bytes) -> list[Token]:
    """What follows the name of a data response; nothing when it has another name."""
    try:
        found = tokens(response)
    except ValueError:
        return []
    match found:
        case [b"*", bytes(word), *rest] if word.upper() == name:
            return rest
    return []


def _word(token: Token) -> str:
    """An attribute or item without its backslash, in lower case."""
    return token.decode("ascii", "replace").removeprefix("\\").casefold() if isinstance(token, bytes) else ""


def _usable(encoded_name: bytes) -> bool:
    """Whether a command can name it: no quoted string holds these."""
    return encoded_name != b"" and not any(byte in encoded_name for byte in b"\r\n\0")
