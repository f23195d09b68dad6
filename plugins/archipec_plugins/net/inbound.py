"""What a server has sent and is not used up yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_CAPACITY: Final = 512 * 1024


class Inbound:
    """The bytes ``data[at:end]``. Who uses some of them up moves `at` behind them.

    Args:
        read_into: waits for bytes, reads what has come into a buffer, returns how many bytes; 0 at the end.
    """

    def __init__(self, read_into: Callable[[memoryview], int]) -> None:
        self.data = bytearray(_CAPACITY)
        self.at = 0
        self.end = 0
        self._view = memoryview(self.data)
        self._read_into = read_into

    def more(self) -> int:
        """Wait for more; return how many bytes came, 0 at the end.

        What is there may move to the front: `at` and `end` with it. At most half of the capacity may be there.
        """
        at, end = self.at, self.end
        if at == end:
            self.at = end = 0
        elif end > _CAPACITY // 2:
            self._view[: end - at] = self._view[at:end]
            self.at, end = 0, end - at
        self.end = end
        size = self._read_into(self._view[end:])
        self.end += size
        return size

    def take(self, size: int) -> bytes:
        """Use up the next ``size`` bytes, which are there."""
        at = self.at
        self.at = at + size
        return self._view[at : at + size].tobytes()

    def begin_anew(self, read_into: Callable[[memoryview], int]) -> None:
        """Drop what is there; what comes next is read in another way."""
        self.at = self.end = 0
        self._read_into = read_into
