"""One zip with its table of contents, to add to and to finish."""

# Bare descriptors, so that what is written, flushed and cut off is under control to the byte.
# ruff: noqa: PTH108, PTH116, PTH119, PTH120

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from archipec.durability import open_regular, sync_directory, sync_file
from archipec.errors import IntegrityError
from archipec.language import _
from archipec_plugins.files.streams import CHUNK, write_all
from archipec_plugins.zip.format import (
    CENTRAL_SIGNATURE,
    END_RECORD_SIZE,
    LOCAL_SIGNATURE,
    central_record,
    end_records,
    is_end_record,
)
from archipec_plugins.zip.layout import BufferedWriter, Staged, layout_of
from archipec_plugins.zip.toc import (
    ZipEntry,
    ZipToc,
    append_line,
    end_line,
    first_line,
    message_line,
    toc_path,
)

_OPEN = os.O_RDWR | os.O_CREAT
_RECORDS = 800  # bytes of a member's two records, its name of 240, and of the zip's end, all at most
_WASTE = 16 << 20


class ZipWriter:
    """Adds to one zip; the host's lock keeps other runs from it.

    What is stored is never moved or written over, but for the header of an mbox, which gets its sizes. Messages are
    added behind the end that the zip has, and `finish` writes a new end behind them, with a directory of all members; the
    old directories stay between them as bytes that belong to nothing (APPNOTE.TXT 4.1.9). What an interrupted run left
    without committing it is cut off when the zip is added to, or finished; what another program added since the zip was
    opened here never is.

    Args:
        inside: what a new zip holds.
        has_lost: asked with the number of messages in the table where that says that a run was interrupted: whether it
            once had more.

    Attributes:
        end: where the last message, or the zip itself, ends.
        directory: where the directory begins that the zip had last: what lies before it is listed there.
        usable: messages may be added. Not to a zip that another program changed, nor to one whose table is damaged, nor
            one that has lost messages, nor to an mbox of an earlier run: that one is finished for ever.
        finished: there is nothing to `finish`.

    Raises:
        OSError: it can't be read.
        PermanentError: a later version of archipec wrote it.
    """

    def __init__(self, path: str, inside: str, log: logging.Logger, has_lost: Callable[[int], bool]) -> None:
        self.path = path
        self.toc = toc_path(path)
        self.name = os.path.basename(path)
        self._log = log
        self._size = _size_of(path)
        stem = self.name.removesuffix(".zip")
        toc = ZipToc(self.toc, self._size)
        held = layout_of(inside, stem)
        for entry in toc:
            if not held.count:
                held = layout_of(toc.inside, stem)
            held.note(entry)
        self._layout = held
        self.directory = toc.directory
        self._torn = toc.appending is not None
        self._toc_size = _size_of(self.toc)
        self.end = toc.zip_end if toc.appending is None else max(toc.appending, toc.reach)
        # Of a zip without messages only the name is used.
        self.inside = toc.inside if held.count else inside
        as_left = self._is_as_left(interrupted=self._torn)
        if as_left and self._size > self.end and has_lost(held.count):
            log.warning(
                _("%s: it has lost messages that the archive's record lists: nothing is cut off"), self.toc
            )
            as_left = False
        self.finished = toc.appending is None or not as_left or (toc.damaged and not held.count)
        self._toc_end = self._noted = toc.end if held.count else 0
        finished = self.inside == "mbox" and held.count
        self.usable = as_left and not toc.damaged and not finished and self.inside == inside
        self._announced = False
        self._foreign = False
        self._added: list[ZipEntry] = []
        self._output: BufferedWriter | None = None
        self._descriptor = -1

    def _is_as_left(self, *, interrupted: bool) -> bool:
        """Return whether the zip ends where the table says, or has at least what an interrupted run had committed."""
        if interrupted:
            return self._size >= self.end and self._is_torn()
        if self._size != self.end or not self.end:
            return self._size == self.end
        with open(open_regular(self.path, os.O_RDONLY), "rb") as file:
            file.seek(self.end - END_RECORD_SIZE)
            return is_end_record(file.read())

    def _is_torn(self) -> bool:
        """Return whether what lies behind the last message can be what an interrupted run left there."""
        if self._size == self.end or self.inside == "mbox":
            return True
        with open(open_regular(self.path, os.O_RDONLY), "rb") as file:
            file.seek(self.end)
            beginning = file.read(len(LOCAL_SIGNATURE)).rstrip(b"\0")
        # After a power cut there may be zeros.
        return any(signature.startswith(beginning) for signature in (LOCAL_SIGNATURE, CENTRAL_SIGNATURE))

    def is_current(self) -> bool:
        """Return whether the zip is still as this object left it; raises OSError."""
        return _size_of(self.path) == self._size

    def check_unchanged(self) -> None:
        """Leave a zip alone for ever that another program has added to, or cut, since this object wrote to it.

        Raises:
            OSError: it can't be read or the table not be written.
            IntegrityError: another program has.
        """
        size = _size_of(self.path)
        # One that was taken away is another file: a new one begins, and `verify` says what is missing.
        if size != self._size and os.path.lexists(self.path):
            raise self._changed(size)

    def _changed(self, size: int) -> IntegrityError:
        self.usable, self.finished, self._foreign = False, True, True
        if size < self._size:
            return IntegrityError(
                _(
                    "{path}: another program has changed it while it was written to: it has {size} bytes "
                    "instead of {expected}"
                ).format(path=self.path, size=size, expected=self._size),
                hint=_("run `archipec verify`: it says what is missing"),
            )
        if self._toc_end:
            # Says that the zip is done here: what lies behind is not archipec's.
            self._write_toc(end_line(self.directory, self.end, 0), durable=True)
        return IntegrityError(
            _(
                "{path}: another program has changed it while it was written to: it has {size} bytes "
                "instead of {expected}"
            ).format(path=self.path, size=size, expected=self._size),
            hint=_(
                "the next run leaves it as it is and adds to another zip; `archipec verify` reads it back"
            ),
        )

    def has_room(self, staged: Staged, split_size: int | None) -> bool:
        """Return whether a message may be added, or belongs into another zip.

        Args:
            split_size: bytes that a zip of more than one message has at most.
        """
        held, offset = self._layout, self._output.offset if self._output else self.end
        if not held.count:
            return True
        size = offset + staged.size + held.directory + _RECORDS
        # Every run leaves a directory behind: a zip of many small runs would consist of directories for the most part.
        waste = offset - held.payload
        return (
            held.takes(staged)
            and (split_size is None or size <= split_size)
            and waste <= max(held.payload, _WASTE)
        )

    def add(self, staged: Staged) -> None:
        """Write a message.

        Raises:
            OSError: the disk did not take it.
            IntegrityError: its bytes are not those of before.
        """
        if self._output is None:
            self._descriptor = self._open()
            self._output = BufferedWriter(self._descriptor, self.end)
            if not self.end:
                self._layout.begin(self._output, staged)
        entry = self._layout.write(self._output, staged)
        self._layout.note(entry)
        self._added.append(entry)

    def flush(self) -> None:
        """Hand what was added to the system, to be made durable by the caller; raises OSError."""
        if self._output is not None:
            self._output.flush()
            self._size = self._output.offset
            self._close()

    def note(self) -> None:
        """Write what was added, and is durable, into the table, to be made durable by the caller; raises OSError."""
        self._noted = self._write_toc(b"".join(map(message_line, self._added)))

    def committed(self) -> list[ZipEntry]:
        """Return what was added, now that the table is durable."""
        entries, self._added = self._added, []
        self.end, self._toc_end = self._size, self._noted
        self.finished = False
        return entries

    def finish(self) -> None:
        """Write the directory and the end of the zip, durably; remove one without messages. Raises OSError."""
        if self.finished:
            return
        if not self._layout.count:
            self._remove()
            self.finished = True
            return
        try:
            directory, end, crc = self._write_end()
            self._toc_end = self._write_toc(end_line(directory, end, crc), durable=True)
        except BaseException:
            self.roll_back()
            raise
        self.directory = directory
        self.end = self._size = end
        self.finished, self._announced = True, False
        self.usable = self.usable and self.inside != "mbox"

    def _write_end(self) -> tuple[int, int, int]:
        """Return where the directory begins, where the zip ends, and the CRC-32 of what lies between."""
        self._descriptor = self._open()
        out = self._output = BufferedWriter(self._descriptor, self.end)
        start = count = crc = 0
        for member in self._layout.finish(out, ZipToc(self.toc, self.end)):
            start = start or out.offset
            record = central_record(member)
            count, crc = count + 1, crc32(record, crc)
            out.write(record)
        ending = end_records(count, out.offset - start, start)
        out.write(ending)
        out.flush()
        sync_file(self._descriptor)
        self._close()
        return start, out.offset, crc32(ending, crc)

    def _open(self) -> int:
        """Open the zip to write behind its end, after saying so in the table before the first byte of this run."""
        descriptor = open_regular(self.path, _OPEN)
        try:
            size = os.fstat(descriptor).st_size
            torn = size - self.end
            if torn > 0:
                if not self._torn or size != self._size:
                    raise self._changed(size)
                self._log.warning(_("%s: cutting off %d bytes an interrupted run left"), self.path, torn)
                os.ftruncate(descriptor, self.end)
                self._size = self.end
            self._torn = False
            if not self._announced:
                lines = (b"" if self._toc_end else first_line(self.inside)) + append_line(self.end)
                self._toc_end = self._write_toc(lines, durable=True)
                sync_directory(os.path.dirname(self.path))
                self._announced = True
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _write_toc(self, lines: bytes, *, durable: bool = False) -> int:
        """Add to the table, in the place of a torn end of it, and return its size."""
        descriptor = open_regular(self.toc, _OPEN)
        try:
            size = os.fstat(descriptor).st_size
            if size != self._toc_size:
                raise IntegrityError(
                    _(
                        "{toc}: another program has changed it while its zip was written to: it has {size} bytes "
                        "instead of {toc_size}"
                    ).format(toc=self.toc, size=size, toc_size=self._toc_size),
                    hint=_("run `archipec verify`"),
                )
            if size > self._toc_end:
                os.ftruncate(descriptor, self._toc_end)
            os.lseek(descriptor, self._toc_end, os.SEEK_SET)
            write_all(descriptor, lines)
            self._toc_size = self._toc_end + len(lines)
            if durable:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
        return self._toc_size

    def roll_back(self) -> None:
        """Leave nothing of what was not committed; the next run cuts off what can't be now."""
        self._close()
        if self._foreign:
            return
        try:
            if not self.end:
                self._remove()
            else:
                _cut(self.toc, self._toc_end)
                self._toc_size = self._toc_end
                _cut(self.path, self.end)
        except OSError as error:
            self._log.warning(_("%s: what a failed batch left stays till the next run: %s"), self.path, error)

    def _remove(self) -> None:
        """Remove a zip that no message came into, and its table."""
        for path in (self.path, self.toc):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _close(self) -> None:
        if self._output is not None:
            self._output = None
            os.close(self._descriptor)


def has_sound_end(path: Path) -> bool:
    """Return whether a zip ends in the directory that its table says, if it says any.

    Raises:
        OSError: it can't be read.
        PermanentError: a later version of archipec wrote it.
    """
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        toc = ZipToc(toc_path(str(path)), size)
        for _ in toc:
            pass
        if toc.appending is not None or not toc.zip_end:
            return True
        file.seek(toc.directory)
        crc = 0
        while chunk := file.read(CHUNK):
            crc = crc32(chunk, crc)
    return (crc, size) == (toc.crc, toc.zip_end)


def _cut(path: str, end: int) -> None:
    descriptor = open_regular(path, _OPEN & ~os.O_CREAT)
    try:
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)
    finally:
        os.close(descriptor)


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
