"""What is inside a zip: how messages become members of it, or parts of the mbox that is its only one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Final
from zlib import crc32

from archipec.contract import Item
from archipec.errors import IntegrityError
from archipec_plugins.eml.names import eml_names
from archipec_plugins.files.streams import unix_time
from archipec_plugins.maildir import names as maildir
from archipec_plugins.zip.deflate import LAST_BLOCK, blocks
from archipec_plugins.zip.format import (
    DEFLATED,
    STORED,
    Member,
    central_record,
    dos_time,
    header_size,
    local_header,
)
from archipec_plugins.zip.output import BufferedWriter
from archipec_plugins.zip.staging import LARGEST_MBOX, Staged
from archipec_plugins.zip.toc import ZipEntry

__all__ = ["Layout", "MboxLayout", "MemberLayout", "layout_of"]

_MOST_MEMBERS: Final = 490_000  # archipec's own source reads 500,000
_NO_DATE: Final = 1 << 21 | 1 << 16
_MAILDIR: Final = ("cur/", "new/", "tmp/")


class Layout(ABC):
    """What a zip holds so far.

    Attributes:
        count: messages.
        payload: bytes they take in the zip.
        directory: bytes of their records in its directory.
    """

    def __init__(self) -> None:
        self.count = 0
        self.payload = 0
        self.directory = 0

    def note(self, entry: ZipEntry) -> None:
        """Count a message, once it is written or when the table tells of it."""
        self.count += 1
        self.payload += entry.stored

    @abstractmethod
    def begin(self, out: BufferedWriter, first: Staged) -> None:
        """Write what a zip begins with, before its first message; raises OSError."""

    @abstractmethod
    def write(self, out: BufferedWriter, staged: Staged) -> ZipEntry:
        """Write a message; raises OSError, or IntegrityError when its bytes are not those of before."""

    @abstractmethod
    def takes(self, staged: Staged) -> bool:
        """Tell whether the format allows for this message too."""

    @abstractmethod
    def finish(self, out: BufferedWriter, entries: Iterable[ZipEntry]) -> Iterator[Member]:
        """Write what comes after all the messages, and yield what the directory lists; raises OSError."""


class MemberLayout(Layout):
    """Messages that are members of the zip, each by itself.

    Args:
        names: yields paths for a message, the best one first, without end.
        folders: empty ones that the zip begins with.
    """

    def __init__(self, names: Callable[[Item], Iterator[str]], folders: Iterable[str] = ()) -> None:
        super().__init__()
        self._names = names
        self._taken: set[int] = set()
        self._folders: list[Member] = []
        for name in folders:
            folder = Member(name, self.payload, STORED, 0, 0, 0, _NO_DATE)
            self._folders.append(folder)
            self.payload += header_size(folder)
            self.directory += len(central_record(folder))

    def note(self, entry: ZipEntry) -> None:
        """See `Layout.note`."""
        super().note(entry)
        member = entry.member()
        self.payload += header_size(member)
        self.directory += len(central_record(member))
        self._taken.add(hash(entry.name.casefold()))

    def begin(self, out: BufferedWriter, first: Staged) -> None:
        """See `Layout.begin`."""
        del first
        for folder in self._folders:
            out.write(local_header(folder))

    def write(self, out: BufferedWriter, staged: Staged) -> ZipEntry:
        """See `Layout.write`."""
        item = staged.item
        name = next(name for name in self._names(item) if hash(name.casefold()) not in self._taken)
        entry = ZipEntry(
            out.offset,
            staged.size,
            item.key.size,
            item.key.sha256,
            staged.method,
            staged.crc,
            item.key.size,
            dos_time(item.date),
            name,
        )
        out.write(local_header(entry.member()))
        for chunk in staged.chunks():
            out.write(chunk)
        if out.offset != entry.end:
            # A reader that gives other pieces than at first is deflated to another length.
            raise IntegrityError(f"message {item.key}: its reader does not read the same twice")
        return entry

    def takes(self, staged: Staged) -> bool:
        """See `Layout.takes`."""
        del staged
        return self.count < _MOST_MEMBERS

    def finish(self, out: BufferedWriter, entries: Iterable[ZipEntry]) -> Iterator[Member]:
        """See `Layout.finish`."""
        del out
        yield from self._folders
        for entry in entries:
            yield entry.member()


class MboxLayout(Layout):
    """Messages in one mbox, the zip's only member. Its sizes come into its header when it is whole.

    Args:
        name: of the mbox.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._so_far = Member(name, 0, STORED, 0, 0, 0, _NO_DATE)
        self.directory = len(central_record(self._so_far))

    def note(self, entry: ZipEntry) -> None:
        """See `Layout.note`."""
        super().note(entry)
        self._so_far = entry.member()

    def begin(self, out: BufferedWriter, first: Staged) -> None:
        """See `Layout.begin`."""
        self._so_far = self._so_far._replace(method=first.method, dos=dos_time(first.item.date))
        out.write(local_header(self._so_far))

    def write(self, out: BufferedWriter, staged: Staged) -> ZipEntry:
        """See `Layout.write`."""
        _, _, method, crc, _, unpacked, dos = self._so_far
        offset, key = out.offset, staged.item.key
        for chunk in staged.chunks():
            crc = crc32(chunk, crc)
            unpacked += len(chunk)
            out.write(blocks(chunk) if method == DEFLATED else chunk)
        stored, name = out.offset - offset, self._so_far.name
        return ZipEntry(offset, stored, key.size, key.sha256, method, crc, unpacked, dos, name, part=True)

    def takes(self, staged: Staged) -> bool:
        """See `Layout.takes`."""
        return self._so_far.size + staged.size <= LARGEST_MBOX and staged.method == self._so_far.method

    def finish(self, out: BufferedWriter, entries: Iterable[ZipEntry]) -> Iterator[Member]:
        """See `Layout.finish`."""
        del entries
        if self._so_far.method == DEFLATED:
            out.write(LAST_BLOCK)
        member = self._so_far._replace(header=0)
        member = member._replace(stored=out.offset - header_size(member))
        out.replace(0, local_header(member))
        yield member


def layout_of(inside: str, stem: str) -> Layout:
    """Return what a new zip holds.

    Args:
        inside: eml, maildir or mbox.
        stem: the zip's name without its ending.
    """
    if inside == "mbox":
        return MboxLayout(f"{stem}.mbox")
    return MemberLayout(_maildir_names, _MAILDIR) if inside == "maildir" else MemberLayout(_eml_names)


def _eml_names(item: Item) -> Iterator[str]:
    folder = f"{item.date.year:04d}/{item.date.month:02d}"
    return (f"{folder}/{name}" for name in eml_names(item))


def _maildir_names(item: Item) -> Iterator[str]:
    # A colon is not for Windows; mail programs read the semicolon in its place.
    info = maildir.info_of(item.flags, ";")
    for copy in count(1):
        name = maildir.Name(unix_time(item.date), item.key.sha256, copy, item.key.size, info)
        yield f"cur/{name}"
