"""The working Maildir archive: see `archipec_plugins.sinks.maildir`."""

# Paths are strings here: there are many of them, and Path objects would cost more than what is done with them.
# ruff: noqa: PTH102, PTH104, PTH110, PTH116

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from typing import BinaryIO, NamedTuple

from archipec.contract import ContentKey, Item, Receipt, State
from archipec.durability import sync_directories, sync_files
from archipec.errors import IntegrityError, MissingCopy, from_os_error
from archipec_plugins.sinks.copies import CHUNK, cannot_tell, checked, stream_of, translated, unix_time
from archipec_plugins.sinks.maildir import names
from archipec_plugins.sinks.maildir.catalog import Catalog, walk
from archipec_plugins.sinks.maildir.staging import Staging

__all__ = ["MaildirSink"]


class _Staged(NamedTuple):
    directory: str
    name: names.Name
    file: str


class MaildirSink:
    """Keeps messages in Maildirs below a root; see `archipec.contract.Sink`.

    Opening, finding and reading change nothing on disk; the first ``put`` readies the archive for writing.

    Args:
        root: the archive's directory, which the host made and locked.
        layout: given the root, returns what tells the Maildir for an item, relative to the root.
    """

    def __init__(self, root: str, layout: Callable[[str], Callable[[Item], str]]) -> None:
        self._root = root
        self._directory_of = layout(root)
        self._catalog = Catalog(root)
        self._staging: Staging | None = None
        self._staged: list[_Staged] = []
        self._receipts: list[Receipt] = []
        self._pending: dict[ContentKey, Receipt] = {}
        self._maildirs: set[str] = set()  # made, or seen to be there
        self._flushed: set[str] = set()  # directories whose entries are durable

    def put(self, item: Item) -> None:
        """See `archipec.contract.Sink.put`."""
        receipt = self._pending.get(item.key)
        if receipt is None:
            try:
                receipt = self._stage(item)
            except OSError as error:
                raise from_os_error(error, error.filename or self._root) from error
            self._pending[item.key] = receipt
        self._receipts.append(receipt)

    def _stage(self, item: Item) -> Receipt:
        copies = self._catalog.copies(item.key)
        if copies and (held := self._intact(item.key)):
            return held
        if self._staging is None:
            self._staging = Staging(self._root)
        directory = self._cur(self._directory_of(item))
        name = names.Name(
            unix_time(item.date),
            item.key.sha256,
            copies[0][1].copy + 1 if copies else 1,
            item.key.size,
            names.info_of(item.flags, self._staging.separator),
        )
        file = str(name)
        self._staging.write(item, file)
        self._staged.append(_Staged(directory, name, file))
        return Receipt(item.key, State.STORED, f"{directory}/{file}")

    def _cur(self, maildir: str) -> str:
        """Return the directory for the messages of a Maildir, which is made when it isn't there."""
        directory = f"{maildir}/cur"
        if directory not in self._maildirs:
            parts = maildir.split("/")
            parents = ["/".join(parts[: n + 1]) for n in range(len(parts))]
            for path in (*parents, *(f"{maildir}/{part}" for part in ("tmp", "new", "cur"))):
                try:
                    os.mkdir(f"{self._root}/{path}", 0o700)
                except FileExistsError:
                    continue
            self._maildirs.add(directory)
        return directory

    def commit(self) -> Sequence[Receipt]:
        """See `archipec.contract.Sink.commit`."""
        staged, self._staged = self._staged, []
        receipts, self._receipts = self._receipts, []
        self._pending.clear()
        if self._staging is None or not staged:
            return receipts
        try:
            sync_files(self._root, [self._staging.path(each.file) for each in staged])
            self._publish(self._staging, staged)
        except OSError as error:
            self._staging.discard(each.file for each in staged)
            raise from_os_error(error, error.filename or self._root) from error
        return receipts

    def _publish(self, staging: Staging, staged: Sequence[_Staged]) -> None:
        touched = {each.directory for each in staged}
        new = touched - self._flushed
        self._flushed -= touched
        for directory, name, file in staged:
            # Replaces nothing: a copy of this content that was there before has another number in its name.
            os.rename(staging.path(file), f"{self._root}/{directory}/{file}")
            self._catalog.add(directory, name)
        touched |= {parent for directory in new for parent in _parents(directory)}
        paths = [f"{self._root}/{directory}" for directory in touched]
        if sys.platform == "linux":
            sync_files(
                self._root, paths
            )  # one flush of the file system is cheaper than one for each directory
        else:
            sync_directories(paths)
        self._flushed |= touched

    def find(self, key: ContentKey) -> Receipt | None:
        """See `archipec.contract.Sink.find`."""
        try:
            receipt = self._intact(key)
            if receipt is None:
                os.stat(self._root)  # an archive that went away has no say in what is absent
        except OSError as error:
            raise cannot_tell(error, self._root) from error
        return receipt

    def _intact(self, key: ContentKey) -> Receipt | None:
        for path in self._existing(key):
            try:
                with self._open(path) as file:
                    for _ in _chunks(file, path, key):
                        pass
            except IntegrityError:
                continue
            self._flush_name(path)
            return Receipt(key, State.STORED, path)
        return None

    def _flush_name(self, path: str) -> None:
        """Make durable what a run that was killed may have left in view before it was."""
        directory = path.rpartition("/")[0]
        if directory not in self._flushed:
            directories = {directory, *_parents(directory)}
            sync_directories(f"{self._root}/{each}" for each in directories - self._flushed)
            self._flushed |= directories

    def _existing(self, key: ContentKey) -> list[str]:
        """Return the paths of a message's copies, the latest first, those included that were renamed since."""
        paths = self._catalog.paths(key)
        if all(os.path.exists(f"{self._root}/{path}") for path in paths):
            return paths
        self._catalog.refresh()
        return self._catalog.paths(key)

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        """See `archipec.contract.Sink.read`; a copy with other bytes ends in IntegrityError."""
        try:
            path, file = self._open_copy(receipt)
        except OSError as error:
            raise cannot_tell(error, self._root) from error
        with file, stream_of(_chunks(file, path, receipt.key)) as stream:
            yield stream

    def _open_copy(self, receipt: Receipt) -> tuple[str, FileIO]:
        """Open the copy a receipt names; another one when it was renamed, or is known to be stored again since."""
        key, token = receipt.key, receipt.token
        paths = self._catalog.paths(key) if self._catalog.loaded else []
        if isinstance(token, str) and names.key_of(token.rpartition("/")[2]) == key and len(paths) < 2:
            with suppress(FileNotFoundError, NotADirectoryError):
                return token, self._open(token)
        for path in self._existing(key):
            return path, self._open(path)
        raise MissingCopy(f"message {key} is no longer in {self._root}")

    def _open(self, path: str) -> FileIO:
        return open(f"{self._root}/{path}", "rb", buffering=0)

    def iterate(self) -> Iterator[Receipt]:
        """See `archipec.contract.SupportsIterate.iterate`; of several copies of a message, the latest."""
        try:
            self._catalog.refresh()
            for directory, files in walk(self._root):
                for file in files:
                    key, path = names.key_of(file), f"{directory}/{file}"
                    if key is not None and self._catalog.paths(key)[:1] == [path]:
                        yield Receipt(key, State.STORED, path)
        except OSError as error:
            raise cannot_tell(error, self._root) from error

    def close(self) -> None:
        """Take back what was staged and not committed."""
        if self._staging is not None:
            self._staging.discard(each.file for each in self._staged)
            self._staging.close()


def _parents(directory: str) -> list[str]:
    parts = directory.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts))]


def _chunks(file: FileIO, path: str, key: ContentKey) -> Iterator[bytes]:
    return checked(translated(iter(lambda: file.read(CHUNK), b""), path), key, path)
