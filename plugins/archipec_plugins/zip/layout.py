"""What is inside a zip: how messages become members of it, or parts of the mbox that is its only one.

A message is checked, and made ready as far as can be, before it is known which zip it goes to (`Staged`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final
from zlib import crc32

from archipec.contract import Item
from archipec.errors import IntegrityError, PermanentError, Scope
from archipec.language import _
from archipec_plugins.eml.names import eml_names
from archipec_plugins.files.streams import CHUNK, item_chunks, unix_time, write_all
from archipec_plugins.maildir import names as maildir
from archipec_plugins.mbox.mboxrd import ending, quote, separator
from archipec_plugins.zip.deflate import LAST_BLOCK, blocks
from archipec_plugins.zip.format import (
    DEFLATED,
    STORED,
    Member,
    central_size,
    dos_time,
    header_size,
    local_header,
)
from archipec_plugins.zip.toc import ZipEntry

_MOST_MEMBERS: Final = 490_000  # archipec's own source reads 500,000
_NO_DATE: Final = 1 << 21 | 1 << 16
_MAILDIR: Final = ("cur/", "new/", "tmp/")
LARGEST_MBOX = 0xF0000000
"""Bytes of the largest mbox in a zip: a member that grows can't become one of zip64 when it passes 4 GiB."""


class BufferedWriter:
    """Bytes on their way into a file, written a megabyte at a time.

    Attributes:
        offset: where the next byte goes.
    """

    def __init__(self, descriptor: int, offset: int) -> None:
        self.offset = offset
        self._descriptor = descriptor
        self._pending: list[bytes] = []
        self._size = 0
        os.lseek(descriptor, offset, os.SEEK_SET)

    def write(self, data: bytes) -> None:
        """Add bytes; raises OSError when the disk does not take them."""
        self._pending.append(data)
        self._size += len(data)
        self.offset += len(data)
        if self._size >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Hand all of it to the system; raises OSError when the disk does not take it."""
        write_all(self._descriptor, b"".join(self._pending))
        self._pending.clear()
        self._size = 0

    def replace(self, offset: int, data: bytes) -> None:
        """Put other bytes in the place of some that were written; raises OSError when the disk does not take them."""
        self.flush()
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        write_all(self._descriptor, data)
        os.lseek(self._descriptor, self.offset, os.SEEK_SET)


@dataclass(frozen=True, slots=True)
class Staged:
    """A message that is ready.

    Attributes:
        size: bytes that `chunks` gives.
        method: how they are compressed: a member is already, in an mbox they are yet to be.
        crc: CRC-32 of the message.
        kept: the bytes, None when they are too many to hold.
        again: makes them anew.
    """

    item: Item
    size: int
    method: int
    crc: int
    kept: bytes | None
    again: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes, a chunk at a time."""
        return self.again() if self.kept is None else iter((self.kept,))


def stage_member(item: Item, *, deflate: bool) -> Staged:
    """Check an item that is to be a member by itself, and compress it when that makes it smaller.

    Raises:
        IntegrityError: its reader gave other bytes than those of its key.
    """
    crc, deflated = 0, len(LAST_BLOCK)
    plain: list[bytes] = []
    packed: list[bytes] = []
    for chunk in item_chunks(item):
        crc = crc32(chunk, crc)
        if item.key.size <= CHUNK:
            plain.append(chunk)
        if deflate:
            packed.append(blocks(chunk))
            deflated += len(packed[-1])
            if item.key.size > CHUNK:
                packed.clear()
    method = DEFLATED if deflate and deflated < item.key.size else STORED
    kept = None
    if item.key.size <= CHUNK:
        kept = b"".join([*packed, LAST_BLOCK] if method == DEFLATED else plain)
    return Staged(
        item,
        deflated if method == DEFLATED else item.key.size,
        method,
        crc,
        kept,
        partial(_member, item, method),
    )


def _member(item: Item, method: int) -> Iterator[bytes]:
    if method == STORED:
        yield from item_chunks(item)
        return
    for chunk in item_chunks(item):
        yield blocks(chunk)
    yield LAST_BLOCK


def stage_for_mbox(item: Item, *, deflate: bool) -> Staged:
    """Check an item that is to be a part of an mbox, and put the lines of the format around it.

    Raises:
        IntegrityError: its reader gave other bytes than those of its key.
        PermanentError: it is larger than any mbox in a zip may be.
    """
    size = 0
    kept: list[bytes] = []
    for chunk in _record(item):
        size += len(chunk)
        if item.key.size <= CHUNK:
            kept.append(chunk)
    if size > LARGEST_MBOX:
        raise PermanentError(
            _("message {key} is too large for an mbox in a zip").format(key=item.key),
            hint=_("keep it in a zip with inside = eml"),
            scope=Scope.MESSAGE,
        )
    whole = b"".join(kept) if item.key.size <= CHUNK else None
    return Staged(item, size, DEFLATED if deflate else STORED, 0, whole, partial(_record, item))


def _record(item: Item) -> Iterator[bytes]:
    yield separator(unix_time(item.received or item.date))
    last = b""
    for chunk in quote(item_chunks(item)):
        last = chunk[-1:]
        yield chunk
    yield ending(last)


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
        """Return whether the format allows for this message too."""

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
            self.directory += central_size(folder)

    def note(self, entry: ZipEntry) -> None:
        super().note(entry)
        member = entry.member()
        self.payload += header_size(member)
        self.directory += central_size(member)
        self._taken.add(hash(entry.name.casefold()))

    def begin(self, out: BufferedWriter, first: Staged) -> None:
        del first
        for folder in self._folders:
            out.write(local_header(folder))

    def write(self, out: BufferedWriter, staged: Staged) -> ZipEntry:
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
        header = local_header(entry.member())
        out.write(header)
        for chunk in staged.chunks():
            out.write(chunk)
        if out.offset != entry.offset + len(header) + entry.stored:
            # A reader that gives other pieces than at first is deflated to another length.
            raise IntegrityError(
                _("message {key}: its reader does not read the same twice").format(key=item.key)
            )
        return entry

    def takes(self, staged: Staged) -> bool:
        del staged
        return self.count < _MOST_MEMBERS

    def finish(self, out: BufferedWriter, entries: Iterable[ZipEntry]) -> Iterator[Member]:
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
        self.directory = central_size(self._so_far)

    def note(self, entry: ZipEntry) -> None:
        super().note(entry)
        self._so_far = entry.member()

    def begin(self, out: BufferedWriter, first: Staged) -> None:
        self._so_far = self._so_far._replace(method=first.method, dos=dos_time(first.item.date))
        out.write(local_header(self._so_far))

    def write(self, out: BufferedWriter, staged: Staged) -> ZipEntry:
        _, _, method, crc, _, unpacked, dos = self._so_far
        offset, key = out.offset, staged.item.key
        for chunk in staged.chunks():
            crc = crc32(chunk, crc)
            unpacked += len(chunk)
            out.write(blocks(chunk) if method == DEFLATED else chunk)
        stored, name = out.offset - offset, self._so_far.name
        return ZipEntry(offset, stored, key.size, key.sha256, method, crc, unpacked, dos, name, part=True)

    def takes(self, staged: Staged) -> bool:
        return self._so_far.size + staged.size <= LARGEST_MBOX and staged.method == self._so_far.method

    def finish(self, out: BufferedWriter, entries: Iterable[ZipEntry]) -> Iterator[Member]:
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
        name = maildir.ArchivedName(unix_time(item.date), item.key.sha256, copy, item.key.size, info)
        yield f"cur/{name}"
