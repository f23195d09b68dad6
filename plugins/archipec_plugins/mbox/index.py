"""What an archive of mbox files holds, told from their tables of contents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from archipec.message import ContentKey
from archipec_plugins.files.toc import StoredAt, TocIndex
from archipec_plugins.mbox.toc import MboxToc, toc_path

__all__ = ["MboxTocIndex", "is_mbox", "last_number", "numbered"]

_FILE = re.compile(r"archive(?:-([0-9]{4,6}))?\.mbox")


class MboxTocIndex(TocIndex):
    """See `TocIndex`; a place is that of a message's first byte, the line of its separator being before it."""

    def _parts(self) -> list[str]:
        names = {path.name.removesuffix(toc_path("")) for path in Path(self._root).iterdir()}
        return sorted(filter(is_mbox, names))

    def _table(self, file: str, size: int) -> Iterator[tuple[ContentKey, StoredAt]]:
        for entry in MboxToc(self.toc_path(file), size):
            yield ContentKey(entry.sha256, entry.size), StoredAt(file, entry.offset, entry.stored)

    def toc_path(self, file: str) -> str:
        """See `TocIndex.toc_path`."""
        return toc_path(f"{self._root}/{file}")


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
