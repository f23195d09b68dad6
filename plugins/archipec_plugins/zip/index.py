"""What an archive of zips holds, told from their tables of contents, and how its files are called.

``archive.zip``, or with split = year or month ``archive-2026.zip`` and ``archive-2026-11.zip``; where one is full, or
finished, ``_02``, ``_03`` and so on follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from archipec.message import ContentKey
from archipec_plugins.files.toc import StoredAt, TocIndex, regular_size
from archipec_plugins.zip.toc import ZipEntry, ZipToc, toc_path

__all__ = ["IN_MBOX", "ZipTocIndex", "file_name", "is_zip", "last_numbers", "stored_at", "zips_in"]

IN_MBOX = 1 << 7
"""The form of a message in an mbox, to be added to the method by which it is compressed; of a member, 0 is."""

_FILE = re.compile(r"(archive(?:-[0-9]{4}(?:-[0-9]{2})?)?)(?:_([0-9]{2,9}))?\.zip")


class ZipTocIndex(TocIndex):
    """See `TocIndex`; a place is that of a member's local header, or of the line before a message in an mbox.

    Attributes:
        directories: where the last directory of each file begins.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.directories: dict[str, int] = {}

    def is_listed(self, place: StoredAt) -> bool:
        """Tell whether a message is in its zip's directory by now."""
        return place.offset < self.directories.get(place.file, 0)

    def _parts(self) -> list[str]:
        names = {path.name.removesuffix(toc_path("")) for path in Path(self._root).iterdir()}
        return sorted(filter(is_zip, names))

    def _table(self, file: str, size: int) -> Iterator[tuple[ContentKey, StoredAt]]:
        toc = ZipToc(self.toc_path(file), size)
        for entry in toc:
            yield ContentKey(entry.sha256, entry.size), stored_at(file, entry)
        self.directories[file] = toc.directory

    def toc_path(self, file: str) -> str:
        """See `TocIndex.toc_path`."""
        return toc_path(f"{self._root}/{file}")


def zips_in(root: str) -> list[Path]:
    """Return the zips of an archive, files alone; raises OSError."""
    return sorted(
        path for path in Path(root).iterdir() if is_zip(path.name) and regular_size(str(path)) is not None
    )


def stored_at(file: str, entry: ZipEntry) -> StoredAt:
    """Return where a message lies that a table tells of."""
    return StoredAt(file, entry.offset, entry.stored, entry.method | (IN_MBOX if entry.part else 0))


def is_zip(name: str) -> bool:
    """Tell whether a file of this name is one of ours."""
    return _FILE.fullmatch(name) is not None


def file_name(stem: str, number: int) -> str:
    """Return the name of the zip of this number, from 1, of those with the same stem."""
    return f"{stem}_{number:02d}.zip" if number > 1 else f"{stem}.zip"


def last_numbers(root: str) -> dict[str, int]:
    """Return the highest number of a zip by stem, those included of which only the table is left; raises OSError."""
    numbers: dict[str, int] = {}
    for path in Path(root).iterdir():
        match = _FILE.fullmatch(path.name.removesuffix(toc_path("")))
        if match:
            numbers[match[1]] = max(numbers.get(match[1], 1), int(match[2] or 1))
    return numbers
