"""One connection to the source: lists it (the first one does), then reads what the work list hands out.

Runs in a thread of its own. A transient error closes the connection and opens another after a wait; what was not
answered is asked for again. A refused login is never repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue

from archipec.contract import Source, SupportsHeaders, SupportsQuota
from archipec.custody.archiving.batch import (
    Arrival,
    Arrived,
    Event,
    FolderFailed,
    Gone,
    IntakeEnded,
    Opened,
    QuotaRead,
    Unreadable,
)
from archipec.custody.archiving.listing import Lister, date_of, look, message_id_of
from archipec.custody.archiving.worklist import FolderWork, WorkList
from archipec.custody.endpoints import Retry
from archipec.custody.ledger import Ledger, Look, Row
from archipec.custody.spool import Budget, Spooled, spool
from archipec.discovery import Record
from archipec.errors import ArchipecError, Scope, TransientError
from archipec.isolation import own_errors
from archipec.message import Fetched
from archipec.pec.kind import kind_of
from archipec.supervision import supervised

__all__ = ["Intake"]

# Handing over one message at a time would cost more than reading it.
_HANDOVER_MESSAGES = 100
_HANDOVER_BYTES = 1 << 20
# Connections lost at one message before it is left out: fewer than the tries a run has in all.
_BREAKS = 3


class Intake:
    """A reading connection.

    Args:
        open_source: opens the source anew.
        record: what it was opened by.
        lister: given to the connection that lists.
        temp: private; for messages too large for memory.
        asks_quota: tells, at the end, whether this connection is to ask how full the mailbox is.
    """

    def __init__(
        self,
        open_source: Callable[[], AbstractContextManager[Source]],
        record: Record,
        ledger: Ledger,
        work: WorkList,
        events: SimpleQueue[Event],
        budget: Budget,
        temp: Path,
        retry: Retry,
        lister: Lister | None,
        asks_quota: Callable[[], bool],
    ) -> None:
        self._open = open_source
        self._record = record
        self._ledger = ledger
        self._work = work
        self._events = events
        self._budget = budget
        self._temp = temp
        self._retry = retry
        self._lister = lister
        self._asks_quota = asks_quota
        self._arrivals: list[Arrival] = []
        self._arrived_bytes = 0
        self._broke_at: Counter[int] = Counter()
        self._at_work_on: FolderWork | None = None

    def run(self) -> None:
        """Work until nothing is left, then say so."""
        with supervised(self._leave_behind):
            self._run()

    def _leave_behind(self, error: ArchipecError) -> None:
        """Go on without the thread that runs this: its plugin doesn't let it go. What it had taken is left over."""
        if self._at_work_on is not None:
            self._work.drop(self._at_work_on)
            self._work.release(self._at_work_on)
        self._end(error)

    def _end(self, error: ArchipecError | None) -> None:
        if self._lister is not None:
            self._work.end()
        self._events.put(IntakeEnded(error, self._lister is None))

    def _run(self) -> None:
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
            with own_errors(self._record), self._open() as source:
                if self._lister is not None:
                    self._events.put(Opened())
                    self._lister.run(source)
                    self._lister = None
                    self._work.end()
                while (folder := self._work.claim()) is not None:
                    self._work_on(source, folder)
                if self._asks_quota() and isinstance(source, SupportsQuota):
                    self._events.put(QuotaRead(source.quota()))
        except TransientError as error:
            if not self._retry.wait(error):
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
            self._events.put(FolderFailed(folder.name, error))
        finally:
            self._hand_over()
            self._at_work_on = None
            self._work.release(folder)

    def _read(self, source: Source, folder: FolderWork) -> None:
        while True:
            self._fetch(source, folder)
            unsure = self._work.take_unsure(folder)
            if not unsure:
                return
            if isinstance(source, SupportsHeaders):
                self._look(source, folder, unsure)
            else:
                # Only the whole message can tell.
                self._work.give_back(folder, unsure)

    def _look(self, source: SupportsHeaders, folder: FolderWork, unsure: list[Row]) -> None:
        waiting = {row.id: row for row in unsure}
        looks = []
        try:
            for row, told in look(source, folder.name, unsure):
                del waiting[row.id]
                looks.append(told)
                self._work.decide(folder, row, told)
        except ArchipecError:
            self._work.put_unsure(folder, waiting.values())
            raise
        finally:
            self._ledger.record_look(looks)
        self._report_gone(waiting.values())

    def _fetch(self, source: Source, folder: FolderWork) -> None:
        waiting: dict[str, Row] = {}

        def refs() -> Iterator[str]:
            while (row := self._work.take(folder)) is not None:
                waiting[row.ref] = row
                yield row.ref

        try:
            for fetched in source.fetch(folder.name, refs()):
                row = waiting.get(fetched.ref)
                if row is not None:
                    self._take_in(folder, row, fetched, waiting)
                    del waiting[fetched.ref]
                if self._retry.cancelled():
                    break
        except ArchipecError:
            self._work.give_back(folder, waiting.values())
            raise
        self._report_gone(waiting.values())

    def _take_in(self, folder: FolderWork, row: Row, fetched: Fetched, waiting: dict[str, Row]) -> None:
        try:
            spooled = spool(fetched.chunks, self._temp)
        except ArchipecError as error:
            if error.scope > Scope.MESSAGE and not self._is_to_blame(row, error):
                raise
            self._events.put(Unreadable(folder.name, row, error.message))
            if error.scope > Scope.MESSAGE:
                del waiting[row.ref]
                raise
            return
        self._retry.progressed()
        self._arrive(folder, row, spooled, fetched)

    def _is_to_blame(self, row: Row, error: ArchipecError) -> bool:
        """Tell whether a connection broke so often at this message that the others should go on without it."""
        self._broke_at[row.id] += 1
        return isinstance(error, TransientError) and self._broke_at[row.id] >= _BREAKS

    def _arrive(self, folder: FolderWork, row: Row, spooled: Spooled, fetched: Fetched) -> None:
        kind = kind_of(spooled.head)
        date, date_from = date_of(row, spooled.head)
        message_id = message_id_of(spooled.head) if self._work.asks_message_id else None
        told = Look(row.id, kind, date, date_from, message_id)
        if self._work.wants(folder.name, row, told) is False:
            self._ledger.record_look([told])
            self._work.deselect()
            spooled.discard()
            return
        self._arrivals.append(
            Arrival(folder.name, row, spooled, kind, date, date_from, fetched.saved, fetched.loose)
        )
        self._arrived_bytes += spooled.key.size
        if len(self._arrivals) >= _HANDOVER_MESSAGES or self._arrived_bytes >= _HANDOVER_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._arrivals:
            self._budget.take(self._arrived_bytes)
            self._events.put(Arrived(self._arrivals))
            self._arrivals = []
            self._arrived_bytes = 0

    def _report_gone(self, rows: Iterable[Row]) -> None:
        gone = [row.id for row in rows]
        # A source that was asked to stop leaves refs unanswered that it still has.
        if gone and not self._retry.cancelled():
            self._ledger.record_gone(gone)
            self._events.put(Gone(gone))
