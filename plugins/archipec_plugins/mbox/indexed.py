"""An mbox of an archipec archive as a folder of a source: read by its table of contents, exactly as it went in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from archipec.contract import ContentKey, Context, Fetched, Json, Listed
from archipec.errors import IntegrityError, MissingCopy, Scope
from archipec_plugins.files.folders import FolderEntry, SkippedFiles, listing, raising
from archipec_plugins.files.reading import check_path, open_file, read_error
from archipec_plugins.mbox.dialect import Dialect
from archipec_plugins.mbox.folder import MboxFolder
from archipec_plugins.mbox.mboxrd import SENDER, SEPARATOR_LENGTH, is_separator
from archipec_plugins.mbox.message import chunks_of, open_message
from archipec_plugins.mbox.streams import FileStream
from archipec_plugins.mbox.toc import MboxToc

__all__ = ["TOC", "IndexedMbox"]

TOC: Final = ".toc"
"""What the name of a table of contents ends in."""

_REF = re.compile(r"toc:([0-9]{1,15})\+([0-9]{1,15}):([0-9]{1,15}):([0-9a-f]{64})")
_MONTHS: Final = b"JanFebMarAprMayJunJulAugSepOctNovDec"
_BLANK: Final = 2


class IndexedMbox:
    """An mbox with the table of contents that archipec wrote.

    Messages that other programs put between or behind ours are in no table: those are found as in any mbox.

    Args:
        others: reads the same file without its table.
    """

    def __init__(
        self, name: str, path: str, context: Context, skipped: SkippedFiles, others: MboxFolder
    ) -> None:
        self.name = name
        self._path = path
        self._context = context
        self._skipped = skipped
        self._others = others

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List the messages in the order in which they lie; see `archipec.contract.Source`."""
        try:
            yield from listing(self.name, self._entries, after)
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error

    def _entries(self) -> Iterator[FolderEntry]:
        with open_file(self._path) as file:
            stream = FileStream(file, self._path)
            toc, end = MboxToc(self._path + TOC, stream.size), 0
            for each in toc:
                if self._context.cancelled():
                    return
                separator = stream.read(max(0, each.offset - SEPARATOR_LENGTH), SEPARATOR_LENGTH)
                if each.offset - SEPARATOR_LENGTH > end + _BLANK:
                    yield from self._between(end, each.offset - SEPARATOR_LENGTH, ours=True)
                ref = f"toc:{each.offset}+{each.stored}:{each.size}:{each.sha256}"
                yield FolderEntry(ref, each.size, _moment(separator), ())
                end = max(end, each.offset + each.stored)
            if stream.size > end + _BLANK:
                yield from self._between(end, stream.size, ours=toc.appending is None)

    def _between(self, start: int, end: int, *, ours: bool) -> Iterator[FolderEntry]:
        """Yield the messages between two offsets.

        Args:
            ours: also those that bear our separator; what an interrupted run left behind is not taken for messages.
        """
        for span in self._others.spans(start, end, Dialect.RD):
            if ours or not span.separator.startswith(SENDER):
                listed = self._others.listed(span, (), "")
                yield FolderEntry(listed.ref, listed.size, None, ())

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages; see `archipec.contract.Source`."""
        for ref in refs:
            match = _REF.fullmatch(ref)
            if match is None:
                yield from self._others.fetch([ref])
                continue
            offset, stored = int(match[1]), int(match[2])
            try:
                file = open_message(self._path, offset, stored)
            except MissingCopy:
                check_path(Path(self._path))
                continue
            except IntegrityError as error:
                yield Fetched(ref, raising(error))
                continue
            except OSError as error:
                raise read_error(error, self._path, Scope.FOLDER) from error
            with file:
                key = ContentKey(match[4], int(match[3]))
                yield Fetched(ref, chunks_of(file, self._path, stored, key))


def _moment(separator: bytes) -> datetime | None:
    """Return when a message was received, as its separator says."""
    if not is_separator(separator):
        return None
    _, _, _, month, day, clock, year = separator.split()
    hour, minute, second = map(int, clock.split(b":"))
    try:
        return datetime(int(year), _MONTHS.index(month) // 3 + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
