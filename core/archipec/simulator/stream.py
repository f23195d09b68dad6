"""Pseudo-random data that is the same for the same labels on every machine and Python version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_BLOCK = 512


class Stream:
    """An endless sequence of bytes fixed by its labels (SHAKE-256). Not a source of secrets.

    Args:
        labels: what the data is for; bytes are taken as they are, anything else by its `str`.
    """

    __slots__ = ("_block", "_buffer", "_seed")

    def __init__(self, *labels: object) -> None:
        seed = hashlib.sha256()
        for label in labels:
            data = label if isinstance(label, bytes) else str(label).encode()
            seed.update(b"%d:" % len(data))
            seed.update(data)
        self._seed = seed.digest()
        self._block = 0
        self._buffer = b""

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if len(self._buffer) < size:
            self._block += 1
            label = self._seed + self._block.to_bytes(8, "big")
            self._buffer += hashlib.shake_256(label).digest(max(_BLOCK, size))
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def below(self, limit: int) -> int:
        """The next whole number from 0 to `limit` - 1; `limit` is small against 2**64."""
        return int.from_bytes(self.take(8), "big") % limit

    def between(self, low: int, high: int) -> int:
        """The next whole number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """The next choice out of a sequence that is not empty."""
        return choices[self.below(len(choices))]

    def hex(self, digits: int) -> str:
        """The next `digits` lower-case hexadecimal digits."""
        return self.take((digits + 1) // 2).hex()[:digits]
