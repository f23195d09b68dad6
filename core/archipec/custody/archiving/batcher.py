"""Sorts what arrives: drops content already held or on its way, passes the rest on to the sinks, counts what comes back.

The readers' threads bring messages, whole batches at a time, and the sinks' threads bring the answers. One lock guards
what is on its way, and the counts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue

from archipec.custody.archiving.batches import Arrival, Batch, Budget, Outcomes
from archipec.custody.archiving.events import Event, LedgerFailed, Settled
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.sink_worker import SinkWorker
from archipec.custody.archiving.variants import variants
from archipec.custody.ledger import Content, Ledger
from archipec.custody.ledger.schema import HELD
from archipec.errors import ArchipecError
from archipec.language import _
from archipec.message import ContentKey, State
from archipec.pec.claims import is_unrecognised

__all__ = ["Batcher"]

_UNDER_WAY = 8 << 20
"""Bytes in the sinks before readers wait: while one batch is made durable the next one is there."""


class Batcher:
    """Between the readers and the sinks. Any thread may call.

    Attributes:
        lock: held while the report's counts change.
        under_way: batches that are not done yet.
        starved: batches that found every sink idle: the source is what the run waits for.
    """

    def __init__(
        self,
        ledger: Ledger,
        workers: Sequence[SinkWorker],
        report: ArchiveReport,
        events: SimpleQueue[Event],
    ) -> None:
        self._ledger = ledger
        self._workers = {worker.number: worker for worker in workers}
        self._report = report
        self._events = events
        self._budget = Budget(_UNDER_WAY)
        self._in_transit: dict[ContentKey, Arrival] = {}
        self._closed = False
        self._links: list[tuple[int, int, int | None]] = []
        self._awaited = 0
        self.lock = threading.Lock()
        self.under_way = 0
        self.starved = 0

    # -- the readers' side ---------------------------------------------------------------------

    def take(self, arrivals: Sequence[Arrival], size: int) -> None:
        """Pass on what some sink lacks, as one batch; wait while too much is under way.

        Args:
            size: bytes that the messages take while they are on their way.
        """
        self._budget.take(size)
        batch = Batch(size=size)
        with self.lock:
            try:
                if not self._closed:
                    self._sort(arrivals, batch)
                    self._pass_on(batch)
            except ArchipecError as error:
                # The ledger fails: the run ends in good order, and nothing more is offered to sinks.
                self._closed = True
                for arrival in batch.arrivals:
                    self._in_transit.pop(arrival.item.key, None)
                batch.arrivals.clear()
                self._events.put(LedgerFailed(error))
            if not batch.arrivals:
                self._budget.give_back(size)
            kept = set(map(id, batch.arrivals))
            for arrival in arrivals:
                if id(arrival) not in kept:
                    arrival.spooled.discard()

    def _sort(self, arrivals: Sequence[Arrival], batch: Batch) -> None:
        """Put into a batch what is neither held nor under way already."""
        unseen = {arrival.item.key for arrival in arrivals} - self._in_transit.keys()
        known = self._ledger.copies.copies_of(list(unseen)) if unseen else {}
        everywhere = tuple(number for number, worker in self._workers.items() if worker.error is None)
        for arrival in arrivals:
            key = arrival.item.key
            if (first := self._in_transit.get(key)) is not None:
                self._join(first, arrival)
            elif key in known:
                self._place(arrival, batch, *known[key])
            elif not (arrival.saved and self._is_held_otherwise(arrival)):
                arrival.is_new = True
                if len(everywhere) == len(self._workers):
                    self._add(arrival, batch, everywhere)
                else:
                    self._place(arrival, batch, 0, {})

    def _place(self, arrival: Arrival, batch: Batch, number: int, states: Mapping[int, str]) -> None:
        """Offer a message to the sinks that lack it and can have it, by the states of its copies."""
        lacking = [sink for sink in self._workers if states.get(sink) not in HELD]
        offered = tuple(
            sink
            for sink in lacking
            if states.get(sink) != State.REJECTED and self._workers[sink].error is None
        )
        reasons = [self._why_not(sink, states) for sink in lacking if sink not in offered]
        for sink in lacking:
            self._report.sinks[self._workers[sink].name].failed += sink not in offered
        if offered:
            arrival.reasons = reasons
            self._add(arrival, batch, offered, tuple(one for one in offered if states.get(one) == "intent"))
            return
        if number:
            self._link(number, arrival)
            if arrival.loose:
                self._ledger.unsealed.record([number])
        if lacking:
            self._report.fail(arrival.item.folder, arrival.row.ref, "; ".join(reasons))
        else:
            self._report.already += 1

    def _why_not(self, sink: int, states: Mapping[int, str]) -> str:
        worker = self._workers[sink]
        if states.get(sink) == State.REJECTED:
            return _("{name}: rejected before").format(name=worker.name)
        return f"{worker.name}: {worker.error}"

    def _add(self, arrival: Arrival, batch: Batch, sinks: tuple[int, ...], ask: tuple[int, ...] = ()) -> None:
        arrival.sinks, arrival.ask = sinks, ask
        self._in_transit[arrival.item.key] = arrival
        batch.arrivals.append(arrival)

    def _join(self, first: Arrival, arrival: Arrival) -> None:
        """Take a message for an occurrence of a content on its way."""
        first.repeats.append((arrival.item.folder, arrival.row))
        if first.number:
            self._link(first.number, arrival)

    def _link(self, number: int, arrival: Arrival) -> None:
        self._links.append((number, arrival.row.id, arrival.row.size))

    def _is_held_otherwise(self, arrival: Arrival) -> bool:
        """Take a saved message for an occurrence of its original, when every sink holds that or is about to."""
        keys = arrival.variants = variants(arrival.spooled.open)
        for key in keys:
            if (first := self._in_transit.get(key)) is not None:
                self._join(first, arrival)
                return True
        known = self._ledger.copies.copies_of(keys) if keys else {}
        for key in keys:
            number, states = known.get(key, (0, {}))
            if number and all(states.get(sink) in HELD for sink in self._workers):
                self._link(number, arrival)
                self._report.already += 1
                return True
        return False

    def _pass_on(self, batch: Batch) -> None:
        """Record what is known already, and the intents; then give the batch to every sink that lacks some of it."""
        links, self._links = self._links, []
        if links:
            self._ledger.copies.link(links)
        if not batch.arrivals:
            return
        numbers = self._ledger.copies.intend(
            [(_content(arrival), _occurrences(arrival), arrival.sinks) for arrival in batch.arrivals]
        )
        sinks: set[int] = set()
        for arrival in batch.arrivals:
            arrival.number = numbers[arrival.item.key]
            sinks.update(arrival.sinks)
        if saved := [(one.number, one.variants) for one in batch.arrivals if one.variants]:
            self._ledger.copies.record_variants(saved)
        if loose := [one.number for one in batch.arrivals if one.loose]:
            self._ledger.unsealed.record(loose)
        self.starved += not self._awaited
        self.under_way += 1
        batch.awaited = len(sinks)
        self._awaited += len(sinks)
        for sink in sinks:
            self._workers[sink].inbox.put(batch)

    # -- the sinks' side -----------------------------------------------------------------------

    def settle(self, sink: int, batch: Batch, outcomes: Outcomes) -> None:
        """Count what a sink says of a batch, and tell when it was the last one to be waited for."""
        with self.lock:
            self._count(self._workers[sink], batch, outcomes)
            self._awaited -= 1
            batch.awaited -= 1
            if not batch.awaited:
                self._events.put(Settled(batch))

    def _count(self, worker: SinkWorker, batch: Batch, outcomes: Outcomes) -> None:
        counts = self._report.sinks[worker.name]
        for arrival in batch.arrivals:
            if worker.number not in arrival.sinks:
                continue
            outcome = outcomes[arrival.number]
            if isinstance(outcome, str) or outcome.state is State.REJECTED:
                reason = outcome if isinstance(outcome, str) else outcome.reason
                arrival.reasons.append(f"{worker.name}: {reason}")
                counts.failed += 1
            elif outcome.state is State.PENDING:
                counts.pending += 1
                counts.waiting.append(arrival.number)
            else:
                counts.stored += 1

    def finish(self, batch: Batch) -> None:
        """Count the messages of a batch that every sink has dealt with, and free their bytes."""
        with self.lock:
            for arrival in batch.arrivals:
                del self._in_transit[arrival.item.key]
                self._count_whole(arrival)
            self.under_way -= 1
        for arrival in batch.arrivals:
            arrival.spooled.discard()
        self._budget.give_back(batch.size)

    def _count_whole(self, arrival: Arrival) -> None:
        report, item, facts = self._report, arrival.item, arrival.facts
        if arrival.reasons:
            for folder, row in ((item.folder, arrival.row), *arrival.repeats):
                report.fail(folder, row.ref, "; ".join(arrival.reasons))
            return
        report.stored += 1
        report.already += len(arrival.repeats)
        report.size += item.key.size
        report.kinds[facts.kind] += 1
        report.unrecognised[facts.kind] += is_unrecognised(facts.kind, claims=facts.claims)
        if facts.system:
            report.systems[facts.system] += 1


def _content(arrival: Arrival) -> Content:
    facts = arrival.facts
    return Content(arrival.item.key, facts.kind, facts.date, facts.date_from)


def _occurrences(arrival: Arrival) -> list[tuple[int, int | None]]:
    rows = (arrival.row, *(row for _, row in arrival.repeats))
    return [(row.id, row.size) for row in rows]
