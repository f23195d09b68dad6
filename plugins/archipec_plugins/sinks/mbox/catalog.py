"""What an archive of mbox files holds, told from their tables of contents."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from archipec.message import ContentKey
from archipec_plugins.sinks.key_index import KeyIndex, Table
from archipec_plugins.sinks.mbox.toc import Entry, Toc, toc_path

__all__ = ["Catalog", "Place", "is_mbox", "last_number", "numbered"]

_PLACE = struct.Struct(">IQQ")
_FILE = re.compile(r"archive(?:-([0-9]{4,6}))?\.mbox")


class Place(NamedTuple):
    """Where a message lies.

    Attributes:
        file: the name of the mbox.
        offset: of the message's first byte there.
        stored: bytes it takes there.
    """

    file: str
    offset: int
    stored: int


class Catalog:
    """The places of all copies by content key, read from the tables of contents when it is first needed."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._index: KeyIndex | None = None
        self._files = Table()

    @property
    def loaded(self) -> bool:
        """Whether the tables were read yet."""
        return self._index is not None

    def load(self) -> None:
        """Read the tables, anew if they were read before.

        Raises:
            OSError: one of them can't be read.
            PermanentError: a later version of archipec wrote one.
        """
        index = KeyIndex(_PLACE.size)
        for file, entry in self._entries():
            index.add(bytes.fromhex(entry.sha256), self._packed(file, entry))
        self._index = index

    def forget(self) -> None:
        """Read the tables anew when they are needed next."""
        self._index = None

    def add(self, file: str, entry: Entry) -> None:
        """Note a message that was added to a file."""
        if self._index is not None:
            self._index.add(bytes.fromhex(entry.sha256), self._packed(file, entry))

    def places(self, key: ContentKey) -> list[Place]:
        """Return the places of every copy of a message, the latest first.

        Raises:
            OSError, PermanentError: as `load`.
        """
        if self._index is None:
            self.load()
            return self.places(key)
        found = []
        for packed in reversed(self._index.values(bytes.fromhex(key.sha256))):
            file, offset, stored = _PLACE.unpack(packed)
            found.append(Place(self._files[file], offset, stored))
        return found

    def __iter__(self) -> Iterator[tuple[ContentKey, Place]]:
        """Yield every message with its place, each once; of several copies the latest.

        Raises:
            OSError, PermanentError: as `load`.
        """
        self.load()
        for file, entry in self._entries():
            key, place = ContentKey(entry.sha256, entry.size), Place(file, entry.offset, entry.stored)
            if self.places(key)[:1] == [place]:
                yield key, place

    def _packed(self, file: str, entry: Entry) -> bytes:
        return _PLACE.pack(self._files.number(file), entry.offset, entry.stored)

    def _entries(self) -> Iterator[tuple[str, Entry]]:
        for path in sorted(path for path in Path(self._root).iterdir() if is_mbox(path.name)):
            for entry in Toc(toc_path(str(path)), path.stat().st_size):
                yield path.name, entry


def is_mbox(name: str) -> bool:
    """Tell whether a file of this name is one of ours."""
    return _FILE.fullmatch(name) is not None


def numbered(number: int) -> str:
    """Return the name of the file of a year, or with split = size of the first, second, third and so on."""
    return f"archive-{number:04d}.mbox"


def last_number(root: str) -> int:
    """Return the highest number that a file has, 1 when none has one."""
    matches = (_FILE.fullmatch(path.name) for path in Path(root).iterdir())
    return max((int(match[1]) for match in matches if match and match[1]), default=1)
