"""The working MBOX archive: see `archipec_plugins.mbox.archive`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from archipec.contract import ContentKey, Item, Receipt, State
from archipec.durability import sync_files
from archipec.errors import ArchipecError, IntegrityError, from_os_error
from archipec.inventory import Entry
from archipec_plugins.files.inventory import InventoryKeeper
from archipec_plugins.files.streams import CHUNK, item_chunks, lookup_error, stream_of, unix_time
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.mbox.file import MboxFile, MboxRecord
from archipec_plugins.mbox.index import MboxTocIndex, is_mbox, last_number, numbered
from archipec_plugins.mbox.mboxrd import ending, quote, separator
from archipec_plugins.mbox.message import chunks_of, open_message
from archipec_plugins.mbox.toc import toc_path

__all__ = ["MboxSink"]

_MOST_OPEN = 16


class MboxSink:
    """Keeps messages in a few mbox files below a root; see `archipec.contract.Sink`.

    Opening, finding and reading change nothing on disk; a file is repaired when it is first appended to.

    Args:
        root: the archive's directory, which the host made and locked.
        split: what a file holds: everything, the messages of a year, or so many bytes.
        split_size: how many, at most, except for a message that is larger.
    """

    def __init__(self, root: str, split: str, split_size: int, log: logging.Logger) -> None:
        self._root = root
        self._split = split
        self._split_size = split_size
        self._log = log
        self._index = MboxTocIndex(root)
        self._inventory = InventoryKeeper(root, self._index, log)
        self._open_files: dict[str, MboxFile] = {}
        self._staged: dict[ContentKey, MboxRecord] = {}
        self._held: dict[ContentKey, Receipt] = {}
        self._puts: list[ContentKey] = []
        self._flushed: set[str] = set()

    def put(self, item: Item) -> None:
        """See `archipec.contract.Sink.put`."""
        key = item.key
        if key not in self._staged and key not in self._held:
            try:
                held = self._intact(key)
            except OSError as error:
                raise from_os_error(error, error.filename or self._root) from error
            if held is None:
                self._staged[key] = _record(item)
            else:
                self._held[key] = held
        self._puts.append(key)

    def commit(self) -> Sequence[Receipt]:
        """See `archipec.contract.Sink.commit`."""
        staged, self._staged = self._staged, {}
        receipts, self._held = self._held, {}
        puts, self._puts = self._puts, []
        try:
            if staged:
                self._inventory.begin()
            for name, records in self._distribute(staged.values()):
                entries = self._file(name).append(records)
                self._inventory.add(Entry(record.key, name) for record in records)
                self._flushed.add(name)
                for record, entry in zip(records, entries, strict=True):
                    place = StoredAt(name, entry.offset, entry.stored)
                    self._index.add(record.key, place)
                    receipts[record.key] = _receipt(record.key, place)
        except BaseException as error:
            # What is there now, the tables tell; whether it is durable, nobody knows.
            self._inventory.interrupt()
            self._index.forget()
            self._flushed.clear()
            if isinstance(error, OSError):
                raise from_os_error(error, error.filename or self._root) from error
            raise
        return [receipts[key] for key in puts]

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

    def find(self, key: ContentKey) -> Receipt | None:
        """See `archipec.contract.Sink.find`."""
        try:
            receipt = self._intact(key)
            if receipt is None:
                Path(self._root).stat()  # an archive that went away has no say in what is absent
        except OSError as error:
            raise lookup_error(error, self._root) from error
        return receipt

    def _intact(self, key: ContentKey) -> Receipt | None:
        for place in self._index.places(key):
            path = f"{self._root}/{place.file}"
            try:
                with open_message(path, place.offset, place.stored) as file:
                    for _ in chunks_of(file, path, place.stored, key):
                        pass
            except IntegrityError:
                continue
            if place.file not in self._flushed:
                # A run that was killed may have committed messages without coming to flush them.
                sync_files(self._root, [path, toc_path(path)])
                self._flushed.add(place.file)
            return _receipt(key, place)
        return None

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        """See `archipec.contract.Sink.read`; a copy with other bytes ends in IntegrityError."""
        try:
            place = self._place_to_read(receipt)
            path = f"{self._root}/{place.file}"
            file = open_message(path, place.offset, place.stored)
        except OSError as error:
            raise lookup_error(error, self._root) from error
        with file, stream_of(chunks_of(file, path, place.stored, receipt.key), file) as stream:
            yield stream

    def _place_to_read(self, receipt: Receipt) -> StoredAt:
        """Return the place a receipt names; a later one when the message is known to be stored again since."""
        if self._index.loaded and len(places := self._index.places(receipt.key)) > 1:
            return places[0]
        match receipt.token:
            case {"file": str(name), "offset": int(offset), "length": int(stored)} if is_mbox(name):
                return StoredAt(name, offset, stored)
        raise IntegrityError(f"message {receipt.key}: this receipt is none of an mbox: {receipt.token!r}")

    def iterate(self) -> Iterator[Receipt]:
        """See `archipec.contract.SupportsIterate.iterate`; of several copies of a message, the latest."""
        try:
            for key, place in self._index:
                yield _receipt(key, place)
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def finish(self) -> None:
        """See `archipec.contract.SupportsFinish.finish`: see that the files are as they were left, and bring the inventory to its end."""
        try:
            for file in self._open_files.values():
                file.check_unchanged()
            self._inventory.finish()
        except OSError as error:
            raise from_os_error(error, error.filename or self._root) from error

    def check(self) -> Iterator[ArchipecError]:
        """See `archipec.contract.SupportsCheck.check`."""
        yield from self.check_record()

    def check_record(self) -> Iterator[ArchipecError]:
        """Compare the inventory and the tables with what is there."""
        try:
            yield from self._inventory.problems()
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def close(self) -> None:
        """Close the files; what was staged and not committed was in memory only."""
        self._inventory.close()
        for file in self._open_files.values():
            file.close()


def _record(item: Item) -> MboxRecord:
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


def _receipt(key: ContentKey, place: StoredAt) -> Receipt:
    return Receipt(key, State.STORED, {"file": place.file, "offset": place.offset, "length": place.stored})
