"""Brings a pipeline's sinks to work, and says in an archive's marker what it holds now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import SinkType
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.sink_worker import SinkWorker
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.marker import LedgerHoldings, remove_unused_root, update_marker
from archipec.custody.run import Run
from archipec.errors import ArchipecError, IntegrityError

__all__ = ["describe_archives", "prepare_workers", "remove_unused"]


def prepare_workers(
    sinks: Sequence[Endpoint[SinkType[Any]]], run: Run[Any], held: ExitStack
) -> list[SinkWorker]:
    """Return a worker for each sink; one that can't be used carries its error.

    Args:
        held: keeps the locks until the run ends.
    """
    return [_prepare(sink, run, held) for sink in sinks]


def _prepare(sink: Endpoint[SinkType[Any]], run: Run[Any], held: ExitStack) -> SinkWorker:
    worker = SinkWorker(sink, run)
    root = sink.record.root(sink.config)
    is_new = root is not None and not os.path.lexists(root)
    try:
        run.claim(sink, held)
        worker.made_root = is_new
        if not run.ledger.copies.knows_copies(worker.number):
            worker.adopt()
    except ArchipecError as error:
        worker.error = error
    return worker


def remove_unused(
    pipeline: Pipeline,
    workers: Sequence[SinkWorker],
    ledger: Ledger,
    report: ArchiveReport,
    after: ExitStack,
) -> None:
    """Take away the directories that this run made and had nothing for; what goes wrong is put into the report.

    Args:
        after: ends when the archives' locks were let go.
    """
    for sink, worker in zip(pipeline.sinks, workers, strict=True):
        root = sink.record.root(sink.config)
        if root is None or not worker.made_root or ledger.copies.knows_copies(worker.number):
            continue
        try:
            remove_unused_root(root, after)
            ledger.copies.set_archive_id(worker.number, "")
        except ArchipecError as error:
            report.errors.append(error)


def describe_archives(
    pipeline: Pipeline, workers: Sequence[SinkWorker], ledger: Ledger, report: ArchiveReport
) -> None:
    """Say in the marker of each archive what it holds now, if that has changed; what goes wrong is put into the report."""
    for sink, worker in zip(pipeline.sinks, workers, strict=True):
        counts = report.sinks[sink.name]
        root = sink.record.root(sink.config)
        if root is None:
            continue
        added, unfit = counts.stored + counts.pending, isinstance(worker.error, IntegrityError)
        messages = size = 0
        if added:
            held = [each for state, each in ledger.copies.holdings(worker.number).items() if state in HELD]
            messages, size = sum(count for count, _ in held), sum(size for _, size in held)
        try:
            holdings = LedgerHoldings(messages, size, added)
            update_marker(root, pipeline.source.where, holdings, datetime.now(UTC), unfit=unfit)
        except ArchipecError as error:
            if worker.error is None:  # else that error is in the report already
                report.errors.append(error)
