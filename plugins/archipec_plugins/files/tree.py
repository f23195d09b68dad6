"""An archive that is a tree of directories with a file for each message, exactly as it came: Maildirs, .eml files.

What is the same for all of them is here; how files are named, and how they are found again, a `FileIndex` knows.
"""

# Paths are strings here: there are many of them, and Path objects would cost more than what is done with them.
# ruff: noqa: PTH104, PTH116

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

from archipec.contract import ContentKey, Context, Item, Receipt, State
from archipec.durability import make_directory, sync_directories, sync_files
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, UnfitRecord, from_os_error
from archipec.inventory import Entry
from archipec.language import _
from archipec_plugins.files.inventory import InventoryKeeper, distinct, first_few
from archipec_plugins.files.manifest import Line, Manifest
from archipec_plugins.files.staging import Staging, is_interrupted
from archipec_plugins.files.streams import (
    CHUNK,
    CopyFile,
    descriptor_of,
    lookup_error,
    map_os_errors,
    open_copy,
    stream_of,
    verify_key,
)
from archipec_plugins.files.timestamps import Timestamps
from archipec_plugins.files.toc import missing_from_record


class NewCopy(NamedTuple):
    """Where a message is to be kept.

    Attributes:
        directory: relative to the root; file: the name in it.
        changed: the time of change that the file is to have, in Unix seconds.
        place: what `FileIndex.add` needs to know of it.
    """

    directory: str
    file: str
    changed: int
    place: bytes = b""

    @property
    def path(self) -> str:
        """The path, relative to the root."""
        return f"{self.directory}/{self.file}"


class FileIndex(Protocol):
    """How the files of an archive are named and found. All paths are relative to its root.

    It learns what files there are when it is first asked for one.

    Attributes:
        sibling_dirs: names of directories that are made beside each directory of files.
        whole_paths: the inventory is given a copy's path; else its directory, because the name follows from the message.
    """

    sibling_dirs: tuple[str, ...]
    whole_paths: bool

    @property
    def loaded(self) -> bool:
        """Whether it knows the files yet."""

    def prepare(self, staging: Staging) -> None:
        """Learn what the file system allows, before the first `new_copy`."""

    def new_copy(self, item: Item) -> NewCopy:
        """Return where a new copy goes, where nothing is."""

    def add(self, copy: NewCopy, sha256: str) -> None:
        """Note a new copy, and give it a line in the manifest."""

    def existing(self, key: ContentKey) -> list[str]:
        """Return the paths of the copies of a message that are there, the latest first."""

    def is_again(self, key: ContentKey) -> bool:
        """Return whether several copies of a message are known, of which some may be gone."""

    def holds(self, sha256: str) -> bool:
        """Return whether any copy of a message with this hash is there."""

    def is_own(self, file: str) -> bool:
        """Return whether a file's name is one that this index gives."""

    def key_of(self, line: Line) -> ContentKey:
        """Return the key of a message that the manifest lists; of one that is gone, its size may be 0 for unknown."""

    def name_matches(self, path: str, sha256: str) -> bool:
        """Return whether it is one that this index gives to messages with this hash."""

    def unlisted(self) -> Iterator[str]:
        """Yield the paths of the archive's files that its manifest doesn't list."""

    def repair_manifest(self) -> None:
        """Give those a line in the manifest."""

    def held(self) -> Iterator[Entry]:
        """Yield every copy that is there, see `archipec_plugins.files.inventory.Holdings`."""

    def number(self) -> int | None:
        """Return how many copies are there, None where that isn't known yet."""

    def __iter__(self) -> Iterator[tuple[ContentKey, str]]:
        """Yield every message that is there with its path, each once: of several copies the latest."""


class _Staged(NamedTuple):
    copy: NewCopy
    path: str
    key: ContentKey


class _Holdings:
    """As `archipec_plugins.files.inventory.Holdings`: files may be moved by mail programs and by people."""

    located = False

    def __init__(self, root: str, index: FileIndex) -> None:
        self._root = root
        self.held = self.claimed = index.held
        self.number = index.number

    def why_missing(self, file: str, number: int | None = None) -> str:
        path = Path(self._root, file)
        more = "" if number is None else f": {missing_from_record(number)}"
        if path.is_dir():
            if number is None:
                return _("{path} does not hold it any more").format(path=path) + more
            return _("{path} does not hold them any more").format(path=path) + more
        return (
            _("{path} is gone").format(path=path)
            if path.parent.is_dir()
            else _("the folder {parent} is gone").format(parent=path.parent)
        ) + more

    def hint(self, file: str) -> str:  # noqa: ARG002 - the same for all
        return ""


class TreeSink:
    """Keeps messages as files below a root; see `archipec.contract.Sink`.

    Opening, finding and reading change nothing on disk; the first ``put`` readies the archive for writing.

    Args:
        root: the archive's directory, which the host made and locked.
    """

    def __init__(
        self, root: str, index: FileIndex, manifest: Manifest, timestamps: Timestamps, context: Context
    ) -> None:
        self._root = root
        self._index = index
        self._manifest = manifest
        self._timestamps = timestamps
        self._context = context
        self._inventory = InventoryKeeper(root, _Holdings(root, index), context.log)
        self._staging: Staging | None = None
        self._staged: list[_Staged] = []
        self._receipts: list[Receipt] = []
        self._pending: dict[ContentKey, Receipt] = {}
        self._made: set[str] = set()  # directories made, or seen to be there
        self._flushed: set[str] = set()  # directories whose entries are durable
        self._publishing = False  # true, too, after it failed half-way
        self._real_folders: dict[str, str] = {}

    def put(self, item: Item) -> None:
        receipt = self._pending.get(item.key)
        if receipt is None:
            try:
                receipt = self._intact(item.key) or self._stage(item)
            except OSError as error:
                raise from_os_error(error, error.filename or self._root) from error
            self._pending[item.key] = receipt
        self._receipts.append(receipt)

    def _stage(self, item: Item) -> Receipt:
        staging = self._ready()
        copy = self._index.new_copy(item)
        if copy.directory not in self._made:
            self._make(copy.directory)
        staging.write(item, copy.file, copy.changed)
        path = copy.path
        self._staged.append(_Staged(copy, path, item.key))
        return Receipt(item.key, State.STORED, path)

    def _ready(self) -> Staging:
        """Make the archive ready for writing: mended, and with a manifest that lists all that it holds."""
        if self._staging is None:
            self._inventory.begin()
            # Before an archive grows: one of an older version has no manifest.
            if is_interrupted(self._root) or not self._manifest.exists():
                self._index.repair_manifest()
            self._staging = Staging(self._root, self._index.is_own)
            self._index.prepare(self._staging)
        return self._staging

    def _make(self, directory: str) -> None:
        *parents, last = [*_parents(directory)[1:], directory]
        sibling_dirs = [f"{parents[-1]}/{name}" for name in self._index.sibling_dirs] if parents else []
        for path in (*parents, *sibling_dirs, last):
            make_directory(f"{self._root}/{path}")
        self._made.add(directory)

    def commit(self) -> Sequence[Receipt]:
        staged, self._staged = self._staged, []
        receipts, self._receipts = self._receipts, []
        self._pending.clear()
        if self._staging is None or not staged:
            return receipts
        try:
            sync_files(self._root, [self._staging.path(each.copy.file) for each in staged])
            self._publish(self._staging, staged)
            self._inventory.add(self._entry(each) for each in staged)
        except OSError as error:
            self._inventory.interrupt()
            self._staging.discard(each.copy.file for each in staged)
            raise from_os_error(error, error.filename or self._root) from error
        return receipts

    def _entry(self, staged: _Staged) -> Entry:
        return Entry(staged.key, staged.path if self._index.whole_paths else staged.copy.directory)

    def _publish(self, staging: Staging, staged: Sequence[_Staged]) -> None:
        self._manifest.open()  # now, while nothing is in view yet
        self._publishing = True
        touched = {each.copy.directory for each in staged}
        new = touched - self._flushed
        self._flushed -= touched
        for copy, path, key in staged:
            target = f"{self._root}/{path}"
            if os.path.lexists(target):  # a rename would replace it
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            os.rename(staging.path(copy.file), target)
            self._index.add(copy, key.sha256)
        self._manifest.write()
        touched |= {parent for directory in new for parent in _parents(directory)}
        self._flush(touched)
        self._publishing = False

    def _flush(self, directories: set[str]) -> None:
        """Make durable what was added to directories and to the manifest."""
        paths = [f"{self._root}/{directory}" for directory in directories]
        if sys.platform == "linux":
            # One flush of the file system is cheaper than one for each directory.
            sync_files(self._root, [self._manifest.path, *paths])
        else:
            sync_files(self._root, [self._manifest.path])
            sync_directories(paths)
        self._flushed |= directories

    def find(self, key: ContentKey) -> Receipt | None:
        try:
            receipt = self._intact(key)
            if receipt is None:
                os.stat(self._root)  # an archive that went away has no say in what is absent
        except OSError as error:
            raise lookup_error(error, self._root) from error
        return receipt

    def _intact(self, key: ContentKey) -> Receipt | None:
        for path in self._index.existing(key):
            try:
                with open_copy(self._root, path, self._real_folders) as file:
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

    def read(self, receipt: Receipt) -> BinaryIO:
        """A copy with other bytes ends in IntegrityError, unless the host compares them."""
        try:
            path, descriptor = self._find_copy(receipt)
        except OSError as error:
            raise lookup_error(error, self._root) from error
        if self._context.compares:
            return cast(BinaryIO, CopyFile(descriptor, path))
        file = FileIO(descriptor, "rb")
        return stream_of(_chunks(file, path, receipt.key), file)

    def _find_copy(self, receipt: Receipt) -> tuple[str, int]:
        """Open the copy a receipt names; another one when it was renamed, or is known to be stored again since."""
        key, token = receipt.key, receipt.token
        if (
            not (self._index.loaded and self._index.is_again(key))
            and isinstance(token, str)
            and ".." not in token.split("/")
            and self._index.name_matches(token, key.sha256)
        ):
            try:
                return token, descriptor_of(self._root, token, self._real_folders)
            except (FileNotFoundError, NotADirectoryError):
                pass
        for path in self._index.existing(key):
            return path, descriptor_of(self._root, path, self._real_folders)
        raise MissingCopy(_("message {key} is no longer in {root}").format(key=key, root=self._root))

    def iterate(self) -> Iterator[Receipt]:
        """Of several copies of a message, the latest."""
        try:
            for key, path in self._index:
                yield Receipt(key, State.STORED, path)
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def finish(self) -> None:
        """List what is not listed yet, and have the manifest time-stamped; see `archipec.contract.SupportsFinish`."""
        try:
            if self._staging is None and self._is_to_mend():
                self._ready()
                if self._manifest.waits:
                    self._manifest.write()
                    self._flush({""})
            self._inventory.finish()
        except OSError as error:
            raise from_os_error(error, error.filename or self._root) from error
        self._timestamps.stamp(self._manifest.path, self._context)

    def _is_to_mend(self) -> bool:
        if is_interrupted(self._root):
            return True
        return not self._manifest.exists() and next(self._index.unlisted(), None) is not None

    def check(self) -> Iterator[ArchipecError]:
        yield from self.check_record()
        yield from self._timestamps.check(self._manifest.path)

    def check_record(self) -> Iterator[ArchipecError]:
        """Compare inventory, manifest and the files' names; contents are unread."""
        try:
            # Of a message that both of them miss, the one counts that tells more.
            both = self._check_manifest(), self._inventory.problems()
            yield from distinct(chain(*(reversed(both) if self._index.whole_paths else both)))
        except OSError as error:
            raise lookup_error(error, self._root) from error

    def _check_manifest(self) -> Iterator[ArchipecError]:
        path = self._manifest.path
        problems = filter(None, map(self._problem, self._manifest))
        yield from first_few(problems, path)
        if is_interrupted(self._root):
            return
        if self._manifest.exists():
            unlisted = (
                UnfitRecord(_("{path} doesn't list {each}").format(path=path, each=each))
                for each in self._index.unlisted()
            )
            yield from first_few(unlisted, path)
        elif self._inventory.lists_something():
            yield UnfitRecord(
                _("{path} is gone").format(path=path), hint=_("the next `archipec archive` makes it anew")
            )

    def _problem(self, line: Line) -> ArchipecError | None:
        path = self._manifest.path
        if not line.path:
            return UnfitRecord(
                _("{path}: what stands at byte {offset} is no line of a manifest").format(
                    path=path, offset=line.offset
                )
            )
        if not self._index.name_matches(line.path, line.sha256):
            return UnfitRecord(
                _("{path}: the line at byte {offset} was altered: {file}").format(
                    path=path, offset=line.offset, file=line.path
                )
            )
        if os.path.lexists(f"{self._root}/{line.path}") or self._index.holds(line.sha256):
            return None
        key = self._index.key_of(line)
        return MissingCopy(
            _("{path} lists a file that is not there: {file}").format(path=path, file=line.path), key=key
        )

    def close(self) -> None:
        """Take back what was staged and not committed."""
        if self._staging is not None:
            self._staging.discard(each.copy.file for each in self._staged)
            if not self._publishing and not self._manifest.waits:
                self._staging.close()  # else it stays, and tells the next run to mend the manifest
        self._manifest.close()
        self._inventory.close()


def _parents(directory: str) -> list[str]:
    """Return the directories above a directory, the root first."""
    parts = directory.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts))]


def _chunks(file: FileIO, path: str, key: ContentKey) -> Iterator[bytes]:
    # Not more than there should be: room for a megabyte costs more than to read a small message.
    size = min(CHUNK, key.size + 1)
    return verify_key(map_os_errors(iter(lambda: file.read(size), b""), path), key, path)
