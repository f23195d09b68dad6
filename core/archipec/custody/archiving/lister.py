"""Records a source's listing, page by page, each with its cursor; and reads headers where that is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from archipec.config.pipeline import Pipeline
from archipec.contract import (
    Source,
    SupportsCount,
    SupportsFolderNames,
    SupportsHeaders,
    SupportsListedWhole,
)
from archipec.custody.ledger import FolderState, HeaderFacts, SourceMessage
from archipec.custody.run import Run
from archipec.errors import ArchipecError, Incomplete, PermanentError, Scope, TransientError, counted
from archipec.language import _
from archipec.message import Folder, Json, Listed
from archipec.pec.claims import claimed
from archipec.pec.date import origin_date, received_date
from archipec.pec.headers import Header, first_field, identifier, raw_text
from archipec.pec.kind import ORDINARIA, marked_kind

__all__ = [
    "Lister",
    "ListingObserver",
    "header_facts",
    "left_out",
    "names_folder",
    "read_headers",
]

_PAGE = 2000
_FOLDERS = 50
# Connections lost while one folder is listed before it is left out; and folders left out like that, one after the
# other, before it is the server that is to blame.
_BREAKS = 3
_BAD_FOLDERS = 10
_SHOWN = 8


class ListingObserver:
    """Is called while a source is listed; what a caller has no use for does nothing."""

    def begin(self) -> None:
        """Wait until rows may be added; called once the source has named its folders."""

    def page_listed(self, number: int, name: str, new: int, size: int, /) -> None:
        """Take note of a page of a folder (its number and name): rows that are new, and their bytes."""

    def folder_listed(self, number: int, /) -> None:
        """Take note that a folder is listed to its end."""

    def folder_failed(self, name: str, error: ArchipecError, /) -> None:
        """Take note of the error that left a folder out."""

    def messages_gone(self, number: int, rows: Sequence[int], /) -> None:
        """Record rows that a whole listing of a folder does not have."""


class Lister:
    """Lists a source into the ledger. One that was cut short goes on where the ledger's cursors are.

    A folder is listed whole where that isn't what it was anyway, and its count can't be explained: messages that are
    no longer there are recorded as gone, and those that an earlier listing left out are caught up.

    Args:
        sinks: the ledger's numbers of all sinks.
        full: list from the start, cursors or not.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        run: Run[Any],
        sinks: Sequence[int],
        observer: ListingObserver,
        *,
        full: bool,
    ) -> None:
        self._ledger = run.ledger
        self._source = run.ledger.sources.number(pipeline.source.where)
        self._sinks = sinks
        self._selection = pipeline.selection
        self._cancelled = run.stop.is_set
        self._observer = observer
        self._full = full
        self._done: set[str] = set()
        self._pages: list[_Page] = []
        self._at: str | None = None
        self._broke_at: Counter[str] = Counter()
        self._bad_folders = 0

    def run(self, source: Source) -> None:
        """List every folder in scope that an earlier call has not listed to its end."""
        folders = list(source.folders())
        self._check_globs(folders)
        wanted = [
            folder
            for folder in folders
            if folder.name not in self._done and self._selection.wants_folder(folder.name)
        ]
        self._observer.begin()
        self._settle_vanished(source)
        known = self._ledger.sources.open_folders(self._source, [folder.name for folder in wanted])
        try:
            for folder in wanted:
                if self._cancelled():
                    return
                self._at = folder.name
                try:
                    self._folder(source, folder, known[folder.name])
                except ArchipecError as error:
                    if error.scope > Scope.FOLDER:
                        raise
                    error.hint = error.hint or _("to leave the folder out: {options}").format(
                        options=names_folder(folder.name)
                    )
                    self._observer.folder_failed(folder.name, error)
                self._at = None
                self._bad_folders = 0
        finally:
            # What was listed before an error is listed all the same.
            self._record()

    def _settle_vanished(self, source: Source) -> None:
        """Record that the messages of folders which are no longer there are gone.

        Should such a folder come back, it is listed from the start.
        """
        if self._done or not isinstance(source, SupportsFolderNames):
            return
        names = set(source.folder_names())
        for number, name, cursor in self._ledger.sources.folders(self._source) if names else ():
            # One that is there and not among those to read keeps what is known of it.
            if name not in names and cursor is not None:
                if absent := self._ledger.sources.absent(number, ()):
                    self._observer.messages_gone(number, absent)
                self._ledger.sources.forget_cursor(number)

    def blame(self, error: TransientError) -> bool:
        """Return whether a lost connection is a folder's fault, which is left out then: it is lost there every time."""
        name, self._at = self._at, None
        if name is None or error.retry_after is not None:
            return False
        self._broke_at[name] += 1
        if self._broke_at[name] < _BREAKS or self._bad_folders >= _BAD_FOLDERS:
            return False
        self._bad_folders += 1
        self._done.add(name)
        self._observer.folder_failed(
            name,
            Incomplete(
                _('folder "{name}" is left out: each time it is listed, {error}').format(
                    name=name, error=error
                ),
                hint=_("the next run tries again; to leave it out for good: {options}").format(
                    options=names_folder(name)
                ),
            ),
        )
        return True

    def _check_globs(self, folders: Sequence[Folder]) -> None:
        """Say which globs of the selection no folder answers to.

        Raises:
            PermanentError: none answers to any.
        """
        missing = [
            glob
            for glob in self._selection.folders
            if not any(self._selection.matches_folder(glob, folder.name) for folder in folders)
        ]
        if not missing or self._done:
            return
        names = ", ".join(f'"{folder.name}"' for folder in folders[:_SHOWN])
        more = ", …" if len(folders) > _SHOWN else ""
        for glob in missing:
            error = PermanentError(
                _('no folder is called "{glob}"').format(glob=glob),
                hint=_("the folders read from this source are {names}{more}").format(names=names, more=more)
                if names
                else _("the source has no folders"),
                scope=Scope.RUN,
            )
            if len(missing) == len(self._selection.folders):
                raise error
            self._observer.folder_failed(glob, error)

    def _folder(self, source: Source, folder: Folder, state: FolderState) -> None:
        number, name = state.number, folder.name
        whole = self._full or state.cursor is None
        refs = self._list(source, name, number, None if whole else state.cursor)
        if refs is None:
            return
        if whole and state.present:
            self._settle_absent(number, refs)
        count = _count(source, folder)
        if whole and not state.present:
            present = len(refs)
        else:
            # A source may list again what it has listed before.
            if refs:
                self._record()
            present = self._ledger.sources.present(number) if refs or whole else state.present
        if not whole and isinstance(source, SupportsListedWhole) and source.listed_whole(name):
            self._settle_absent(number, refs)
            whole, present = True, self._ledger.sources.present(number)
        if count not in (None, present) and not self._explain(
            source, folder, number, count or 0, whole=whole
        ):
            return
        page = self._begin(number, name)
        page.ends_folder = True
        if len(self._pages) >= _FOLDERS or sum(len(one.listed) for one in self._pages) >= _PAGE:
            self._record()

    def _explain(self, source: Source, folder: Folder, number: int, count: int, *, whole: bool) -> bool:
        """Find out why the source counts other messages in a folder than the ledger has. False: asked to stop."""
        self._record()
        present = self._ledger.sources.present(number)
        if present == count or (whole and present > count):
            return True
        for _ignored in range(2):  # once more, for what came or went meanwhile
            refs = self._list(source, folder.name, number, None)
            if refs is None:
                return False
            self._settle_absent(number, refs)
            present = self._ledger.sources.present(number)
            count = count if (now := _count(source, folder)) is None else now
            if present >= count:
                return True
        self._observer.folder_failed(
            folder.name,
            Incomplete(
                _(
                    'folder "{name}": the source says that it holds {messages}, and lists only {present}'
                ).format(name=folder.name, messages=counted(count, "message"), present=present),
                hint=_("the next run lists it whole again; if that doesn't help, ask the provider"),
            ),
        )
        return True

    def _list(self, source: Source, name: str, number: int, cursor: Json) -> set[str] | None:
        """List a folder from a cursor on; return the refs, None when asked to stop."""
        refs: set[str] = set()
        page = self._begin(number, name)
        for one in source.scan(name, cursor):
            page.listed.append(one)
            refs.add(one.ref)
            if len(page.listed) >= _PAGE:
                self._record()
                if self._cancelled():
                    return None
                page = self._begin(number, name)
        # A source that is asked to stop may end its listing early.
        return None if self._cancelled() else refs

    def _settle_absent(self, number: int, refs: set[str]) -> None:
        self._record()
        if absent := self._ledger.sources.absent(number, refs):
            self._observer.messages_gone(number, absent)

    def _begin(self, number: int, name: str) -> _Page:
        self._pages.append(_Page(number, name))
        return self._pages[-1]

    def _record(self) -> None:
        """Record the pages, those of many small folders in one transaction."""
        pages, self._pages = self._pages, []
        added = self._ledger.sources.record_listing(
            [(page.number, page.listed) for page in pages], self._sinks
        )
        for page, new in zip(pages, added, strict=True):
            if page.listed:
                size = sum(one.size or 0 for one in page.listed) if new else 0
                self._observer.page_listed(page.number, page.name, new, size)
            if page.ends_folder:
                self._done.add(page.name)
                self._observer.folder_listed(page.number)


def _count(source: Source, folder: Folder) -> int | None:
    """Return how many messages a folder held as it was last listed, by the source's own count."""
    return source.count(folder.name) if isinstance(source, SupportsCount) else folder.messages


def left_out(error: ArchipecError) -> ArchipecError:
    """Return the error of a folder as it counts where others were read: the rest is done, this needs the user's attention."""
    if not isinstance(error, PermanentError) or error.scope != Scope.FOLDER:
        return error
    return Incomplete(error.message, hint=error.hint, scope=error.scope)


def names_folder(name: str) -> str:
    """Return how a configuration excludes a folder."""
    import json

    return f"exclude = [{json.dumps(name, ensure_ascii=False)}] in [pipeline.source], or &exclude=NAME in the URL"


@dataclass(slots=True)
class _Page:
    """Some messages of a folder."""

    number: int
    name: str
    listed: list[Listed] = field(default_factory=list)
    ends_folder: bool = False


def read_headers(
    source: SupportsHeaders, folder: str, rows: Iterable[SourceMessage]
) -> Iterator[tuple[SourceMessage, HeaderFacts, bool]]:
    """Read headers only; yield each row that is answered with what its header says, and whether the message has parts.

    An empty header counts as no answer: it says nothing of the message.
    """
    waiting = {row.ref: row for row in rows}
    for ref, head in source.headers(folder, list(waiting)):
        row = waiting.pop(ref, None) if head.strip() else None
        if row is not None:
            yield row, header_facts(row, head, asks_message_id=True), _has_parts(head)


def header_facts(row: SourceMessage, head: bytes, *, asks_message_id: bool) -> HeaderFacts:
    """Return what a message's header tells."""
    header = Header.of(head)
    kind, system = marked_kind(header)
    message_id = _message_id_of(header) if asks_message_id else None
    claims = kind == ORDINARIA and claimed(header)
    return HeaderFacts(row.id, kind, *_date_of(row, head), message_id, claims, system)


def _has_parts(head: bytes) -> bool:
    return (first_field(head, "Content-Type") or b"").lstrip().lower().startswith(b"multipart/")


def _message_id_of(header: Header) -> str:
    """Return a message's Message-ID without angle brackets, empty when it has none."""
    value = header.first("Message-ID")
    return "" if value is None else identifier(raw_text(value)) or ""


def _date_of(row: SourceMessage, head: bytes) -> tuple[int, str]:
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
