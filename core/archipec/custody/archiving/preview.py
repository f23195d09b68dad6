"""The dry run: lists, reads headers, says what would be stored. Reads no body and opens no sink."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from archipec.config.pipeline import Pipeline
from archipec.config.providers import advised
from archipec.contract import Source, SupportsHeaders
from archipec.custody.archiving.lister import Lister, ListingObserver, left_out, names_folder, read_headers
from archipec.custody.archiving.omissions import omissions_of
from archipec.custody.archiving.report import ArchiveReport, PreviewLine
from archipec.custody.archiving.worklist import answer, matches_nothing
from archipec.custody.ledger import HeaderFacts, SourceMessage
from archipec.custody.run import Backoff, Run
from archipec.errors import ArchipecError, Incomplete, TransientError
from archipec.language import N_, _
from archipec.pec.claims import is_unrecognised

__all__ = ["preview"]

_PAGE = 1000
# Connections lost at the headers of one folder before it is left out.
_BREAKS = 3
_ROME = ZoneInfo("Europe/Rome")
_KIND_UNKNOWN = N_("not known before download")


def preview(pipeline: Pipeline, run: Run[ArchiveReport], *, full: bool) -> ArchiveReport:
    """Count what an `archive` of this pipeline would try to store, by kind and year.

    The ledger keeps the listing and the headers that were read, so that the run itself needs not read them again.
    """
    report = ArchiveReport(pipeline.name)
    started = time.monotonic()
    try:
        with run.lock(pipeline.source), run.spool(pipeline.source.where) as spooled:
            sinks = [run.ledger.copies.sink_number(sink.where) for sink in pipeline.sinks]
            progress = _Progress(pipeline, spooled, sinks, report)
            lister = Lister(pipeline, spooled, sinks, progress, full=full)
            backoff = run.backoff(pipeline.source)
            while not _attempt(progress, lister, backoff):
                pass
    except ArchipecError as error:
        report.errors.append(advised(error, pipeline.source.values.get("host")))
    report.seconds = time.monotonic() - started
    return report


@dataclass
class _Progress(ListingObserver):
    """How far a dry run has come: another connection goes on from there.

    Attributes:
        listing: the listing isn't done yet.
        done: folders that are counted or left out; at: the one whose headers are read.
        counted: rows of that folder which are counted already.
        sizes: bytes by kind and year.
    """

    pipeline: Pipeline
    run: Run[ArchiveReport]
    sinks: list[int]
    report: ArchiveReport
    listing: bool = True
    any_folder: bool = False
    done: set[str] = field(default_factory=set)
    at: str | None = None
    counted: set[int] = field(default_factory=set)
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    sizes: Counter[tuple[str, int]] = field(default_factory=Counter)
    broke_at: Counter[str] = field(default_factory=Counter)

    def folder_listed(self, _number: int, /) -> None:
        """Remember that at least one folder could be listed."""
        self.any_folder = True

    def folder_failed(self, name: str, error: ArchipecError, /) -> None:
        """Report why a folder is left out."""
        self.report.errors.append(error)
        self.report.note(name, "", error.message)

    def messages_gone(self, _number: int, rows: Sequence[int], /) -> None:
        """Record them as gone."""
        self.run.ledger.sources.record_gone(rows)


def _attempt(progress: _Progress, lister: Lister, backoff: Backoff) -> bool:
    """Do all that is left over one connection. False: try again over another one."""
    try:
        with progress.run.open(progress.pipeline.source) as source:
            if progress.listing:
                lister.run(source)
                progress.listing = False
            _count_folders(progress, source)
            _complete_report(progress, source)
    except TransientError as error:
        blamed = lister.blame(error) if progress.listing else _blame_folder(progress, error)
        if blamed:
            backoff.progressed()
        if not backoff.wait(error):
            raise
        return False
    return True


def _count_folders(progress: _Progress, source: Source) -> None:
    sources = progress.run.ledger.sources
    number_of_source = sources.number(progress.pipeline.source.where)
    backlog = sources.backlog(number_of_source, progress.sinks)
    for number, name, _ignored in sources.folders(number_of_source):
        wanted = progress.pipeline.selection.wants_folder(name)
        if backlog.get(number) and name not in progress.done and wanted:
            progress.at = name
            _count_folder(progress, source, number, name)
            progress.at = None
            progress.done.add(name)
            progress.counted.clear()


def _complete_report(progress: _Progress, source: Source) -> None:
    report, pipeline, ledger = progress.report, progress.pipeline, progress.run.ledger
    report.preview = [
        PreviewLine(kind, year, count, progress.sizes[kind, year])
        for (kind, year), count in sorted(progress.counts.items())
    ]
    if progress.any_folder:
        report.errors = [left_out(error) for error in report.errors]
    if progress.run.stop.is_set():
        return
    if not report.errors:
        number = ledger.sources.number(pipeline.source.where)
        report.remark = matches_nothing(pipeline.selection, ledger, number, report.listed, report.deselected)
    report.omissions = omissions_of(source)
    report.errors.extend(report.omissions.problems())


def _blame_folder(progress: _Progress, error: TransientError) -> bool:
    """Return whether a lost connection is a folder's fault, which is left out then."""
    name, progress.at = progress.at, None
    if name is None or error.retry_after is not None:
        return False
    progress.broke_at[name] += 1
    if progress.broke_at[name] < _BREAKS:
        return False
    progress.done.add(name)
    progress.folder_failed(
        name,
        Incomplete(
            _('folder "{name}" is left out: each time it is read, {error}').format(name=name, error=error),
            hint=_("the next run tries again; to leave it out for good: {options}").format(
                options=names_folder(name)
            ),
        ),
    )
    return True


def _count_folder(progress: _Progress, source: Source, number: int, name: str) -> None:
    run, last = progress.run, 0
    while not run.stop.is_set() and (rows := run.ledger.sources.work(number, progress.sinks, last, _PAGE)):
        last = rows[-1].id
        # Over a connection before this one some may have been counted.
        rows = [row for row in rows if row.id not in progress.counted]
        unknown = [row for row in rows if _needs_header(progress, row)]
        for row in rows:
            if row.kind is not None and not _needs_header(progress, row):
                _count(progress, name, row, row.kind, row.date or 0)
        if not isinstance(source, SupportsHeaders):
            for row in unknown:
                _count(progress, name, row, _KIND_UNKNOWN, row.received or 0)
        elif unknown:
            _count_by_headers(progress, source, name, unknown)
        run.observe(progress.report)


def _needs_header(progress: _Progress, row: SourceMessage) -> bool:
    return row.kind is None or (progress.pipeline.selection.asks_message_id and row.message_id is None)


def _count_by_headers(
    progress: _Progress, source: SupportsHeaders, name: str, rows: list[SourceMessage]
) -> None:
    found: dict[int, HeaderFacts] = {}
    try:
        for row, facts, _ in read_headers(source, name, rows):
            found[row.id] = facts
            _count(progress, name, row, facts.kind, facts.date, facts)
    finally:
        progress.run.ledger.sources.record_headers(found.values())
    if not progress.run.stop.is_set():
        for row in rows:
            if row.id not in found:
                _count(progress, name, row, _KIND_UNKNOWN, row.received or 0)


def _count(
    progress: _Progress,
    folder: str,
    row: SourceMessage,
    kind: str,
    date: int,
    facts: HeaderFacts | None = None,
) -> None:
    """Count a message that would be stored.

    Args:
        date: Unix seconds.
    """
    progress.counted.add(row.id)
    progress.report.listed += 1
    if answer(progress.pipeline.selection, progress.run.ledger, folder, row, facts) is False:
        progress.report.deselected += 1
        return
    progress.report.unrecognised[kind] += is_unrecognised(kind, claims=(facts or row).claims)
    year = datetime.fromtimestamp(date, _ROME).year
    progress.counts[kind, year] += 1
    progress.sizes[kind, year] += row.size or 0
