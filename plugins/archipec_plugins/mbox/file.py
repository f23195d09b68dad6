"""One mbox with its table of contents, open for appending."""

# Bare descriptors, so that what is written, flushed and cut off is under control to the byte.
# ruff: noqa: PTH116, PTH120

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from archipec.durability import open_regular, sync_directory, sync_file
from archipec.errors import IntegrityError, TransientError
from archipec.language import _
from archipec.message import ContentKey, Item
from archipec_plugins.files.streams import CHUNK, item_chunks, write_all
from archipec_plugins.mbox.mboxrd import SENDER, ending, quote
from archipec_plugins.mbox.toc import (
    FIRST_LINE,
    MboxEntry,
    MboxToc,
    is_in_order,
    mark_line,
    message_line,
    toc_path,
)

_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND
_FROM_LINE = re.compile(rb"\nFrom ")


@dataclass(frozen=True, slots=True)
class MboxRecord:
    """A message as it will lie in an mbox.

    Attributes:
        stored: bytes of the message, quoting included.
        chunks: them, None when they are too many to hold and are read from ``item`` again.
        ending: the blank line after them.
    """

    item: Item
    separator: bytes
    stored: int
    chunks: Sequence[bytes] | None
    ending: bytes

    @property
    def key(self) -> ContentKey:
        """Of the message."""
        return self.item.key

    @property
    def length(self) -> int:
        """Bytes of the record as a whole."""
        return len(self.separator) + self.stored + len(self.ending)

    def __iter__(self) -> Iterator[bytes]:
        yield self.separator
        yield from quote(item_chunks(self.item)) if self.chunks is None else self.chunks
        yield self.ending


class MboxFile:
    """Appends to one mbox; the host's lock keeps other runs from it.

    What a run that was killed left behind the last committed message is cut off on opening. Messages that
    another program appended stay where they are, and ours go behind them: the table of contents says from where
    on a run was appending, and all our separators bear our own sender. In doubt nothing is cut.

    Args:
        has_lost: asked with the number of messages in the table before anything is cut: whether it once had more.

    Raises:
        OSError: it can't be opened or repaired.
        PermanentError: a later version of archipec wrote it.
    """

    def __init__(self, path: str, log: logging.Logger, has_lost: Callable[[int], bool]) -> None:
        self.path = path
        self._has_lost = has_lost
        self._log = log
        self._announced = False
        self._broken = False
        self._data = open_regular(path, _OPEN)
        try:
            self._toc = open_regular(toc_path(path), _OPEN)
        except OSError:
            os.close(self._data)
            raise
        try:
            self._recover()
        except BaseException:
            self._close()
            raise

    def _recover(self) -> None:
        self.end = os.fstat(self._data).st_size
        self._toc_end = os.fstat(self._toc).st_size
        if not is_in_order(toc_path(self.path), self.end):
            self._repair()
        self._written = self.end

    def _repair(self) -> None:
        toc = MboxToc(toc_path(self.path), self.end)
        count = sum(1 for _ignored in toc)
        if toc.end < self._toc_end:
            self._log.warning(_("%s: dropping lines that are torn or no longer true"), toc_path(self.path))
            os.ftruncate(self._toc, toc.end)
            self._toc_end = toc.end
        if toc.appending is None:
            return
        blank_line = ending(self._bytes_at(toc.reach - 1, 1)) if toc.reach else b""
        start = max(toc.appending, toc.reach + len(blank_line))
        if start < self.end and self._is_ours(start):
            if self._has_lost(count):
                self._log.warning(
                    _("%s: it has lost messages that the archive's record lists: nothing is cut off"),
                    toc_path(self.path),
                )
                return
            self._log.warning(
                _("%s: cutting off %d bytes an interrupted run left"), self.path, self.end - start
            )
            os.ftruncate(self._data, start)
            self.end = start

    def _is_ours(self, start: int) -> bool:
        """Return whether nothing but messages of ours, whole or torn, lies from ``start`` to the end.

        Lines in them that begin with ``From `` are quoted: one that isn't a separator of ours is part of a message of another program.
        After a power cut there may be zeros, which no mail program writes.
        """
        seen = b"\n"
        for position in range(start, self.end, CHUNK):
            seen += self._bytes_at(position, CHUNK)
            if position == start:
                beginning = seen.lstrip(b"\n")[: len(SENDER)]
                if not SENDER.startswith(beginning.rstrip(b"\0")):
                    return False
            for line in _FROM_LINE.finditer(seen):
                if not SENDER.startswith(seen[line.start() + 1 :][: len(SENDER)].rstrip(b"\0")):
                    return False
            seen = seen[-len(SENDER) :]
        return True

    def _bytes_at(self, offset: int, size: int) -> bytes:
        os.lseek(self._data, offset, os.SEEK_SET)
        return os.read(self._data, size)

    def is_current(self) -> bool:
        """Return whether the file is as this object left it, and still the one of its name."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (
            not self._broken and os.path.samestat(there, os.fstat(self._data)) and there.st_size == self.end
        )

    def check_unchanged(self) -> None:
        """See that no other program has shortened the file since this object wrote to it, or touched its table.

        Raises:
            OSError: they can't be looked at.
            IntegrityError: one has.
        """
        data = _stat(self.path)
        # One that was taken away, or replaced, is another file: ours begins anew, and `verify` says what is missing.
        if self._broken or data is None or not os.path.samestat(data, os.fstat(self._data)):
            return
        table, ours = _stat(toc_path(self.path)), os.fstat(self._toc)
        for path, there, end, same in (
            (self.path, data, self.end, data.st_size >= self.end),
            (
                toc_path(self.path),
                table,
                self._toc_end,
                table is not None and os.path.samestat(table, ours) and table.st_size == self._toc_end,
            ),
        ):
            if not same:
                has = (
                    _("is gone")
                    if there is None
                    else _("has {found} bytes instead of {end}").format(found=there.st_size, end=end)
                )
                self._broken = True
                raise IntegrityError(
                    _("{path}: another program has changed it while it was written to: it {has}").format(
                        path=path, has=has
                    ),
                    hint=_("run `archipec verify`: it says what is missing"),
                )

    def append(self, records: Sequence[MboxRecord]) -> list[MboxEntry]:
        """Append messages and commit them, durably; all or, when it raises, none.

        Raises:
            OSError: the disk did not take them.
            IntegrityError: an item gave other bytes than before.
            TransientError: another program appended at the same time.
        """
        try:
            self._announce()
            entries = self._write(records)
            sync_file(self._data)
            lines = b"".join(map(message_line, entries))
            write_all(self._toc, lines)
            sync_file(self._toc)
        except BaseException:
            self._roll_back()
            raise
        self.end = self._written
        self._toc_end += len(lines)
        return entries

    def _announce(self) -> None:
        """Say in the table of contents, before the first byte of this run, that what comes is ours."""
        if self._announced:
            return
        lines = (b"" if self._toc_end else FIRST_LINE) + mark_line("A", self.end)
        write_all(self._toc, lines)
        sync_file(self._toc)
        sync_directory(os.path.dirname(self.path))
        self._toc_end += len(lines)
        self._announced = True

    def _write(self, records: Sequence[MboxRecord]) -> list[MboxEntry]:
        entries: list[MboxEntry] = []
        position = self.end
        pending = [self._missing_blank_line()]
        size = len(pending[0])
        for record in records:
            offset = position + size + len(record.separator)
            entries.append(MboxEntry(offset, record.stored, record.key.size, record.key.sha256))
            for chunk in record:
                pending.append(chunk)
                size += len(chunk)
                if size >= CHUNK:
                    self._put(pending)
                    position, size = self._written, 0
        self._put(pending)
        if os.fstat(self._data).st_size != self._written:
            raise TransientError(
                _("another program is writing to {path}").format(path=self.path),
                hint=_("close it and run the same command again"),
            )
        return entries

    def _missing_blank_line(self) -> bytes:
        """Return what has to come before a separator: after messages of other programs, perhaps a blank line."""
        last = self._bytes_at(max(0, self.end - 3), 3)
        if not last or last.endswith((b"\n\n", b"\n\r\n")):
            return b""
        return b"\n" if last.endswith(b"\n") else b"\n\n"

    def _put(self, pending: list[bytes]) -> None:
        data = b"".join(pending)
        pending.clear()
        while data:
            taken = os.write(self._data, data)
            self._written += taken
            data = data[taken:]

    def _roll_back(self) -> None:
        """Leave nothing of a failed batch, unless another program's bytes came in between."""
        try:
            os.ftruncate(self._toc, self._toc_end)
            if os.fstat(self._data).st_size == self._written:
                os.ftruncate(self._data, self.end)
                self._written = self.end
            else:
                self._broken = True
        except OSError as error:
            self._log.warning(_("%s: what a failed batch left stays till the next run: %s"), self.path, error)
            self._broken = True

    def close(self) -> None:
        """Say in the table of contents that we are done, and close the files."""
        try:
            if self._announced and not self._broken:
                write_all(self._toc, mark_line("Z", self.end))
                sync_file(self._toc)
        except OSError as error:
            self._log.warning(_("%s: could not be closed in good order: %s"), self.path, error)
        finally:
            self._close()

    def _close(self) -> None:
        os.close(self._data)
        os.close(self._toc)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
