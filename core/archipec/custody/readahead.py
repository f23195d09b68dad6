"""Reads many copies back, some ahead of the one that is looked at: the disk has the next ready, and other threads hash.

A sink is used by the calling thread alone, as always; what the others get are bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import BinaryIO

from archipec.contract import Sink
from archipec.custody.readback import OK, Medium, ReadBack, Stamp, at_once, compared, stamp_of, without_copy
from archipec.durability import fetch_ahead
from archipec.errors import ArchipecError, Unsupported
from archipec.language import _
from archipec.message import Receipt

__all__ = ["read_back_each"]

_OPEN = 32  # copies
_SMALL = 256 << 10  # bytes of a copy that is read in one go
_TOGETHER = 1 << 20  # bytes of small copies that are hashed in one go
_UNDER_WAY = 4  # such goes
_MOST_THREADS = 4


class _Reading:
    """A copy that is being read; ``found`` is what is known of it without its bytes, or why nothing is."""

    __slots__ = ("_cached", "_context", "_stamp", "_stream", "digest", "found", "receipt", "size")

    def __init__(self, sink: Sink, receipt: Receipt, medium: Medium) -> None:
        self.receipt = receipt
        self.found: ReadBack | ArchipecError | None = None
        self.digest = hashlib.sha256()
        self.size = 0
        self._stream: BinaryIO | None = None
        self._stamp: Stamp | None = None
        self._cached = _("its store is read over a connection")
        self._context: AbstractContextManager[BinaryIO] | None = None
        try:
            context = sink.read(receipt)
            self._stream = context.__enter__()
            self._context = context
            if (found := stamp_of(self._stream)) is not None:
                self._stamp = found[1]
                self._cached = medium.drop(*found)
                if receipt.key.size == self._stamp.size:
                    fetch_ahead(found[0])
        except (ArchipecError, OSError) as error:
            self._note(error)

    @property
    def is_file(self) -> bool:
        """Whether it is read from a file, and so costs nothing to have open."""
        return self._stamp is not None

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes; what goes wrong is noted."""
        if self._stream is None:
            return
        size = at_once(self.receipt)
        try:
            while chunk := self._stream.read(size):
                self.size += len(chunk)
                yield chunk
                if self.size > self.receipt.key.size:  # it has grown since, nobody knows how much
                    size = _SMALL
                elif self._stamp is not None and self.size == self._stamp.size == self.receipt.key.size:
                    break
            self.close()
        except (ArchipecError, OSError) as error:
            self._note(error)
            self.close(error)

    def _note(self, error: ArchipecError | OSError) -> None:
        try:
            self.found = without_copy(error)
        except ArchipecError as wider:
            self.found = wider

    def close(self, error: BaseException | None = None) -> None:
        """Close it, unless it is closed; what comes of that is noted.

        Args:
            error: that it is closed for.
        """
        context, self._context = self._context, None
        if context is not None:
            try:
                if error is None:
                    context.__exit__(None, None, None)
                else:
                    context.__exit__(type(error), error, error.__traceback__)
            except (ArchipecError, OSError) as raised:
                self._note(raised)

    def result(self) -> ReadBack | Unsupported:
        """Return what reading showed.

        Raises:
            ArchipecError: wider than this copy.
        """
        if isinstance(self.found, Unsupported):
            return self.found
        if isinstance(self.found, ArchipecError):
            raise self.found
        good = ReadBack(OK, stamp=self._stamp, cached=self._cached)
        return self.found or compared(self.receipt, self.digest.hexdigest(), self.size, good)


def read_back_each(
    sink: Sink, receipts: Iterable[Receipt], medium: Medium
) -> Generator[tuple[Receipt, ReadBack | Unsupported], None, None]:
    """Read copies back in this order and compare each with its key; without the header (`ReadBack.head`).

    Where copies are files, some are opened ahead.

    Returns:
        of a copy that its store can't give back, why.

    Raises:
        ArchipecError: wider than one copy: nothing is known of the others either.
    """
    opened: deque[_Reading] = deque()
    with ThreadPoolExecutor(_threads(), "hash") as threads:
        try:
            yield from _hashed(_opened_ahead(sink, receipts, medium, opened), threads)
        finally:
            for each in opened:
                each.close()


def _opened_ahead(
    sink: Sink, receipts: Iterable[Receipt], medium: Medium, opened: deque[_Reading]
) -> Iterator[_Reading]:
    for receipt in receipts:
        opened.append(_Reading(sink, receipt, medium))
        # What isn't a file may be a connection, which gives one thing after the other.
        if len(opened) >= _OPEN or not opened[-1].is_file:
            yield from _taken(opened, 0 if not opened[-1].is_file else _OPEN - 1)
    yield from _taken(opened, 0)


def _taken(opened: deque[_Reading], left: int) -> Iterator[_Reading]:
    while len(opened) > left:
        yield opened[0]
        opened.popleft()


def _hashed(
    readings: Iterable[_Reading], threads: ThreadPoolExecutor
) -> Iterator[tuple[Receipt, ReadBack | Unsupported]]:
    waiting: deque[tuple[Future[None], list[_Reading]]] = deque()
    group: list[tuple[_Reading, bytes]] = []
    size = 0
    for reading in readings:
        if reading.receipt.key.size > _SMALL:
            under_way: Future[None] | None = None
            for chunk in reading.chunks():
                if under_way is not None:
                    under_way.result()
                under_way = threads.submit(reading.digest.update, chunk)
            waiting.append((threads.submit(_hash, group), [one for one, _ in group]))
            waiting.append((under_way or threads.submit(_hash, []), [reading]))
            group, size = [], 0
        else:
            raw = _small(reading)
            group.append((reading, raw))
            size += len(raw)
            if size >= _TOGETHER:
                waiting.append((threads.submit(_hash, group), [one for one, _ in group]))
                group, size = [], 0
        while len(waiting) > _UNDER_WAY:
            yield from _results(*waiting.popleft())
    waiting.append((threads.submit(_hash, group), [one for one, _ in group]))
    for one in waiting:
        yield from _results(*one)


def _small(reading: _Reading) -> bytes:
    """Return the bytes of a small copy; of one that has grown since they are hashed here, and few are in memory."""
    pieces: list[bytes] = []
    for chunk in reading.chunks():
        pieces.append(chunk)
        if reading.size > _SMALL:
            _hash([(reading, b"".join(pieces))])
            pieces.clear()
    return b"".join(pieces)


def _results(
    done: Future[None], readings: Iterable[_Reading]
) -> Iterator[tuple[Receipt, ReadBack | Unsupported]]:
    done.result()
    for reading in readings:
        yield reading.receipt, reading.result()


def _hash(group: Iterable[tuple[_Reading, bytes]]) -> None:
    for reading, raw in group:
        reading.digest.update(raw)


def _threads() -> int:
    return min(os.cpu_count() or 1, _MOST_THREADS)
