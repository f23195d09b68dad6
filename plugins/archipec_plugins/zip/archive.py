"""One zip file, open: its members, why some of them are refused, and the bytes of the others."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from io import FileIO
from typing import Final

from archipec.errors import IntegrityError, PermanentError, Scope
from archipec.language import _
from archipec_plugins.files.reading import read_error
from archipec_plugins.zip.directory import ZipDirectory, ZipMember

_LOCAL: Final = struct.Struct("<4s5H3L2H")  # [4.3.7]
_STORED, _DEFLATED = 0, 8
_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
_CHUNK: Final = 256 * 1024
_MOST: Final = 2**64 - 1

# Mail shrinks to a half or a tenth; what shrinks to a hundredth is no mail, and when it is small it does no harm.
_MOST_SHRUNK: Final = 100
_HARMLESS: Final = 64 << 20
_HARMLESS_IN_ALL: Final = 1 << 30


class ZipArchive:
    """A zip file.

    Args:
        name: how the source calls it.

    Raises:
        PermanentError: it can't be read at all.
    """

    def __init__(self, file: FileIO, path: str, name: str) -> None:
        self._file = file
        self.path = path
        self.name = name
        try:
            self.directory = ZipDirectory(file, path)
            status = os.fstat(file.fileno())
            self.stamp = f"{status.st_size}:{status.st_mtime_ns}"
            self._overlapping: set[int] = set()
            self._survey(status.st_size)
        except OSError as error:
            raise read_error(error, path, Scope.FOLDER) from error

    def _survey(self, size: int) -> None:
        """Look at all members together.

        Raises:
            PermanentError: unpacked they would fill any disk.
        """
        total = 0
        headers, ends = array("Q"), array("Q")
        for member in self.directory:
            total += member.size
            headers.append(member.header)
            ends.append(min(member.header + _LOCAL.size + len(member.raw_name) + member.stored, _MOST))
        if total > _HARMLESS_IN_ALL and total > size * _MOST_SHRUNK:
            raise PermanentError(
                _("{path} expands from {size} to {total} bytes; refused as a possible zip bomb").format(
                    path=self.path, size=size, total=total
                )
            )
        last = -1
        for number in sorted(range(len(headers)), key=headers.__getitem__):
            if last >= 0 and headers[number] < ends[last]:
                self._overlapping |= self._culprits(last, number)
            if last < 0 or ends[number] > ends[last]:
                last = number

    def _culprits(self, first: int, second: int) -> set[int]:
        """Return which of two members has no right to the bytes they share: it has no header there, or comes second."""
        wrong = set()
        for number in (first, second):
            try:
                self.open(self.directory[number])
            except IntegrityError:
                wrong.add(number)
        return wrong or {second}

    def refusal(self, member: ZipMember) -> str | None:
        """Return why a member is not read, None when it may be. Its name is no reason: it never becomes a path."""
        kind = stat.S_IFMT(member.mode)
        if kind == stat.S_IFLNK:
            return _("it is a link")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            return _("it is no regular file")
        if member.flags & _ENCRYPTED:
            return _("it is encrypted: unpack the zip with its password first")
        if member.method not in (_STORED, _DEFLATED):
            return _(
                "it is compressed by method {method}, which is not read here: unpack the zip first"
            ).format(method=member.method)
        if member.number in self._overlapping:
            return _("it shares bytes with another member")
        if member.size > _HARMLESS and member.size > member.stored * _MOST_SHRUNK:
            return _("it expands from {stored} to {size} bytes; refused as a possible zip bomb").format(
                stored=member.stored, size=member.size
            )
        return None

    def open(self, member: ZipMember) -> MemberReader:
        """Open a member that is not refused.

        Raises:
            IntegrityError: its local header is damaged, or contradicts the directory.
        """
        header = self.read_at(member.header, _LOCAL.size + len(member.raw_name))
        if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
            raise self.damage(member, _("its header is damaged"))
        *_ignored, name_size, extra_size = _LOCAL.unpack_from(header)
        if name_size != len(member.raw_name) or header[_LOCAL.size :] != member.raw_name:
            raise self.damage(member, _("its header and the zip's directory call it by two names"))
        start = member.header + _LOCAL.size + name_size + extra_size
        if start + member.stored > self.directory.start:
            raise self.damage(member, _("it is cut off"))
        return MemberReader(self, member, start)

    def damage(self, member: ZipMember, reason: str) -> IntegrityError:
        """Return the error for a member that can't be read, or not to its end."""
        return IntegrityError(
            f"{self.name}: {member.name}: {reason}", hint=_("download or copy the zip again")
        )

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes of the zip file, fewer at its end only."""
        try:
            self._file.seek(offset)
            data = self._file.read(size)
            while len(data) < size and (more := self._file.read(size - len(data))):
                data += more
        except OSError as error:
            raise read_error(error, self.path, Scope.FOLDER) from error
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MemberReader:
    """A member being read from its beginning, in a few hundred kilobytes of memory whatever its size.

    Attributes:
        position: bytes read so far.
        intact: at the end: the checksum is right.
    """

    def __init__(self, archive: ZipArchive, member: ZipMember, start: int) -> None:
        self._archive = archive
        self.member = member
        self._at, self._stop = start, start + member.stored
        self._crc = 0
        self.position = 0
        self.intact = True
        self._next = self._copied() if member.method == _STORED else self._inflated()
        self._chunk, self._taken = b"", 0
        self._produced = 0

    def read(self, limit: int) -> bytes:
        """Return the next bytes, at least one and at most ``limit``; none at the end.

        Raises:
            IntegrityError: from here on nothing can be read.
        """
        if self._taken == len(self._chunk):
            self._chunk, self._taken = next(self._next, b""), 0
        data = self._chunk[self._taken : self._taken + limit]
        self._taken += len(data)
        self.position += len(data)
        return data

    def _copied(self) -> Iterator[bytes]:
        while chunk := self._compressed():
            yield self._counted(chunk)
        self._finish()

    def _inflated(self) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            while not inflate.eof:
                data = inflate.unconsumed_tail or self._compressed()
                chunk = inflate.decompress(data, _CHUNK)
                if chunk:
                    yield self._counted(chunk)
                elif not data:
                    break
        except zlib.error as error:
            raise self._archive.damage(
                self.member,
                _("it is damaged {produced} bytes from its beginning").format(produced=self._produced),
            ) from error
        self._finish()

    def _compressed(self) -> bytes:
        if self._at == self._stop:
            return b""
        data = self._archive.read_at(self._at, min(_CHUNK, self._stop - self._at))
        self._at += len(data)
        return data

    def _counted(self, chunk: bytes) -> bytes:
        self._crc = zlib.crc32(chunk, self._crc)
        self._produced += len(chunk)
        if self._produced > self.member.size:
            raise self._archive.damage(
                self.member, _("it is longer than the {size} bytes it says").format(size=self.member.size)
            )
        return chunk

    def _finish(self) -> None:
        if self._produced < self.member.size:
            raise self._archive.damage(
                self.member,
                _("it ends after {produced} of {size} bytes").format(
                    produced=self._produced, size=self.member.size
                ),
            )
        self.intact = self._crc == self.member.crc

    def chunks(self, check: Callable[[bytes], str | None]) -> Iterator[bytes]:
        """Yield all of it.

        Args:
            check: given the first chunk, returns why this is not what was expected.

        Raises:
            IntegrityError: it is damaged.
            PermanentError: it is not what was expected.
        """
        while chunk := self.read(_CHUNK):
            if self.position == len(chunk) and (reason := check(chunk)):
                raise PermanentError(
                    f"{self._archive.name}: {self.member.name}: {reason}", scope=Scope.MESSAGE
                )
            yield chunk
        if not self.intact:
            raise self.wrong_checksum()

    def wrong_checksum(self) -> IntegrityError:
        """Return the error for a member that is not `intact`."""
        return self._archive.damage(self.member, _("its checksum is wrong"))
