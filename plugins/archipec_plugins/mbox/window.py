"""A window on a stream: a few bytes of it in memory, moving forward."""

from __future__ import annotations

from typing import Final

from archipec.errors import IntegrityError
from archipec_plugins.mbox.streams import Stream

__all__ = ["Window"]

_CHUNK: Final = 1 << 20


class Window:
    """Bytes of a stream, by their offset in it.

    Attributes:
        base: offset of the first byte in memory.
        end: offset behind the last one.
        ended: the stream has no more.
        damage: why, when that is not its end.
    """

    def __init__(self, stream: Stream, start: int) -> None:
        self._stream = stream
        self._data = b""
        self.base = self.end = start
        self.ended = False
        self.damage: IntegrityError | None = None

    def reach(self, offset: int, keep: int) -> None:
        """Have the bytes up to an offset in memory, or all that there are.

        Args:
            keep: where it must read on, what lies before this offset is forgotten.
        """
        if self.ended or self.end >= offset:
            return
        parts = [self._data[max(0, keep - self.base) :]]
        self.base = self.end - len(parts[0])
        while not self.ended and self.end < offset:
            try:
                chunk = self._stream.read(self.end, _CHUNK)
            except IntegrityError as error:
                self.damage, chunk = error, b""
            self.ended = not chunk
            self.end += len(chunk)
            parts.append(chunk)
        self._data = b"".join(parts)

    def find(self, word: bytes, start: int, end: int | None = None) -> int:
        """Return where ``word`` lies in memory, at ``start`` or behind it; -1 for nowhere."""
        stop = None if end is None else end - self.base
        at = self._data.find(word, max(0, start - self.base), stop)
        return at if at < 0 else at + self.base

    def bytes(self, start: int, end: int) -> bytes:
        """Return bytes that are in memory."""
        return self._data[max(0, start - self.base) : max(0, end - self.base)]

    def view(self, start: int, end: int) -> memoryview:
        """Return bytes that are in memory, uncopied."""
        return memoryview(self._data)[start - self.base : end - self.base]
