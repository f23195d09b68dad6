"""Fills the index with what archives hold: an analysis of `archipec.custody.analysis`.

An archive run never fails by it: what goes wrong with the index is kept in `error`, for who runs it to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from archipec.config.pipeline import Pipeline
from archipec.custody.analysis.analyzer import Analysis, Analyzer, Answer
from archipec.custody.ledger import Content, Copy, Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.run import Run
from archipec.errors import ATTENTION, DONE, ArchipecError, exit_code
from archipec.index.analyzer import FACTORY, LARGEST_ANSWER, MEMORY, ReadingSettings
from archipec.index.database import IndexEntry, IndexFile
from archipec.index.record import IndexedMessage
from archipec.message import Json
from archipec.pec.anchors import Anchors, TrustFiles

__all__ = ["IndexReport", "Indexing", "LedgerIndexing", "index_pipeline"]

_PAGE = 1000
_UNREAD = "nothing of it could be read: that took too long, or ended the program that tried"


@dataclass(slots=True)
class IndexReport:
    """The outcome of ``index``, in messages.

    Attributes:
        total: that were to be indexed; indexed: that were, so far.
        unread: of those indexed, that nothing could be read of but what the ledger knows.
        missing: that no archive gave back.
        wanted: False where the configuration wants no index.
    """

    pipeline: str
    wanted: bool = True
    total: int = 0
    indexed: int = 0
    unread: int = 0
    missing: int = 0
    seconds: float = 0.0
    errors: list[ArchipecError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The exit code this outcome means."""
        return exit_code([*(error.exit_code for error in self.errors), ATTENTION if self.missing else DONE])

    @property
    def counts(self) -> dict[str, int]:
        """What was done, in messages."""
        return {"indexed": self.indexed, "missing": self.missing}

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``index --json``."""
        return {
            "pipeline": self.pipeline,
            "indexed": self.indexed,
            "unread": self.unread,
            "missing": self.missing,
            "seconds": round(self.seconds, 3),
        }


class Indexing(Analysis):
    """What was read of messages, put into the index.

    Args:
        contents: returns what is known of messages, by the numbers with which they went to the workers.
        ocr: read scanned PDF files too.

    Attributes:
        error: what went wrong with the index, None when nothing did.
        indexed: messages so far; unread: those of them that nothing could be read of.
        observe: called when some were put into the index.
        numbered: the numbers are those of a ledger.
    """

    numbered = False
    undone = "the messages can't be indexed"

    def __init__(
        self,
        index: IndexFile,
        trust: TrustFiles,
        contents: Callable[[Sequence[int]], dict[int, Content]],
        *,
        ocr: bool = False,
    ) -> None:
        self._ocr = ocr
        self._index = index
        self._trust = trust
        self._contents = contents
        self.error: ArchipecError | None = None
        self.indexed = 0
        self.unread = 0
        self.observe: Callable[[], None] = _unobserved

    def prepare(self) -> Analyzer:
        """Read whom to trust: a valid seal certifies the date that a message is found by."""
        try:
            anchors = self._trust.load()
        except ArchipecError as error:
            self.error, anchors = error, Anchors()
        settings = ReadingSettings(anchors=anchors, ocr=self._ocr)
        return Analyzer(
            factory=FACTORY,
            settings=settings,
            seconds=settings.seconds,
            memory=MEMORY,
            largest=LARGEST_ANSWER,
            careful=ReadingSettings(anchors=anchors, names_only=True),
        )

    def record(self, answers: Sequence[Answer]) -> None:
        """Put messages into the index."""
        if self.error is not None:
            return
        try:
            known = self._contents([number for number, _ in answers])
            self._index.add(
                _entry(number if self.numbered else None, known[number], answer)
                for number, answer in answers
                if number in known
            )
        except ArchipecError as error:
            self.error = error
            return
        self.indexed += len(known)
        self.unread += sum(answer is None for _, answer in answers)
        self.observe()


class LedgerIndexing(Indexing):
    """The messages that a ledger knows.

    Args:
        pipeline: says whom to trust, and how to read.
        again: those too that are in the index.

    Attributes:
        found_new: there was something beyond what is known to be in the index; else there is nothing to `settle`.
    """

    numbered = True

    def __init__(self, index: IndexFile, pipeline: Pipeline, ledger: Ledger, *, again: bool = False) -> None:
        super().__init__(index, pipeline.trust, ledger.copies.contents, ocr=pipeline.ocr)
        self._ledger = ledger
        self._again = again
        self.found_new = False
        self._done: set[int] = set()

    def record(self, answers: Sequence[Answer]) -> None:
        """Put messages into the index."""
        super().record(answers)
        if self._again:
            self._done.update(number for number, _ in answers)

    def lacking(self, sink: int, after: int, limit: int) -> list[Copy]:
        """Return what is not in the index."""
        found: list[Copy] = []
        if self.error is not None:
            return found
        try:
            after = max(after, self._passed(sink))
            while len(found) < limit and (copies := self._ledger.copies.in_states(sink, HELD, after, _PAGE)):
                self.found_new = True
                found += self._wanted(copies)
                after = copies[-1].content
        except ArchipecError as error:
            self.error = error
            return []
        return found[:limit]

    def settle(self, sinks: Iterable[int]) -> int:
        """Remember what need not be looked at again; return how many messages of these archives the index lacks."""
        if self.error is not None:
            return 0
        try:
            return len(set[int]().union(*(self._settle(sink) for sink in sinks)))
        except ArchipecError as error:
            self.error = error
            return 0

    def _settle(self, sink: int) -> list[int]:
        lacking: list[int] = []
        after = passed = self._passed(sink)
        while copies := self._ledger.copies.in_states(sink, HELD, after, _PAGE):
            self._index.renumber((copy.receipt.key, copy.content) for copy in copies)
            lacking += [copy.content for copy in self._wanted(copies)]
            after = copies[-1].content
        upto = lacking[0] - 1 if lacking else after
        if upto != passed:
            self._index.set_progress(sink, upto, self._ledger.copies.tally(sink, upto))
        return lacking

    def _wanted(self, copies: Sequence[Copy]) -> list[Copy]:
        if self._again:
            return [copy for copy in copies if copy.content not in self._done]
        missing = set(self._index.missing([copy.receipt.key for copy in copies]))
        return [copy for copy in copies if copy.receipt.key in missing]

    def _passed(self, sink: int) -> int:
        """Return the number up to which everything that a sink holds is known to be in the index."""
        if self._again:
            return 0
        upto, tally = self._index.progress(sink)
        return upto if upto and self._ledger.copies.is_still(sink, upto, tally) else 0


def index_pipeline(
    pipeline: Pipeline, run: Run[IndexReport], index: IndexFile, *, again: bool = False
) -> IndexReport:
    """Put into the index what the archives of a pipeline hold and it lacks.

    Args:
        again: what it has of them too, read anew.

    Returns:
        the report. What went wrong is in it, never raised.
    """
    from archipec.custody.analysis.pool import AnalysisPool
    from archipec.custody.analysis.stored import analyze_stored

    report = IndexReport(pipeline.name)
    started = time.monotonic()
    analysis = LedgerIndexing(index, pipeline, run.ledger, again=again)

    def observe() -> None:
        report.indexed, report.unread = analysis.indexed, analysis.unread
        run.observe(report)

    analysis.observe = observe
    try:
        sinks = [(sink, run.ledger.copies.sink_number(sink.where)) for sink in pipeline.archives]
        report.total = analysis.settle(number for _, number in sinks)
        run.observe(report)
        # Others are not opened: that would make an archive where there is none.
        lacking = [sink for sink, number in sinks if analysis.lacking(number, 0, 1)]
        if lacking:
            with ExitStack() as held:
                for sink in lacking:
                    run.claim(sink, held)
                spooled = held.enter_context(run.spool(f"indexing {pipeline.source.where}"))
                with AnalysisPool([analysis], run.stop) as pool:
                    analyze_stored([analysis], pool, lacking, spooled)
                    report.errors.extend(pool.errors)
    except ArchipecError as error:
        report.errors.append(error)
    if not run.stop.is_set():
        report.missing = analysis.settle(number for _, number in sinks)
    if analysis.error is not None:
        report.errors.append(analysis.error)
    report.seconds = time.monotonic() - started
    return report


def _unobserved() -> None:
    """Observe nothing."""


def _entry(number: int | None, content: Content, answer: Any) -> IndexEntry:
    if answer is None:
        record = IndexedMessage(
            kind=content.kind or "unknown",
            system="",
            seal="malformed",
            certified=None,
            dated=None,
            subject="",
            problems=(_UNREAD,),
        )
    else:
        record = IndexedMessage.from_json(answer)
    if content.date_from == "certified":
        date = content.date
    else:
        date = record.certified or content.date or record.dated or 0
    return IndexEntry(content.key, date, record, number)
