"""Sorts what arrives: drops content already held or on its way, makes batches of the rest, counts what comes back.

Lives in the thread that runs the pipeline; only the sinks' inboxes lead out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from archipec.custody.archiving.analyzing import Analyzing
from archipec.custody.archiving.events import Arrival, Batch, BatchItem
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.sink_worker import SinkWorker
from archipec.custody.archiving.variants import variants
from archipec.custody.ledger import Content, Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.spool import Budget, Spooled
from archipec.message import ContentKey, Item, Receipt, State
from archipec.pec.claims import is_unrecognised

__all__ = ["Batcher"]

_BATCH_MESSAGES = 1000
_BATCH_BYTES = 8 << 20
_ROME = ZoneInfo("Europe/Rome")


class Batcher:
    """Between the readers and the sinks."""

    def __init__(
        self,
        ledger: Ledger,
        workers: Sequence[SinkWorker],
        budget: Budget,
        report: ArchiveReport,
        analyzing: Analyzing,
    ) -> None:
        self._ledger = ledger
        self._workers = {worker.number: worker for worker in workers}
        self._budget = budget
        self._report = report
        self._analyzing = analyzing
        self._batch = Batch()
        self._in_transit: dict[ContentKey, BatchItem] = {}
        self._variants: dict[ContentKey, list[ContentKey]] = {}
        self._loose: set[ContentKey] = set()
        self._closed = False
        self.awaited = 0
        """Batches that sinks have not answered for yet."""
        self.starved = 0
        """Batches that found every sink idle: the source is what the run waits for."""

    def take(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages in; pass a batch on whenever one is full."""
        if self._closed:
            for arrival in arrivals:
                self._discard(arrival.spooled)
            return
        unseen = {arrival.spooled.key for arrival in arrivals} - self._in_transit.keys()
        known = self._ledger.copies.copies_of(list(unseen)) if unseen else {}
        for arrival in arrivals:
            self._report.arrived += 1
            self._report.arrived_size += arrival.spooled.key.size
            self._report.other_size += arrival.row.size not in (None, arrival.spooled.key.size)
            self._place(arrival, known)
            if len(self._batch.entries) >= _BATCH_MESSAGES or self._batch.size >= _BATCH_BYTES:
                self.flush()

    def _place(self, arrival: Arrival, known: Mapping[ContentKey, tuple[int, dict[int, str]]]) -> None:
        key = arrival.spooled.key
        entry = self._in_transit.get(key)
        if entry is not None:
            self._join(entry, arrival)
            return
        number, states = known.get(key, (0, {}))
        if arrival.loose:
            self._loose.add(key)
        if arrival.saved and not number and self._is_held_otherwise(arrival):
            return
        lacking = [sink for sink in self._workers if states.get(sink) not in HELD]
        offered = [
            sink
            for sink in lacking
            if states.get(sink) != State.REJECTED and self._workers[sink].error is None
        ]
        if offered:
            self._add(arrival, offered, [sink for sink in offered if states.get(sink) == "intent"])
            self._in_transit[key].is_new = not number
            for sink in lacking:
                if sink not in offered:
                    self._in_transit[key].reasons.append(self._why_not(sink, states))
                    self._report.sinks[self._workers[sink].name].failed += 1
            return
        if number:
            self._ledger.copies.link([(number, arrival.row.id, arrival.row.size)])
            self._record_loose({key: number})
        self._discard(arrival.spooled)
        if lacking:
            for sink in lacking:
                self._report.sinks[self._workers[sink].name].failed += 1
            reasons = [self._why_not(sink, states) for sink in lacking]
            self._report.fail(arrival.folder, arrival.row.ref, "; ".join(reasons))
        else:
            self._report.already += 1

    def _why_not(self, sink: int, states: Mapping[int, str]) -> str:
        worker = self._workers[sink]
        if states.get(sink) == State.REJECTED:
            return f"{worker.name}: rejected before"
        return f"{worker.name}: {worker.error}"

    def _join(self, entry: BatchItem, arrival: Arrival) -> None:
        """Take a message for an occurrence of a content on its way."""
        entry.rows.append((arrival.folder, arrival.row))
        if entry.number:
            self._ledger.copies.link([(entry.number, arrival.row.id, arrival.row.size)])
        self._discard(arrival.spooled)

    def _is_held_otherwise(self, arrival: Arrival) -> bool:
        """Take a saved message for an occurrence of its original, when every sink holds that or is about to."""
        keys = variants(arrival.spooled.open)
        for key in keys:
            if (entry := self._in_transit.get(key)) is not None:
                self._join(entry, arrival)
                return True
        known = self._ledger.copies.copies_of(keys) if keys else {}
        for key in keys:
            number, states = known.get(key, (0, {}))
            if number and all(states.get(sink) in HELD for sink in self._workers):
                self._ledger.copies.link([(number, arrival.row.id, arrival.row.size)])
                self._discard(arrival.spooled)
                self._report.already += 1
                return True
        if keys:
            self._variants[arrival.spooled.key] = keys
        return False

    def _add(self, arrival: Arrival, sinks: Sequence[int], ask: Sequence[int]) -> None:
        row, spooled = arrival.row, arrival.spooled
        content = Content(spooled.key, arrival.kind, arrival.date, arrival.date_from)
        item = Item(
            key=spooled.key,
            folder=arrival.folder,
            received=None if row.received is None else datetime.fromtimestamp(row.received, UTC),
            date=datetime.fromtimestamp(arrival.date, _ROME),
            flags=row.flags,
            kind=arrival.kind,
            head=spooled.head,
            open=spooled.open,
            body=spooled.body,
        )
        entry = BatchItem(content, item, spooled, [(arrival.folder, row)], tuple(sinks), frozenset(ask))
        entry.system = arrival.system
        entry.unrecognised = is_unrecognised(arrival.kind, claims=arrival.claims)
        self._in_transit[spooled.key] = entry
        self._batch.entries.append(entry)
        self._batch.size += spooled.key.size

    def flush(self) -> None:
        """Pass the batch on: intents are recorded first; then to every sink that lacks some of it."""
        batch, self._batch = self._batch, Batch()
        if not batch.entries:
            return
        numbers = self._ledger.copies.intend(
            [
                (entry.content, [(row.id, row.size) for _, row in entry.rows], entry.sinks)
                for entry in batch.entries
            ]
        )
        found, self._variants = self._variants, {}
        if found:
            self._ledger.copies.record_variants(
                (numbers[key], keys) for key, keys in found.items() if key in numbers
            )
        self._record_loose(numbers)
        self.starved += not self.awaited
        sinks: set[int] = set()
        for entry in batch.entries:
            entry.number = numbers[entry.item.key]
            entry.awaited = len(entry.sinks)
            sinks.update(entry.sinks)
        for sink in sinks:
            self.awaited += 1
            self._workers[sink].inbox.put(batch)

    def _record_loose(self, numbers: Mapping[ContentKey, int]) -> None:
        if loose := self._loose & numbers.keys():
            self._ledger.unsealed.record(numbers[key] for key in loose)
            self._loose -= loose

    def settle(self, sink: int, batch: Batch, outcomes: Mapping[int, Receipt | str]) -> None:
        """Count what a sink says of a batch; a content that every sink has answered for is done."""
        self.awaited -= 1
        worker = self._workers[sink]
        counts = self._report.sinks[worker.name]
        finished = []
        for entry in batch.entries:
            if sink not in entry.sinks:
                continue
            outcome = outcomes[entry.number]
            if isinstance(outcome, str) or outcome.state is State.REJECTED:
                reason = outcome if isinstance(outcome, str) else outcome.reason
                entry.reasons.append(f"{worker.name}: {reason}")
                counts.failed += 1
            elif outcome.state is State.PENDING:
                counts.pending += 1
                counts.waiting.append(entry.number)
            else:
                counts.stored += 1
            entry.awaited -= 1
            if not entry.awaited:
                finished.append(entry)
        self._analyzing.take(finished)
        for entry in finished:
            self._finish(entry)

    def _finish(self, entry: BatchItem) -> None:
        del self._in_transit[entry.item.key]
        self._discard(entry.spooled)
        if entry.reasons:
            for folder, row in entry.rows:
                self._report.fail(folder, row.ref, "; ".join(entry.reasons))
            return
        self._report.stored += 1
        self._report.already += len(entry.rows) - 1
        self._report.size += entry.item.key.size
        self._report.kinds[entry.item.kind] += 1
        self._report.unrecognised[entry.item.kind] += entry.unrecognised
        if entry.system:
            self._report.systems[entry.system] += 1

    def close(self) -> None:
        """Take and pass on nothing more."""
        self._closed = True
        for entry in self._batch.entries:
            del self._in_transit[entry.item.key]
            self._discard(entry.spooled)
        self._batch = Batch()

    def _discard(self, spooled: Spooled) -> None:
        spooled.discard()
        self._budget.give_back(spooled.key.size)
