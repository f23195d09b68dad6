"""The table of contents of a zip, the file ``.toc`` beside it: what an interrupted run and the next one go by.

Lines of text with a checksum each (`checked_lines`)::

    V 1 eml 5a9e8a5b                               the format, and what is inside
    A 0 3d442aeb                                   this program is appending from byte 0 on
    M 0 5012 5012 <SHA-256> 0 <CRC-32> 5012 1567245312 2026/11/NAME.eml <CRC>
                                                   a message, as `ZipEntry` has it
    E 5112 5290 1c291ca3 7f4388c0                  done: the directory lies from byte 5112 on, the zip ends at 5290,
                                                   and this is the CRC-32 of what lies between

A line ``M``, or ``P`` of a message that is a part of an mbox, is written when the message is durable: it commits the
message. What an ``E`` comes after is in the zip's directory; the messages since the last one wait for theirs. Nothing is
ever taken out of a table but a torn end.

The zips are called ``archive.zip``, or with split = year or month ``archive-2026.zip`` and ``archive-2026-11.zip``; where
one is full, or finished, ``_02``, ``_03`` and so on follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from archipec.crc_lines import checked_line, lines_of, text_of
from archipec.message import ContentKey
from archipec_plugins.files.toc import StoredAt, TocIndex, last_line, later_version, regular_size
from archipec_plugins.zip.format import Member, header_size

IN_MBOX = 1 << 7
"""The form of a message in an mbox, to be added to the method by which it is compressed; of a member, 0 is."""

_FILE = re.compile(r"(archive(?:-[0-9]{4}(?:-[0-9]{2})?)?)(?:_([0-9]{2,9}))?\.zip")
_NUMBER = rb"(0|[1-9][0-9]{0,17})"
_LINE = re.compile(
    rb"([MP]) %b %b %b ([0-9a-f]{64}) ([08]) ([0-9a-f]{8}) %b %b (.+)|A %b|E %b %b ([0-9a-f]{8})|V 1 (eml|maildir|mbox)|[A-Z].*"
    % ((_NUMBER,) * 8),
    re.DOTALL,
)


class ZipEntry(NamedTuple):
    """A stored message, with the member of the zip that it is, or that it is the latest part of: an mbox grows.

    Attributes:
        offset: where it begins: its local header, or in an mbox the line before it.
        stored: bytes there, without the header.
        size: bytes of the message.
        sha256: of the message, 64 hexadecimal digits.
        method: how the member is compressed.
        crc: CRC-32 of the member up to the message's end.
        unpacked: bytes of the member up to there, as they were before they were compressed.
        dos: the member's time.
        name: the member's.
        part: the member is an mbox.
    """

    offset: int
    stored: int
    size: int
    sha256: str
    method: int
    crc: int
    unpacked: int
    dos: int
    name: str
    part: bool = False

    @property
    def end(self) -> int:
        """Where its last byte is followed by something else."""
        return self.offset + self.stored + (0 if self.part else header_size(self.member()))

    def member(self) -> Member:
        """Return the member that the message is, alone."""
        return Member(self.name, self.offset, self.method, self.crc, self.stored, self.unpacked, self.dos)


def toc_path(path: str) -> str:
    """Return the path of the table of contents of the zip at ``path``."""
    return f"{path}.toc"


def first_line(inside: str) -> bytes:
    """Return the line that a table begins with."""
    return checked_line(f"V 1 {inside}")


def append_line(offset: int) -> bytes:
    """Return the line that says: appending from this offset on."""
    return checked_line(f"A {offset}")


def message_line(entry: ZipEntry) -> bytes:
    """Return the line that commits a message."""
    numbers = f"{entry.offset} {entry.stored} {entry.size} {entry.sha256} {entry.method} {entry.crc:08x}"
    return checked_line(f"{'P' if entry.part else 'M'} {numbers} {entry.unpacked} {entry.dos} {entry.name}")


def end_line(directory: int, end: int, crc: int) -> bytes:
    """Return the line that says: the directory begins there, the zip ends there, and this is its end's CRC-32."""
    return checked_line(f"E {directory} {end} {crc:08x}")


def is_finished(path: str) -> bool:
    """Tell from the last line of a table whether its zip has an end.

    Raises:
        OSError: the table can't be read.
    """
    try:
        last = text_of(last_line(path))
    except FileNotFoundError:
        return True
    return last is not None and last.startswith(b"E ")


class ZipToc:
    """A table of contents as it is found, read once by iterating over it to the end.

    Args:
        path: of the table; one that isn't there is empty.
        size: bytes of the zip; a message that reaches beyond was cut off by somebody else, and is passed over.

    Attributes:
        inside: what the zip holds, empty when no line says so yet.
        end: where the next line goes: behind the last one that is whole.
        damaged: a line before that one isn't, or tells of a message that is no longer there.
        reach: where the last message ends.
        appending: where the last run began to append; None when it came to write the zip's end.
        directory: where the last directory that was finished begins: what lies before it is listed there.
        zip_end: where it ended the zip; crc: CRC-32 from the directory's first byte to there.
    """

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self.inside = ""
        self.end = 0
        self.damaged = False
        self.reach = 0
        self.appending: int | None = None
        self.directory = 0
        self.zip_end = 0
        self.crc = 0

    def __iter__(self) -> Iterator[ZipEntry]:
        """Yield the messages in the order they were stored.

        Raises:
            OSError: the table can't be read.
            PermanentError: a later version of archipec wrote it.
        """
        position, broken = 0, False
        for line in lines_of(self._path):
            position += len(line)
            text = text_of(line)
            match = None if text is None else _LINE.fullmatch(text)
            if match is None:
                broken = True
                continue
            self.damaged |= broken
            self.end = position
            if match[1]:
                entry = _entry(match)
                self.inside = self.inside or ("mbox" if entry.part else "eml")
                if entry.end > self._size:
                    self.damaged = True
                else:
                    self.reach = max(self.reach, entry.end)
                    yield entry
            elif match[11]:
                self.appending = int(match[11])
            elif match[12]:
                self.appending = None
                self.directory, self.zip_end, self.crc = int(match[12]), int(match[13]), int(match[14], 16)
            elif match[15]:
                self.inside = match[15].decode()
            else:
                raise later_version(self._path)


def _entry(match: re.Match[bytes]) -> ZipEntry:
    kind, offset, stored, size, sha256, method, crc, unpacked, dos, name = match.groups()[:10]
    return ZipEntry(
        int(offset),
        int(stored),
        int(size),
        sha256.decode(),
        int(method),
        int(crc, 16),
        int(unpacked),
        int(dos),
        name.decode(errors="replace"),
        kind == b"P",
    )


class ZipTocIndex(TocIndex):
    """See `TocIndex`; a place is that of a member's local header, or of the line before a message in an mbox.

    Attributes:
        directories: where the last directory of each file begins.
    """

    scheme = "zip"

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.directories: dict[str, int] = {}

    def is_listed(self, place: StoredAt) -> bool:
        """Return whether a message is in its zip's directory by now."""
        return place.offset < self.directories.get(place.file, 0)

    def _parts(self) -> list[str]:
        names = {path.name.removesuffix(toc_path("")) for path in Path(self.root).iterdir()}
        return sorted(filter(is_zip, names))

    def _table(self, file: str, size: int) -> Iterator[tuple[ContentKey, StoredAt]]:
        toc = ZipToc(self.toc_path(file), size)
        for entry in toc:
            yield ContentKey(entry.sha256, entry.size), stored_at(file, entry)
        self.directories[file] = toc.directory

    def toc_path(self, file: str) -> str:
        return toc_path(f"{self.root}/{file}")

    def recorded_end(self, file: str) -> int | None:
        text = text_of(last_line(self.toc_path(file)))
        match = None if text is None else _LINE.fullmatch(text)
        return int(match[13]) if match is not None and match[13] else None


def zips_in(root: str) -> list[Path]:
    """Return the zips of an archive, files alone; raises OSError."""
    return sorted(
        path for path in Path(root).iterdir() if is_zip(path.name) and regular_size(str(path)) is not None
    )


def stored_at(file: str, entry: ZipEntry) -> StoredAt:
    """Return where a message lies that a table tells of."""
    return StoredAt(file, entry.offset, entry.stored, entry.method | (IN_MBOX if entry.part else 0))


def is_zip(name: str) -> bool:
    """Return whether a file of this name is one of ours."""
    return _FILE.fullmatch(name) is not None


def file_name(stem: str, number: int) -> str:
    """Return the name of the zip of this number, from 1, of those with the same stem."""
    return f"{stem}_{number:02d}.zip" if number > 1 else f"{stem}.zip"


def last_numbers(root: str) -> dict[str, int]:
    """Return the highest number of a zip by stem, those included of which only the table is left; raises OSError."""
    numbers: dict[str, int] = {}
    for path in Path(root).iterdir():
        match = _FILE.fullmatch(path.name.removesuffix(toc_path("")))
        if match:
            numbers[match[1]] = max(numbers.get(match[1], 1), int(match[2] or 1))
    return numbers
