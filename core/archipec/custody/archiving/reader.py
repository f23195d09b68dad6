"""One connection to the source: lists it (the first one does), then reads what the work list hands out.

Runs in a thread of its own. A transient error closes the connection and opens another after a wait; what was not
answered is asked for again. A refused login is never repeated.

What is in doubt when a reading ends, because the source has not answered for it or gave other bytes than it listed, is
asked for again by itself. Only what a new whole listing no longer has is gone; the rest failed, and every later run
tries again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from queue import SimpleQueue
from typing import Any, NamedTuple

from archipec.config.endpoint import Endpoint
from archipec.contract import Source, SourceType, SupportsCheapReads, SupportsHeaders, SupportsQuota
from archipec.custody.archiving.breaks import Breaks
from archipec.custody.archiving.events import (
    Crashed,
    Event,
    FolderFailed,
    Gone,
    LedgerFailed,
    Omitted,
    QuotaRead,
    ReaderFinished,
    RowsAdded,
    SourceOpened,
    Unreadable,
)
from archipec.custody.archiving.intake import Intake
from archipec.custody.archiving.lister import Lister, names_folder, read_headers
from archipec.custody.archiving.omissions import omissions_of
from archipec.custody.archiving.sizes import SizeCheck
from archipec.custody.archiving.worklist import ROWS_AT_ONCE, FolderWork, WorkList
from archipec.custody.ledger import SourceMessage
from archipec.custody.run import Run
from archipec.custody.spool import spool
from archipec.errors import ArchipecError, Incomplete, Scope, TransientError
from archipec.language import _
from archipec.message import Fetched
from archipec.supervision import supervised

__all__ = ["FirstConnection", "Reader"]

_PAGE = 2000


class FirstConnection(NamedTuple):
    """What the first connection does besides reading.

    Attributes:
        lister: lists the source.
        asks_quota: returns, at the end, whether this connection is to ask how full the mailbox is.
    """

    lister: Lister
    asks_quota: Callable[[], bool]


class Reader:
    """A reading connection.

    Args:
        run: with a folder for messages too large for memory.
        first: given to the connection that lists.
    """

    def __init__(
        self,
        source: Endpoint[SourceType[Any]],
        run: Run[Any],
        work: WorkList,
        intake: Intake,
        events: SimpleQueue[Event],
        first: FirstConnection | None,
    ) -> None:
        assert run.temp is not None
        self._endpoint = source
        self._run = run
        self._temp = run.temp
        self._ledger = run.ledger
        self._work = work
        self._intake = intake
        self._events = events
        self._backoff = run.backoff(source)
        self._lister = None if first is None else first.lister
        self._lists = first is not None
        self._asks_quota = None if first is None else first.asks_quota
        self._at_work_on: FolderWork | None = None
        self._breaks = Breaks()
        self._sizes = SizeCheck(run.ledger.sources.sizes_beside)
        self._doubtful: list[SourceMessage] = []
        self._silent: set[int] = set()

    def run(self) -> None:
        """Work until nothing is left, then say so."""
        with supervised(self._leave_behind):
            self._read_all()

    def _leave_behind(self, error: ArchipecError) -> None:
        """Go on without the thread that runs this: its plugin doesn't let it go. What it was asked for is left over."""
        if self._at_work_on is not None:
            self._work.drop(self._at_work_on)
            self._work.release(self._at_work_on)
        # Not by the watch, which nothing may keep waiting.
        threading.Thread(target=self._end, args=(error,), name="without-source", daemon=True).start()

    def _end(self, error: ArchipecError | None) -> None:
        # Whatever comes of it, the run is told that this connection has ended: it would wait for ever.
        try:
            self._intake.hand_over()
        except ArchipecError as failure:  # the ledger's
            self._events.put(LedgerFailed(failure))
        except BaseException as bug:  # noqa: BLE001 - raised by the run
            self._events.put(Crashed(bug))
        if self._lister is not None:
            self._work.end()
        self._events.put(ReaderFinished(error, self._lister is None))

    def _read_all(self) -> None:
        error: ArchipecError | None = None
        try:
            while not self._attempt():
                pass
        except ArchipecError as caught:
            error = caught
        finally:
            self._end(error)

    def _attempt(self) -> bool:
        """Do all the work over one connection. False: try again over another one."""
        try:
            with self._run.open(self._endpoint) as source:
                if self._lister is not None:
                    self._events.put(SourceOpened())
                    self._lister.run(source)
                    self._lister = None
                    self._work.end()
                while (folder := self._work.claim()) is not None:
                    self._work_on(source, folder)
                if self._lists and not self._backoff.cancelled():
                    self._events.put(Omitted(omissions_of(source)))
                    self._lists = False
                if self._asks_quota is not None and self._asks_quota() and isinstance(source, SupportsQuota):
                    self._events.put(QuotaRead(source.quota()))
        except TransientError as error:
            if self._lister is not None and self._lister.blame(error):
                self._backoff.progressed()
            # Nor is what has arrived to wait.
            self._intake.hand_over()
            if not self._backoff.wait(error):
                raise
            return False
        return True

    def _work_on(self, source: Source, folder: FolderWork) -> None:
        self._at_work_on = folder
        try:
            self._read(source, folder)
        except ArchipecError as error:
            if error.scope > Scope.FOLDER:
                raise
            self._work.drop(folder)
            error.hint = error.hint or _("to leave the folder out: {options}").format(
                options=names_folder(folder.name)
            )
            self._events.put(FolderFailed(folder.name, error))
        finally:
            self._at_work_on = None
            self._work.release(folder)

    def _read(self, source: Source, folder: FolderWork) -> None:
        while True:
            more = self._fetch(source, folder)
            self._ask_again(source, folder)
            if more and not self._backoff.cancelled():
                continue
            undecided = self._work.take_undecided(folder)
            if not undecided:
                return
            if isinstance(source, SupportsHeaders) and not self._breaks.is_careful(folder.number):
                self._decide(source, folder, undecided)
            else:
                # Only the whole message decides.
                self._work.give_back(folder, undecided)

    def _decide(self, source: SupportsHeaders, folder: FolderWork, undecided: list[SourceMessage]) -> None:
        waiting = {row.id: row for row in undecided}
        found = []
        cheap = isinstance(source, SupportsCheapReads) and source.reads_cheaply()
        try:
            for row, facts, has_parts in read_headers(source, folder.name, undecided):
                if cheap and has_parts and self._work.may_hold_certification(folder.name, row, facts):
                    continue
                del waiting[row.id]
                found.append(facts)
                self._work.decide(folder, row, facts)
        except ArchipecError as error:
            self._work.put_undecided(folder, waiting.values())
            self._note_break(folder, {row.ref: row for row in undecided}, error)
            raise
        finally:
            self._ledger.sources.record_headers(found)
        if not self._backoff.cancelled():
            # A header that was not given decides nothing either.
            self._work.give_back(folder, waiting.values())

    def _fetch(self, source: Source, folder: FolderWork) -> bool:
        """Read what is to be read of a folder. True when not everything was asked for."""
        waiting: dict[str, SourceMessage] = {}
        rows: deque[SourceMessage] = deque()
        # What breaks connections is found by asking for one message at a time.
        alone = self._breaks.is_careful(folder.number)

        def refs() -> Iterator[str]:
            while not self._doubtful and not self._work.is_over(folder):
                if not rows:
                    rows.extend(self._work.take(folder, 1 if alone else ROWS_AT_ONCE))
                    if not rows:
                        return
                row = rows.popleft()
                waiting[row.ref] = row
                yield row.ref
                if alone:
                    return

        try:
            for fetched in source.fetch(folder.name, refs()):
                row = waiting.get(fetched.ref)
                if row is not None:
                    self._take_in(folder, row, fetched, waiting, alone=False)
                if self._backoff.cancelled():
                    break
        except ArchipecError as error:
            self._note_break(folder, waiting, error)
            self._give_back(folder, [*waiting.values(), *rows])
            raise
        # A source that was asked to stop leaves refs unanswered that it still has.
        if not self._backoff.cancelled():
            self._doubtful += waiting.values()
            self._silent.update(row.id for row in waiting.values())
        if rows:
            self._work.give_back(folder, rows)
        return alone or bool(self._doubtful)

    def _ask_again(self, source: Source, folder: FolderWork) -> None:
        """Ask for what is in doubt by itself; what a new whole listing does not have is gone."""
        waiting = {row.ref: row for row in self._doubtful}
        silent = {row.ref for row in self._doubtful if row.id in self._silent}
        self._doubtful = []
        try:
            if silent:
                listed = self._list_again(source, folder)
                if self._backoff.cancelled():
                    return
                self._report_gone([waiting.pop(ref) for ref in silent - listed])
            for row in list(waiting.values()):
                if self._backoff.cancelled():
                    return
                self._ask_alone(source, folder, row, waiting)
        except ArchipecError as error:
            self._note_break(folder, {}, error)
            self._give_back(folder, waiting.values())
            raise

    def _list_again(self, source: Source, folder: FolderWork) -> set[str]:
        """List a folder whole and return the refs; what is new there, renamed perhaps, is work of this run."""
        refs: set[str] = set()
        scan = source.scan(folder.name, None)
        while page := list(islice(scan, _PAGE)):
            refs.update(one.ref for one in page)
            (new,) = self._ledger.sources.record_listing([(folder.number, page)], self._work.sinks)
            if new:
                self._events.put(RowsAdded(new, sum(one.size or 0 for one in page)))
                self._work.add(folder.number, folder.name)
        return refs

    def _ask_alone(
        self, source: Source, folder: FolderWork, row: SourceMessage, waiting: dict[str, SourceMessage]
    ) -> None:
        """Ask for one message, twice where the first answer is not what was listed; then it has failed."""
        reason = _("the source lists this message and gives nothing when asked for it")
        for _ignored in range(2):
            for fetched in source.fetch(folder.name, iter((row.ref,))):
                if fetched.ref == row.ref and row.ref in waiting:
                    reason = self._take_in(folder, row, fetched, waiting, alone=True) or reason
            if row.ref not in waiting:
                return
        if not self._backoff.cancelled():
            del waiting[row.ref]
            self._leave_out(folder, row, reason)

    def _take_in(
        self,
        folder: FolderWork,
        row: SourceMessage,
        fetched: Fetched,
        waiting: dict[str, SourceMessage],
        *,
        alone: bool,
    ) -> str:
        """Take in an answer. Return why it can't be the message, empty when it can or is to be asked for again."""
        try:
            spooled = spool(fetched.chunks, self._temp)
        except ArchipecError as error:
            if error.scope > Scope.MESSAGE and not self._breaks.is_to_blame(row, error):
                raise
            del waiting[row.ref]
            self._leave_out(folder, row, error.message)
            if error.scope > Scope.MESSAGE:
                self._note_bad(folder, error)
                raise
            return ""
        self._backoff.progressed()
        self._breaks.answered(folder.number)
        if self._sizes.accepts(row, spooled):
            del waiting[row.ref]
            self._intake.add(folder, row, spooled, fetched)
            return ""
        size = spooled.key.size
        spooled.discard()
        if not alone:
            del waiting[row.ref]
            self._doubtful.append(row)
        if row.size is None:
            return _("the source gave {size} bytes").format(size=size)
        if size < row.size:
            return _("the source gave {given} of {listed} bytes").format(given=size, listed=row.size)
        if not size:
            return _("the source lists this message with no bytes, and gives none")
        return _("the source gave {given} bytes of a message that it lists with {listed}").format(
            given=size, listed=row.size
        )

    def _note_break(
        self, folder: FolderWork, waiting: dict[str, SourceMessage], error: ArchipecError
    ) -> None:
        """Take note of a lost connection, and leave out the message that it is lost for."""
        row = self._breaks.broke(folder.number, waiting.values(), error)
        if row is not None:
            waiting.clear()
            self._leave_out(folder, row, _("each time it is asked for, {error}").format(error=error))
            self._note_bad(folder, error)

    def _note_bad(self, folder: FolderWork, error: ArchipecError) -> None:
        """Go on without a message, and at last without a folder, that broke every connection."""
        self._backoff.progressed()
        if self._breaks.is_folder(folder.number):
            self._work.drop(folder)
            left_out = Incomplete(
                _('folder "{name}" is left out: each time it is read, {error}').format(
                    name=folder.name, error=error
                ),
                hint=_("the next run tries again; to leave it out for good: {options}").format(
                    options=names_folder(folder.name)
                ),
            )
            self._events.put(FolderFailed(folder.name, left_out))

    def _leave_out(self, folder: FolderWork, row: SourceMessage, reason: str) -> None:
        self._events.put(Unreadable(folder.name, row, reason))

    def _give_back(self, folder: FolderWork, waiting: Iterable[SourceMessage]) -> None:
        doubtful, self._doubtful = self._doubtful, []
        if not folder.dropped:
            self._work.give_back(folder, [*doubtful, *waiting])

    def _report_gone(self, rows: Sequence[SourceMessage]) -> None:
        if rows:
            self._ledger.sources.record_gone(row.id for row in rows)
            self._events.put(Gone(len(rows)))
