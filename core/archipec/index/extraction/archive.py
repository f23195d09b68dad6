"""What is in a zip file. What it claims of itself is not believed: what comes out is counted, and ends at the limits."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from archipec.errors import IntegrityError
from archipec.index.extraction.limits import MAX_FILE, TOO_MUCH_UNPACKED, ReadingBudget, too_large

__all__ = ["ArchivedFile", "blocks_of", "members", "open_zip", "read_member"]

_MAX_ENTRIES: Final = 20_000  # in the directory, which is read whole
_MAX_RATIO: Final = 300
_SUSPICIOUS: Final = 4 << 20  # bytes that a ratio says nothing below
_BLOCK: Final = 64 * 1024
_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_ENCRYPTED: Final = 0x1
_UTF_8: Final = 0x800
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


class ArchivedFile(NamedTuple):
    """A file in a zip file.

    Attributes:
        name: from outside; folders before it, with `/`.
        content: None when it is not read, for the problem given.
        size: bytes, as the zip file claims.
    """

    name: str
    content: bytes | None
    size: int
    problem: str = ""


def open_zip(data: bytes) -> zipfile.ZipFile:
    """Open a zip file.

    Raises:
        IntegrityError: it is broken, or has more entries than are read.
    """
    if data.count(_DIRECTORY_ENTRY) > _MAX_ENTRIES:
        raise IntegrityError(f"not read: it has more than {_MAX_ENTRIES:,} entries")
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as error:
        raise IntegrityError("not read: a broken zip file") from error


def members(archive: zipfile.ZipFile, budget: ReadingBudget) -> Iterator[ArchivedFile]:
    """Yield its files in their order, as far as the limits go."""
    for info in archive.infolist():
        if info.is_dir():
            continue
        name = _name(info)
        try:
            yield ArchivedFile(name, read_member(archive, info, budget), info.file_size)
        except IntegrityError as error:
            yield ArchivedFile(name, None, info.file_size, error.message)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: ReadingBudget) -> bytes:
    """Return a file out of a zip file.

    Raises:
        IntegrityError: it is encrypted, broken, or more than may be read.
    """
    return b"".join(blocks_of(archive, info, budget))


def blocks_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: ReadingBudget) -> Iterator[bytes]:
    """As `read_member`, in pieces."""
    if info.flag_bits & _ENCRYPTED:
        raise IntegrityError("not read: encrypted with a password")
    if info.compress_type not in _METHODS:
        raise IntegrityError(f"not read: compressed by a method that is not supported ({info.compress_type})")
    if refusal := too_large(info.file_size):
        raise IntegrityError(refusal)
    if info.file_size > _SUSPICIOUS and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
        raise IntegrityError(
            f"expands from {info.compress_size} to {info.file_size} bytes; refused as a possible zip bomb"
        )
    size = 0
    try:
        with archive.open(info) as file:
            while block := file.read(_BLOCK):
                size += len(block)
                budget.unpacked -= len(block)
                if size > MAX_FILE or budget.unpacked < 0:
                    raise IntegrityError(TOO_MUCH_UNPACKED)
                yield block
    except _DAMAGE as error:
        raise IntegrityError("not read: broken in its zip file") from error


def _name(info: zipfile.ZipInfo) -> str:
    """Its name; many programs write UTF-8 and don't say so."""
    name = info.filename
    if not info.flag_bits & _UTF_8 and not name.isascii():
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            return info.filename
    return name
