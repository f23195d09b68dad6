"""Bytes that an mbox is read from: a file, or whatever a plugin puts in its place."""

from __future__ import annotations

from io import FileIO
from typing import Protocol

from archipec.errors import Scope
from archipec_plugins.files.reading import read_error


class MboxStream(Protocol):
    """Bytes by their offset. Reading on is cheap; going back may not be."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def part_starts(self) -> tuple[int, ...]:
        """Offsets, ascending and without 0, where a part begins that was a file of its own."""
        ...

    def read(self, offset: int, limit: int) -> bytes:
        """Return bytes from an offset, at least one and at most ``limit``; none at the end.

        Raises:
            IntegrityError: from there to the next start of a part nothing can be read.
            ArchipecError: of a wider scope, when nothing can be read any more.
        """
        ...

    def check(self, offset: int, length: int) -> None:
        """Make sure that these bytes are those that were meant to be there, as far as that is known.

        Raises:
            IntegrityError: they are not.
        """
        ...


class FileStream:
    """A file as a `MboxStream`."""

    part_starts: tuple[int, ...] = ()

    def __init__(self, file: FileIO, path: str) -> None:
        self._file = file
        self._path = path
        self._position = 0
        try:
            self.size = file.seek(0, 2)
        except OSError as error:
            raise read_error(error, path, Scope.FOLDER) from error
        self._position = self.size

    def read(self, offset: int, limit: int) -> bytes:
        try:
            if offset != self._position:
                self._file.seek(offset)
            data = self._file.read(limit)
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error
        self._position = offset + len(data)
        return data

    def check(self, offset: int, length: int) -> None:
        """A file has no checksum."""


class StreamPart:
    """A stream up to an offset, as a `MboxStream`."""

    def __init__(self, stream: MboxStream, end: int) -> None:
        self._stream = stream
        self.size = min(end, stream.size)
        self.part_starts = tuple(start for start in stream.part_starts if start < end)

    def read(self, offset: int, limit: int) -> bytes:
        return self._stream.read(offset, min(limit, self.size - offset)) if offset < self.size else b""

    def check(self, offset: int, length: int) -> None:
        self._stream.check(offset, length)
