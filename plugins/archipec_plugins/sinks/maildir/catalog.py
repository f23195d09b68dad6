"""What an archive of Maildirs holds, told from the names of its files."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import islice

from archipec.message import ContentKey
from archipec_plugins.sinks.key_index import KeyIndex, Table
from archipec_plugins.sinks.maildir import names

__all__ = ["Catalog", "walk"]

_PLACE = struct.Struct(">IQHIQ")  # directory, time, copy, info, size
_KEPT_IN = ("cur", "new")
_AT_ONCE = 20_000


class Catalog:
    """The paths of all copies by content key, read from the directories when it is first needed.

    A file that a mail program renamed is found again by `refresh`: flags are the only part it changes.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._index: KeyIndex | None = None
        self._directories = Table()
        self._infos = Table()

    @property
    def loaded(self) -> bool:
        """Whether the directories were read yet."""
        return self._index is not None

    def refresh(self) -> None:
        """Read the directories, anew if they were read before.

        Raises:
            OSError: one of them can't be read.
        """
        index = KeyIndex(_PLACE.size)
        for directory, files in walk(self._root):
            for name in filter(None, map(names.parse, files)):
                index.add(bytes.fromhex(name.sha256), self._place(directory, name))
        self._index = index

    def add(self, directory: str, name: names.Name) -> None:
        """Note a new file, its directory relative to the root."""
        if self._index is not None:
            self._index.add(bytes.fromhex(name.sha256), self._place(directory, name))

    def _place(self, directory: str, name: names.Name) -> bytes:
        return _PLACE.pack(
            self._directories.number(directory),
            name.time,
            name.copy,
            self._infos.number(name.info),
            name.size,
        )

    def copies(self, key: ContentKey) -> list[tuple[str, names.Name]]:
        """Return directory and name of every copy of a message, the latest first.

        Raises:
            OSError: the directories can't be read.
        """
        if self._index is None:
            self.refresh()
            return self.copies(key)
        found = []
        for place in self._index.values(bytes.fromhex(key.sha256)):
            directory, time, copy, info, size = _PLACE.unpack(place)
            if size == key.size:
                name = names.Name(time, key.sha256, copy, size, self._infos[info])
                found.append((self._directories[directory], name))
        found.sort(key=lambda each: each[1].copy, reverse=True)
        return found

    def paths(self, key: ContentKey) -> list[str]:
        """Return the paths of every copy of a message, relative to the root; as `copies`."""
        return [f"{directory}/{name}" for directory, name in self.copies(key)]


def walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every ``cur`` and ``new`` below ``root``, relative to it, with the names in it.

    Names come sorted, which is about the order they lie in on the disk; of a very large directory in several parts.

    Raises:
        OSError: a directory can't be read.
    """
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(f"{root}/{parent}") as entries:
                if parent.rpartition("/")[2] in _KEPT_IN:
                    while files := [entry.name for entry in islice(entries, _AT_ONCE)]:
                        files.sort()
                        yield parent, files
                    continue
                children = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            if not parent:
                raise
            continue  # renamed or removed while walking: it is no longer part of the archive
        children.sort(reverse=True)
        prefix = f"{parent}/" if parent else ""
        waiting += [
            prefix + child for child in children if child != "tmp" and not child.startswith(".archipec")
        ]
