"""Members of zip files, one after the other, as the stream an mbox is read from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from archipec.errors import IntegrityError
from archipec_plugins.zip.archive import MemberReader, ZipArchive
from archipec_plugins.zip.directory import ZipMember

_CHUNK: Final = 1 << 20


class ZipStream:
    """An mbox in a zip, or in several, each with a part of it; see `archipec_plugins.mbox.streams.MboxStream`.

    Nothing is unpacked but what is being read. Reading on goes on unpacking; going back begins the member anew.

    Args:
        parts: none of them empty.
    """

    def __init__(self, parts: Sequence[tuple[ZipArchive, ZipMember]]) -> None:
        self._parts = parts
        ends = list(accumulate(member.size for _, member in parts))
        self._starts = [0, *ends[:-1]]
        self.size = ends[-1]
        self.part_starts = tuple(self._starts[1:])
        self._reader: MemberReader | None = None
        self._part = -1
        self._sound: set[int] = set()
        self._damaged: dict[int, IntegrityError] = {}

    def read(self, offset: int, limit: int) -> bytes:
        if offset >= self.size:
            return b""
        number = bisect_right(self._starts, offset) - 1
        try:
            return self._read(number, offset - self._starts[number], limit)
        except IntegrityError as error:
            self._damaged[number] = error
            self._reader = None
            raise

    def check(self, offset: int, length: int) -> None:
        """Of a damaged part no message is good: there is no way to know which are."""
        first = bisect_right(self._starts, offset) - 1
        last = bisect_right(self._starts, offset + max(length, 1) - 1) - 1
        for number in range(first, last + 1):
            if number not in self._sound and number not in self._damaged:
                self._verify(number)
            if number in self._damaged:
                raise self._damaged[number]

    def _verify(self, number: int) -> None:
        archive, member = self._parts[number]
        try:
            reader = archive.open(member)
            while reader.read(_CHUNK):
                pass
            self._finish(number, reader)
        except IntegrityError as error:
            self._damaged[number] = error

    def _read(self, number: int, inside: int, limit: int) -> bytes:
        archive, member = self._parts[number]
        reader = self._reader
        if reader is None or self._part != number or reader.position > inside:
            self._reader, self._part = None, number
            reader = self._reader = archive.open(member)
        while reader.position < inside and reader.read(inside - reader.position):
            pass
        data = reader.read(limit)
        if reader.position == member.size:
            self._finish(number, reader)
        return data

    def _finish(self, number: int, reader: MemberReader) -> None:
        """Have the checksum looked at, once all of a part is read."""
        reader.read(1)
        if reader.intact:
            self._sound.add(number)
        else:
            self._damaged[number] = reader.wrong_checksum()
