"""The directory of a zip file, read by us because it comes from others (APPNOTE.TXT 6.3.10, sections in brackets).

The standard library's `zipfile` holds a kilobyte in memory for each member, and believes what it reads.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from io import FileIO
from typing import Final, NamedTuple

from archipec.errors import PermanentError
from archipec.language import _

_END: Final = struct.Struct("<4s4H2LH")  # [4.3.16]
_END_64: Final = struct.Struct("<4sQ2H2L4Q")  # [4.3.14]
_LOCATOR: Final = struct.Struct("<4sLQL")  # [4.3.15]
_RECORD: Final = struct.Struct("<4s6H3L5H2L")  # [4.3.12]
_MOST_MEMBERS: Final = 500_000
_BUFFER: Final = 256 * 1024
_16, _32 = 0xFFFF, 0xFFFFFFFF

_UTF8: Final = 1 << 11
_ZIP64, _TIMES, _UNICODE_NAME = 0x0001, 0x5455, 0x7075


class ZipMember(NamedTuple):
    """A member of a zip file, as its directory tells of it.

    Attributes:
        number: its place in the directory.
        name: its path, ``/`` between the parts. From outside: it may say anything.
        raw_name: the same as it is stored.
        header: offset of its local header.
        stored: bytes it takes in the zip.
        size: bytes it has.
        flags: general purpose bits [4.4.4].
        method: how it is compressed [4.4.5].
        mode: file type and permissions on Unix, 0 when not given.
        modified: when it was last changed, in seconds since 1970, 0 when not given in UTC.
    """

    number: int
    name: str
    raw_name: bytes
    header: int
    stored: int
    size: int
    crc: int
    flags: int
    method: int
    mode: int
    modified: int


class ZipDirectory:
    """The members of a zip file, a few bytes of memory for each.

    Attributes:
        start: where the directory begins: what lies behind is no member.

    Raises:
        PermanentError: the file is no zip, or its directory is damaged.
        OSError: it can't be read.
    """

    def __init__(self, file: FileIO, path: str) -> None:
        self._file = file
        self._path = path
        self._size = file.seek(0, 2)
        self._base, self._buffer = 0, b""
        end, count, size, offset = self._find_end()
        self.start = end - size
        self._shift = self.start - offset
        if self._shift < 0 or self.start < 0:
            raise self._damaged(_("its directory lies outside the file"))
        if count > _MOST_MEMBERS:
            raise PermanentError(
                _("{path} has {count} members: more than {most} are not read").format(
                    path=path, count=count, most=_MOST_MEMBERS
                )
            )
        self._positions = array("Q", self._walk(end))
        # Without zip64 the count is kept modulo 65,536 by some programs.
        if len(self._positions) & _16 != count & _16:
            raise self._damaged(
                _("its directory has {found} members and says {count}").format(
                    found=len(self._positions), count=count
                )
            )

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[ZipMember]:
        """Yield the members in the directory's order."""
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, number: int) -> ZipMember:
        record = self._read(self._positions[number], _RECORD.size)
        fields = _RECORD.unpack(record)
        _, made_by, _, flags, method, _, _, crc, stored, size = fields[:10]
        name_size, extra_size, _, _, _, attributes, header = fields[10:]
        names = self._read(self._positions[number] + _RECORD.size, name_size + extra_size)
        raw_name, extra = names[:name_size], dict(_extra_fields(names[name_size:]))
        if _ZIP64 in extra:
            wide = iter(struct.unpack(f"<{len(extra[_ZIP64]) // 8}Q", _whole(extra[_ZIP64])))
            size = next(wide, size) if size == _32 else size
            stored = next(wide, stored) if stored == _32 else stored
            header = next(wide, header) if header == _32 else header
        mode = attributes >> 16 if made_by >> 8 == 3 else 0
        name = _decoded(raw_name, flags, extra.get(_UNICODE_NAME, b""))
        modified = _modified(extra.get(_TIMES, b""))
        return ZipMember(
            number, name, raw_name, header + self._shift, stored, size, crc, flags, method, mode, modified
        )

    def _find_end(self) -> tuple[int, int, int, int]:
        """Return where the directory ends, how many members and bytes it has, and the offset it gives for itself."""
        start = max(0, self._size - _END.size - _16)
        tail = self._read(start, self._size - start)
        at = len(tail)
        while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
            if len(tail) - at >= _END.size:
                fields = _END.unpack_from(tail, at)
                if at + _END.size + fields[7] == len(tail):
                    break
        else:
            if self._read(0, 2) != b"PK":
                raise PermanentError(_("{path} is no zip file").format(path=self._path))
            raise self._damaged(_("it is cut off: its end, with the directory, is missing"))
        _ignored, disk, first_disk, _ignored, count, size, offset, _ignored = fields
        end = start + at
        if _16 in (disk, count) or _32 in (size, offset):
            end, disk, first_disk, count, size, offset = self._find_end_64(end)
        if disk or first_disk:
            raise PermanentError(
                _("{path} is one of several volumes").format(path=self._path),
                hint=_("join them first: zip -s 0 FILE.zip --out WHOLE.zip"),
            )
        return end, count, size, offset

    def _find_end_64(self, end: int) -> tuple[int, int, int, int, int, int]:
        locator = self._read(end - _LOCATOR.size, _LOCATOR.size)
        if len(locator) == _LOCATOR.size and locator.startswith(b"PK\x06\x07"):
            place = _LOCATOR.unpack(locator)[2]
            # A program put in front of the zip moves it; the record is then right before its locator.
            for at in (place, end - _LOCATOR.size - _END_64.size):
                record = self._read(at, _END_64.size)
                if len(record) == _END_64.size and record.startswith(b"PK\x06\x06"):
                    (
                        _ignored,
                        _ignored,
                        _ignored,
                        _ignored,
                        disk,
                        first_disk,
                        _ignored,
                        count,
                        size,
                        offset,
                    ) = _END_64.unpack(record)
                    return at, disk, first_disk, count, size, offset
        raise self._damaged(_("the end of its directory (zip64) is missing"))

    def _walk(self, end: int) -> Iterator[int]:
        """Yield where each record of the directory begins."""
        at = self.start
        while at < end:
            record = self._read(at, _RECORD.size)
            if len(record) < _RECORD.size or not record.startswith(b"PK\x01\x02"):
                raise self._damaged(_("its directory is damaged"))
            yield at
            at += _RECORD.size + sum(_RECORD.unpack(record)[10:13])
        if at != end:
            raise self._damaged(_("its directory is damaged"))

    def _read(self, offset: int, size: int) -> bytes:
        """Return bytes of the file, fewer at its end; the directory is mostly read from front to back."""
        if not 0 <= offset - self._base <= len(self._buffer) - size:
            self._file.seek(max(0, offset))
            self._base, self._buffer = offset, b""
            while len(self._buffer) < max(size, _BUFFER) and (more := self._file.read(_BUFFER)):
                self._buffer += more
        start = offset - self._base
        return self._buffer[start : start + size] if offset >= 0 else b""

    def _damaged(self, reason: str) -> PermanentError:
        return PermanentError(f"{self._path}: {reason}", hint=_("download or copy it again"))


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _whole(numbers: bytes) -> bytes:
    return numbers[: len(numbers) // 8 * 8]


def _modified(extra: bytes) -> int:
    """Return the time in Info-ZIP's field of times, which is in UTC; the format's own isn't."""
    return int(struct.unpack_from("<l", extra, 1)[0]) if len(extra) >= 5 and extra[0] & 1 else 0


def _decoded(raw: bytes, flags: int, unicode_name: bytes) -> str:
    """Return a name as text: what says that it is UTF-8 or is so by chance of 1 in many, else code page 437 [D.1]."""
    if unicode_name[:5] == b"\x01" + zlib.crc32(raw).to_bytes(4, "little"):
        raw, flags = unicode_name[5:], flags | _UTF8
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8" if flags & _UTF8 else "cp437", errors="backslashreplace")
