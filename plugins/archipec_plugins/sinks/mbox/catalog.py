"""What an archive of mbox files holds, told from their tables of contents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from archipec.message import ContentKey
from archipec_plugins.sinks.catalog import Catalog, Place
from archipec_plugins.sinks.mbox.toc import Toc, toc_path

__all__ = ["MboxCatalog", "is_mbox", "last_number", "numbered"]

_FILE = re.compile(r"archive(?:-([0-9]{4,6}))?\.mbox")


class MboxCatalog(Catalog):
    """See `Catalog`; a place is that of a message's first byte, the line of its separator being before it."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root

    def _entries(self) -> Iterator[tuple[ContentKey, Place]]:
        for path in sorted(path for path in Path(self._root).iterdir() if is_mbox(path.name)):
            for entry in Toc(toc_path(str(path)), path.stat().st_size):
                yield ContentKey(entry.sha256, entry.size), Place(path.name, entry.offset, entry.stored)


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
