"""Hands out what is left to do to however many connections there are, while the listing still goes on.

The ledger is the list; this is only its reading head: a page of rows a folder, whatever the mailbox's size.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence

from archipec.config.selection import MessageFacts, Selection
from archipec.custody.ledger import HeaderFacts, Ledger, SourceMessage
from archipec.language import _
from archipec.pec.claims import is_unrecognised
from archipec.pec.kind import UNSEALED

__all__ = ["ROWS_AT_ONCE", "FolderWork", "WorkList", "answer", "matches_nothing"]

_PAGE = 1000
ROWS_AT_ONCE = 50
"""Rows that a reader takes at a time: several may share a folder, and none is to take what would keep others at work."""


class FolderWork:
    """A folder's share of the work: ``ready`` rows are wanted, of ``undecided`` ones the headers must be read."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.listing = True
        self.ready: deque[SourceMessage] = deque()
        self.undecided: deque[SourceMessage] = deque()
        self.workers = 0
        self.dropped = False
        self.last = 0


class WorkList:
    """The rows that some sink lacks and the selection wants. Any thread may call."""

    def __init__(self, ledger: Ledger, sinks: Sequence[int], selection: Selection) -> None:
        self._ledger = ledger
        self.sinks = sinks
        self._selection = selection
        self.asks_message_id = selection.asks_message_id
        self._changed = threading.Condition()
        self._folders: dict[int, FolderWork] = {}
        self._complete = False
        self._stopped = False
        self.deselected = 0

    # -- the lister's side ---------------------------------------------------------------------

    def add(self, number: int, name: str) -> None:
        """Say that a folder has work, or has more of it."""
        with self._changed:
            self._folders.setdefault(number, FolderWork(number, name))
            self._changed.notify_all()

    def end_folder(self, number: int) -> None:
        """Say that a folder is listed to its end."""
        with self._changed:
            if number in self._folders:
                self._folders[number].listing = False
            self._changed.notify_all()

    def end(self) -> None:
        """Say that every folder is listed."""
        with self._changed:
            self._complete = True
            for folder in self._folders.values():
                folder.listing = False
            self._changed.notify_all()

    def retire(self, number: int, rows: Sequence[int], sinks: Sequence[int]) -> int:
        """Record that the source no longer has these rows of a folder.

        Args:
            sinks: all that are to have the messages, those that are out included.

        Returns:
            how many of them will not be handed out any more, though a sink lacks them.
        """
        with self._changed:
            lacking = set(self._ledger.sources.retire(rows, sinks))
            folder = self._folders.get(number)
            if folder is None:
                return 0
            taken_back = 0
            for waiting in (folder.ready, folder.undecided):
                kept = [row for row in waiting if row.id not in lacking]
                taken_back += len(waiting) - len(kept)
                waiting.clear()
                waiting.extend(kept)
            return taken_back + sum(row > folder.last for row in lacking)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # -- the readers' side ---------------------------------------------------------------------

    def claim(self) -> FolderWork | None:
        """Return a folder to work on, one that no reader works on before one to share; None when all is handed out."""
        with self._changed:
            while not self._stopped:
                if self._folders:
                    folder = min(self._folders.values(), key=lambda one: one.workers)
                    folder.workers += 1
                    return folder
                if self._complete:
                    return None
                self._changed.wait()
            return None

    def take(self, folder: FolderWork, most: int) -> list[SourceMessage]:
        """Return the folder's next wanted rows, not more than ``most``.

        None of them when none is left, or when headers must be read first (`take_undecided`).
        """
        with self._changed:
            while not self._stopped and not folder.dropped:
                if folder.ready:
                    return [folder.ready.popleft() for _ in range(min(most, len(folder.ready)))]
                if folder.undecided or not self._refill(folder):
                    return []
            return []

    def is_over(self, folder: FolderWork) -> bool:
        """Return whether no more of a folder is to be read in this run."""
        return self._stopped or folder.dropped

    def take_undecided(self, folder: FolderWork) -> list[SourceMessage]:
        """Return the rows that the selection can't decide on from a listing alone."""
        with self._changed:
            rows = list(folder.undecided)
            folder.undecided.clear()
            return rows

    def give_back(self, folder: FolderWork, rows: Iterable[SourceMessage]) -> None:
        """Hand rows in again that were taken and not answered, in their order."""
        with self._changed:
            folder.ready.extendleft(reversed(list(rows)))
            self._folders.setdefault(folder.number, folder)
            self._changed.notify_all()

    def put_undecided(self, folder: FolderWork, rows: Iterable[SourceMessage]) -> None:
        """Hand rows in again whose headers were not read."""
        with self._changed:
            folder.undecided.extendleft(reversed(list(rows)))
            self._folders.setdefault(folder.number, folder)

    def decide(self, folder: FolderWork, row: SourceMessage, facts: HeaderFacts) -> None:
        """Put a row where the selection wants it, now that its header is known."""
        if self.wants(folder.name, row, facts) is False:
            self.deselect()
        else:  # where not even that decides, the whole message does
            with self._changed:
                folder.ready.append(row)

    def deselect(self) -> None:
        """Count a row as not wanted."""
        with self._changed:
            self.deselected += 1

    def wants(
        self, folder: str, row: SourceMessage, facts: HeaderFacts | None = None, sha256: str | None = None
    ) -> bool | None:
        """Ask the selection, by what the row or its header says, and the hash of the whole message."""
        return answer(self._selection, self._ledger, folder, row, facts, sha256)

    def may_hold_certification(self, folder: str, row: SourceMessage, facts: HeaderFacts) -> bool:
        """Return whether only the whole message can say that the selection must not leave it out."""
        if facts.kind not in UNSEALED or facts.claims or self.wants(folder, row, facts) is not False:
            return False
        return self.wants(folder, row, facts._replace(claims=True)) is not False

    def drop(self, folder: FolderWork) -> None:
        """Leave a folder for the next run."""
        with self._changed:
            folder.dropped = True
            folder.ready.clear()
            folder.undecided.clear()

    def release(self, folder: FolderWork) -> None:
        """Say that a reader is done with a folder; the last one to leave an exhausted folder closes it."""
        with self._changed:
            folder.workers -= 1
            if folder.dropped or not (folder.ready or folder.undecided or folder.listing):
                self._folders.pop(folder.number, None)
            self._changed.notify_all()

    def _refill(self, folder: FolderWork) -> bool:
        """Read the folder's next page; wait for the listing where it lags behind. False at the end."""
        while not self._stopped:
            listing = folder.listing
            rows = self._ledger.sources.work(folder.number, self.sinks, folder.last, _PAGE)
            if rows:
                folder.last = rows[-1].id
                for row in rows:
                    self._sort(folder, row)
                if folder.ready or folder.undecided:
                    return True
            elif not listing:
                return False
            else:
                self._changed.wait()
        return False

    def _sort(self, folder: FolderWork, row: SourceMessage) -> None:
        wanted = self.wants(folder.name, row)
        if wanted is None:
            folder.undecided.append(row)
        elif wanted:
            folder.ready.append(row)
        else:
            self.deselected += 1


def matches_nothing(selection: Selection, ledger: Ledger, source: int, listed: int, deselected: int) -> str:
    """Say that a selection matches no message of a source that has some; return nothing when it does match one.

    It is no error: a selection describes messages, and there may be none of the kind yet.

    Args:
        listed, deselected: messages of this run.
    """
    asked = str(selection)
    if not asked or listed != deselected:
        return ""
    any_message = deselected > 0
    for folder, row in ledger.sources.read_before(source):
        if answer(selection, ledger, folder, row) is not False:
            return ""
        any_message = True
    return _("no message matches the selection: {asked}").format(asked=asked) if any_message else ""


def answer(
    selection: Selection,
    ledger: Ledger,
    folder: str,
    row: SourceMessage,
    facts: HeaderFacts | None = None,
    sha256: str | None = None,
) -> bool | None:
    """Ask a selection about a row, by what the row or its header says, and the hash of the message (None: not known yet)."""
    if selection.takes_all:
        return True
    known = row if facts is None else facts
    date = known.date if known.date is not None else row.received
    sent = None
    if selection.asks_sent(known.kind) and known.message_id is not None:
        sent = ledger.transactions.sent_as(known.message_id)
    if sha256 is None and selection.asks_hash and row.content is not None:
        known_contents = ledger.copies.contents([row.content])
        sha256 = known_contents[row.content].key.sha256
    return selection.answer(
        MessageFacts(
            folder=folder,
            sha256=sha256,
            size=row.size,
            date=date,
            kind=known.kind,
            message_id=known.message_id,
            sent=sent,
            unrecognised=known.kind is not None and is_unrecognised(known.kind, claims=known.claims),
        )
    )
