"""What an archive of files with tables of contents (``archive.mbox.toc``) holds, by those tables.

The inventory ``archipec.toc`` is another file: `archipec.inventory`.
"""

from __future__ import annotations

import os
import stat
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from archipec.crc_lines import LONGEST_LINE
from archipec.durability import open_regular
from archipec.errors import PermanentError, counted
from archipec.inventory import Entry
from archipec.message import ContentKey
from archipec_plugins.files.key_index import KeyIndex, NumberedStrings

_PLACE = struct.Struct(">IQQB")
_NO_END = 1 << 62


class StoredAt(NamedTuple):
    """Where a message lies.

    Attributes:
        file: the name of the file.
        offset: of what is stored there for the message.
        stored: bytes of it.
        form: how it is stored, below 256: a number that the sink gives a meaning.
    """

    file: str
    offset: int
    stored: int
    form: int = 0


class TocIndex(ABC):
    """The places of all copies by content key, read from the tables of contents when it is first needed.

    It is also the archive's `archipec_plugins.files.inventory.Holdings`. A file that is a link, a folder or a pipe by
    now, or whose table is, holds nothing.
    """

    located = True
    scheme: ClassVar[str]
    """Of the URLs by which such an archive is read and written."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._index: KeyIndex | None = None
        self._count = 0
        self._files = NumberedStrings()
        self._reasons: dict[str, str] = {}

    @abstractmethod
    def _parts(self) -> list[str]:
        """Return the names of the archive's files in order, those included of which only the table is left."""

    @abstractmethod
    def _table(self, file: str, size: int) -> Iterator[tuple[ContentKey, StoredAt]]:
        """Read a file's table: the messages within its first ``size`` bytes, in the order in which they were stored."""

    @abstractmethod
    def recorded_end(self, file: str) -> int | None:
        """Return how many bytes a file had when its last run ended, by the last line of its table; None if it doesn't say.

        Raises:
            OSError: the table can't be read.
        """

    @abstractmethod
    def toc_path(self, file: str) -> str:
        """Return the path of a file's table."""

    def _entries(self) -> Iterator[tuple[ContentKey, StoredAt]]:
        """Read the tables, each message after those stored before it.

        Raises:
            OSError: one of them can't be read.
            PermanentError: a later version of archipec wrote one.
        """
        for file in self._parts():
            size, table = regular_size(f"{self.root}/{file}"), regular_size(self.toc_path(file))
            if size is not None and table is not None:
                yield from self._table(file, size)

    def held(self) -> Iterator[Entry]:
        for key, place in self._entries():
            yield Entry(key, place.file)

    def claimed(self) -> Iterator[Entry]:
        for file in self._parts():
            if regular_size(self.toc_path(file)) is not None:
                for key, _ in self._table(file, _NO_END):
                    yield Entry(key, file)

    def number(self) -> int | None:
        return None if self._index is None else self._count

    def why_missing(self, file: str, number: int | None = None) -> str:
        if number is not None and self.has_lost_table(file):
            return self._why_missing(file, counted(number, "message"))
        if file not in self._reasons:
            self._reasons[file] = self._why_missing(file, "the messages")
        more = "" if number is None else f": {missing_from_record(number)}"
        return self._reasons[file] + more

    def has_lost_table(self, file: str) -> bool:
        """Return whether a file holds something, and nothing is there to find it by; raises OSError."""
        return bool(regular_size(f"{self.root}/{file}")) and regular_size(self.toc_path(file)) is None

    def lost_files(self) -> Iterator[str]:
        """Yield the files that are gone or cut short, or without their tables, by sizes and the tables' last lines alone.

        Raises:
            OSError: they can't be looked at.
        """
        for file in self._parts():
            size = regular_size(f"{self.root}/{file}")
            if regular_size(self.toc_path(file)) is None:
                lost = bool(size)
            else:
                lost = (size or 0) < (self.recorded_end(file) or 0)
            if lost:
                yield file

    def hint(self, file: str) -> str:
        """Return the way out for messages of a file that are missing; empty where there is none that is known."""
        if not self.has_lost_table(file):
            return ""
        copy = f"archipec archive --from {self.scheme}:{self.root} --to {self.scheme}:NEW"
        return f"bring it back from a backup, or make a whole archive of what is there: `{copy}`"

    def _why_missing(self, file: str, messages: str) -> str:
        path, toc = f"{self.root}/{file}", self.toc_path(file)
        size = regular_size(path)
        if size is None:
            return f"{path} is not a file any more" if os.path.lexists(path) else f"{path} is gone"
        if regular_size(toc) is None:
            state = "is not a file any more" if os.path.lexists(toc) else "is gone"
            return f"{toc}, by which {messages} in {file} {'is' if messages.startswith('1 ') else 'are'} found, {state}"
        if any(place.offset + place.stored > size for _, place in self._table(file, _NO_END)):
            return f"{path} was cut short"
        return f"{path} and its table of contents do not have it any more"

    @property
    def loaded(self) -> bool:
        """Whether the tables were read yet."""
        return self._index is not None

    def load(self) -> None:
        """Read the tables, anew if they were read before; raises what `_entries` does."""
        index, self._count = KeyIndex(_PLACE.size), 0
        for key, place in self._entries():
            index.add(bytes.fromhex(key.sha256), self._packed(place))
            self._count += 1
        self._index = index

    def forget(self) -> None:
        """Read the tables anew when they are needed next."""
        self._index = None

    def add(self, key: ContentKey, place: StoredAt) -> None:
        """Note a message that was stored."""
        if self._index is not None:
            self._index.add(bytes.fromhex(key.sha256), self._packed(place))
            self._count += 1

    def is_again(self, key: ContentKey) -> bool:
        """Return whether there are several copies of a message; raises what `load` does."""
        if self._index is None:
            self.load()
            return self.is_again(key)
        return len(self._index.values(bytes.fromhex(key.sha256))) > 1

    def copies(self, key: ContentKey) -> list[StoredAt]:
        """Return the places of every copy of a message, the latest first; raises what `load` does."""
        if self._index is None:
            self.load()
            return self.copies(key)
        found = []
        for packed in reversed(self._index.values(bytes.fromhex(key.sha256))):
            file, offset, stored, form = _PLACE.unpack(packed)
            found.append(StoredAt(self._files[file], offset, stored, form))
        return found

    def __iter__(self) -> Iterator[tuple[ContentKey, StoredAt]]:
        """Yield every message with its place, each once; of several copies the latest. Raises what `load` does."""
        self.load()
        for key, place in self._entries():
            if not self.is_again(key) or self.copies(key)[:1] == [place]:
                yield key, place

    def _packed(self, place: StoredAt) -> bytes:
        return _PLACE.pack(self._files.number(place.file), place.offset, place.stored, place.form)


def missing_from_record(number: int) -> str:
    """Return "60 messages of the archive's record are missing"."""
    return f"{counted(number, 'message')} of the archive's record {'is' if number == 1 else 'are'} missing"


def last_line(path: str) -> bytes:
    """Return the last line of a table, with what ends it; raises OSError."""
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
        end = file.read()
    return end[end[:-1].rfind(b"\n") + 1 :]


def later_version(path: str | Path) -> PermanentError:
    """Return the error for a table that has lines that are not known here."""
    return PermanentError(
        f"{path} was written by a later version of archipec", hint="use that version, or update"
    )


def regular_size(path: str) -> int | None:
    """Return how many bytes a file has; None where there is none, or something else stands in its place.

    Raises:
        OSError: it can't be looked at.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
