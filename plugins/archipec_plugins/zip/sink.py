"""The working archive of zips: which zip each message goes to, and when its zips get their ends."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from functools import partial
from io import FileIO
from pathlib import Path

from archipec.contract import ContentKey, Context, Item, Json, Receipt, State
from archipec.durability import sync_files
from archipec.errors import ArchipecError, IntegrityError, from_os_error
from archipec.inventory import Entry
from archipec.language import _
from archipec_plugins.files.indexed import IndexedArchiveSink
from archipec_plugins.files.streams import Verify, lookup_error, verify_key
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.zip import ZipSinkConfig
from archipec_plugins.zip.format import DEFLATED, STORED
from archipec_plugins.zip.layout import Staged, stage_for_mbox, stage_member
from archipec_plugins.zip.message import chunks_of, open_message
from archipec_plugins.zip.toc import (
    IN_MBOX,
    ZipTocIndex,
    file_name,
    is_finished,
    is_zip,
    last_numbers,
    stored_at,
    toc_path,
    zips_in,
)
from archipec_plugins.zip.writer import ZipWriter, has_sound_end

_MOST_OPEN = 16
_FORMS = {
    "stored": STORED,
    "deflated": DEFLATED,
    "mbox": IN_MBOX | STORED,
    "deflated mbox": IN_MBOX | DEFLATED,
}
_NAMES = {form: name for name, form in _FORMS.items()}


def open_sink(config: ZipSinkConfig, context: Context) -> closing[ZipSink]:
    """Open an archive."""
    return closing(ZipSink(config, context.log, compared=context.compares))


class ZipSink(IndexedArchiveSink[Staged]):
    """Keeps messages in zips below a root, which the host made and locked; a zip is repaired at the end of a run, too."""

    def __init__(self, config: ZipSinkConfig, log: logging.Logger, *, compared: bool = False) -> None:
        self._tables = ZipTocIndex(str(config.path))
        super().__init__(self._tables, log, compared=compared)
        self._inside = config.inside
        self._split = config.split
        self._deflate = config.deflate
        self._writers: dict[str, ZipWriter] = {}
        self._numbers: dict[str, int] = {}

    def _stage(self, item: Item) -> Staged:
        stage = stage_for_mbox if self._inside == "mbox" else stage_member
        return stage(item, deflate=self._deflate)

    def _append(self, staged: Collection[Staged]) -> list[tuple[ContentKey, StoredAt]]:
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
        self._tables.directories[writer.name] = writer.directory

    def _forget(self) -> None:
        super()._forget()
        self._writers.clear()
        self._numbers.clear()

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """Give an end to the zips: what is pending waits for its zip's directory."""
        self._finish_zips()
        try:
            settled = [self._receipt(each.key, self._locate(each)) for each in pending if self._is_kept(each)]
        except OSError as error:
            self._forget()
            raise from_os_error(error, error.filename or self._root) from error
        yield from settled

    def finish(self) -> None:
        """Bring the zips and the inventory to their end."""
        self._finish_zips()
        super().finish()

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
        """Compare the archive with its record, and look whether other programs can open the zips."""
        yield from super().check()
        try:
            for path in zips_in(self._root):
                if not has_sound_end(path):
                    yield IntegrityError(
                        _("{path}: its directory is not the one that was written").format(path=path),
                        hint=_(
                            "other programs may not open it; archipec reads its messages without: archive them anew"
                        ),
                    )
        except OSError as error:
            yield lookup_error(error, self._root)

    def _is_kept(self, receipt: Receipt) -> bool:
        """Return whether a copy is in a finished zip: one that was lost stays pending, for ``verify`` to find."""
        place = self._locate(receipt)
        return place in self._index.copies(receipt.key) and self._tables.is_listed(place)

    def _locate(self, receipt: Receipt) -> StoredAt:
        match receipt.token:
            case {"file": str(name), "offset": int(offset), "length": int(stored), "form": str(form)} if (
                is_zip(name) and form in _FORMS
            ):
                return StoredAt(name, offset, stored, _FORMS[form])
        raise IntegrityError(
            _("message {key}: not a zip receipt: {token}").format(key=receipt.key, token=repr(receipt.token))
        )

    def _token(self, stored_at: StoredAt) -> dict[str, Json]:
        return {
            "file": stored_at.file,
            "offset": stored_at.offset,
            "length": stored_at.stored,
            "form": _NAMES[stored_at.form],
        }

    def _state(self, stored_at: StoredAt) -> State:
        return State.STORED if self._tables.is_listed(stored_at) else State.PENDING

    def _open_message(self, path: str, stored_at: StoredAt) -> FileIO:
        return open_message(path, stored_at)

    def _chunks(
        self, file: FileIO, path: str, stored_at: StoredAt, key: ContentKey, verify: Verify = verify_key
    ) -> Iterator[bytes]:
        return chunks_of(file, path, stored_at, key, verify)
