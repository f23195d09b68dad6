"""What an archive of files with tables of contents holds."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from archipec.message import ContentKey
from archipec_plugins.sinks.key_index import KeyIndex, Table

__all__ = ["Catalog", "Place"]

_PLACE = struct.Struct(">IQQB")


class Place(NamedTuple):
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


class Catalog(ABC):
    """The places of all copies by content key, read from the tables of contents when it is first needed."""

    def __init__(self) -> None:
        self._index: KeyIndex | None = None
        self._files = Table()

    @abstractmethod
    def _entries(self) -> Iterator[tuple[ContentKey, Place]]:
        """Read the tables, each message after those stored before it.

        Raises:
            OSError: one of them can't be read.
            PermanentError: a later version of archipec wrote one.
        """

    @property
    def loaded(self) -> bool:
        """Whether the tables were read yet."""
        return self._index is not None

    def load(self) -> None:
        """Read the tables, anew if they were read before; raises what `_entries` does."""
        index = KeyIndex(_PLACE.size)
        for key, place in self._entries():
            index.add(bytes.fromhex(key.sha256), self._packed(place))
        self._index = index

    def forget(self) -> None:
        """Read the tables anew when they are needed next."""
        self._index = None

    def add(self, key: ContentKey, place: Place) -> None:
        """Note a message that was stored."""
        if self._index is not None:
            self._index.add(bytes.fromhex(key.sha256), self._packed(place))

    def places(self, key: ContentKey) -> list[Place]:
        """Return the places of every copy of a message, the latest first; raises what `load` does."""
        if self._index is None:
            self.load()
            return self.places(key)
        found = []
        for packed in reversed(self._index.values(bytes.fromhex(key.sha256))):
            file, offset, stored, form = _PLACE.unpack(packed)
            found.append(Place(self._files[file], offset, stored, form))
        return found

    def __iter__(self) -> Iterator[tuple[ContentKey, Place]]:
        """Yield every message with its place, each once; of several copies the latest. Raises what `load` does."""
        self.load()
        for key, place in self._entries():
            if self.places(key)[:1] == [place]:
                yield key, place

    def _packed(self, place: Place) -> bytes:
        return _PLACE.pack(self._files.number(place.file), place.offset, place.stored, place.form)
