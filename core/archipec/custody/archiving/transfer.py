"""The transfer of a pipeline's messages: one source, any number of sinks, every message once.

Threads: a few connections read (`Reader`), each sink has its own (`SinkWorker`), and whole batches go from the one kind
to the other through the `Batcher`. The thread that calls `Transfer.execute` waits for their events, frees
batches that are done, and shows the progress.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple, Self

from archipec.config.pipeline import Pipeline
from archipec.config.providers import advised
from archipec.config.selection import is_hash
from archipec.custody.archiving.analyzing import Analyzing
from archipec.custody.archiving.batcher import Batcher
from archipec.custody.archiving.events import (
    Cancelled,
    Crashed,
    Event,
    FolderFailed,
    Gone,
    LedgerFailed,
    Omitted,
    QuotaRead,
    ReaderFinished,
    RowsAdded,
    Settled,
    SourceOpened,
    Unreadable,
)
from archipec.custody.archiving.intake import Intake
from archipec.custody.archiving.lister import Lister, ListingObserver, left_out
from archipec.custody.archiving.reader import FirstConnection, Reader
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.sink_worker import SinkWorker
from archipec.custody.archiving.worklist import WorkList, matches_nothing
from archipec.custody.ledger.schema import HELD
from archipec.custody.run import Run
from archipec.errors import ArchipecError, Incomplete, PluginBug
from archipec.language import _
from archipec.message import ContentKey, Quota
from archipec.supervision import join

__all__ = ["Transfer"]

_log = logging.getLogger("archipec.archive")

_STARVED = 2
"""Batches that found the sinks idle (the first always does) before another connection is opened."""
_BUSY = 0.5
"""Share of the time that this process is at work for, from which on it is no source that the run waits for."""
_SAMPLE = 0.1
"""Seconds between two looks at the progress."""


class _Clocks(NamedTuple):
    """A moment: seconds on the wall, and of a processor that this process has used."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Self:
        return cls(time.monotonic(), time.process_time())

    def busy(self) -> float:
        """Return for which share of the time since then this process was at work."""
        now = self.now()
        return (now.processor - self.processor) / max(now.wall - self.wall, 1e-6)


class Transfer(ListingObserver):
    """Brings what is left to do into the sinks.

    Attributes:
        quota: what the source said of how full it is.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        run: Run[ArchiveReport],
        workers: Sequence[SinkWorker],
        report: ArchiveReport,
        analyzing: Analyzing,
    ) -> None:
        self._analyzing = analyzing
        self._pipeline = pipeline
        self._run = run
        self._ledger = run.ledger
        self._stop = run.stop
        self._workers = workers
        self._report = report
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._source = run.ledger.sources.number(pipeline.source.where)
        self._work = WorkList(run.ledger, self._at_work(), pipeline.selection)
        self._batcher = Batcher(run.ledger, workers, report, self._events)
        self._intakes: list[Intake] = []
        self._readers: list[threading.Thread] = []
        self._counted = threading.Event()
        self._reading = 0
        self._spare: list[Reader] = []
        self._opened = False
        self._began = _Clocks.now()
        self._any_folder = False
        self._spared: list[ArchipecError] = []
        self.quota: Quota | None = None

    def execute(self, *, full: bool) -> None:
        """Run to the end, whichever it is. The report then reconciles."""
        if not self._work.sinks:
            self._close()
            return
        self._stop.wake = lambda: self._events.put(Cancelled())
        self._began = _Clocks.now()
        sinks = [
            self._start(partial(worker.run, self._batcher.settle), f"sink-{worker.name}")
            for worker in self._workers
        ]
        first, *self._spare = self._make_readers(full=full)
        self._read_with(first)
        try:
            # While the first connection is made: what is left over must be counted before more is listed.
            try:
                self._take_up_backlog()
            except ArchipecError as error:
                self._events.put(LedgerFailed(error))
            self._counted.set()
            while self._reading or self._batcher.under_way:
                self._wait()
        finally:
            self._stop.wake = None
            self._work.stop()
            for worker in self._workers:
                worker.inbox.put(None)
        for thread in (*self._readers, *sinks):
            join(thread)
        self._conclude()

    def _conclude(self) -> None:
        report = self._report
        report.omissions.forget_archived(self._archived)
        report.errors.extend(report.omissions.problems())
        self._close()
        self._check_names()
        if not report.errors and not self._stop.is_set():
            report.remark = matches_nothing(
                self._pipeline.selection, self._ledger, self._source, report.listed, report.deselected
            )

    def _check_names(self) -> None:
        """Say which messages were asked for by name and are nowhere."""
        if self._report.errors or self._report.left or self._stop.is_set():
            return
        selection, sources = self._pipeline.selection, self._ledger.sources
        names = selection.message_ids | {one for one in selection.ids if not is_hash(one)}
        lost = [
            _("has the Message-ID <{name}>").format(name=name)
            for name in sources.unknown_message_ids(self._source, names)
        ]
        hashes = [one for one in selection.ids if is_hash(one)]
        lost += [
            _("has a SHA-256 that begins with {one}").format(one=one)
            for one in sources.unknown_hashes(self._source, hashes)
        ]
        self._report.errors += [
            Incomplete(
                _("no message {what}").format(what=what),
                hint=_(
                    "the folders that are read were looked through; see the header of the message in the "
                    "webmail"
                ),
            )
            for what in lost
        ]

    def _archived(self, keys: Sequence[ContentKey]) -> list[ContentKey]:
        """Return those of these messages that every sink of the run holds."""
        sinks, wanted = [worker.number for worker in self._workers], set(keys)
        return [
            key
            for key, (_, states) in self._ledger.copies.copies_of(keys).items()
            if key in wanted and all(states.get(sink) in HELD for sink in sinks)
        ]

    def _at_work(self) -> list[int]:
        return [worker.number for worker in self._workers if worker.error is None]

    def _take_up_backlog(self) -> None:
        backlog = self._ledger.sources.backlog(self._source, [worker.number for worker in self._workers])
        for number, name, _ignored in self._ledger.sources.folders(self._source):
            if backlog.get(number) and self._pipeline.selection.wants_folder(name):
                with self._batcher.lock:
                    self._report.listed += backlog[number]
                self._work.add(number, name)

    # -- threads -------------------------------------------------------------------------------

    def _make_readers(self, *, full: bool) -> list[Reader]:
        source = self._pipeline.source
        sinks = [worker.number for worker in self._workers]
        first = FirstConnection(
            Lister(self._pipeline, self._run, sinks, self, full=full), asks_quota=self._asks_quota
        )
        self._intakes = [Intake(self._ledger, self._work, self._batcher) for _ in range(source.connections)]
        return [
            Reader(source, self._run, self._work, intake, self._events, None if number else first)
            for number, intake in enumerate(self._intakes)
        ]

    def _asks_quota(self) -> bool:
        # A round trip more, so not when nothing would use the answer.
        return bool(self._report.listed or self._pipeline.steps)

    def _read_with(self, reader: Reader) -> None:
        self._readers.append(self._start(reader.run, "source"))
        self._reading += 1

    def _use_spare(self) -> None:
        """Open the other connections where the first can't keep the sinks at work.

        Never before it was let in, so that a wrong password is tried once only. Where the sinks are what the
        run waits for, or this process itself, another connection costs more than it gives: measured, 4 to 25 %.
        """
        if not (self._spare and self._reading and self._opened) or self._stop.is_set():
            return
        if self._batcher.starved >= _STARVED and self._began.busy() < _BUSY:
            while self._spare:
                self._read_with(self._spare.pop())

    def _start(self, run: Callable[[], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                run()
            except BaseException as bug:  # noqa: BLE001 - the run would wait for ever for a thread that ended silently
                self._events.put(Crashed(bug))

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    # -- what the lister finds -----------------------------------------------------------------

    def begin(self) -> None:
        """Wait until what is left over from earlier runs is counted."""
        self._counted.wait()

    def page_listed(self, number: int, name: str, new: int, size: int, /) -> None:
        """Have the new rows read."""
        if new:
            self._events.put(RowsAdded(new, size))
            self._work.add(number, name)

    def folder_listed(self, number: int, /) -> None:
        """Have a folder's work end with the rows that are there."""
        self._any_folder = True
        self._work.end_folder(number)

    def folder_failed(self, name: str, error: ArchipecError, /) -> None:
        """Have the error reported."""
        self._events.put(FolderFailed(name, error))

    def messages_gone(self, number: int, rows: Sequence[int], /) -> None:
        """Record them as gone, and have those not counted any more that were still to be read."""
        if left := self._work.retire(number, rows, [worker.number for worker in self._workers]):
            self._events.put(Gone(left))

    # -- events --------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for the next event, not for long, and look at how far everything is."""
        with suppress(Empty):
            self._handle(self._events.get(timeout=_SAMPLE))
        # What only a sink that is out lacks is not worth a download in this run.
        self._work.sinks = self._at_work()
        if not self._work.sinks:
            self._work.stop()
        self._use_spare()
        self._show_progress()

    def _show_progress(self) -> None:
        report = self._report
        report.arrived = sum(intake.arrived for intake in self._intakes)
        report.arrived_size = sum(intake.size for intake in self._intakes)
        report.other_size = sum(intake.other_size for intake in self._intakes)
        report.deselected = self._work.deselected
        self._run.observe(report)

    def _handle(self, event: Event) -> None:
        match event:
            case Settled(batch):
                self._analyzing.take(batch.arrivals)
                self._batcher.finish(batch)
            case SourceOpened():
                self._opened = True
            case ReaderFinished(error, listed):
                self._reading -= 1
                if error is not None:
                    # Many servers allow fewer connections than were asked for: the others do the work.
                    known = advised(error, self._pipeline.source.values.get("host"))
                    (self._spared if listed else self._report.errors).append(known)
            case LedgerFailed(error):
                self._report.errors.append(error)
                self._work.stop()
            case Cancelled():
                self._work.stop()
            case Crashed(bug):
                raise bug
            case _:
                try:
                    with self._batcher.lock:
                        self._note(event)
                except ArchipecError as error:
                    self._handle(LedgerFailed(error))

    def _note(self, event: Event) -> None:
        """Count what the readers found."""
        report = self._report
        match event:
            case RowsAdded(new, size):
                report.listed += new
                report.listed_size += size
            case Gone(messages):
                report.listed -= messages
            case Unreadable(folder, row, reason):
                report.fail(folder, row.ref, reason)
                self._ledger.sources.record_failure(row.id, reason)
            case FolderFailed(folder, error):
                report.errors.append(error)
                report.note(folder, "", error.message)
            case Omitted(omissions):
                report.omissions = omissions
            case QuotaRead(quota):
                self.quota = quota

    def _close(self) -> None:
        report = self._report
        if self._any_folder:
            report.errors = [left_out(error) for error in report.errors]
        report.errors.extend(worker.error for worker in self._workers if worker.error is not None)
        report.settling = [
            worker.error for worker in self._workers if worker.error is not None and worker.settling
        ]
        for worker in self._workers:
            self._count_confirmed(worker)
        report.settled = {worker.name: worker.settled for worker in self._workers if worker.settled}
        if report.left:
            report.errors.extend(self._spared)
        for error in self._spared:
            _log.warning(_("one connection to %s fewer: %s"), self._pipeline.source.where, error)
        if report.left and not report.errors and not self._stop.is_set():
            raise PluginBug(_("{left} listed messages were never answered for").format(left=report.left))

    def _count_confirmed(self, worker: SinkWorker) -> None:
        """Count what a sink took as pending and has decided on by now."""
        counts = self._report.sinks[worker.name]
        if counts.waiting:
            states = self._ledger.copies.states(worker.number, counts.waiting)
            counts.pending = states["pending"]
            counts.stored += states["stored"]
            counts.failed += states["rejected"]
