"""The working archive of mbox files: how messages become records in them, and which file each goes to."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from functools import partial
from io import FileIO

from archipec.contract import ContentKey, Context, Item, Json, Receipt
from archipec.errors import IntegrityError, from_os_error
from archipec.inventory import Entry
from archipec.language import _
from archipec_plugins.files.indexed import IndexedArchiveSink
from archipec_plugins.files.streams import CHUNK, Verify, item_chunks, unix_time, verify_key
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.mbox import MboxSinkConfig
from archipec_plugins.mbox.file import MboxFile, MboxRecord
from archipec_plugins.mbox.mboxrd import chunks_of, ending, open_message, quote, separator
from archipec_plugins.mbox.toc import MboxTocIndex, is_mbox, last_number, numbered

_MOST_OPEN = 16


def open_sink(config: MboxSinkConfig, context: Context) -> closing[MboxSink]:
    """Open an archive."""
    return closing(MboxSink(config, context.log, compared=context.compares))


class MboxSink(IndexedArchiveSink[MboxRecord]):
    """Keeps messages in a few mbox files below a root, which the host made and locked."""

    def __init__(self, config: MboxSinkConfig, log: logging.Logger, *, compared: bool = False) -> None:
        super().__init__(MboxTocIndex(str(config.path)), log, compared=compared)
        self._split = config.split
        self._split_size = config.split_size
        self._open_files: dict[str, MboxFile] = {}

    def _stage(self, item: Item) -> MboxRecord:
        """Check an item and prepare it; one too large to be held is read once more when it is stored."""
        kept: list[bytes] | None = [] if item.key.size <= CHUNK else None
        stored, last = 0, b""
        for chunk in quote(item_chunks(item)):
            stored += len(chunk)
            last = chunk[-1:]
            if kept is not None:
                kept.append(chunk)
        before = separator(unix_time(item.received or item.date))
        return MboxRecord(item, before, stored, kept, ending(last))

    def _append(self, staged: Collection[MboxRecord]) -> Iterator[tuple[ContentKey, StoredAt]]:
        for name, records in self._distribute(staged):
            entries = self._file(name).append(records)
            self._inventory.add(Entry(record.key, name) for record in records)
            self._flushed.add(name)
            for record, entry in zip(records, entries, strict=True):
                stored_at = StoredAt(name, entry.offset, entry.stored)
                self._index.add(record.key, stored_at)
                yield record.key, stored_at

    def _distribute(self, records: Iterable[MboxRecord]) -> Iterator[tuple[str, list[MboxRecord]]]:
        """Yield the name of each file to append to, with the records for it."""
        if self._split == "size":
            yield from self._by_size(records)
            return
        groups: dict[str, list[MboxRecord]] = {}
        for record in records:
            name = numbered(record.item.date.year) if self._split == "year" else "archive.mbox"
            groups.setdefault(name, []).append(record)
        yield from groups.items()

    def _by_size(self, records: Iterable[MboxRecord]) -> Iterator[tuple[str, list[MboxRecord]]]:
        number = last_number(self._root)
        end = self._file(numbered(number)).end
        group: list[MboxRecord] = []
        for record in records:
            while end and end + record.length > self._split_size:
                if group:
                    yield numbered(number), group
                    group = []
                number += 1
                end = self._file(numbered(number)).end
            group.append(record)
            end += record.length
        if group:
            yield numbered(number), group

    def _file(self, name: str) -> MboxFile:
        if self._index.has_lost_table(name) and (lost := self._look_for_lost().get(name)):
            raise lost  # a new table would hide it
        file = self._open_files.pop(name, None)
        if file is not None:
            try:
                file.check_unchanged()
            except BaseException:
                file.close()
                raise
        if file is not None and not file.is_current():
            file.close()
            file = None
        if file is None:
            file = MboxFile(f"{self._root}/{name}", self._log, partial(self._inventory.lists_more, name))
        self._open_files[name] = file
        if len(self._open_files) > _MOST_OPEN:
            self._open_files.pop(next(iter(self._open_files))).close()
        return file

    def _locate(self, receipt: Receipt) -> StoredAt:
        match receipt.token:
            case {"file": str(name), "offset": int(offset), "length": int(stored)} if is_mbox(name):
                return StoredAt(name, offset, stored)
        raise IntegrityError(
            _("message {key}: not an mbox receipt: {token}").format(
                key=receipt.key, token=repr(receipt.token)
            )
        )

    def _token(self, stored_at: StoredAt) -> dict[str, Json]:
        return {"file": stored_at.file, "offset": stored_at.offset, "length": stored_at.stored}

    def finish(self) -> None:
        """See that the files are as they were left, and bring the inventory to its end."""
        try:
            for file in self._open_files.values():
                file.check_unchanged()
        except OSError as error:
            raise from_os_error(error, error.filename or self._root) from error
        super().finish()

    def _open_message(self, path: str, stored_at: StoredAt) -> FileIO:
        return open_message(path, stored_at.offset, stored_at.stored)

    def _chunks(
        self, file: FileIO, path: str, stored_at: StoredAt, key: ContentKey, verify: Verify = verify_key
    ) -> Iterator[bytes]:
        return chunks_of(file, path, stored_at.stored, key, verify)

    def close(self) -> None:
        """Close the files, too."""
        super().close()
        for file in self._open_files.values():
            file.close()
