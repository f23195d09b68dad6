"""The run of a pipeline: one download, any number of sinks, every message once.

Threads: a few connections read (`Reader`), each sink has its own (`SinkWorker`), and the one that calls `archive`
sorts what arrives into batches and keeps the counts. They talk through one queue of events and the sinks' bounded
inboxes; `Budget` bounds the bytes between them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING

from archipec.config.pipeline import Pipeline
from archipec.config.providers import advised
from archipec.custody.archiving.analyzing import Analyzing
from archipec.custody.archiving.batcher import Batcher
from archipec.custody.archiving.beginning import finish_deletions, refuse_same_folders, refuse_same_store
from archipec.custody.archiving.deliveries import describe_archives, prepare_workers, remove_unused
from archipec.custody.archiving.events import (
    Arrived,
    Cancelled,
    Delivered,
    Event,
    FolderFailed,
    Gone,
    Omitted,
    QuotaRead,
    ReaderFinished,
    RowsAdded,
    SourceOpened,
    Transit,
    Unreadable,
)
from archipec.custody.archiving.lister import Lister, ListingObserver, left_out
from archipec.custody.archiving.reader import FirstConnection, Reader
from archipec.custody.archiving.report import ArchiveReport, SinkCounts
from archipec.custody.archiving.sink_worker import SinkWorker
from archipec.custody.archiving.steps import run_steps
from archipec.custody.archiving.worklist import WorkList, matches_nothing
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.run import Run, now
from archipec.custody.spool import Budget, return_freed_memory
from archipec.errors import ArchipecError, Incomplete, Interrupted, PluginBug
from archipec.message import ContentKey, Quota
from archipec.supervision import join

if TYPE_CHECKING:
    from archipec.custody.analysis.analyzer import Analysis
    from archipec.custody.pruning.report import PruneReport

__all__ = ["archive"]

_log = logging.getLogger("archipec.archive")

_STARVED = 2
"""Batches that found the sinks idle (the first always does) before another connection is opened."""
_IN_TRANSIT = 24 << 20
"""Bytes between source and sinks. More than two batches, or a batch could never fill up."""


def archive(
    pipeline: Pipeline, run: Run[ArchiveReport], *, full: bool = False, analyses: Sequence[Analysis] = ()
) -> ArchiveReport:
    """Bring every message of a pipeline's source that the selection wants into every sink.

    Args:
        run: when it is cancelled, what has arrived is stored and the run ends.
        full: list the source from the start instead of from the cursors.
        analyses: what is to be found out of every message, besides whether its seal is valid.

    Returns:
        the report, which the ledger keeps too. What went wrong is in it, never raised.
    """
    report = ArchiveReport(pipeline.name, sinks={sink.name: SinkCounts() for sink in pipeline.sinks})
    return_freed_memory()
    started = time.monotonic()
    at = now()
    quota = None
    try:
        with ExitStack() as after, ExitStack() as held:
            held.enter_context(run.lock(pipeline.source))
            refuse_same_folders(pipeline)
            spooled = held.enter_context(run.spool(pipeline.source.where))
            events: SimpleQueue[Event] = SimpleQueue()
            workers = prepare_workers(pipeline.sinks, spooled, events, held)
            if str(pipeline.selection):
                # Nothing is to be made for a selection that no message matches.
                held.callback(remove_unused, pipeline, workers, run.ledger, report, after)
            refuse_same_store(pipeline, workers, spooled)
            finish_deletions(pipeline, workers, spooled, report)
            analyzing = Analyzing(pipeline, spooled, report, analyses, held)
            archiving = _Archiving(pipeline, spooled, events, workers, report, analyzing)
            archiving.execute(full=full)
            describe_archives(pipeline, workers, run.ledger, report)
            report.seconds = time.monotonic() - started
            quota = _quota(pipeline, run.ledger, archiving.quota)
            if not run.stop.is_set():
                analyzing.complete()
            run_steps(pipeline, spooled, report, quota)
        if pipeline.prune.auto and not run.stop.is_set():
            report.prune = _prune(pipeline, run, clean=not report.errors)
    except ArchipecError as error:
        report.errors.append(error)
    if run.stop.is_set():
        report.errors.append(
            Interrupted("stopped as asked", hint="what arrived is stored; the same command goes on from here")
        )
    report.seconds = report.seconds or time.monotonic() - started
    ledger = run.ledger
    try:
        ledger.runs.record_run(
            pipeline.name, ledger.sources.number(pipeline.source.where), at, report.as_json(), quota
        )
    except ArchipecError as error:
        report.errors.append(error)
    return report


def _quota(pipeline: Pipeline, ledger: Ledger, reported: Quota | None) -> Quota | None:
    if pipeline.prune.quota is None:
        return reported
    _, listed = ledger.sources.counts(ledger.sources.number(pipeline.source.where))
    return pipeline.prune.quota_of(reported, listed)


def _prune(pipeline: Pipeline, run: Run[ArchiveReport], *, clean: bool) -> PruneReport:
    """Free the mailbox, unless this run had an error: what else is wrong is not known then."""
    # Slow to import, and most pipelines don't ask.
    from archipec.custody.pruning.report import PruneReport
    from archipec.custody.pruning.run import prune

    if not clean:
        return PruneReport(pipeline.name, carried_out=True, note="nothing deleted: this run had an error")
    return prune(pipeline, Run(run.ledger, run.state, run.stop), carry_out=True)


class _Archiving(ListingObserver):
    def __init__(
        self,
        pipeline: Pipeline,
        run: Run[ArchiveReport],
        events: SimpleQueue[Event],
        workers: list[SinkWorker],
        report: ArchiveReport,
        analyzing: Analyzing,
    ) -> None:
        self._pipeline = pipeline
        self._run = run
        self._ledger = run.ledger
        self._stop = run.stop
        self._events = events
        self._workers = workers
        self._report = report
        self._source = run.ledger.sources.number(pipeline.source.where)
        self._work = WorkList(run.ledger, self._at_work(), pipeline.selection)
        self._budget = Budget(_IN_TRANSIT)
        self._batcher = Batcher(run.ledger, workers, self._budget, report, analyzing)
        self._readers: list[threading.Thread] = []
        self._counted = threading.Event()
        self._reading = 0
        self._spare: list[Reader] = []
        self._opened = False
        self._any_folder = False
        self._spared: list[ArchipecError] = []
        self.quota: Quota | None = None

    def execute(self, *, full: bool) -> None:
        """Run to the end, whichever it is. The report then reconciles."""
        if not self._work.sinks:
            self._close()
            return
        self._stop.wake = lambda: self._events.put(Cancelled())
        sinks = [_start(worker.run, f"sink-{worker.name}") for worker in self._workers]
        first, *self._spare = self._make_readers(full=full)
        self._read_with(first)
        try:
            # While the first connection is made: what is left over must be counted before more is listed.
            self._guard(self._take_up_backlog)
            self._counted.set()
            while self._reading:
                self._handle(self._events.get())
            self._guard(self._batcher.flush)
            while self._batcher.awaited:
                self._handle(self._events.get())
        finally:
            self._stop.wake = None
            self._work.stop()
            for worker in self._workers:
                worker.inbox.put(None)
        for thread in (*self._readers, *sinks):
            join(thread)
        self._report.omissions.forget_archived(self._archived)
        self._report.errors.extend(self._report.omissions.problems())
        self._close()
        self._check_message_ids()
        if not self._report.errors and not self._stop.is_set():
            self._report.remark = matches_nothing(
                self._pipeline.selection,
                self._ledger,
                self._source,
                self._report.listed,
                self._report.deselected,
            )

    def _check_message_ids(self) -> None:
        """Say which messages were asked for by name and are nowhere."""
        wanted = self._pipeline.selection.message_ids
        if self._report.errors or self._report.left or self._stop.is_set():
            return
        for identifier in self._ledger.sources.unknown_message_ids(self._source, wanted):
            self._report.errors.append(
                Incomplete(
                    f"no message has the Message-ID <{identifier}>",
                    hint="the folders that are read were looked through; see the header of the message in the webmail",
                )
            )

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
        for number, name, _ in self._ledger.sources.folders(self._source):
            if backlog.get(number) and self._pipeline.selection.wants_folder(name):
                self._report.listed += backlog[number]
                self._work.add(number, name)

    def _read_with(self, reader: Reader) -> None:
        self._readers.append(_start(reader.run, "source"))
        self._reading += 1

    def _use_spare(self) -> None:
        """Open the other connections where the first can't keep the sinks at work.

        Never before it was let in, so that a wrong password is tried once only. Where the sinks are what the
        run waits for, another connection costs more than it gives: measured, 15 to 25 %.
        """
        if self._reading and self._opened and self._batcher.starved >= _STARVED and not self._stop.is_set():
            while self._spare:
                self._read_with(self._spare.pop())

    def _make_readers(self, *, full: bool) -> list[Reader]:
        source = self._pipeline.source
        sinks = [worker.number for worker in self._workers]
        first = FirstConnection(
            Lister(self._pipeline, self._run, sinks, self, full=full), asks_quota=self._asks_quota
        )
        transit = Transit(self._events, self._budget)
        return [
            Reader(source, self._run, self._work, transit, None if number else first)
            for number in range(source.connections)
        ]

    def _asks_quota(self) -> bool:
        # A round trip more, so not when nothing would use the answer.
        return bool(self._report.listed or self._pipeline.steps)

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

    def _handle(self, event: Event) -> None:
        match event:
            case Arrived(arrivals):
                self._guard(lambda: self._batcher.take(arrivals))
            case Delivered(sink, batch, outcomes):
                self._guard(lambda: self._batcher.settle(sink, batch, outcomes))
                # What only a sink that is out lacks is not worth a download in this run.
                self._work.sinks = self._at_work()
                if not self._work.sinks:
                    self._work.stop()
            case SourceOpened():
                self._opened = True
            case ReaderFinished(error, listed):
                self._reading -= 1
                if error is not None:
                    # Many servers allow fewer connections than were asked for: the others do the work.
                    known = advised(error, self._pipeline.source.values.get("host"))
                    (self._spared if listed else self._report.errors).append(known)
            case Cancelled():
                self._work.stop()
            case _:
                self._note(event)
        self._use_spare()
        self._report.deselected = self._work.deselected
        self._run.observe(self._report)

    def _note(self, event: Event) -> None:
        """Count what the readers found."""
        match event:
            case RowsAdded(new, size):
                self._report.listed += new
                self._report.listed_size += size
            case Gone(messages):
                self._report.listed -= messages
            case Unreadable(folder, row, reason):
                self._ledger.sources.record_failure(row.id, reason)
                self._report.fail(folder, row.ref, reason)
            case FolderFailed(folder, error):
                self._report.errors.append(error)
                self._report.note(folder, "", error.message)
            case Omitted(omissions):
                self._report.omissions = omissions
            case QuotaRead(quota):
                self.quota = quota

    def _guard(self, act: Callable[[], None]) -> None:
        """Let an error of the ledger end the run in good order: nothing more is read or offered to sinks."""
        try:
            act()
        except ArchipecError as error:
            self._report.errors.append(error)
            self._batcher.close()
            self._work.stop()

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
            _log.warning("one connection to %s fewer: %s", self._pipeline.source.where, error)
        if report.left and not report.errors and not self._stop.is_set():
            raise PluginBug(f"{report.left} listed messages were never answered for")

    def _count_confirmed(self, worker: SinkWorker) -> None:
        """Count what a sink took as pending and has decided on by now."""
        counts = self._report.sinks[worker.name]
        if counts.waiting:
            states = self._ledger.copies.states(worker.number, counts.waiting)
            counts.pending = states["pending"]
            counts.stored += states["stored"]
            counts.failed += states["rejected"]


def _start(run: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
