"""An archive of a few files that grow, each with a table of contents beside it: mboxes, zips.

What is the same for all of them is here: exactly once, found by the tables, read back and compared; and reading such a
file as a source. How messages lie in a file, and when they are durable, the classes of a format know.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast

from archipec.contract import ContentKey, Context, Fetched, Item, Json, Listed, Receipt, State
from archipec.durability import sync_files
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, Scope, from_os_error
from archipec_plugins.files.folders import FolderEntry, listing, raising
from archipec_plugins.files.inventory import InventoryKeeper
from archipec_plugins.files.reading import check_path, read_error
from archipec_plugins.files.streams import (
    CopyReader,
    Verify,
    lookup_error,
    stream_of,
    unverified,
    verify_key,
)
from archipec_plugins.files.toc import StoredAt, TocIndex

S = TypeVar("S")
"""A message that is staged, as a format has it."""


class IndexedFolder(ABC):
    """A file of an archive as an `archipec_plugins.files.folders.MailFolder`: read by its table, exactly as it went in."""

    def __init__(self, name: str, path: str, context: Context) -> None:
        self.name = name
        self._path = path
        self._context = context

    @abstractmethod
    def _entries(self) -> Iterator[FolderEntry]:
        """Yield what the table tells of, in the order in which it lies there."""

    @abstractmethod
    def _open_message(self, stored_at: StoredAt) -> FileIO:
        """Open the file where a message begins; MissingCopy, IntegrityError or OSError where there is none."""

    @abstractmethod
    def _chunks(self, file: FileIO, stored_at: StoredAt, key: ContentKey) -> Iterator[bytes]:
        """Yield the message that the file was opened at; IntegrityError at its end if it isn't that of the key."""

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List the messages in the order in which they lie."""
        try:
            yield from listing(self.name, self._entries, after)
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error

    def _fetch_stored(self, ref: str, stored_at: StoredAt, key: ContentKey) -> Iterator[Fetched]:
        """Read a message; nothing is yielded for one that is gone."""
        try:
            file = self._open_message(stored_at)
        except MissingCopy:
            check_path(Path(self._path))
            return
        except IntegrityError as error:
            yield Fetched(ref, raising(error))
            return
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error
        with file:
            yield Fetched(ref, self._chunks(file, stored_at, key))


class IndexedArchiveSink(ABC, Generic[S]):
    """Keeps messages in the files of an archive; see `archipec.contract.Sink`.

    Opening, finding and reading change nothing on disk; a file is repaired when it is first appended to.

    Args:
        index: what the tables tell.
        compared: the host compares what is read (`archipec.contract.Context.compares`).
    """

    def __init__(self, index: TocIndex, log: logging.Logger, *, compared: bool = False) -> None:
        self._root = index.root
        self._index = index
        self._log = log
        self._compared = compared
        self._inventory = InventoryKeeper(self._root, index, log)
        self._staged: dict[ContentKey, S] = {}
        self._held: dict[ContentKey, Receipt] = {}
        self._puts: list[ContentKey] = []
        self._lost: dict[str, IntegrityError] | None = None
        self._flushed: set[str] = set()
        """Files in which everything that their tables tell of is durable."""

    # -- what a format decides -------------------------------------------------------------------------------

    @abstractmethod
    def _stage(self, item: Item) -> S:
        """Check an item and prepare it; IntegrityError where its bytes are not those of its key."""

    @abstractmethod
    def _append(self, staged: Collection[S]) -> Iterable[tuple[ContentKey, StoredAt]]:
        """Store messages and say where each one is.

        Durable when it is yielded or returned, in this order: the message, its line in the table, its line in the inventory. What fails
        leaves nothing that a table tells of and that isn't durable, but maybe messages that are.
        """

    @abstractmethod
    def _locate(self, receipt: Receipt) -> StoredAt:
        """Return the place that a receipt names; IntegrityError where it is no receipt of such an archive."""

    @abstractmethod
    def _token(self, stored_at: StoredAt) -> dict[str, Json]:
        """Return a receipt's token: `_locate` finds the place by it."""

    @abstractmethod
    def _open_message(self, path: str, stored_at: StoredAt) -> FileIO:
        """Open a file where a message begins; MissingCopy, IntegrityError or OSError where there is none."""

    @abstractmethod
    def _chunks(
        self, file: FileIO, path: str, stored_at: StoredAt, key: ContentKey, verify: Verify = verify_key
    ) -> Iterator[bytes]:
        """Yield the message that a file was opened at, through ``verify``."""

    def _state(self, stored_at: StoredAt) -> State:  # noqa: ARG002 - a format may know of copies that wait
        """Return whether a copy waits for something."""
        return State.STORED

    def _forget(self) -> None:
        """Forget what is known of the files: it isn't known what became of a batch."""
        self._index.forget()
        self._flushed.clear()

    # -- storing -----------------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Stage an item that no intact copy is held of."""
        key = item.key
        if key not in self._staged and key not in self._held:
            try:
                held = self._intact(key)
            except OSError as error:
                raise from_os_error(error, error.filename or self._root) from error
            if held is None:
                self._staged[key] = self._stage(item)
            else:
                self._held[key] = held
        self._puts.append(key)

    def commit(self) -> Sequence[Receipt]:
        """Store what is staged."""
        staged, self._staged = self._staged, {}
        receipts, self._held = self._held, {}
        puts, self._puts = self._puts, []
        try:
            if staged:
                self._look_for_lost()
                self._inventory.begin()
                for key, stored_at in self._append(staged.values()):
                    receipts[key] = self._receipt(key, stored_at)
        except BaseException as error:
            # What is there now, the tables tell; whether it is durable is unknown.
            self._inventory.interrupt()
            self._forget()
            if isinstance(error, OSError):
                raise from_os_error(error, error.filename or self._root) from error
            raise
        return [receipts[key] for key in puts]

    def finish(self) -> None:
        """Bring the inventory to its end, and say what the archive has lost since the last run."""
        try:
            lost = list(self._look_for_lost().values())
            self._inventory.finish()
        except OSError as error:
            raise from_os_error(error, error.filename or self._root) from error
        if lost:
            raise lost[0]

    def _look_for_lost(self) -> dict[str, IntegrityError]:
        """Return, by file, what is gone, as far as names and sizes tell, as they were before this run wrote anything.

        Raises:
            OSError: the files can't be looked at.
        """
        if self._lost is None:
            self._lost = {}
            for file in self._index.lost_files():
                # Another program's file may bear one of our names, and never had a table.
                if number := self._inventory.listed_in(file):
                    reason = self._index.why_missing(file, number)
                    self._lost[file] = IntegrityError(
                        reason, hint=self._index.hint(file) or "`archipec verify` says what is missing"
                    )
        return self._lost

    # -- finding and reading -----------------------------------------------------------------------------------

    def find(self, key: ContentKey) -> Receipt | None:
        """Read the copies of a message until one is intact."""
        try:
            receipt = self._intact(key)
            if receipt is None:
                Path(self._root).stat()  # an archive that went away has no say in what is absent
        except OSError as error:
            raise lookup_error(error, self._root) from error
        return receipt

    def _intact(self, key: ContentKey) -> Receipt | None:
        for stored_at in self._index.copies(key):
            path = f"{self._root}/{stored_at.file}"
            try:
                with self._open_message(path, stored_at) as file:
                    for _ in self._chunks(file, path, stored_at, key):
                        pass
            except IntegrityError:
                continue
            if stored_at.file not in self._flushed:
                # A run that was killed may have committed messages without coming to flush them.
                sync_files(self._root, [path, self._index.toc_path(stored_at.file)])
                self._flushed.add(stored_at.file)
            return self._receipt(key, stored_at)
        return None

    def read(self, receipt: Receipt) -> BinaryIO:
        """Open a copy; one with other bytes ends in IntegrityError, unless the host compares them."""
        try:
            stored_at = self._copy_to_read(receipt)
            path = f"{self._root}/{stored_at.file}"
            file = self._open_message(path, stored_at)
        except OSError as error:
            raise lookup_error(error, self._root) from error
        if self._compared:
            chunks = self._chunks(file, path, stored_at, receipt.key, unverified)
            return cast(BinaryIO, CopyReader(chunks, file))
        return stream_of(self._chunks(file, path, stored_at, receipt.key), file)

    def _copy_to_read(self, receipt: Receipt) -> StoredAt:
        """Return the place a receipt names; a later one when the message is known to be stored again since."""
        if self._index.loaded and self._index.is_again(receipt.key):
            return self._index.copies(receipt.key)[0]
        return self._locate(receipt)

    def iterate(self) -> Iterator[Receipt]:
        """Yield what the tables tell of; of several copies of a message, the latest."""
        try:
            for key, stored_at in self._index:
                yield self._receipt(key, stored_at)
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def _receipt(self, key: ContentKey, stored_at: StoredAt) -> Receipt:
        return Receipt(key, self._state(stored_at), self._token(stored_at))

    # -- checking ----------------------------------------------------------------------------------------------

    def check(self) -> Iterator[ArchipecError]:
        """Compare the archive with its record."""
        yield from self.check_record()

    def check_record(self) -> Iterator[ArchipecError]:
        """Compare the inventory and the tables with what is there."""
        try:
            yield from self._inventory.problems()
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def close(self) -> None:
        """Close the archive; what was staged and not committed was in memory only."""
        self._inventory.close()
