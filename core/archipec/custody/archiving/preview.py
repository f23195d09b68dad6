"""The dry run: lists, looks at headers, says what would be stored. Reads no body and opens no sink."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from archipec.config.pipeline import Pipeline
from archipec.config.providers import advised
from archipec.contract import Context, Source, SupportsHeaders
from archipec.custody.archiving.lister import Lister, left_out, names_folder, read_headers
from archipec.custody.archiving.omissions import omissions_of
from archipec.custody.archiving.report import ArchiveReport, PreviewLine
from archipec.custody.archiving.worklist import answer, matches_nothing
from archipec.custody.ledger import HeaderFacts, Ledger, SourceMessage
from archipec.custody.locks import hold_endpoint
from archipec.custody.run import Backoff, Cancellation, make_context
from archipec.custody.spool import spool_folder
from archipec.errors import ArchipecError, Incomplete, TransientError
from archipec.pec.claims import is_unrecognised
from archipec.plugins.boundary import plugin_boundary

__all__ = ["preview"]

_PAGE = 1000
# Connections lost at the headers of one folder before it is left out.
_BREAKS = 3
_ROME = ZoneInfo("Europe/Rome")
_NOT_LOOKED_AT = "not known before download"


def preview(
    pipeline: Pipeline,
    ledger: Ledger,
    state: Path,
    stop: Cancellation,
    observe: Callable[[ArchiveReport], None],
    *,
    full: bool,
) -> ArchiveReport:
    """Count what an `archive` of this pipeline would try to store, by kind and year.

    The listing and the headers looked at stay on record, so that the run itself needs them no more.
    """
    report = ArchiveReport(pipeline.name)
    started = time.monotonic()
    try:
        with (
            hold_endpoint(state, pipeline.source.where),
            spool_folder(state, pipeline.source.where) as temp,
        ):
            context = make_context(pipeline.source.name, temp, stop)
            run = _Preview(pipeline, ledger, stop, observe, report, full=full)
            retry = Backoff(stop, context.log)
            while not _attempt(pipeline, context, run, retry):
                pass
    except ArchipecError as error:
        report.errors.append(advised(error, pipeline.source.values.get("host")))
    report.seconds = time.monotonic() - started
    return report


def _attempt(pipeline: Pipeline, context: Context, run: _Preview, retry: Backoff) -> bool:
    """Do all that is left over one connection. False: try again over another one."""
    try:
        with (
            plugin_boundary(pipeline.source.record),
            pipeline.source.record.open(pipeline.source.config, context) as source,
        ):
            run.over(source)
    except TransientError as error:
        if run.blame(error):
            retry.progressed()
        if not retry.wait(error):
            raise
        return False
    return True


class _Preview:
    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        stop: Cancellation,
        observe: Callable[[ArchiveReport], None],
        report: ArchiveReport,
        *,
        full: bool,
    ) -> None:
        self._selection = pipeline.selection
        self._ledger = ledger
        self._stop = stop
        self._observe = observe
        self._report = report
        self._source = ledger.sources.number(pipeline.source.where)
        self._sinks = [ledger.copies.sink_number(sink.where) for sink in pipeline.sinks]
        self._counts: Counter[tuple[str, int]] = Counter()
        self._sizes: Counter[tuple[str, int]] = Counter()
        self._counted: set[int] = set()
        self._looked_at: set[str] = set()
        self._at: str | None = None
        self._broke_at: Counter[str] = Counter()
        self._any_folder = False
        self._listing = True
        self._lister = Lister(
            ledger,
            self._source,
            self._sinks,
            self._selection,
            stop.is_set,
            lambda _number, _name, _new, _size: None,
            self._on_folder,
            self._on_error,
            lambda _number, rows: ledger.sources.record_gone(rows),
            full=full,
        )

    def over(self, source: Source) -> None:
        """Do what is left to do."""
        if self._listing:
            self._lister.run(source)
            self._listing = False
        backlog = self._ledger.sources.backlog(self._source, self._sinks)
        for number, name, _ in self._ledger.sources.folders(self._source):
            if backlog.get(number) and name not in self._looked_at and self._selection.wants_folder(name):
                self._at = name
                self._folder(source, number, name)
                self._at = None
                self._looked_at.add(name)
                self._counted.clear()
        report = self._report
        report.preview = [
            PreviewLine(kind, year, count, self._sizes[kind, year])
            for (kind, year), count in sorted(self._counts.items())
        ]
        if self._any_folder:
            report.errors = [left_out(error) for error in report.errors]
        if self._stop.is_set():
            return
        if not report.errors:
            report.remark = matches_nothing(
                self._selection, self._ledger, self._source, report.listed, report.deselected
            )
        report.omissions = omissions_of(source)
        report.errors.extend(report.omissions.problems())

    def blame(self, error: TransientError) -> bool:
        """Tell whether a lost connection is a folder's fault, which is left out then."""
        if self._listing:
            return self._lister.blame(error)
        name, self._at = self._at, None
        if name is None or error.retry_after is not None:
            return False
        self._broke_at[name] += 1
        if self._broke_at[name] < _BREAKS:
            return False
        self._looked_at.add(name)
        self._on_error(
            name,
            Incomplete(
                f'folder "{name}" is left out: each time it is read, {error}',
                hint=f"the next run tries again; to leave it out for good: {names_folder(name)}",
            ),
        )
        return True

    def _on_folder(self, _number: int) -> None:
        self._any_folder = True

    def _on_error(self, folder: str, error: ArchipecError) -> None:
        self._report.errors.append(error)
        self._report.note(folder, "", error.message)

    def _folder(self, source: Source, number: int, name: str) -> None:
        last = 0
        while not self._stop.is_set() and (
            rows := self._ledger.sources.work(number, self._sinks, last, _PAGE)
        ):
            last = rows[-1].id
            # Over a connection before this one some may have been counted.
            rows = [row for row in rows if row.id not in self._counted]
            strange = [row for row in rows if self._is_strange(row)]
            for row in rows:
                if row.kind is not None and not self._is_strange(row):
                    self._count(name, row, row.kind, row.date or 0)
            if not isinstance(source, SupportsHeaders):
                for row in strange:
                    self._count(name, row, _NOT_LOOKED_AT, row.received or 0)
            elif strange:
                self._look(source, name, strange)
            self._observe(self._report)

    def _is_strange(self, row: SourceMessage) -> bool:
        return row.kind is None or (self._selection.asks_message_id and row.message_id is None)

    def _look(self, source: SupportsHeaders, name: str, rows: list[SourceMessage]) -> None:
        looks = {}
        try:
            for row, told, _ in read_headers(source, name, rows):
                looks[row.id] = told
                self._count(name, row, told.kind, told.date, told)
        finally:
            self._ledger.sources.record_headers(looks.values())
        if not self._stop.is_set():
            for row in rows:
                if row.id not in looks:
                    self._count(name, row, _NOT_LOOKED_AT, row.received or 0)

    def _count(
        self, folder: str, row: SourceMessage, kind: str, date: int, told: HeaderFacts | None = None
    ) -> None:
        self._counted.add(row.id)
        self._report.listed += 1
        if answer(self._selection, self._ledger, folder, row, told) is False:
            self._report.deselected += 1
            return
        self._report.unrecognised[kind] += is_unrecognised(kind, claims=(told or row).claims)
        year = datetime.fromtimestamp(date, _ROME).year
        self._counts[kind, year] += 1
        self._sizes[kind, year] += row.size or 0
