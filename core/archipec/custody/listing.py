"""Puts a source's listing on record, page by page, each with its cursor; and looks at headers where that is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from archipec.contract import Source, SupportsHeaders
from archipec.custody.ledger import Ledger, Look, Row
from archipec.custody.verdicts import identifier
from archipec.errors import ArchipecError, Scope
from archipec.message import Listed
from archipec.pec.date import origin_date, received_date
from archipec.pec.headers import first_field, raw_text
from archipec.pec.kind import kind_of
from archipec.selection import Selection

__all__ = ["Lister", "date_of", "look", "message_id_of"]

_PAGE = 2000


class Lister:
    """Lists a source into the ledger. One that was cut short goes on where the ledger's cursors are.

    Args:
        source: the ledger's number.
        full: list from the start, cursors or not.
        on_page: called with (folder number, folder name, rows that are new, their bytes) after each page.
        on_folder: called with the folder's number when it is listed to its end.
        on_error: called with the folder's name and the error that left it out.
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
        self._full = full
        self._done: set[str] = set()

    def run(self, source: Source) -> None:
        """List every folder in scope that an earlier call has not listed to its end."""
        for folder in source.folders():
            if self._cancelled():
                return
            if folder.name in self._done or not self._selection.wants_folder(folder.name):
                continue
            try:
                self._folder(source, folder.name)
            except ArchipecError as error:
                if error.scope > Scope.FOLDER:
                    raise
                self._on_error(folder.name, error)

    def _folder(self, source: Source, name: str) -> None:
        number, cursor = self._ledger.folder(self._source, name)
        page: list[Listed] = []
        try:
            for one in source.scan(name, None if self._full else cursor):
                page.append(one)
                if len(page) >= _PAGE:
                    self._record(number, name, page)
                    page = []
                    if self._cancelled():
                        return
        finally:
            # What was listed before an error is listed all the same.
            self._record(number, name, page)
        self._done.add(name)
        self._on_folder(number)

    def _record(self, number: int, name: str, page: list[Listed]) -> None:
        if page:
            self._on_page(number, name, self._ledger.record_listing(number, page), _bytes(page))


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


def _bytes(page: Iterable[Listed]) -> int:
    return sum(one.size or 0 for one in page)
