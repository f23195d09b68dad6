"""Which content keys an archive holds, and where, in some 60 bytes of memory a message.

A dictionary of a million names takes 300 MB; archives grow for years, and memory must not grow with them as fast.
"""

from __future__ import annotations

from collections.abc import Iterator

_DIGEST = 32
_BUCKETS = 1 << 14


class KeyIndex:
    """Maps SHA-256 digests to values of one fixed width; a digest may have several values.

    Records of digest and value lie one after the other in one of 16,384 byte strings, which the digest's first
    bits choose; with a million keys held, looking one up searches 4 KB.
    """

    def __init__(self, width: int) -> None:
        """Make an empty index of values of ``width`` bytes."""
        self._record = _DIGEST + width
        self._buckets = [bytearray() for _ in range(_BUCKETS)]

    def add(self, digest: bytes, value: bytes) -> None:
        """Add a value of a digest (32 bytes) after those it has."""
        bucket = self._bucket(digest)
        bucket += digest
        bucket += value

    def __contains__(self, digest: bytes) -> bool:
        bucket = self._bucket(digest)
        at = bucket.find(digest)
        while at >= 0 and at % self._record:  # not where a record begins
            at = bucket.find(digest, at + 1)
        return at >= 0

    def values(self, digest: bytes) -> list[bytes]:
        """Return the values of a digest in the order they were added."""
        bucket, found = self._bucket(digest), []
        at = bucket.find(digest)
        while at >= 0:  # as nearly never when archiving: most messages are new
            if at % self._record == 0:
                found.append(bytes(bucket[at + _DIGEST : at + self._record]))
            at = bucket.find(digest, at + 1)
        return found

    def starting(self, beginning: bytes) -> list[tuple[bytes, bytes]]:
        """Return (digest, value) of all digests with a beginning of two bytes or more, in the order they were added."""
        return [(record[:_DIGEST], record[_DIGEST:]) for record in self._records(beginning)]

    def _records(self, beginning: bytes) -> Iterator[bytes]:
        bucket = self._bucket(beginning)
        at = bucket.find(beginning)
        while at >= 0:
            if at % self._record == 0:
                yield bytes(bucket[at : at + self._record])
            at = bucket.find(beginning, at + 1)

    def _bucket(self, digest: bytes) -> bytearray:
        return self._buckets[digest[0] << 6 | digest[1] >> 2]


class NumberedStrings:
    """Strings by number, each kept once: what many values of an index have in common."""

    def __init__(self) -> None:
        self._strings: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, string: str) -> int:
        """Return the number of a string, a new one when it has none yet."""
        number = self._numbers.setdefault(string, len(self._strings))
        if number == len(self._strings):
            self._strings.append(string)
        return number

    def __getitem__(self, number: int) -> str:
        return self._strings[number]
