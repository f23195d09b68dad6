"""The records of a zip file (APPNOTE.TXT 6.3.10, sections in brackets), zip64 only where a number is too large without.

Names are UTF-8 and say so [4.4.4, bit 11]. Checksums and sizes stand in the local header: nothing is left to a data
descriptor.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Final, NamedTuple

STORED, DEFLATED = 0, 8
"""How a member is compressed [4.4.5]."""

LOCAL_SIGNATURE: Final = b"PK\x03\x04"
CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_LOCAL: Final = struct.Struct("<4s5H3L2H")  # [4.3.7]
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")  # [4.3.12]
_END_64: Final = struct.Struct("<4sQ2H2L4Q")  # [4.3.14]
_LOCATOR: Final = struct.Struct("<4sLQL")  # [4.3.15]
_END: Final = struct.Struct("<4s4H2LH")  # [4.3.16]
LOCAL_HEADER_SIZE: Final = _LOCAL.size
"""Bytes of a local header, the name that follows not counted."""
END_RECORD_SIZE: Final = _END.size
_16, _32 = 0xFFFF, 0xFFFFFFFF

_UTF8: Final = 1 << 11
_MADE_BY: Final = 3 << 8 | 63  # Unix, for the permissions; version 6.3 of the format
_PLAIN, _ZIP64 = 20, 45  # the versions needed to read it [4.4.3]
_FILE, _FOLDER = 0o100600 << 16, 0o040700 << 16 | 0x10


class Member(NamedTuple):
    """A member of a zip file.

    Attributes:
        name: its path, ``/`` between the parts and, of a folder, at the end.
        header: offset of its local header.
        method: how it is compressed.
        crc: CRC-32 of it.
        stored: bytes it takes in the zip, without its header.
        size: bytes it has.
        dos: when it was last changed, as `dos_time` has it.
    """

    name: str
    header: int
    method: int
    crc: int
    stored: int
    size: int
    dos: int


def dos_time(date: datetime) -> int:
    """Return date (upper 16 bits) and time as zips have them [4.4.6]: in no zone, of even seconds, 1980 to 2107."""
    if date.year < 1980:
        return 1 << 21 | 1 << 16
    if date.year > 2107:
        return 127 << 25 | 12 << 21 | 31 << 16 | 23 << 11 | 59 << 5 | 29
    day = (date.year - 1980) << 9 | date.month << 5 | date.day
    return day << 16 | date.hour << 11 | date.minute << 5 | date.second // 2


def local_header(member: Member) -> bytes:
    """Return what stands before a member's data."""
    name, extra, sizes = member.name.encode(), b"", (member.stored, member.size)
    if max(sizes) >= _32:
        extra = struct.pack("<2H2Q", 1, 16, member.size, member.stored)  # both of them, here [4.5.3]
        sizes = (_32, _32)
    fixed = _LOCAL.pack(
        LOCAL_SIGNATURE,
        _ZIP64 if extra else _PLAIN,
        _UTF8,
        member.method,
        member.dos & _16,
        member.dos >> 16,
        member.crc,
        *sizes,
        len(name),
        len(extra),
    )
    return fixed + name + extra


def header_size(member: Member) -> int:
    """Return how many bytes `local_header` has."""
    wide = 20 if max(member.stored, member.size) >= _32 else 0
    return _LOCAL.size + len(member.name.encode()) + wide


def central_size(member: Member) -> int:
    """Return how many bytes `central_record` has."""
    wide = sum(number >= _32 for number in (member.size, member.stored, member.header))
    return _CENTRAL.size + len(member.name.encode()) + (4 + 8 * wide if wide else 0)


def names_size(header: bytes, method: int, stored: int) -> int | None:
    """Return how many bytes stand between a local header and its member's data.

    Args:
        header: of `LOCAL_HEADER_SIZE`.

    Returns:
        None when this isn't the header of a member compressed like this into so many bytes.
    """
    if len(header) < _LOCAL.size:
        return None
    mark, _, flags, its_method, _, _, _, its_stored, _, name, extra = _LOCAL.unpack(header)
    wanted = (LOCAL_SIGNATURE, _UTF8, method)
    if (mark, flags, its_method) != wanted or its_stored not in (stored, _32):
        return None
    return int(name + extra)


def central_record(member: Member) -> bytes:
    """Return a member's record in the directory."""
    name = member.name.encode()
    wide = b"".join(
        struct.pack("<Q", number) for number in (member.size, member.stored, member.header) if number >= _32
    )
    extra = struct.pack("<2H", 1, len(wide)) + wide if wide else b""
    fixed = _CENTRAL.pack(
        CENTRAL_SIGNATURE,
        _MADE_BY,
        _ZIP64 if wide else _PLAIN,
        _UTF8,
        member.method,
        member.dos & _16,
        member.dos >> 16,
        member.crc,
        min(member.stored, _32),
        min(member.size, _32),
        len(name),
        len(extra),
        0,
        0,
        0,
        _FOLDER if member.name.endswith("/") else _FILE,
        min(member.header, _32),
    )
    return fixed + name + extra


def end_records(count: int, size: int, offset: int) -> bytes:
    """Return what stands behind a directory of so many members and bytes, which begins at ``offset``."""
    wide = b""
    if count >= _16 or size >= _32 or offset >= _32:
        record = _END_64.pack(
            b"PK\x06\x06", _END_64.size - 12, _MADE_BY, _ZIP64, 0, 0, count, count, size, offset
        )
        wide = record + _LOCATOR.pack(b"PK\x06\x07", 0, offset + size, 1)
    counts = min(count, _16)
    return wide + _END.pack(b"PK\x05\x06", 0, 0, counts, counts, min(size, _32), min(offset, _32), 0)


def is_end_record(data: bytes) -> bool:
    """Return whether these bytes are a whole end record as `end_records` writes it: the zip ends with them."""
    return len(data) == _END.size and data.startswith(b"PK\x05\x06") and data.endswith(b"\0\0")
