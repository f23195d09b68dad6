"""The working archive of zips: see `archipec_plugins.zip.front`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from archipec.contract import ContentKey, Item, Json, Receipt, State
from archipec.durability import sync_files
from archipec.errors import ArchipecError, IntegrityError, from_os_error
from archipec.inventory import Entry
from archipec_plugins.files.inventory import InventoryKeeper
from archipec_plugins.files.streams import lookup_error, stream_of
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.zip.format import DEFLATED, STORED
from archipec_plugins.zip.index import (
    IN_MBOX,
    ZipTocIndex,
    file_name,
    is_zip,
    last_numbers,
    stored_at,
    zips_in,
)
from archipec_plugins.zip.message import chunks_of, open_message
from archipec_plugins.zip.staging import Staged, stage_for_mbox, stage_member
from archipec_plugins.zip.toc import is_finished, toc_path
from archipec_plugins.zip.writer import ZipWriter, has_sound_end

__all__ = ["ZipSink"]

_MOST_OPEN = 16
_FORMS = {
    "stored": STORED,
    "deflated": DEFLATED,
    "mbox": IN_MBOX | STORED,
    "deflated mbox": IN_MBOX | DEFLATED,
}
_NAMES = {form: name for name, form in _FORMS.items()}


class ZipSink:
    """Keeps messages in zips below a root; see `archipec.contract.Sink`.

    Opening, finding and reading change nothing on disk; a zip is repaired when it is added to, or at the end of a run.

    Args:
        root: the archive's directory, which the host made and locked.
        inside: what zips hold: eml, mbox or maildir.
        split: bytes of a zip at most, except for a message that is larger; or year or month, one for each.
        deflate: whether messages are compressed.
    """

    def __init__(
        self, root: str, inside: str, split: int | str, log: logging.Logger, *, deflate: bool
    ) -> None:
        self._root = root
        self._inside = inside
        self._split = split
        self._log = log
        self._deflate = deflate
        self._index = ZipTocIndex(self._root)
        self._inventory = InventoryKeeper(root, self._index, log)
        self._writers: dict[str, ZipWriter] = {}
        self._numbers: dict[str, int] = {}
        self._staged: dict[ContentKey, Staged] = {}
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
                stage = stage_for_mbox if self._inside == "mbox" else stage_member
                self._staged[key] = stage(item, deflate=self._deflate)
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
            places = self._store(staged.values())
        except BaseException as error:
            # What is there now, the tables tell; whether it is durable, nobody knows.
            self._inventory.interrupt()
            self._forget()
            if isinstance(error, OSError):
                raise from_os_error(error, error.filename or self._root) from error
            raise
        for key, place in places:
            receipts[key] = self._receipt(key, place)
        return [receipts[key] for key in puts]

    def _store(self, staged: Iterable[Staged]) -> list[tuple[ContentKey, StoredAt]]:
        groups: dict[str, list[Staged]] = {}
        for each in staged:
            groups.setdefault(self._stem(each.item), []).append(each)
        touched: dict[ZipWriter, None] = {}
        full: list[ZipWriter] = []
        try:
            for stem, group in groups.items():
                self._add(stem, group, touched, full)
            if touched:
                sync_files(self._root, [writer.path for writer in touched])
                for writer in touched:
                    writer.note()
                sync_files(self._root, [writer.toc for writer in touched])
        except BaseException:
            for writer in touched:
                writer.roll_back()
            raise
        places = [each for writer in touched for each in self._committed(writer)]
        self._inventory.add(Entry(key, place.file) for key, place in places)
        for writer in full:
            self._finish(writer)
        return places

    def _stem(self, item: Item) -> str:
        match self._split:
            case "year":
                return f"archive-{item.date.year:04d}"
            case "month":
                return f"archive-{item.date.year:04d}-{item.date.month:02d}"
        return "archive"

    def _add(
        self, stem: str, group: Iterable[Staged], touched: dict[ZipWriter, None], full: list[ZipWriter]
    ) -> None:
        """Write messages into the zips they belong into.

        Args:
            touched: notes the zips that were written to, from before the first byte on.
            full: notes those that are written to no more.
        """
        split_size = self._split if isinstance(self._split, int) else None
        writer = self._writer(stem)
        for staged in group:
            while not (writer.usable and writer.has_room(staged, split_size)):
                writer.flush()
                full.append(writer)
                self._numbers[stem] += 1
                writer = self._writer(stem)
            touched[writer] = None
            writer.add(staged)
        writer.flush()

    def _writer(self, stem: str) -> ZipWriter:
        """Return the zip that messages are added to, the last one with this beginning of its name."""
        if not self._numbers:
            self._numbers = last_numbers(self._root)
        name = file_name(stem, self._numbers.setdefault(stem, 1))
        writer = self._writers.pop(name, None)
        if writer is not None:
            writer.check_unchanged()
        if writer is None or not writer.is_current():
            writer = self._opened(f"{self._root}/{name}")
        self._writers[name] = writer
        if len(self._writers) > _MOST_OPEN:
            self._writers.pop(next(iter(self._writers)))
        return writer

    def _opened(self, path: str) -> ZipWriter:
        name = Path(path).name
        return ZipWriter(path, self._inside, self._log, partial(self._inventory.lists_more, name))

    def _committed(self, writer: ZipWriter) -> Iterator[tuple[ContentKey, StoredAt]]:
        self._flushed.add(writer.name)
        for entry in writer.committed():
            key, place = ContentKey(entry.sha256, entry.size), stored_at(writer.name, entry)
            self._index.add(key, place)
            yield key, place

    def _finish(self, writer: ZipWriter) -> None:
        writer.finish()
        self._index.directories[writer.name] = writer.directory

    def _forget(self) -> None:
        self._index.forget()
        self._writers.clear()
        self._numbers.clear()
        self._flushed.clear()

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """See `archipec.contract.SupportsSettle.settle`: what is pending waits for its zip's directory."""
        self._finish_zips()
        try:
            settled = [self._receipt(each.key, _place(each)) for each in pending if self._is_kept(each)]
        except OSError as error:
            self._forget()
            raise from_os_error(error, error.filename or self._root) from error
        yield from settled

    def finish(self) -> None:
        """See `archipec.contract.SupportsFinish.finish`: bring the zips and the inventory to their end."""
        self._finish_zips()
        try:
            self._inventory.finish()
        except OSError as error:
            raise from_os_error(error, error.filename or self._root) from error

    def _finish_zips(self) -> None:
        """Give an end to the zips that have none yet."""
        try:
            for path in zips_in(self._root):
                if not is_finished(toc_path(str(path))):
                    writer = self._writers.get(path.name)
                    if writer is not None:
                        writer.check_unchanged()
                    if writer is None or not writer.is_current():
                        writer = self._opened(str(path))
                    self._finish(writer)
        except OSError as error:
            self._forget()
            raise from_os_error(error, error.filename or self._root) from error

    def check(self) -> Iterator[ArchipecError]:
        """See `archipec.contract.SupportsCheck.check`: whether other programs can open the zips."""
        yield from self.check_record()
        try:
            for path in zips_in(self._root):
                if not has_sound_end(path):
                    yield IntegrityError(
                        f"{path}: its directory is not the one that was written",
                        hint="other programs may not open it; archipec reads its messages without: archive them anew",
                    )
        except OSError as error:
            yield lookup_error(error, self._root)

    def check_record(self) -> Iterator[ArchipecError]:
        """Compare the inventory and the tables with what is there."""
        try:
            yield from self._inventory.problems()
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def close(self) -> None:
        """Let go of the archive."""
        self._inventory.close()

    def _is_kept(self, receipt: Receipt) -> bool:
        """Tell whether a copy is in a finished zip: one that was lost stays pending, for ``verify`` to find."""
        place = _place(receipt)
        return place in self._index.places(receipt.key) and self._index.is_listed(place)

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
                with open_message(path, place) as file:
                    for _ in chunks_of(file, path, place, key):
                        pass
            except IntegrityError:
                continue
            if place.file not in self._flushed:
                # A run that was killed may have committed messages without coming to flush them.
                sync_files(self._root, [path, toc_path(path)])
                self._flushed.add(place.file)
            return self._receipt(key, place)
        return None

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        """See `archipec.contract.Sink.read`; a copy with other bytes ends in IntegrityError."""
        try:
            place = self._place_to_read(receipt)
            path = f"{self._root}/{place.file}"
            file = open_message(path, place)
        except OSError as error:
            raise lookup_error(error, self._root) from error
        with file, stream_of(chunks_of(file, path, place, receipt.key), file) as stream:
            yield stream

    def _place_to_read(self, receipt: Receipt) -> StoredAt:
        """Return the place a receipt names; a later one when the message is known to be stored again since."""
        if self._index.loaded and len(places := self._index.places(receipt.key)) > 1:
            return places[0]
        return _place(receipt)

    def iterate(self) -> Iterator[Receipt]:
        """See `archipec.contract.SupportsIterate.iterate`; of several copies of a message, the latest."""
        try:
            for key, place in self._index:
                yield self._receipt(key, place)
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def _receipt(self, key: ContentKey, place: StoredAt) -> Receipt:
        token: dict[str, Json] = {
            "file": place.file,
            "offset": place.offset,
            "length": place.stored,
            "form": _NAMES[place.form],
        }
        return Receipt(key, State.STORED if self._index.is_listed(place) else State.PENDING, token)


def _place(receipt: Receipt) -> StoredAt:
    match receipt.token:
        case {"file": str(name), "offset": int(offset), "length": int(stored), "form": str(form)} if (
            is_zip(name) and form in _FORMS
        ):
            return StoredAt(name, offset, stored, _FORMS[form])
    raise IntegrityError(f"message {receipt.key}: this receipt is none of a zip: {receipt.token!r}")
