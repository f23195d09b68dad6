"""What the sources that read files share: a source as a set of folders, each of which lists and reads itself."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple, Protocol

from archipec.contract import Context, Fetched, Folder, Json, Listed, Skipped
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec.language import _
from archipec.pec.headers import MAX_HEADER, header_block
from archipec_plugins.files.escape import escape


class MailFolder(Protocol):
    """One folder of a source; `scan` and `fetch` as those of `archipec.contract.Source`."""

    @property
    def name(self) -> str:
        """The folder's name, unique in its source."""
        ...

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List it."""
        ...

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages of it."""
        ...


class SkippedFiles:
    """Notes what is not read, and why: each thing is logged once, and counted."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._skipped: dict[str, Skipped] = {}

    def note(self, what: str, reason: str, *, message: bool = True, usual: bool = False) -> None:
        """Leave something out.

        Args:
            message: it is a message, holds some, or may.
            usual: it lies wherever there is mail, so it is logged for information only.
        """
        if what not in self._skipped:
            self._skipped[what] = Skipped(what, reason, message)
            level = logging.INFO if usual else logging.WARNING
            self._context.log.log(level, _("%s is left out: %s"), what, reason)

    def skip(self, path: str, reason: str, message: bool) -> None:
        """Leave out what lies at a path."""
        self.note(escape(path), reason, message=message)

    def __iter__(self) -> Iterator[Skipped]:
        yield from self._skipped.values()

    def __len__(self) -> int:
        return len(self._skipped)


class UniqueNames:
    """Gives every folder a name of its own: the second ``INBOX`` becomes ``INBOX (2)``."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """Return ``name``, or the first variation of it that is free."""
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name} ({number})"
        self._taken.add(free)
        return free


class FolderSource:
    """An `archipec.contract.Source` made of `MailFolder`s.

    Args:
        find: looks for them, in a stable order; called anew whenever the folders are asked for.
        skipped: where they note what they don't read.
        check: yields what an archive of ours lacks that is read here.
    """

    def __init__(
        self,
        find: Callable[[], Iterable[MailFolder]],
        skipped: SkippedFiles,
        check: Callable[[], Iterable[ArchipecError]] = tuple,
    ) -> None:
        self._find = find
        self._mail_folders: dict[str, MailFolder] | None = None
        self._check = check
        self.skipped_files = skipped

    def skipped(self) -> Iterator[Skipped]:
        yield from self.skipped_files

    def check(self) -> Iterator[ArchipecError]:
        yield from self._check()

    def folders(self) -> list[Folder]:
        """Return the folders, in the order in which they were found."""
        self._mail_folders = {mail_folder.name: mail_folder for mail_folder in self._find()}
        return [Folder(name) for name in self._mail_folders]

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        return self._mail_folder(folder).scan(after)

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        return self._mail_folder(folder).fetch(refs)

    def _mail_folder(self, folder: str) -> MailFolder:
        if self._mail_folders is None:
            self.folders()
        mail_folder = (self._mail_folders or {}).get(folder)
        if mail_folder is None:
            raise PermanentError(
                _("there is no folder {folder} any more").format(folder=repr(folder)), scope=Scope.FOLDER
            )
        return mail_folder


class HeaderSource(FolderSource):
    """A `FolderSource` whose folders read any message as cheaply as the next one, and so headers as well."""

    def reads_cheaply(self) -> bool:
        return True

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Empty where a message can't be read."""
        for fetched in self._mail_folder(folder).fetch(refs):
            try:
                yield fetched.ref, _head(fetched.chunks)
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                yield fetched.ref, b""


def _head(chunks: Iterator[bytes]) -> bytes:
    raw = b""
    for chunk in chunks:
        raw += chunk
        head = header_block(raw)
        if len(head) < len(raw):
            return head
        if len(raw) >= MAX_HEADER:
            break
    return raw[:MAX_HEADER]


def raising(error: ArchipecError) -> Iterator[bytes]:
    """Return the chunks of a message that can't be read."""
    raise error
    yield b""


class Preamble(Protocol):
    """What a mail program writes in front of a message."""

    def skip(self, beginning: bytes) -> int:
        """Return how many of the first bytes, a few thousand, are not the message's."""
        ...

    def flags(self, preamble: bytes) -> tuple[str, ...] | None:
        """Return the flags that those bytes state, None for a message that is not to be read."""
        ...


class _Plain:
    def skip(self, _beginning: bytes) -> int:
        return 0

    def flags(self, _preamble: bytes) -> tuple[str, ...]:
        return ()


NO_PREAMBLE: Final[Preamble] = _Plain()


class FolderEntry(NamedTuple):
    """A message of a folder that is listed anew each time: what `Listed` says, but for folder and cursor."""

    ref: str
    size: int | None
    received: datetime | None
    flags: tuple[str, ...]


def listing(
    folder: str, entries: Callable[[], Iterable[FolderEntry]], after: Json | None
) -> Iterator[Listed]:
    """List a folder that has no numbers of its own to go on from.

    The cursor is how many messages were listed, and a hash of their refs: where the list still begins with those,
    only what comes behind them is new.

    Args:
        entries: makes the list from the start, oldest first.
    """
    number, digest = _position(after)
    passed, rest = hashlib.blake2b(digest_size=16), iter(entries())
    if number:
        for entry in islice(rest, number):
            passed.update(entry.ref.encode() + b"\n")
        if passed.hexdigest() != digest:
            number, passed, rest = 0, hashlib.blake2b(digest_size=16), iter(entries())
    for entry in rest:
        number += 1
        passed.update(entry.ref.encode() + b"\n")
        yield Listed(folder, *entry, [number, passed.copy().hexdigest()])


def _position(cursor: Json | None) -> tuple[int, str]:
    match cursor:
        case [int(number), str(digest)] if number > 0:
            return number, digest
    return 0, ""
