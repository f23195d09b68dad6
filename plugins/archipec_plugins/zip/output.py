"""Writes a zip from some offset on."""

from __future__ import annotations

import os

from archipec_plugins.files.streams import CHUNK, write_all

__all__ = ["BufferedWriter"]


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
