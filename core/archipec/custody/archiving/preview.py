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
from archipec.contract import Source, SupportsHeaders
from archipec.custody.archiving.lister import Lister, look
from archipec.custody.archiving.omissions import omissions_of
from archipec.custody.archiving.report import PreviewLine, Report
from archipec.custody.archiving.worklist import answer, matches_nothing
from archipec.custody.ledger import Ledger, Look, Row
from archipec.custody.locks import hold_endpoint
from archipec.custody.run import Stop, make_context
from archipec.custody.spool import spool_folder
from archipec.errors import ArchipecError
from archipec.plugins.boundary import own_errors

__all__ = ["preview"]

_PAGE = 1000
_ROME = ZoneInfo("Europe/Rome")
_NOT_LOOKED_AT = "not known before download"


def preview(
    pipeline: Pipeline,
    ledger: Ledger,
    state: Path,
    stop: Stop,
    observe: Callable[[Report], None],
    *,
    full: bool,
) -> Report:
    """Count what an `archive` of this pipeline would try to store, by kind and year.

    The listing and the headers looked at stay on record, so that the run itself needs them no more.
    """
    report = Report(pipeline.name)
    started = time.monotonic()
    try:
        with (
            hold_endpoint(state, pipeline.source.where),
            spool_folder(state, pipeline.source.where) as temp,
            own_errors(pipeline.source.record),
            pipeline.source.record.open(
                pipeline.source.config, make_context(pipeline.source.name, temp, stop)
            ) as source,
        ):
            _Preview(pipeline, ledger, stop, observe, report).run(source, full=full)
            if not stop.is_set():
                report.omissions = omissions_of(source)
                report.errors.extend(report.omissions.problems)
    except ArchipecError as error:
        report.errors.append(advised(error, pipeline.source.values.get("host")))
    report.seconds = time.monotonic() - started
    return report


class _Preview:
    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        stop: Stop,
        observe: Callable[[Report], None],
        report: Report,
    ) -> None:
        self._selection = pipeline.selection
        self._ledger = ledger
        self._stop = stop
        self._observe = observe
        self._report = report
        self._source = ledger.source(pipeline.source.where)
        self._sinks = [ledger.sink(sink.where) for sink in pipeline.sinks]
        self._counts: Counter[tuple[str, int]] = Counter()
        self._sizes: Counter[tuple[str, int]] = Counter()

    def run(self, source: Source, *, full: bool) -> None:
        Lister(
            self._ledger,
            self._source,
            self._sinks,
            self._selection,
            self._stop.is_set,
            lambda _number, _name, _new, _size: None,
            lambda _number: None,
            self._on_error,
            lambda _number, rows: self._ledger.record_gone(rows),
            full=full,
        ).run(source)
        backlog = self._ledger.backlog(self._source, self._sinks)
        for number, name, _ in self._ledger.folders(self._source):
            if backlog.get(number) and self._selection.wants_folder(name):
                self._folder(source, number, name)
        self._report.preview = [
            PreviewLine(kind, year, count, self._sizes[kind, year])
            for (kind, year), count in sorted(self._counts.items())
        ]
        if not self._report.errors and not self._stop.is_set():
            self._report.remark = matches_nothing(
                self._selection, self._ledger, self._source, self._report.listed, self._report.deselected
            )

    def _on_error(self, folder: str, error: ArchipecError) -> None:
        self._report.errors.append(error)
        self._report.note(folder, "", error.message)

    def _folder(self, source: Source, number: int, name: str) -> None:
        last = 0
        while not self._stop.is_set() and (rows := self._ledger.work(number, self._sinks, last, _PAGE)):
            last = rows[-1].id
            self._report.listed += len(rows)
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

    def _is_strange(self, row: Row) -> bool:
        return row.kind is None or (self._selection.asks_message_id and row.message_id is None)

    def _look(self, source: SupportsHeaders, name: str, rows: list[Row]) -> None:
        looks = {}
        for row, told in look(source, name, rows):
            looks[row.id] = told
            self._count(name, row, told.kind, told.date, told)
        self._ledger.record_look(looks.values())
        if not self._stop.is_set():
            for row in rows:
                if row.id not in looks:
                    self._count(name, row, _NOT_LOOKED_AT, row.received or 0)

    def _count(self, folder: str, row: Row, kind: str, date: int, told: Look | None = None) -> None:
        if answer(self._selection, self._ledger, folder, row, told) is False:
            self._report.deselected += 1
            return
        year = datetime.fromtimestamp(date, _ROME).year
        self._counts[kind, year] += 1
        self._sizes[kind, year] += row.size or 0
