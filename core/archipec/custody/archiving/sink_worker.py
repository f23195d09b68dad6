"""One sink's thread: puts and commits batches in order, and records what the sink answers.

An error of one message leaves that message out. A wider one puts the sink out for the rest of the run; the
others go on, and the next run completes what this sink lacks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType, SupportsFinish, SupportsIterate
from archipec.custody.adoption import adopt
from archipec.custody.archiving.batches import Arrival, Batch, Outcomes
from archipec.custody.run import Run, now
from archipec.custody.settle import SettleCounts, settle_sink
from archipec.errors import ArchipecError, NoRoom, PluginBug, Scope, TransientError
from archipec.language import _
from archipec.message import ContentKey, Receipt
from archipec.plugins.boundary import described
from archipec.supervision import supervised

__all__ = ["SinkWorker"]

Settle: TypeAlias = Callable[[int, Batch, Outcomes], None]

# Bytes of a message that fits wherever there is any space.
_SMALL = 64 << 10


class SinkWorker:
    """A sink at work.

    Attributes:
        name: the sink's, unique in the pipeline; number: the ledger's.
        inbox: batches to deliver, then None.
        error: why this sink is out for the rest of the run.
        made_root: the directory of its archive was made by this run.
        settled: what it said, at the end, of what it had not confirmed; settling: it is being asked for that, or that
            is where it failed.
    """

    def __init__(self, sink: Endpoint[SinkType[Any]], run: Run[Any]) -> None:
        self._sink = sink
        self._run = run
        self._ledger = run.ledger
        self._settle: Settle
        self._backoff = run.backoff(sink)
        self._asks_all = False
        self._undone: Batch | None = None
        self._delivered = False
        self._uncertain: set[int] = set()
        self.name = sink.name
        self.number = run.ledger.copies.sink_number(sink.where)
        self.inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self.error: ArchipecError | None = None
        self.made_root = False
        self.settled = SettleCounts()
        self.settling = False

    def run(self, settle: Settle) -> None:
        """Deliver until the inbox ends.

        Args:
            settle: called with what came of each batch.
        """
        self._settle = settle
        with supervised(self._leave_behind):
            self._work()

    def _leave_behind(self, error: ArchipecError) -> None:
        """Go on without the thread that runs this: its plugin doesn't let it go."""
        self.error = error
        threading.Thread(target=self._refuse_all, name=f"without-{self.name}", daemon=True).start()

    def _refuse_all(self) -> None:
        """Answer for what was not delivered, and for what comes, until the inbox ends."""
        if self._undone is not None:
            self._refuse(self._undone)
        # It had finished with the inbox: nothing more comes then.
        if not self._delivered:
            for batch in iter(self.inbox.get, None):
                self._refuse(batch)

    def _work(self) -> None:
        while self.error is None:
            try:
                with self._run.open(self._sink) as sink:
                    if self._undone is not None:
                        # Nothing is promised after a raise: this sink is asked for every one.
                        self._deliver(sink, self._undone, ask_all=True)
                        self._undone = None
                    while not self._delivered and (batch := self.inbox.get()) is not None:
                        self._undone = batch
                        self._deliver(sink, batch, ask_all=self._asks_all)
                        # Nor are its bytes to wait for the next one.
                        self._undone = batch = None
                        self._backoff.progressed()
                    self._delivered = True
                    self.settling = True
                    settle_sink(sink, self.number, self._ledger, self.settled)
                    self.settling = False
                    if isinstance(sink, SupportsFinish):
                        sink.finish()
                    return
            except NoRoom as error:
                self._fill_up(error)
            except TransientError as error:
                # What is only to be confirmed, the next run asks for: it is not worth waiting long.
                given_up = self._delivered and error.retry_after is None
                if given_up or not self._backoff.wait(error):
                    self.error = error
            except ArchipecError as error:
                self.error = error
        self._refuse_all()

    def _fill_up(self, full: NoRoom) -> None:
        """Deliver what still fits, message by message: a large one must not keep the others out.

        Where a small one does not fit, the sink is out.
        """
        batch, outcomes = self._undone, dict[int, Receipt | str]()
        arrivals = iter(() if batch is None else [one for one in batch.arrivals if self.number in one.sinks])
        while self.error is None:
            arrival = next(arrivals, None)
            if arrival is None:
                break
            try:
                with self._run.open(self._sink) as sink:
                    while arrival is not None:
                        outcomes |= self._store(sink, [arrival], ask_all=True)
                        arrival = next(arrivals, None)
            except NoRoom as error:
                assert arrival is not None
                outcomes[arrival.number] = error.message
                if arrival.item.key.size <= _SMALL:
                    self.error = error
            except ArchipecError as error:
                self.error = error
        if batch is None:
            self.error = full  # no message is to blame
        else:
            reason = str(self.error)
            for one in batch.arrivals:
                if self.number in one.sinks:
                    outcomes.setdefault(one.number, reason)
            self._undone = None
            self._record({n: one for n, one in outcomes.items() if isinstance(one, Receipt)})
            self._settle(self.number, batch, outcomes)

    def adopt(self) -> None:
        """Record what this archive holds already, when the ledger knows nothing of it.

        So losing the ledger loses nothing, and nothing is stored twice.

        Raises:
            ArchipecError: the sink can't be opened or read.
        """
        with self._run.open(self._sink) as sink:
            if not isinstance(sink, SupportsIterate):
                self._asks_all = True
                return
            adopt(self._ledger, self.number, sink.iterate())

    def _deliver(self, sink: Sink, batch: Batch, *, ask_all: bool) -> None:
        outcomes = self._store(sink, batch.arrivals, ask_all=ask_all)
        self._record(outcomes)
        self._settle(self.number, batch, outcomes)

    def _store(self, sink: Sink, arrivals: Sequence[Arrival], *, ask_all: bool) -> dict[int, Receipt | str]:
        outcomes: dict[int, Receipt | str] = {}
        put: dict[ContentKey, int] = {}
        for arrival in arrivals:
            if self.number not in arrival.sinks:
                continue
            asks = ask_all or self.number in arrival.ask
            try:
                found = sink.find(arrival.item.key) if asks else None
                asks = False
                if found is None:
                    sink.put(arrival.item)
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                outcomes[arrival.number] = error.message
                if asks:
                    self._uncertain.add(arrival.number)
            else:
                if found is None:
                    put[arrival.item.key] = arrival.number
                else:
                    outcomes[arrival.number] = found
        for receipt in sink.commit():
            if (number := put.pop(receipt.key, None)) is not None:
                outcomes[number] = receipt
        if put:
            raise PluginBug(
                _("{described} gave no receipt for {put} of the messages it took").format(
                    described=described(self._sink.record), put=len(put)
                )
            )
        return outcomes

    def _record(self, outcomes: dict[int, Receipt | str]) -> None:
        """Record what the sink answered. Where it could not say what it has, the intent stays: it is asked again."""
        uncertain, self._uncertain = self._uncertain, set()
        self._ledger.copies.record_receipts(
            self.number,
            [(number, outcome) for number, outcome in outcomes.items() if isinstance(outcome, Receipt)],
            [
                (number, outcome)
                for number, outcome in outcomes.items()
                if isinstance(outcome, str) and number not in uncertain
            ],
            now(),
        )

    def _refuse(self, batch: Batch) -> None:
        """Say that a batch was not delivered. Its intents stay: the next run asks this sink before it puts."""
        reason = str(self.error)
        mine = [arrival for arrival in batch.arrivals if self.number in arrival.sinks]
        self._settle(self.number, batch, {arrival.number: reason for arrival in mine})
