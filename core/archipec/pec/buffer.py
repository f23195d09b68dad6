"""A message that stays in its file: what the reading of messages needs of `bytes`, a window of the file at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias, overload

__all__ = ["FileBuffer", "Octets", "iter_blocks"]

_WINDOW = 1 << 20


class FileBuffer:
    """The bytes of a file, which must not change meanwhile.

    Args:
        file: open for reading; the caller closes it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    @overload
    def __getitem__(self, key: int) -> int: ...
    def __getitem__(self, key: slice | int) -> bytes | int:
        if isinstance(key, int):
            return self[key : key + 1][0]
        start, stop, step = key.indices(self._size)
        if step != 1:
            raise ValueError("only whole stretches of a file can be read")
        self._file.seek(start)
        return self._file.read(max(stop - start, 0))

    def startswith(self, prefix: bytes | tuple[bytes, ...], start: int = 0, end: int | None = None) -> bool:
        """As `bytes.startswith`."""
        choices = prefix if isinstance(prefix, tuple) else (prefix,)
        last = self._size if end is None else min(end, self._size)
        beginning = self[start : min(last, start + max(map(len, choices)))]
        return beginning.startswith(choices)

    def find(self, sought: bytes, start: int = 0, end: int | None = None) -> int:
        """As `bytes.find`."""
        last = self._size if end is None else min(end, self._size)
        while start < last:
            # Whatever begins in this window ends in what is read.
            found = self[start : min(start + _WINDOW + len(sought), last)].find(sought)
            if found >= 0:
                return start + found
            start += _WINDOW
        return -1


Octets: TypeAlias = bytes | FileBuffer
"""A whole message, in memory or in its file."""


def iter_blocks(raw: Octets, start: int, end: int) -> Iterator[bytes | memoryview]:
    """Yield the bytes between two offsets: those in memory in one piece, without a copy."""
    if isinstance(raw, bytes):
        yield memoryview(raw)[start:end]
        return
    for at in range(start, end, _WINDOW):
        yield raw[at : min(at + _WINDOW, end)]
