"""Tells a message from half of one: bytes received are compared with the size that the source listed.

Some servers misstate sizes. Of a message of another size than listed two answers are wanted, and taken when they are
equal and look whole. A server that stated the size of most other messages correctly is believed about this one, too: what
is shorter was cut short, unless its last part is closed. Where a server counts a line end as one byte (a POP3 LIST that
counts what is on its disk), a few messages proven like that explain the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from archipec.custody.ledger import SourceMessage
from archipec.custody.spool import Spooled
from archipec.message import ContentKey
from archipec.pec.headers import first_field

__all__ = ["SizeCheck"]

_PROVEN = 3
"""Messages read twice before the count of line ends explains the size of others."""
_SHORT_BY = 512
"""Bytes that a message without parts may lack and still be thought whole; no more than a tenth of it."""
_ESTIMATED = 3
"""Messages of other sizes than listed that show a server to estimate them: then a quarter may be lacking."""
_BOUNDARY = re.compile(rb'boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s";]{1,200}))', re.IGNORECASE)
_BLOCK = 1 << 18


class SizeCheck:
    """Remembers first answers, and what explains them.

    Args:
        recorded: how many messages of the folder that holds a row have the size that was listed, and how many another.
    """

    def __init__(self, recorded: Callable[[int], tuple[int, int]]) -> None:
        self._recorded = recorded
        self._first: dict[int, ContentKey] = {}
        self._by_lines = 0
        self._exact = 0
        self._earlier: tuple[int, int] | None = None

    def accepts(self, row: SourceMessage, spooled: Spooled) -> bool:
        """Return whether these bytes are the message that a row lists. False: ask for it again, by itself.

        Nothing of 0 bytes is ever a message.
        """
        key = spooled.key
        if not key.size:
            return False
        if row.size is None:
            return True
        if row.size == key.size:
            self._exact += 1
            return True
        by_lines = row.size == key.size - sum(block.count(b"\n") for block in _blocks(spooled))
        if by_lines and self._by_lines >= _PROVEN:
            return True
        if self._first.get(row.id) != key:
            self._first[row.id] = key
            return False
        if not self._is_whole(row, spooled, row.size):
            return False
        self._by_lines += by_lines
        return True

    def _is_whole(self, row: SourceMessage, spooled: Spooled, listed: int) -> bool:
        """Return whether a message of another size than listed shows no sign of having been cut short."""
        lacks = listed - spooled.key.size
        if lacks < 0:
            return True
        match = _BOUNDARY.search(first_field(spooled.head, "Content-Type") or b"")
        if match is not None:
            return _holds(spooled, b"--" + (match[1] or match[2]).rstrip() + b"--")
        end = b""
        for block in _blocks(spooled):
            end = block[-1:] or end
        head_ended = spooled.head.endswith((b"\n\r\n", b"\n\n")) and spooled.key.size > len(spooled.head)
        if not head_ended or end != b"\n":
            return False
        if self._earlier is None:
            self._earlier = self._recorded(row.id)
        exact, others = self._earlier[0] + self._exact, self._earlier[1] + len(self._first)
        if exact >= others:
            return False
        return lacks <= (listed // 4 if others >= _ESTIMATED else min(_SHORT_BY, listed // 10))


def _holds(spooled: Spooled, mark: bytes) -> bool:
    held = b""
    for block in _blocks(spooled):
        held = held[-len(mark) :] + block
        if mark in held:
            return True
    return False


def _blocks(spooled: Spooled) -> Iterator[bytes]:
    with spooled.open() as file:
        while block := file.read(_BLOCK):
            yield block
