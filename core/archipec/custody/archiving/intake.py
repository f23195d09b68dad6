"""Takes in what a connection reads: what the selection does not want is let go, the rest is gathered into batches."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from archipec.custody.archiving.batcher import Batcher
from archipec.custody.archiving.batches import Arrival
from archipec.custody.archiving.lister import header_facts
from archipec.custody.archiving.worklist import FolderWork, WorkList
from archipec.custody.ledger import HeaderFacts, Ledger, SourceMessage
from archipec.custody.spool import Spooled
from archipec.message import Fetched, Item
from archipec.pec.buffer import FileBuffer
from archipec.pec.claims import holds_certification

__all__ = ["Intake"]

# What is flushed together: as much as keeps flushes rare, and no more than a slow line brings while one can wait.
_BATCH_BYTES = 4 << 20
_BATCH_MESSAGES = 1000
_BATCH_SECONDS = 10.0
_RECORD = 2 << 10
"""Bytes of memory that a message takes besides its own."""
_ROME = ZoneInfo("Europe/Rome")


class Intake:
    """Between one reader and the batcher.

    Attributes:
        arrived: messages taken in, stored or on their way; size: their bytes.
        other_size: those of them that the source lists with another size.
    """

    def __init__(self, ledger: Ledger, work: WorkList, batcher: Batcher) -> None:
        self._ledger = ledger
        self._work = work
        self._batcher = batcher
        self._arrivals: list[Arrival] = []
        self._weight = 0
        self._due = 0.0
        self._found: list[HeaderFacts] = []
        self.arrived = 0
        self.size = 0
        self.other_size = 0

    def add(self, folder: FolderWork, row: SourceMessage, spooled: Spooled, fetched: Fetched) -> None:
        """Take a message in, and hand over what is gathered when it is enough."""
        facts = header_facts(row, spooled.head, asks_message_id=self._work.asks_message_id)
        wanted = self._work.wants(folder.name, row, facts, spooled.key.sha256)
        if self._work.may_hold_certification(folder.name, row, facts) and _holds_certification(spooled):
            facts = facts._replace(claims=True)
            wanted = True
        if wanted is False or facts.claims:
            self._found.append(facts)
        if wanted is False:
            self._work.deselect()
            spooled.discard()
        else:
            self._gather(folder.name, row, spooled, facts, fetched)
        if len(self._arrivals) >= _BATCH_MESSAGES or self._weight >= _BATCH_BYTES or self._is_due():
            self.hand_over()

    def _gather(
        self, folder: str, row: SourceMessage, spooled: Spooled, facts: HeaderFacts, fetched: Fetched
    ) -> None:
        key = spooled.key
        item = Item(
            key=key,
            folder=folder,
            received=None if row.received is None else datetime.fromtimestamp(row.received, UTC),
            date=datetime.fromtimestamp(facts.date, _ROME),
            flags=row.flags,
            kind=facts.kind,
            head=spooled.head,
            open=spooled.open,
            body=spooled.body,
        )
        self._arrivals.append(Arrival(item, row, spooled, facts, fetched.saved, fetched.loose))
        self._weight += key.size + _RECORD
        self.arrived += 1
        self.size += key.size
        self.other_size += row.size not in (None, key.size)

    def _is_due(self) -> bool:
        """Return whether something has waited for long."""
        if not (self._arrivals or self._found):
            return False
        now = time.monotonic()
        self._due = self._due or now + _BATCH_SECONDS
        return now >= self._due

    def hand_over(self) -> None:
        """Hand over what is gathered."""
        self._due = 0.0
        if self._found:
            found, self._found = self._found, []
            self._ledger.sources.record_headers(found)
        if self._arrivals:
            arrivals, self._arrivals = self._arrivals, []
            weight, self._weight = self._weight, 0
            self._batcher.take(arrivals, weight)


def _holds_certification(spooled: Spooled) -> bool:
    if spooled.body is not None:
        return holds_certification(spooled.body)
    with spooled.open() as file:
        return holds_certification(FileBuffer(file))
