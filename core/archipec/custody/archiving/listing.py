"""Puts a source's listing on record, page by page, each with its cursor; and looks at headers where that is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from archipec.contract import Source, SupportsHeaders
from archipec.custody.ledger import Ledger, Look, Row
from archipec.errors import ArchipecError, Scope
from archipec.message import Json, Listed
from archipec.pec.date import origin_date, received_date
from archipec.pec.headers import first_field, identifier, raw_text
from archipec.pec.kind import kind_of
from archipec.selection import Selection

__all__ = ["Lister", "date_of", "look", "message_id_of"]

_PAGE = 2000
_FOLDERS = 50


class Lister:
    """Lists a source into the ledger. One that was cut short goes on where the ledger's cursors are.

    Args:
        source: the ledger's number.
        full: list from the start, cursors or not.
        on_page: called with (folder number, folder name, rows that are new, their bytes) after each page.
        on_folder: called with the folder's number when it is listed to its end.
        on_error: called with the folder's name and the error that left it out.
        begin: waits until rows may be added; asked once the source has named its folders.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: int,
        selection: Selection,
        cancelled: Callable[[], bool],
        on_page: Callable[[int, str, int, int], None],
        on_folder: Callable[[int], None],
        on_error: Callable[[str, ArchipecError], None],
        begin: Callable[[], object] = lambda: None,
        *,
        full: bool,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._selection = selection
        self._cancelled = cancelled
        self._on_page = on_page
        self._on_folder = on_folder
        self._on_error = on_error
        self._begin_with = begin
        self._full = full
        self._done: set[str] = set()
        self._pages: list[_Page] = []

    def run(self, source: Source) -> None:
        """List every folder in scope that an earlier call has not listed to its end."""
        wanted = [
            folder.name
            for folder in source.folders()
            if folder.name not in self._done and self._selection.wants_folder(folder.name)
        ]
        self._begin_with()
        known = self._ledger.open_folders(self._source, wanted)
        try:
            for name in wanted:
                if self._cancelled():
                    return
                try:
                    self._folder(source, name, *known[name])
                except ArchipecError as error:
                    if error.scope > Scope.FOLDER:
                        raise
                    self._on_error(name, error)
        finally:
            # What was listed before an error is listed all the same.
            self._record()

    def _folder(self, source: Source, name: str, number: int, cursor: Json) -> None:
        page = self._begin(number, name)
        for one in source.scan(name, None if self._full else cursor):
            page.listed.append(one)
            if len(page.listed) >= _PAGE:
                self._record()
                if self._cancelled():
                    return
                page = self._begin(number, name)
        page.ends_folder = True
        if len(self._pages) >= _FOLDERS or sum(len(one.listed) for one in self._pages) >= _PAGE:
            self._record()

    def _begin(self, number: int, name: str) -> _Page:
        self._pages.append(_Page(number, name))
        return self._pages[-1]

    def _record(self) -> None:
        """Put the pages on record, those of many small folders in one transaction."""
        pages, self._pages = self._pages, []
        news = self._ledger.record_listing([(page.number, page.listed) for page in pages])
        for page, new in zip(pages, news, strict=True):
            if page.listed:
                self._on_page(page.number, page.name, new, sum(one.size or 0 for one in page.listed))
            if page.ends_folder:
                self._done.add(page.name)
                self._on_folder(page.number)


@dataclass(slots=True)
class _Page:
    """Some messages of a folder."""

    number: int
    name: str
    listed: list[Listed] = field(default_factory=list)
    ends_folder: bool = False


def look(source: SupportsHeaders, folder: str, rows: Iterable[Row]) -> Iterator[tuple[Row, Look]]:
    """Read headers only; yield each row with what its header told. A row not yielded is gone."""
    waiting = {row.ref: row for row in rows}
    for ref, head in source.headers(folder, list(waiting)):
        row = waiting.pop(ref, None)
        if row is not None:
            yield row, Look(row.id, kind_of(head), *date_of(row, head), message_id_of(head))


def message_id_of(head: bytes) -> str:
    """Return a message's Message-ID without angle brackets, empty when it has none."""
    value = first_field(head, "Message-ID")
    return "" if value is None else identifier(raw_text(value)) or ""


def date_of(row: Row, head: bytes) -> tuple[int, str]:
    """Return a message's date in Unix seconds, and the clock it was read from.

    The server's, else the newest ``Received`` field, else ``Date``, which the sender chooses.
    """
    if row.received is not None:
        return row.received, "received"
    if (received := received_date(head)) is not None:
        return int(received.timestamp()), "received-field"
    if (origin := origin_date(head)) is not None:
        return int(origin.timestamp()), "date-field"
    return 0, "none"
