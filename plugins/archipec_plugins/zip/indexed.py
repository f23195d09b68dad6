"""The mbox in a zip of an archipec archive as a folder of a source: read by its table, exactly as it went in.

Without the table nobody can tell whether a message ended in a line break before the blank line was put behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from archipec.contract import ContentKey, Context, Fetched, Json, Listed
from archipec.errors import IntegrityError, MissingCopy, Scope
from archipec_plugins.files.folders import FolderEntry, listing, raising
from archipec_plugins.files.reading import check_path, read_error
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.zip.index import stored_at
from archipec_plugins.zip.message import chunks_of, open_message
from archipec_plugins.zip.toc import ZipToc, toc_path

__all__ = ["IndexedZipMbox", "has_table"]

_REF: Final = re.compile(r"toc:([0-9]{1,15})\+([0-9]{1,15}):([0-9]{1,3}):([0-9]{1,15}):([0-9a-f]{64})")


def has_table(path: str) -> bool:
    """Tell whether the mbox in a zip is all told in a table beside it, and nobody changed the zip since.

    Raises:
        ArchipecError: it can't be told.
    """
    try:
        size = Path(path).stat().st_size
        toc = ZipToc(toc_path(path), size)
        for _ in toc:
            pass
    except OSError as error:
        raise read_error(error, path, Scope.FOLDER) from error
    finished = toc.appending is None and toc.zip_end == size
    return toc.inside == "mbox" and finished and not toc.damaged


class IndexedZipMbox:
    """An mbox in a zip with the table that archipec wrote."""

    def __init__(self, name: str, path: str, context: Context) -> None:
        self.name = name
        self._path = path
        self._context = context

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List the messages in the order in which they lie; see `archipec.contract.Source`."""
        try:
            yield from listing(self.name, self._entries, after)
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error

    def _entries(self) -> Iterator[FolderEntry]:
        for each in ZipToc(toc_path(self._path), Path(self._path).stat().st_size):
            if self._context.cancelled():
                return
            place = stored_at("", each)
            ref = f"toc:{place.offset}+{place.stored}:{place.form}:{each.size}:{each.sha256}"
            yield FolderEntry(ref, each.size, None, ())

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages; see `archipec.contract.Source`."""
        for match in filter(None, map(_REF.fullmatch, refs)):
            place = StoredAt("", int(match[1]), int(match[2]), int(match[3]))
            try:
                file = open_message(self._path, place)
            except MissingCopy:
                check_path(Path(self._path))
                continue
            except IntegrityError as error:
                yield Fetched(match[0], raising(error))
                continue
            except OSError as error:
                raise read_error(error, self._path, Scope.FOLDER) from error
            with file:
                key = ContentKey(match[5], int(match[4]))
                yield Fetched(match[0], chunks_of(file, self._path, place, key))
