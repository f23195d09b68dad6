"""Messages on their way into a zip: checked, and made ready as far as can be before it is known where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from zlib import crc32

from archipec.contract import Item
from archipec.errors import PermanentError, Scope
from archipec_plugins.files.streams import CHUNK, item_chunks, unix_time
from archipec_plugins.mbox.mboxrd import ending, quote, separator
from archipec_plugins.zip.deflate import LAST_BLOCK, blocks
from archipec_plugins.zip.format import DEFLATED, STORED

__all__ = ["LARGEST_MBOX", "Staged", "stage_for_mbox", "stage_member"]

LARGEST_MBOX = 0xF0000000
"""Bytes of the largest mbox in a zip: a member that grows can't become one of zip64 when it passes 4 GiB."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A message that is ready.

    Attributes:
        size: bytes that `chunks` gives.
        method: how they are compressed: a member is already, in an mbox they are yet to be.
        crc: CRC-32 of the message.
        kept: the bytes, None when they are too many to hold.
        again: makes them anew.
    """

    item: Item
    size: int
    method: int
    crc: int
    kept: bytes | None
    again: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes, a chunk at a time."""
        return self.again() if self.kept is None else iter((self.kept,))


def stage_member(item: Item, *, deflate: bool) -> Staged:
    """Check an item that is to be a member by itself, and compress it when that makes it smaller.

    Raises:
        IntegrityError: its reader gave other bytes than those of its key.
    """
    crc, deflated = 0, len(LAST_BLOCK)
    plain: list[bytes] = []
    packed: list[bytes] = []
    for chunk in item_chunks(item):
        crc = crc32(chunk, crc)
        if item.key.size <= CHUNK:
            plain.append(chunk)
        if deflate:
            packed.append(blocks(chunk))
            deflated += len(packed[-1])
            if item.key.size > CHUNK:
                packed.clear()
    method = DEFLATED if deflate and deflated < item.key.size else STORED
    kept = None
    if item.key.size <= CHUNK:
        kept = b"".join([*packed, LAST_BLOCK] if method == DEFLATED else plain)
    return Staged(
        item,
        deflated if method == DEFLATED else item.key.size,
        method,
        crc,
        kept,
        partial(_member, item, method),
    )


def _member(item: Item, method: int) -> Iterator[bytes]:
    if method == STORED:
        yield from item_chunks(item)
        return
    for chunk in item_chunks(item):
        yield blocks(chunk)
    yield LAST_BLOCK


def stage_for_mbox(item: Item, *, deflate: bool) -> Staged:
    """Check an item that is to be a part of an mbox, and put the lines of the format around it.

    Raises:
        IntegrityError: its reader gave other bytes than those of its key.
        PermanentError: it is larger than any mbox in a zip may be.
    """
    size = 0
    kept: list[bytes] = []
    for chunk in _record(item):
        size += len(chunk)
        if item.key.size <= CHUNK:
            kept.append(chunk)
    if size > LARGEST_MBOX:
        raise PermanentError(
            f"message {item.key} is too large for an mbox in a zip",
            hint="keep it in a zip with inside = eml",
            scope=Scope.MESSAGE,
        )
    whole = b"".join(kept) if item.key.size <= CHUNK else None
    return Staged(item, size, DEFLATED if deflate else STORED, 0, whole, partial(_record, item))


def _record(item: Item) -> Iterator[bytes]:
    yield separator(unix_time(item.received or item.date))
    last = b""
    for chunk in quote(item_chunks(item)):
        last = chunk[-1:]
        yield chunk
    yield ending(last)
